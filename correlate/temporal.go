package correlate

import (
	"time"

	"corral/event"
	"corral/rules"
)

// newTemporal prepares a temporal rule: several event types in one window, any
// order. Each name is the count of its part, so a condition that what is there
// makes true is that of a threshold over a sliding window; one that absence could
// make true is decided when a window closes.
func newTemporal(r *rules.Rule) func() machine {
	asThreshold := *r
	asThreshold.Threshold = &rules.Threshold{
		Window: rules.Sliding, Size: r.Temporal.Window, Condition: r.Temporal.Condition,
	}
	plan := newWindowPlan(&asThreshold)
	if r.Temporal.AtClose {
		return func() machine { return newOpened(plan) }
	}
	return func() machine { return newSliding(plan) }
}

// opened is the machine of a temporal rule that is decided at close. The key's
// first Selected event while no window is open opens one, and it closes so much
// later, the events of that instant included. If the condition is then true, it
// is true at that instant and no other.
type opened struct {
	plan   *windowPlan
	pane   pane
	start  int64  // of the window
	last   int64  // its last event
	before uint64 // tally.before at start
	head   []*event.Event
	tail   []*event.Event

	decided bool // it has closed, and what was in it is still to be told
}

func newOpened(p *windowPlan) *opened { return &opened{plan: p, pane: p.pane(true)} }

func (m *opened) event(c *call, in *input) {
	if !in.selected {
		return
	}
	if m.idle() {
		*m = *newOpened(m.plan)
		m.start, m.before = c.now, c.tally.before
	}
	m.last = c.now
	m.pane.add(in.parts, in.args)
	m.keep(in.ev)
}

// keep takes an event for the evidence: the first half and the last half stay.
func (m *opened) keep(ev *event.Event) {
	n := m.plan.rule.Evidence
	if half := (n + 1) / 2; len(m.head) < half {
		m.head = append(m.head, ev)
		return
	}
	if half := n / 2; half > 0 {
		m.tail = append(trim(m.tail, half-1), ev)
	}
}

func (m *opened) timer(c *call) {
	clear(m.plan.vals)
	m.aggs(c, m.plan.vals)
	c.env.Aggs, c.env.Window = m.plan.vals, time.Duration(m.last-m.start)
	if c.holds(m.plan.t.Condition) {
		c.fire(firing{start: m.start, count: c.tally.since(m.before), events: append(m.head, m.tail...)})
	}
	m.decided = true
}

func (m *opened) next() int64 {
	if m.idle() {
		return never
	}
	return plus(m.start, m.plan.width)
}

func (m *opened) content(*call) firing { return firing{} } // never holds

func (m *opened) aggs(_ *call, out []event.Value) {
	for i := range out {
		out[i] = m.pane.value(i, m.plan.width)
	}
}

func (m *opened) idle() bool { return m.decided || m.pane.n == 0 }

func (m *opened) reset(*call) { *m = *newOpened(m.plan) }

func (m *opened) encode(e *encoder) {
	m.pane.encode(e)
	e.int(m.start)
	e.int(m.last)
	e.uint(m.before)
	e.eventList(m.head)
	e.eventList(m.tail)
	e.bool(m.decided)
}

func (m *opened) decode(d *decoder) {
	m.pane.decode(d)
	m.start, m.last, m.before = d.int(), d.int(), d.uint()
	m.head, m.tail = d.eventList(), d.eventList()
	m.decided = d.bool()
}
