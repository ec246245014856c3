package correlate

import (
	"cmp"
	"math"
	"math/bits"
	"slices"

	"corral/event"
	"corral/rules"
)

// sequence finds ordered steps in the events of one key.
//
// It is an automaton over partial matches. Every event that may begin a match
// begins one; every event is shown to every partial match that wants one like it.
// A partial match that could go on with an event or without it (a loop that may
// take it or be left, an optional step, contiguity any) branches. What is found
// is what Flink CEP finds for the same pattern, with these decisions of ours:
//
//   - Spans are closed: an event exactly `within` after is in time. The within of
//     a step runs from the last event of the step before to each event of the step,
//     that of a first step from its own first event.
//   - An absence that closes a sequence holds for its own within from the last
//     event, or to the end of the whole within. The match is known, and the
//     condition true, at that instant; an event at the instant itself cancels.
//     Contiguity is between events, so under strict others do not disturb the wait.
//   - An absence in the middle kills up to the next step, or for its own within.
//     An event that is both the absent one and the next step kills.
//   - An absence in front looks back from the first event, itself not included.
//   - `until` ends all partial matches, then may begin one itself.
//   - A greedy step takes every event it may; its maximum reached, it is left like
//     any other.
//   - Timeouts: if all branches that began with one event ended without a match,
//     and the last ended for time, that is one timeout, at that instant.
//
// What goes on after a match is skip:
//
//   - past_last: what began after the match's last event. Of matches known at one
//     instant the one that began first counts, then the one that ended last. Which
//     events of a loop it tells of when there is a choice is free, so a partial
//     match that another one of the same beginning makes superfluous is not kept
//     (spare, outwaited): one beginning, one partial match, mostly.
//   - next: what began with other events.
//   - none: everything.
//
// At most limits.partials are kept. Beyond that every other one goes of those in
// the step where most are: a flood of beginnings costs neither the one match that
// is far nor the oldest beginning.
type sequence struct {
	*program
	partials []*partial // by begun
	leads    []int64    // by step: when a leading absence was last broken; math.MinInt64: not
	seen     uint64     // events so far
	wants    uint64     // union of the partials', maybe more
	wake     int64      // no partial changes by itself before; if nothing is timed, when to look what is dead
	dead     bool       // some partial may be
}

// newSequence prepares a sequence rule.
func newSequence(r *rules.Rule) func() machine {
	p := compileSequence(r)
	return func() machine { return p.machine() }
}

func (p *program) machine() *sequence {
	q := &sequence{program: p, wake: never}
	if p.leading != 0 {
		q.leads = make([]int64, bits.Len64(p.leading))
		for i := range q.leads {
			q.leads[i] = math.MinInt64
		}
	}
	return q
}

func (q *sequence) event(c *call, in *input) {
	if in.parts&q.until != 0 {
		q.forget()
	}
	ev := *in
	if !in.selected {
		ev.parts = 0
	}
	q.seen++
	if q.contiguity == rules.Strict || ev.parts&q.wants != 0 {
		q.advance(c, &ev)
	}
	if ev.parts != 0 {
		q.begin(c, &ev)
		q.lead(c, &ev)
	}
	q.thin()
	q.tell(c)
	q.sweep()
	if len(q.partials) > q.limit {
		q.shed(c)
	}
}

// advance shows the event to the partial matches.
func (q *sequence) advance(c *call, in *input) {
	for _, m := range q.partials {
		if in.parts&m.wants != 0 || q.contiguity == rules.Strict {
			q.offer(c, in, m)
			q.dead = q.dead || !m.live()
			q.arm(m) // with fewer ways to go on it may end sooner
		}
	}
	if len(q.fresh) == 0 {
		return
	}
	q.partials = append(q.partials, q.fresh...)
	q.fresh = q.fresh[:0]
	slices.SortStableFunc(q.partials, func(a, b *partial) int { return cmp.Compare(a.begun, b.begun) })
}

// offer shows the event to one partial match, which ends by it, goes on with it,
// goes on without it, or both.
func (q *sequence) offer(c *call, in *input, m *partial) {
	q.lapse(m, c.now)
	q.cancel(c, in, m)
	set := q.fills(c, in, m)
	if set == 0 {
		if q.contiguity == rules.Strict {
			m.open = 0
		}
		return
	}
	stay := q.without(m, set)
	if q.skip == rules.PastLast {
		stay = q.spare(m, set, stay)
	}
	m.open = stay
	for ; set != 0; set &= set - 1 {
		k := bits.TrailingZeros64(set)
		if set&(set-1) == 0 && !m.live() {
			q.fill(m, k, in.ev) // nothing goes on without the event: no branch
			return
		}
		b := q.copy(m)
		q.fill(b, k, in.ev)
		q.fresh = append(q.fresh, b)
	}
}

// fill lets the event fill step k of m and sees what that makes of it.
func (q *sequence) fill(m *partial, k int, ev *event.Event) {
	q.take(m, k, ev)
	m.took = q.seen
	if m.done {
		q.matches = append(q.matches, m)
	}
	if m.ending && q.skip == rules.PastLast {
		q.waiting = append(q.waiting, m)
	}
	q.wants |= m.wants
	q.arm(m)
	q.dead = q.dead || !m.live()
}

// begin lets the event begin matches.
func (q *sequence) begin(c *call, in *input) {
	for b := q.first; b != 0; b &= b - 1 {
		k := bits.TrailingZeros64(b)
		s := &q.steps[k]
		if in.parts&s.part == 0 || q.broken(c.now, k) || !q.where(c, nil, s) {
			continue
		}
		m := q.blank()
		m.start, m.before, m.begun = c.now, c.tally.before, q.seen
		q.fill(m, k, in.ev)
		q.partials = append(q.partials, m)
		if s.greedy {
			return
		}
	}
}

// broken says that an absence in front of step k did not hold up to now.
func (q *sequence) broken(now int64, k int) bool {
	for b := q.leading &^ (^uint64(0) << k); b != 0; b &= b - 1 {
		i := bits.TrailingZeros64(b)
		if at := q.leads[i]; at != math.MinInt64 && now <= plus(at, q.lookBack(i)) {
			return true
		}
	}
	return false
}

// lead notes an event that breaks leading absences.
func (q *sequence) lead(c *call, in *input) {
	for b := q.leading; b != 0; b &= b - 1 {
		i := bits.TrailingZeros64(b)
		if s := &q.steps[i]; in.parts&s.part != 0 && q.where(c, nil, s) {
			q.leads[i] = c.now
			q.alarm(plus(c.now, q.lookBack(i)))
		}
	}
}

// tell fires what was found at this call, as skip has it.
func (q *sequence) tell(c *call) {
	if len(q.matches) == 0 {
		return
	}
	slices.SortStableFunc(q.matches, func(a, b *partial) int {
		return cmp.Or(cmp.Compare(a.begun, b.begun), cmp.Compare(b.took, a.took), cmp.Compare(b.size, a.size))
	})
	told := q.matches[:0]
	for _, m := range q.matches {
		m.done = false
		if len(told) > 0 && q.over(told[len(told)-1], m) {
			continue
		}
		c.fire(q.firing(c, m, ""))
		told = append(told, m)
	}
	for _, m := range told {
		q.goOn(m)
	}
	clear(q.matches)
	q.matches = q.matches[:0]
}

// over says that a match, told, has ended another partial one.
func (q *sequence) over(told, m *partial) bool {
	switch q.skip {
	case rules.PastLast:
		return m.begun <= told.took
	case rules.Next:
		return m.begun == told.begun
	}
	return false
}

// goOn decides what goes on after a match just told.
func (q *sequence) goOn(told *partial) {
	q.dead = true
	for _, m := range q.partials {
		m.matched = m.matched || m.begun == told.begun
		if q.over(told, m) {
			m.open, m.ending = 0, false
		}
	}
}
