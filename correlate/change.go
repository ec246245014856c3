package correlate

import (
	"corral/event"
	"corral/rules"
)

// newChange prepares a change rule. An event without the value (nil) is as one
// that did not come. Values are equal if they look equal to an expression: 3 and
// 3.0 are. A key's first value is no change, and what is remembered of a key
// outlives its incidents.
func newChange(r *rules.Rule) func() machine {
	switch r.Change.Detect {
	case rules.FirstSeen:
		return func() machine { return newFirstSeen(r) }
	case rules.Flapping:
		return func() machine { return &flapping{rule: r} }
	}
	return func() machine { return new(changed) }
}

// latest is the last value of a key, by its hash.
type latest struct {
	hash  uint64
	known bool
}

// turn takes in the value of an event and reports whether it is another than the
// one before.
func (l *latest) turn(in *input) bool {
	if !in.selected || in.args[0].Kind == event.Nil {
		return false
	}
	before := *l
	*l = latest{hashValue(in.args[0]), true}
	return before.known && before.hash != l.hash
}

func (l *latest) encode(e *encoder) {
	e.bool(l.known)
	e.uint(l.hash)
}

func (l *latest) decode(d *decoder) { l.known, l.hash = d.bool(), d.uint() }

// changed fires at every value that is not the one before. The key is kept as
// long as `limits.groups` allows.
type changed struct{ latest }

func (m *changed) event(c *call, in *input) {
	if m.turn(in) {
		c.fire(firing{start: c.now, count: c.tally.since(c.tally.before), events: []*event.Event{in.ev}})
	}
}

func (m *changed) timer(*call)               {}
func (m *changed) next() int64               { return never }
func (m *changed) content(*call) firing      { return firing{} }
func (m *changed) aggs(*call, []event.Value) {}
func (m *changed) idle() bool                { return !m.known }
func (m *changed) reset(*call)               {}

// flapping fires at a change that is the n-th within the time, span closed: it
// rests on all of them, so it began with the first. A reset forgets the changes,
// not the value.
type flapping struct {
	latest
	rule  *rules.Rule
	turns fifo[mark]     // the last changes, fewer than n
	kept  []*event.Event // the last ones, for evidence
}

func (m *flapping) event(c *call, in *input) {
	if !m.turn(in) {
		return
	}
	p := m.rule.Change
	for m.turns.n > 0 && c.leaves(m.turns.front().at, int64(p.Within)) {
		m.turns.pop()
	}
	m.kept = trim(m.kept, m.turns.n)
	if m.rule.Evidence > 0 {
		m.kept = append(trim(m.kept, min(p.Changes, m.rule.Evidence)-1), in.ev)
	}
	m.turns.push(mark{c.now, c.tally.before})
	if m.turns.n >= p.Changes {
		first := m.turns.front()
		c.fire(firing{start: first.at, count: c.tally.since(first.before), events: m.kept})
		m.turns.pop()
	}
}

func (m *flapping) timer(*call)               {}
func (m *flapping) next() int64               { return never }
func (m *flapping) content(*call) firing      { return firing{} }
func (m *flapping) aggs(*call, []event.Value) {}
func (m *flapping) idle() bool                { return !m.known }

func (m *flapping) reset(*call) {
	m.turns.clear()
	m.kept = nil
}

func (m *flapping) encode(e *encoder) {
	m.latest.encode(e)
	encodeFifo(e, &m.turns, e.mark)
	e.eventList(m.kept)
}

func (m *flapping) decode(d *decoder) {
	m.latest.decode(d)
	decodeFifo(d, &m.turns, d.mark)
	m.kept = d.eventList()
}

// firstSeen fires at a value the key has not had for longer than `memory`. What
// comes less than `learn` after the key's first value is taken in silence. A key
// that had no value for longer than `memory` is forgotten and learns anew.
type firstSeen struct {
	rule   *rules.Rule
	since  int64 // the key's first value
	values recency
}

func newFirstSeen(r *rules.Rule) *firstSeen { return &firstSeen{rule: r} }

func (m *firstSeen) memory() int64 { return limitOf(m.rule.Change.Memory) }

func (m *firstSeen) event(c *call, in *input) {
	if !in.selected || in.args[0].Kind == event.Nil {
		return
	}
	m.forget(c)
	if m.idle() {
		m.since = c.now
	}
	known := m.values.touch(hashValue(in.args[0]), c.now)
	if limit := m.rule.Limits.Groups; limit > 0 && m.values.len() > limit {
		m.values.drop()
		*c.dropped++
	}
	if !known && c.now-m.since >= int64(m.rule.Change.Learn) {
		c.fire(firing{start: c.now, count: c.tally.since(c.tally.before), events: []*event.Event{in.ev}})
	}
}

func (m *firstSeen) forget(c *call) {
	for !m.idle() && c.leaves(m.values.oldest(), m.memory()) {
		m.values.drop()
	}
}

func (m *firstSeen) timer(c *call) { m.forget(c) }

func (m *firstSeen) next() int64 {
	if m.idle() {
		return never
	}
	return plus(m.values.oldest(), m.memory())
}

func (m *firstSeen) content(*call) firing      { return firing{} }
func (m *firstSeen) aggs(*call, []event.Value) {}
func (m *firstSeen) idle() bool                { return m.values.len() == 0 }
func (m *firstSeen) reset(*call)               {}

func (m *firstSeen) size() int { return m.values.size() }

func (m *firstSeen) encode(e *encoder) {
	e.int(m.since)
	m.values.encode(e)
}

func (m *firstSeen) decode(d *decoder) {
	m.since = d.int()
	m.values.decode(d)
}
