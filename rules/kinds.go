package rules

import (
	"fmt"
	"slices"

	"go.yaml.in/yaml/v4"
)

// block compiles the kind's own block.
func (b *builder) block() {
	kind := b.rule.Kind
	if kind == 0 {
		return
	}
	e := b.doc.block
	if isNull(e.value) && kind == EventKind {
		b.event()
		return
	}
	m := b.keys(e.value, "`"+kind.String()+"`", blockKeys[kind.String()], elsewhere(kind.String()))
	if m == nil {
		return
	}
	switch kind {
	case EventKind:
		b.event()
	case ThresholdKind:
		b.threshold(m)
	case AbsenceKind:
		b.absence(m)
	case ChangeKind:
		b.change(m)
	case TemporalKind:
		b.temporal(m)
	case SequenceKind:
		b.sequence(m)
	}
}

func (b *builder) event() { b.rule.KeepFiringFor = defaultKeepFiring }

// need returns a key that must be there.
func (b *builder) need(m *mapping, name, help string) (entry, bool) {
	e, ok := m.get(name)
	if !ok {
		b.fail(b.doc.block.key, codeMissing, fmt.Sprintf("`%s` needs `%s`", b.rule.Kind, name), "", help)
	}
	return e, ok
}

// unbounded reports state that nothing limits.
func (b *builder) unbounded(at *yaml.Node, text, help string) {
	b.fail(at, codeUnbounded, text, "", help)
}

var reservedNames = []string{"not", "in", "or", "and", "matches", "contains", "startsWith", "endsWith", "let", "if", "else", "true", "false", "nil", "lists", "window"}

// partName checks the name of a step or an event type, which expressions will say.
func (b *builder) partName(n *yaml.Node, name string) bool {
	if !identifier.MatchString(name) {
		b.fail(n, codeName2, fmt.Sprintf("%q cannot be a name in expressions", name), "", "help: letters, digits and _, not beginning with a digit")
		return false
	}
	if slices.Contains(reservedNames, name) {
		b.fail(n, codeName2, fmt.Sprintf("%q means something else in expressions", name), "choose another name", "")
		return false
	}
	if slices.ContainsFunc(b.group, func(k keyName) bool { return k.name == name && !k.path }) {
		b.fail(n, codeName2, fmt.Sprintf("%q is a group key of this rule", name), "choose another name", "")
		return false
	}
	if slices.Contains(fieldNames, name) {
		b.warning(finding{src: b.src, at: b.src.span(n), code: codeHides, text: fmt.Sprintf("the name %q hides the field %q in conditions and texts", name, name)})
	}
	return true
}
