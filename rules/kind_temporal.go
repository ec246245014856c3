package rules

import (
	"fmt"
	"strings"
)

func (b *builder) temporal(m *mapping) {
	t := &Temporal{}
	b.rule.Temporal = t
	if e, ok := m.get("window"); ok {
		t.Window, _ = b.positive(e)
	} else {
		b.unbounded(b.doc.block.key, "`temporal` needs `window`: without one it would remember every event", "help: window: 10m")
	}
	b.rule.KeepFiringFor = t.Window
	b.aggs = newAggregates(b.rule, b.eventScope("the argument of an aggregate"), false)
	b.count = map[string]int{}
	if e, ok := b.need(m, "events", "help: events: {oom: message contains \"Out of memory\", …}"); ok {
		b.eventTypes(e, t)
	}
	b.temporalCondition(m, t)
}

func (b *builder) eventTypes(e entry, t *Temporal) {
	m := b.open(e.value, "`events`")
	if m == nil {
		return
	}
	if len(m.entries) == 0 {
		b.fail(e.value, codeBlank, "`events` is empty", "", "")
	}
	for _, x := range m.entries {
		if !b.partName(x.key, x.name) {
			continue
		}
		sel := b.condition(x, b.eventScope(fmt.Sprintf("event type `%s`", x.name)))
		if sel == nil {
			b.count[x.name] = 0 // known, so that the condition does not complain too
			continue
		}
		part := b.addPart(x.name, sel)
		t.Events = append(t.Events, part)
		b.count[x.name] = b.aggs.add(Agg{Fn: Count, Text: x.name, Arg: -1, Part: part})
	}
}

func (b *builder) temporalCondition(m *mapping, t *Temporal) {
	e, ok := m.get("condition")
	if !ok {
		t.Condition = b.allSeen(t)
		return
	}
	t.Condition = b.condition(e, b.stateScope("`condition`", false))
	b.checkFixed(e, t.Condition)
	if t.Condition != nil {
		t.AtClose = absenceHelps(t.Condition, b.rule.Aggs)
	}
}

// allSeen is the default condition: every event type at least once.
func (b *builder) allSeen(t *Temporal) *Expr {
	var text strings.Builder
	for i, part := range t.Events {
		if i > 0 {
			text.WriteString(" && ")
		}
		text.WriteString(b.rule.Parts[part].Name + " > 0")
	}
	if text.String() == "" {
		return nil
	}
	return compileExpr(b.report, exprText{src: b.src, text: text.String()}, b.stateScope("`condition`", false), wantBool)
}
