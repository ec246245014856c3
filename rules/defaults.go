package rules

import (
	"slices"

	"go.yaml.in/yaml/v4"
)

// checkDefaults finds the mistakes in defaults of a file that no rule of it takes,
// each setting the field itself: the next rule would. A default is wrong that is
// so for every rule there is.
func (f *ruleFile) checkDefaults() {
	if f.defaults == nil {
		return
	}
	for _, e := range f.defaults.entries {
		taken := slices.ContainsFunc(f.rules, func(d *ruleDoc) bool { return !d.body.has(e.name) })
		if !taken && len(f.rules) > 0 && slices.Contains(envelopeKeys, e.name) {
			f.report.diags = append(f.report.diags, f.mistakesOf(e)...)
		}
	}
}

// mistakesOf are those of a default in the first rule, if it has some in all.
func (f *ruleFile) mistakesOf(e entry) []Diagnostic {
	var found []Diagnostic
	for i, d := range f.rules {
		wrong := slices.DeleteFunc(d.without(e.name).mistakes(), func(x Diagnostic) bool {
			return x.Line < e.key.Line || x.Line > lastLineOf(e.value)
		})
		if !HasErrors(wrong) {
			return nil
		}
		if i == 0 {
			found = wrong
		}
	}
	return found
}

// without is the rule as it were if it left the field to the defaults.
func (d *ruleDoc) without(name string) *ruleDoc {
	file, body, rd := *d.file, *d.body, *d.file.reader
	rd.report = &report{}
	file.reader, body.r = &rd, &rd
	body.entries = slices.DeleteFunc(slices.Clone(body.entries), func(e entry) bool { return e.name == name })
	left := *d
	left.file, left.body = &file, &body
	return &left
}

func (d *ruleDoc) mistakes() []Diagnostic {
	build(d, newSlots())
	return d.file.report.diags
}

func lastLineOf(n *yaml.Node) int {
	last := n.Line
	for _, c := range n.Content {
		last = max(last, lastLineOf(c))
	}
	return last
}
