package rules

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
)

// ruleFile is one file, read but not compiled.
type ruleFile struct {
	*reader
	defaults *mapping // nil: none
	lists    map[string][]any
	rules    []*ruleDoc

	top       *yaml.Node
	versioned bool
}

// ruleDoc is one rule as it stands in a file.
type ruleDoc struct {
	file  *ruleFile
	body  *mapping
	id    string
	idAt  *yaml.Node
	kind  Kind
	block entry
	last  int // last line
}

// get is an envelope field: the rule's own, else the file's default.
func (d *ruleDoc) get(name string) (entry, bool) {
	if e, ok := d.body.get(name); ok {
		return e, true
	}
	if d.file.defaults == nil || !slices.Contains(envelopeKeys, name) {
		return entry{}, false
	}
	return d.file.defaults.get(name)
}

// readFile reads a file's YAML and checks the keys of all that is in it.
func readFile(rep *report, f File) *ruleFile {
	rf := &ruleFile{reader: &reader{report: rep, src: newSource(f.Name, f.Data)}, lists: map[string][]any{}}
	root := rep.document(rf.src, f.Data)
	if root == nil {
		return rf
	}
	top := rf.keys(root, "a rule file", fileKeys, topElsewhere)
	if top == nil {
		return rf
	}
	rf.readVersion(top)
	if e, ok := top.get("defaults"); ok && !isNull(e.value) {
		rf.defaults = rf.keys(e.value, "`defaults`", envelopeKeys, defaultsElsewhere)
	}
	if e, ok := top.get("lists"); ok && !isNull(e.value) {
		rf.readLists(e)
	}
	rf.readRules(top)
	return rf
}

func topElsewhere(key string) string {
	switch {
	case key == "tests" || key == "start":
		return "belongs into a rule or a test file, named *_test.yaml"
	case slices.Contains(envelopeKeys, key):
		return "belongs to a rule, or into `defaults`"
	case slices.Contains(ruleKeys, key):
		return "belongs to a rule"
	}
	return ""
}

func defaultsElsewhere(key string) string {
	if slices.Contains(ruleKeys, key) {
		return "cannot have a default"
	}
	return ""
}

func (f *ruleFile) readVersion(top *mapping) {
	e, ok := top.get("version")
	f.top, f.versioned = top.node, ok
	if !ok {
		return
	}
	if e.value.Value != "1" || e.value.Kind != yaml.ScalarNode {
		f.fail(e.value, codeVersion, fmt.Sprintf("unknown version %s", e.value.Value), "", "help: version: 1")
	}
}

var listName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

func (f *ruleFile) readLists(e entry) {
	m := f.open(e.value, "`lists`")
	if m == nil {
		return
	}
	for _, l := range m.entries {
		if !listName.MatchString(l.name) {
			f.fail(l.key, codeName2, fmt.Sprintf("a list cannot be named %q", l.name), "", "help: letters, digits and _, because expressions say lists.NAME")
			continue
		}
		f.lists[l.name] = f.readList(l)
	}
}

func (f *ruleFile) readList(l entry) []any {
	values := []any{}
	items, _ := f.list(l)
	for _, n := range items {
		if v, ok := f.scalarValue(n); ok {
			values = append(values, v)
		}
	}
	return values
}

func (f *ruleFile) readRules(top *mapping) {
	e, ok := top.get("rules")
	if !ok || isNull(e.value) || e.value.Kind == yaml.SequenceNode && len(e.value.Content) == 0 {
		at := top.node
		if ok {
			at = e.key
		}
		f.fail(at, codeNoRules, "the file has no rules", "", "")
		return
	}
	items, _ := f.list(e)
	for i, n := range items {
		if d := f.readRule(n); d != nil {
			d.last = f.lastLine(e.value, i)
			f.rules = append(f.rules, d)
		}
	}
}

// lastLine is the last line of item i of a list: before the next item, or before
// the text goes back to the left.
func (f *ruleFile) lastLine(list *yaml.Node, i int) int {
	n := list.Content[i]
	end := len(f.src.lines)
	if i+1 < len(list.Content) {
		end = list.Content[i+1].Line - 1
	} else {
		for l := n.Line + 1; l <= end; l++ {
			if text := f.src.line(l); !blank(text) && leading(text) < n.Column-1 && text[leading(text)] != '#' {
				end = l - 1
				break
			}
		}
	}
	for end > n.Line && (blank(f.src.line(end)) || f.src.line(end)[leading(f.src.line(end))] == '#') {
		end--
	}
	return max(end, n.Line)
}

var ruleID = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,62}$`)

// readRule checks the frame of a rule: its keys, its id, its one kind.
func (f *ruleFile) readRule(n *yaml.Node) *ruleDoc {
	body := f.keys(n, "a rule", ruleKeys, elsewhere(""))
	if body == nil {
		return nil
	}
	d := &ruleDoc{file: f, body: body, idAt: n}
	f.readID(d)
	f.readKind(d)
	return d
}

func (f *ruleFile) readID(d *ruleDoc) {
	e, ok := d.body.get("id")
	if !ok {
		f.fail(d.body.node, codeMissing, "a rule needs an `id`", "", "help: a-z, 0-9 and -, at most 63, unique over all files")
		return
	}
	id, ok := f.text(e.value, "`id`")
	d.idAt = e.value
	if !ok {
		return
	}
	if !ruleID.MatchString(id) {
		note := ""
		if s := slug(id); s != "" && s != id {
			note = fmt.Sprintf("did you mean %q?", s)
		}
		f.fail(e.value, codeID, fmt.Sprintf("%q is no rule id: a-z, 0-9 and -, at most 63", id), note, "")
	}
	d.id = id
}

// slug makes an id of a name.
func slug(s string) string {
	s = regexp.MustCompile(`[^a-z0-9]+`).ReplaceAllString(strings.ToLower(s), "-")
	s = strings.Trim(s, "-")
	return strings.Trim(s[:min(len(s), 63)], "-")
}

func (f *ruleFile) readKind(d *ruleDoc) {
	for i, name := range kindKeys {
		e, ok := d.body.get(name)
		if !ok {
			continue
		}
		if d.kind != 0 {
			f.fail(e.key, codeTwoKinds, fmt.Sprintf("a rule has one kind; this one is `%s` and `%s`", d.kind, name), "",
				fmt.Sprintf("`%s` is at %s:%d:%d", d.kind, f.src.name, d.block.key.Line, d.block.key.Column))
			continue
		}
		d.kind, d.block = Kind(i+1), e
	}
	if d.kind == 0 {
		f.fail(d.idAt, codeNoKind, fmt.Sprintf("rule %q has no kind", d.id), "", "help: one of "+strings.Join(kindKeys, ", "))
	}
}

// checkIDs reports ids given twice, in one file or over all.
func checkIDs(files []*ruleFile) {
	first := map[string]*ruleDoc{}
	for _, f := range files {
		for _, d := range f.rules {
			if d.id == "" {
				continue
			}
			had, ok := first[d.id]
			if !ok {
				first[d.id] = d
				continue
			}
			f.fail(d.idAt, codeDupID, fmt.Sprintf("duplicate rule id %q", d.id), "", fmt.Sprintf("first at %s:%d:%d", had.file.src.name, had.idAt.Line, had.idAt.Column))
		}
	}
}
