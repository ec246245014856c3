package correlate

import (
	"math"
	"slices"

	"corral/event"
)

func (q *sequence) idle() bool {
	if len(q.partials) > 0 {
		return false
	}
	for _, at := range q.leads {
		if at != math.MinInt64 {
			return false
		}
	}
	return true
}

func (q *sequence) content(*call) firing      { return firing{} } // never holds
func (q *sequence) aggs(*call, []event.Value) {}

// reset drops the partial matches. What leading absences have seen stays: it is
// about the events before a match, whatever fired since.
func (q *sequence) reset(*call) { q.forget() }

func (q *sequence) forget() {
	for i, m := range q.partials {
		q.recycle(m)
		q.partials[i] = nil
	}
	q.partials = q.partials[:0]
	q.wants = 0
	q.dead = false
	if q.leads == nil {
		q.wake = never
	}
}

// sweep takes out the partial matches that are over.
func (q *sequence) sweep() {
	if !q.dead {
		return
	}
	q.dead = false
	q.wants = 0
	q.partials = slices.DeleteFunc(q.partials, func(m *partial) bool {
		if !m.live() {
			q.recycle(m)
			return true
		}
		q.wants |= m.wants
		return false
	})
}

// shed brings the partial matches down to the limit, first by those out of time.
// Then of the step where most are every other one goes, not the oldest and not
// the youngest: what a match is told to have begun with stays nearly right, and
// the work is done once for many.
func (q *sequence) shed(c *call) {
	for _, m := range q.partials {
		q.lapse(m, c.now)
		q.dead = q.dead || !m.live()
	}
	q.sweep()
	for len(q.partials) > q.limit {
		*c.dropped += q.decimate(q.crowd())
	}
}

// crowd is the step that most partial matches are in.
func (q *sequence) crowd() int {
	var count [64]int
	crowd := 0
	for _, m := range q.partials {
		count[m.cur]++
		if count[m.cur] > count[crowd] {
			crowd = m.cur
		}
	}
	return crowd
}

// decimate drops partial matches of a step and says how many.
func (q *sequence) decimate(step int) uint64 {
	var of []*partial
	for _, m := range q.partials {
		if m.cur == step {
			of = append(of, m)
		}
	}
	drop := of[:1] // of two: the younger has more time, unless it waits as the other does
	if of[0].ending {
		drop = of[len(of)-1:]
	}
	if len(of) > 2 {
		drop = drop[:0]
		for i := 1; i < len(of)-1; i += 2 {
			drop = append(drop, of[i])
		}
	}
	for _, m := range drop {
		m.open, m.ending = 0, false
	}
	q.dead = true
	q.sweep()
	return uint64(len(drop))
}

// maxFree is how many partial matches a rule keeps for use again.
const maxFree = 256

// blank returns an empty partial match, mostly one that was used before.
func (q *sequence) blank() *partial {
	if n := len(q.free); n > 0 {
		m := q.free[n-1]
		q.free = q.free[:n-1]
		return m
	}
	return new(partial)
}

func (q *sequence) copy(m *partial) *partial {
	b := q.blank()
	events := append(b.events[:0], m.events...)
	*b = *m
	b.events = events
	return b
}

func (q *sequence) recycle(m *partial) {
	clear(m.events)
	*m = partial{events: m.events[:0]}
	if len(q.free) < maxFree {
		q.free = append(q.free, m)
	}
}

// size counts an event for each beginning, and those of the partial match that
// has most: the others mostly share them.
func (q *sequence) size() int {
	n, most := 0, 0
	for _, m := range q.partials {
		n += 160 + 24*cap(m.events)
		most = max(most, len(m.events))
	}
	return n + eventSize*(len(q.partials)+most)
}

func (q *sequence) encode(e *encoder) {
	e.uint(q.seen)
	e.len(len(q.partials))
	for _, m := range q.partials {
		m.encode(e)
	}
	e.len(len(q.leads))
	for _, at := range q.leads {
		e.int(at)
	}
}

func (q *sequence) decode(d *decoder) {
	q.seen = d.uint()
	for range d.len() {
		m := new(partial)
		m.decode(d, q.program)
		if n := len(q.partials); m.took > q.seen || n > 0 && m.begun < q.partials[n-1].begun {
			d.fail()
		}
		if d.err != nil {
			return
		}
		q.partials = append(q.partials, m)
		q.wants |= m.wants
	}
	if d.len() != len(q.leads) {
		d.fail()
		return
	}
	for i := range q.leads {
		q.leads[i] = d.int()
	}
	q.rearm()
}
