package correlate

import "math/bits"

// spare returns what of stay m must go on for without the event, under past_last,
// where it branches to go on with it as well: what no branch does as soon or
// sooner. Every condition here was earned by a counterexample of
// TestSequenceBrute.
func (q *sequence) spare(m *partial, set, stay uint64) uint64 {
	for ; set != 0; set &= set - 1 {
		k := bits.TrailingZeros64(set)
		s := &q.steps[k]
		met := s.min <= 1
		if k == m.cur {
			met = m.n+1 >= s.min
		}
		behind := stay & s.later
		if met && q.reaches(m, k, behind) {
			stay &^= behind
			behind = 0
		}
		if q.passed(k, met) && (behind == 0 || stay&^behind&q.greedy == 0) {
			stay = behind // a greedy step is kept to guard what is behind it
		}
	}
	return stay
}

// reaches says that a branch of m that took one more event for step k, and has
// its minimum, does for the steps in behind what m would. Its limits are later;
// else it differs only in the events it holds. So it does not if an expression
// could tell, or if an absence or a greedy step with a limit of its own, or a
// greedy one that would end m's wait, stands in between.
func (q *sequence) reaches(m *partial, k int, behind uint64) bool {
	return behind&^q.steps[k].next == 0 &&
		!(m.ending && behind&q.greedy != 0) &&
		!q.steps[m.cur].longerHurts &&
		!q.differs(m, k)
}

// passed says that a partial match in step k is through before any of the same
// beginning that is still before k: what it needs now is what the next events of
// their parts are, whatever came before.
func (q *sequence) passed(k int, met bool) bool {
	s := &q.steps[k]
	return s.settled && (met || s.plain() && !s.optional)
}

// differs says that an expression behind step k may tell m from a branch of it
// that took one more event for k.
func (q *sequence) differs(m *partial, k int) bool {
	if k == m.cur {
		return q.readsAll
	}
	return q.steps[k].whereLater
}

// thin ends the waits that began at this event and are superfluous. Only now has
// the event been shown to all that may have outwaited them.
func (q *sequence) thin() {
	for i, m := range q.waiting {
		if m.ending && q.outwaited(m) {
			m.ending = false
			q.dead = true
		}
		q.waiting[i] = nil
	}
	q.waiting = q.waiting[:0]
}

// outwaited says that another partial match with the same beginning, o, waits for
// the same absences as m and has done so for longer: it is known before m, or
// cancelled when m is. So it must not be that a greedy step may yet end its wait.
// If both are known at one instant, the one that lasts longer counts.
func (q *sequence) outwaited(m *partial) bool {
	s := &q.steps[m.cur]
	for _, o := range q.partials {
		if o == m || o.begun != m.begun || !o.ending || o.open&q.greedy != 0 {
			continue
		}
		if q.steps[o.cur].absents != s.absents || q.differs(o, m.cur) {
			continue
		}
		if q.due(o) < q.due(m) || !s.ownWait && o.took == m.took && o.size > m.size {
			return true
		}
		if !s.ownWait && m.open&q.greedy == 0 {
			o.ending = false
			q.dead = true
		}
	}
	return false
}
