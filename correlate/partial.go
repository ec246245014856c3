package correlate

import (
	"math/bits"

	"corral/event"
	"corral/rules"
)

// partial is a match of a sequence as far as it has come.
type partial struct {
	events            []fill // those it keeps, in order
	start, prev, last int64  // times of its first event, of the last one before step cur, and of the last
	before            uint64 // Selected events of the key before start
	begun, took       uint64 // numbers of its first and last event; branches share the first
	size              int    // events it took
	cur, n            int    // the step it is in, and the events that fill it

	open    uint64 // steps that the next event may fill, cur for another of its own
	wants   uint64 // parts of events that may change it, maybe more
	ending  bool   // has all events; waits for the absences behind them
	done    bool   // became a match at this call
	matched bool   // it, or a branch of it, was a match before
}

// fill is an event that fills a step.
type fill struct {
	ev    *event.Event
	step  uint8
	first bool // of its step
}

func (m *partial) live() bool { return m.open != 0 || m.ending }

// byStep cuts events, which are those m keeps, into its steps.
func (m *partial) byStep(events []*event.Event, steps [][]*event.Event) {
	for i := 0; i < len(m.events); {
		k, from := m.events[i].step, i
		for i < len(m.events) && m.events[i].step == k {
			i++
		}
		steps[k] = events[from:i:i]
	}
}

func (m *partial) encode(e *encoder) {
	e.len(len(m.events))
	for _, t := range m.events {
		e.event(t.ev)
		e.uint(uint64(t.step))
		e.bool(t.first)
	}
	e.int(m.start)
	e.int(m.prev)
	e.int(m.last)
	e.uint(m.before)
	e.uint(m.begun)
	e.uint(m.took)
	e.len(m.size)
	e.len(m.cur)
	e.len(m.n)
	e.uint(m.open)
	e.bool(m.ending)
	e.bool(m.matched)
}

func (m *partial) decode(d *decoder, p *program) {
	m.events = make([]fill, d.len())
	for i := range m.events {
		m.events[i] = fill{ev: d.event(), step: uint8(d.uint()), first: d.bool()}
	}
	m.start, m.prev, m.last = d.int(), d.int(), d.int()
	m.before, m.begun, m.took = d.uint(), d.uint(), d.uint()
	m.size, m.cur, m.n = int(d.uint()), int(d.uint()), int(d.uint())
	m.open, m.ending, m.matched = d.uint(), d.bool(), d.bool()
	if !m.sound(p) {
		d.fail()
		return
	}
	m.wants = p.steps[m.cur].wants
}

// sound says that m is one that p could have made, as far as not to break it.
func (m *partial) sound(p *program) bool {
	if m.cur < 0 || m.cur >= len(p.steps) || m.n < 1 || m.size < len(m.events) || len(m.events) == 0 {
		return false
	}
	s, at := &p.steps[m.cur], uint8(0)
	for _, t := range m.events {
		if t.ev == nil || t.step < at || int(t.step) > m.cur {
			return false
		}
		at = t.step
	}
	return m.open&^(s.next|1<<m.cur) == 0 && (s.waits || !m.ending) && m.live()
}

// lapse closes the steps of m that only an event before t could have filled.
func (p *program) lapse(m *partial, t int64) {
	for b := m.open; b != 0; b &= b - 1 {
		if k := bits.TrailingZeros64(b); p.reach(m, k) < t {
			m.open &^= 1 << k
		}
	}
}

// cancel applies an event to the absences that m is between: what lies behind
// them is out of reach. An event that could also have filled a step behind the
// absence does not: the absence did not hold up to it.
func (p *program) cancel(c *call, in *input, m *partial) {
	for b := p.steps[m.cur].absents; b != 0; b &= b - 1 {
		i := bits.TrailingZeros64(b)
		s := &p.steps[i]
		if in.parts&s.part == 0 || m.open&s.later == 0 && !m.ending {
			continue
		}
		if c.now > plus(m.last, s.within) || !p.where(c, m, s) {
			continue
		}
		m.open &^= s.later
		m.ending = false
	}
}

// fills returns the steps of m that an event may fill. A greedy step that takes
// it leaves nothing to those behind.
func (p *program) fills(c *call, in *input, m *partial) (set uint64) {
	for b := m.open; b != 0; b &= b - 1 {
		k := bits.TrailingZeros64(b)
		s := &p.steps[k]
		if in.parts&s.part == 0 || !p.where(c, m, s) {
			continue
		}
		set |= 1 << k
		if s.greedy {
			break
		}
	}
	return set
}

func (p *program) where(c *call, m *partial, s *step) bool {
	if s.where == nil {
		return true
	}
	c.env.Steps = p.show(m)
	return c.holds(s.where)
}

// without returns what stays open to m if it goes on without an event that could
// have filled the steps of set.
func (p *program) without(m *partial, set uint64) uint64 {
	stay := m.open
	switch p.contiguity {
	case rules.Strict:
		stay = 0
	case rules.Relaxed:
		stay &^= set
	}
	if k := bits.Len64(set) - 1; p.steps[k].greedy {
		stay &^= p.steps[k].later
		m.ending = false
	}
	return stay
}
