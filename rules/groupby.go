package rules

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
)

// stepNames notes the names of steps and event types before group_by, which may
// refer to them.
func (b *builder) stepNames() {
	block := b.doc.block.value
	if block == nil || block.Kind != yaml.MappingNode {
		return
	}
	for i := 0; i+1 < len(block.Content); i += 2 {
		key, value := block.Content[i].Value, follow(block.Content[i+1])
		switch {
		case b.rule.Kind == TemporalKind && key == "events" && value.Kind == yaml.MappingNode:
			for j := 0; j < len(value.Content); j += 2 {
				b.names = append(b.names, value.Content[j].Value)
			}
		case b.rule.Kind == SequenceKind && key == "steps" && value.Kind == yaml.SequenceNode:
			for _, s := range value.Content {
				b.names = append(b.names, nameOf(follow(s)))
			}
		}
	}
}

func nameOf(step *yaml.Node) string {
	if step.Kind == yaml.MappingNode {
		for i := 0; i+1 < len(step.Content); i += 2 {
			if step.Content[i].Value == "name" {
				return follow(step.Content[i+1]).Value
			}
		}
	}
	return ""
}

// groupBy compiles the group key.
func (b *builder) groupBy() {
	e, ok := b.doc.get("group_by")
	if !ok || isNull(e.value) {
		return
	}
	switch e.value.Kind {
	case yaml.SequenceNode:
		for _, n := range e.value.Content {
			b.groupItem(entry{name: "group_by", key: e.key, value: follow(n)})
		}
	case yaml.MappingNode:
		m := b.open(e.value, "`group_by`")
		for _, k := range m.entries {
			b.groupEntry(k)
		}
	case yaml.ScalarNode:
		b.fail(e.value, codeType, "`group_by` must be a list of expressions, or name: expression", fmt.Sprintf("did you mean [%s]?", e.value.Value), "")
	}
}

// groupItem adds a key of the list form, named by its expression.
func (b *builder) groupItem(e entry) {
	x := b.keyExpr(e)
	if x == nil {
		return
	}
	name := pathText(x.text)
	if b.keyTaken(e.value, name) {
		return
	}
	k := keyName{name: name, path: true}
	if f := fieldIndex[name]; f != nil {
		k.field = f
	}
	b.addKey(x.text, k, groupKey{all: x})
}

// pathText writes attrs["user.id"] as attrs.user.id: one path, one name.
var quotedIndex = regexp.MustCompile(`\[\s*["']([^"']*)["']\s*\]`)

func pathText(text string) string {
	flat := quotedIndex.ReplaceAllString(text, ".$1")
	if strings.HasPrefix(flat, "attrs.") {
		return flat
	}
	return text
}

func (b *builder) keyTaken(n *yaml.Node, name string) bool {
	taken := slices.ContainsFunc(b.group, func(k keyName) bool { return k.name == name })
	if taken {
		b.fail(n, codeDupKey, fmt.Sprintf("group key %q twice", name), "", "")
	}
	return taken
}

// addKey adds a key under the name incidents show.
func (b *builder) addKey(name string, k keyName, g groupKey) {
	b.group = append(b.group, k)
	b.rule.KeyNames = append(b.rule.KeyNames, name)
	b.rule.groupBy = append(b.rule.groupBy, g)
}

// keyExpr compiles an expression of the group key: a number, a text or a bool.
func (b *builder) keyExpr(e entry) *Expr {
	text, ok := b.expression(e)
	if !ok {
		return nil
	}
	return compileExpr(b.report, text, b.eventScope("a group key"), wantAny)
}

// groupEntry adds a key of the map form, the same for all events or by step.
func (b *builder) groupEntry(e entry) {
	if !identifier.MatchString(e.name) {
		b.fail(e.key, codeName2, fmt.Sprintf("a group key cannot be named %q", e.name), "", "help: letters, digits and _, because texts say {{ NAME }}")
		return
	}
	if e.value.Kind != yaml.MappingNode {
		if x := b.keyExpr(e); x != nil {
			b.addKey(e.name, keyName{name: e.name}, groupKey{all: x})
		}
		return
	}
	if b.rule.Kind != SequenceKind && b.rule.Kind != TemporalKind {
		b.fail(e.value, codeGroupStep, "only the steps of a sequence and the event types of a temporal rule can have keys of their own", "", "")
		return
	}
	b.groupSteps(e)
}

var identifier = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// groupSteps adds a key that each step calls differently. Parts get their index
// when the block is compiled, so the expressions are kept by name until then.
func (b *builder) groupSteps(e entry) {
	m := b.keys2(e.value, "`group_by."+e.name+"`", b.names)
	if m == nil {
		return
	}
	g := groupKey{byName: map[string]*Expr{}}
	for _, s := range m.entries {
		if x := b.keyExpr(s); x != nil {
			g.byName[s.name] = x
			g.order = append(g.order, x)
		}
	}
	for _, name := range b.names {
		if !m.has(name) && name != "" {
			b.fail(e.key, codeGroupStep, fmt.Sprintf("`group_by.%s` does not say what %q calls it", e.name, name), "", "help: "+e.name+": {"+name+": EXPRESSION, …}")
		}
	}
	b.addKey(e.name, keyName{name: e.name}, g)
}

// keys2 is keys for a mapping whose keys are names of this rule.
func (b *builder) keys2(n *yaml.Node, what string, names []string) *mapping {
	m := b.open(n, what)
	if m == nil {
		return nil
	}
	for _, e := range m.entries {
		if !slices.Contains(names, e.name) {
			b.fail(e.key, codeGroupStep, fmt.Sprintf("%q is no step of this rule", e.name), didYouMean(e.name, names), "names: "+listing(names))
		}
	}
	return m
}
