package rules

import (
	"fmt"
	"slices"
	"time"

	"go.yaml.in/yaml/v4"
)

func (b *builder) threshold(m *mapping) {
	t := &Threshold{Window: Sliding, StartPart: -1, EndPart: -1}
	b.rule.Threshold = t
	if w, ok := m.get("window"); ok {
		b.window(w, t)
	} else {
		b.unbounded(b.doc.block.key, "`threshold` needs `window`: without one it would remember every event", "help: window: 5m")
	}
	b.rule.KeepFiringFor = t.keepFiring()
	b.aggs = newAggregates(b.rule, b.eventScope("the argument of an aggregate"), t.Window == Sliding || t.Window == Tumbling)
	if e, ok := b.need(m, "condition", "help: condition: count() >= 20"); ok {
		t.Condition = b.condition(e, b.stateScope("`condition`", false))
		b.checkFixed(e, t.Condition)
		b.classify(e, t)
	}
	if e, ok := m.get("clear"); ok {
		t.Clear = b.condition(e, b.stateScope("`clear`", false))
		if t.Clear != nil && b.polarity(t.Clear).fixed(t.Clear.root) == tFalse {
			b.fail(e.value, codeNever, "`clear` is never true: the incident would not resolve", "", "")
		}
		if t.AtClose {
			b.fail(e.key, codeConflict, "`clear` does not go with a condition that is decided when a window ends: it holds at that instant only", "", "help: keep_firing_for says how long the incident outlasts it")
		}
	}
}

// checkFixed reports a condition that the events do not decide.
func (b *builder) checkFixed(e entry, x *Expr) {
	if x == nil {
		return
	}
	switch b.polarity(x).fixed(x.root) {
	case tTrue:
		b.fail(e.value, codeNever, "this condition always holds: the incident would never resolve", "", "")
	case tFalse:
		b.fail(e.value, codeNever, "this condition never holds", "", "")
	}
}

// polarity is what is known of the counts in a condition of this rule.
func (b *builder) polarity(x *Expr) polarity {
	p := polarity{names: x.names, aggs: b.rule.Aggs}
	if t := b.rule.Threshold; t != nil && t.Window == LastN {
		p.most = t.N
	}
	return p
}

// keepFiring is the default of keep_firing_for: how long the window reaches.
func (t *Threshold) keepFiring() time.Duration {
	switch t.Window {
	case Sliding, Tumbling:
		return t.Size
	case LastN:
		return defaultKeepFiring
	}
	return t.Max
}

// classify decides when the condition is: at each event, or when the window ends.
func (b *builder) classify(e entry, t *Threshold) {
	if t.Condition == nil || b.polarity(t.Condition).fixed(t.Condition.root) != tUnknown {
		return
	}
	t.AtClose = absenceHelps(t.Condition, b.rule.Aggs)
	if !t.AtClose || t.Window != Sliding && t.Window != LastN {
		return
	}
	t.AtClose = false
	b.fail(e.value, codeAbsence, "this condition holds while too few events have come, so on a sliding window it would hold at once", "",
		"help: use `absence` to ask for too few events, or a window that ends: {tumbling: …}, {session: …}, {start: …}")
}

func (b *builder) window(e entry, t *Threshold) {
	if e.value.Kind != yaml.MappingNode {
		if d, ok := b.positive(e); ok {
			t.Size = d
		}
		return
	}
	m := b.keys(e.value, "`window`", windowKeys, nil)
	if m == nil {
		return
	}
	shape := b.shape(m, e)
	used := map[string][]string{
		"sliding": {"sliding"}, "tumbling": {"tumbling", "timezone"}, "session": {"session", "max"}, "last": {"last"}, "start": {"start", "end", "max"},
	}[shape]
	for _, x := range m.entries {
		if shape != "" && !slices.Contains(used, x.name) && slices.Contains(windowKeys, x.name) {
			b.fail(x.key, codeConflict, fmt.Sprintf("`%s` does not go with `%s`", x.name, shape), "", "help: one of {sliding: 5m}, {tumbling: 5m, timezone: …}, {session: 30s, max: 10m}, {last: 100}, {start: …, end: …, max: 30m}")
		}
	}
	b.shaped(m, shape, t)
}

// shape is the window's kind by the first key that tells it.
func (b *builder) shape(m *mapping, e entry) string {
	for _, name := range []string{"sliding", "tumbling", "session", "last", "start"} {
		if m.has(name) {
			return name
		}
	}
	b.fail(e.key, codeMissing, "the window has no shape", "", "help: 5m, {tumbling: 5m}, {session: 30s, max: 10m}, {last: 100}, {start: …, end: …, max: 30m}")
	return ""
}

const maxLast = 100_000

func (b *builder) shaped(m *mapping, shape string, t *Threshold) {
	e, _ := m.get(shape)
	switch shape {
	case "sliding":
		t.Size, _ = b.positive(e)
	case "tumbling":
		t.Window = Tumbling
		t.Size, _ = b.positive(e)
		if m.has("timezone") {
			t.Location = b.timezone(m)
		}
	case "session":
		t.Window = Session
		t.Size, _ = b.positive(e)
		t.Max = b.max(m, e, "a session that never pauses would grow for ever")
		if t.Max > 0 && t.Max < t.Size {
			b.fail(e.value, codeConflict, "`max` is shorter than the gap that ends a session", "", "")
		}
	case "last":
		t.Window = LastN
		t.N, _ = b.int(e, 1, maxLast)
	case "start":
		t.Window = Bounded
		t.StartPart = b.windowPart(m, "start")
		t.EndPart = b.windowPart(m, "end")
		t.Max = b.max(m, e, "a window whose end never comes would grow for ever")
	}
}

// max is the longest a window may get; it must be given.
func (b *builder) max(m *mapping, e entry, why string) time.Duration {
	x, ok := m.get("max")
	if !ok {
		b.unbounded(e.key, "the window needs `max`: "+why, "help: {"+e.name+": …, max: 30m}")
		return 0
	}
	d, _ := b.positive(x)
	return d
}

func (b *builder) windowPart(m *mapping, name string) int {
	e, ok := m.get(name)
	if !ok {
		b.fail(m.node, codeMissing, fmt.Sprintf("a window from start to end needs `%s`", name), "", "help: {start: EXPRESSION, end: EXPRESSION, max: 30m}")
		return -1
	}
	x := b.condition(e, b.eventScope("`"+name+"`"))
	if x == nil {
		return -1
	}
	return b.addPart("window."+name, x)
}
