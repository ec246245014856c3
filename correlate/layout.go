package correlate

import (
	"slices"

	"corral/event"
	"corral/rules"
)

// layout says how the state of a rule over a window was written, so that the rule
// can go on with it when its condition, severity or title asks for other aggregates
// than it did: those of before go on, new ones begin with the next event.
type layout struct {
	counter bool // by a counter
	slots   []slotKey
}

// slotKey names an accumulator of a pane by what it is given.
type slotKey struct {
	fn        rules.AggFn // family
	arg, part string      // canonical texts; "" none, all
}

// layoutOf is how r writes its state.
func layoutOf(r *rules.Rule) (l layout) {
	if r.Threshold == nil && r.Temporal == nil {
		return l
	}
	_, l.counter = countsOnly(r)
	for _, s := range slotsOf(r) {
		l.slots = append(l.slots, s.key(r))
	}
	return l
}

// accumulates reports whether a pane keeps an accumulator for a: not if its number
// of events serves it, nor if it speaks of other panes.
func accumulates(a *rules.Agg) bool {
	switch a.Fn {
	case rules.Previous, rules.Baseline:
		return false
	case rules.Count, rules.Rate:
		return a.Part >= 0
	}
	return true
}

func (s *slot) key(r *rules.Rule) slotKey {
	k := slotKey{fn: family(s.agg.Fn)}
	if s.arg >= 0 {
		k.arg = r.Args[s.arg].Canonical()
	}
	if s.part >= 0 {
		k.part = r.Parts[s.part].Expr.Canonical()
	}
	return k
}

func (l layout) encode(e *encoder) {
	e.bool(l.counter)
	e.len(len(l.slots))
	for _, k := range l.slots {
		e.uint(uint64(k.fn))
		e.str(k.arg)
		e.str(k.part)
	}
}

func (d *decoder) layout() (l layout) {
	l.counter = d.bool()
	for range d.len() {
		l.slots = append(l.slots, slotKey{rules.AggFn(d.uint()), d.str(), d.str()})
	}
	return l
}

// windowed is a machine whose panes may have been written by another layout.
type windowed interface {
	machine
	setup() *windowPlan
}

func (s *sliding) setup() *windowPlan { return s.plan }
func (w *split) setup() *windowPlan   { return w.plan }
func (m *opened) setup() *windowPlan  { return m.plan }

// times are the instants of the events in a counter's window, oldest first. Of
// groups the last instant stands for all.
func (m *counterKey) times() (ts []int64) {
	if a := m.aged[m.key]; a != nil {
		for i := range a.groups.n {
			g := a.groups.at(i)
			ts = append(ts, slices.Repeat([]int64{g.at}, g.n)...)
		}
	}
	r := m.state().ring
	for i := range int(r.n) {
		ts = append(ts, m.rings.get(r, i))
	}
	return ts
}

// adopt fills an empty counter with the events of a window.
func (m *counterKey) adopt(ts []int64, kept []*event.Event, hold bool) {
	s := m.state()
	s.ring.hold = hold
	for _, t := range ts {
		m.rings.push(&s.ring, t)
		if int(s.ring.n) > m.exact {
			m.age(s)
		}
	}
	if m.kept != nil {
		m.kept[m.key] = trim(kept, min(len(ts), maxKept))
	}
}

// adopt fills an empty window with events that were only counted.
func (s *sliding) adopt(ts []int64, kept []*event.Event, hold bool) {
	for i, t := range ts {
		s.in.push(mark{t, uint64(i)})
	}
	s.main.n, s.main.next = len(ts), uint64(len(ts))
	if len(ts) > 0 {
		s.seen = ts[0]
	}
	if s.plan.rule.Evidence > 0 {
		s.kept = kept
	}
	s.hold = hold
}

// decodeCounted reads what a counter wrote of a key into a window, and what that
// makes of the key's tally.
func (s *sliding) decodeCounted(d *decoder, t *tally) {
	n := newCounter(s.plan.rule, 1)
	n.kept = [][]*event.Event{} // to be read in any case
	n.make(0)
	m := counterKey{n, 0}
	m.decode(d)
	ts := m.times()
	if len(ts) > 0 {
		last := len(ts) - 1
		*t = tally{seen: uint64(len(ts)), before: uint64(last), at: ts[last]}
	}
	s.adopt(ts, n.kept[0], m.state().ring.hold)
}

// decodeWindow reads what a window wrote of a key into a counter.
func (m *counterKey) decodeWindow(d *decoder, l layout) {
	plan := newWindowPlan(m.rule)
	plan.read(l)
	s := newSliding(plan)
	s.decode(d)
	ts := make([]int64, s.in.n)
	for i := range ts {
		ts[i] = s.in.at(i).at
	}
	m.adopt(ts, s.kept, s.hold)
}
