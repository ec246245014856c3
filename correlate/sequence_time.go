package correlate

import (
	"math"
	"slices"
)

func (q *sequence) timer(c *call) {
	for _, m := range q.partials {
		if m.ending && q.due(m) <= c.now {
			m.ending, m.done = false, true
			q.matches = append(q.matches, m)
		}
	}
	q.tell(c)
	q.sweep() // what a match ended is not late
	q.expire(c)
	for i, at := range q.leads {
		if plus(at, q.lookBack(i)) <= c.now {
			q.leads[i] = math.MinInt64
		}
	}
	q.rearm()
}

// expire ends what has run out of time, and tells of the unfinished.
func (q *sequence) expire(c *call) {
	var late []*partial
	for _, m := range q.partials {
		q.lapse(m, plus(c.now, 1))
		if !m.live() {
			q.dead = true
			late = append(late, m)
		}
	}
	if q.timeouts {
		q.unfinished(c, late)
	}
	q.sweep()
}

// unfinished tells of the beginnings that ran out of time with late: by each the
// partial match that came furthest.
func (q *sequence) unfinished(c *call, late []*partial) {
	for i := 0; i < len(late); {
		best := late[i]
		for ; i < len(late) && late[i].begun == best.begun; i++ {
			if late[i].size > best.size {
				best = late[i]
			}
		}
		goesOn := slices.ContainsFunc(q.partials, func(m *partial) bool { return m.begun == best.begun && m.live() })
		if !best.matched && !goesOn {
			c.fire(q.firing(c, best, "timeout"))
		}
	}
}

// arm takes the instant of m into account for next.
func (q *sequence) arm(m *partial) {
	if m.live() && (q.timed || q.wake == never) {
		q.alarm(q.instant(m))
	}
}

// alarm asks for a timer. If nothing is timed the machine only wants to be looked
// at when it may be empty, so the first request will do.
func (q *sequence) alarm(t int64) {
	if q.timed {
		q.wake = min(q.wake, t)
	} else if q.wake == never {
		q.wake = t
	}
}

// rearm works out the next timer afresh: the first instant that matters, or, if
// nothing is timed, the one at which all is over.
func (q *sequence) rearm() {
	wake, end := int64(never), int64(math.MinInt64)
	for _, m := range q.partials {
		t := q.instant(m)
		wake, end = min(wake, t), max(end, t)
	}
	for i, at := range q.leads {
		if at != math.MinInt64 {
			t := plus(at, q.lookBack(i))
			wake, end = min(wake, t), max(end, t)
		}
	}
	q.wake = wake
	if !q.timed && end != math.MinInt64 {
		q.wake = end
	}
}

func (q *sequence) next() int64 {
	if q.idle() {
		return never
	}
	return q.wake
}
