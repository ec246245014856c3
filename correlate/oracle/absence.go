package oracle

import (
	"slices"

	"corral/rules"
)

// absence: too few events by a deadline.
type absence struct {
	armed bool
	at    int64 // armed at
	since int   // done[since:] count
	known bool  // an expected key
}

func newAbsence(k *key) *absence {
	a := &absence{}
	if k.rule.Absence.Expect != nil {
		a.armed, a.at, a.known = true, k.seen, true
	}
	return a
}

func (a *absence) reset(k *key, t int64) { a.armed, a.at, a.since = true, t, len(k.done) }

func (a *absence) view(k *key, _ int64) *rules.Env { return k.env(nil, nil) }

func (a *absence) enter(k *key, e *entry) {
	if !e.selected() {
		return
	}
	before := k.counted()
	before = before[:len(before)-1]
	if !a.armed || k.holds || a.dropped(k, before, e.time()) {
		a.armed, a.at, a.since = true, e.time(), len(k.done)-1
	}
	k.judge(verdict{at: e.time(), enters: true})
}

// silent is since when nothing was seen of the key, by the events so far.
func (a *absence) silent(events []*entry) int64 {
	if n := len(events); n > 0 {
		return max(a.at, events[n-1].time())
	}
	return a.at
}

// dropped: at t the key has been silent for longer than it is remembered, and
// no incident, open or to come, that would keep it.
func (a *absence) dropped(k *key, events []*entry, t int64) bool {
	return !a.known && !k.begun() && t > a.remembered(k, events)
}

func (a *absence) remembered(k *key, events []*entry) int64 {
	return a.silent(events) + int64(k.rule.Absence.Remember)
}

func (a *absence) forgotten(k *key) int64 {
	if f := k.rule.Absence.ForgetAfter; f > 0 {
		return a.silent(k.counted()) + int64(f)
	}
	return never
}

func (a *absence) next(k *key) int64 {
	if !a.armed {
		return never
	}
	t := a.forgotten(k)
	if !k.holds {
		t = min(t, a.deadline(k, k.ticks))
	}
	if r := a.remembered(k, k.counted()); !a.known && r > k.ticks {
		t = min(t, r)
	}
	return t
}

func (a *absence) expire(k *key, t int64) {
	if a.armed && !k.holds && t == a.deadline(k, t-1) {
		a.miss(k, t)
	}
	if a.armed && t == a.forgotten(k) {
		if k.open != nil {
			k.resolve(t, "forgotten")
		}
		a.drop(k)
	}
	if a.armed && !a.known && !k.begun() && t == a.remembered(k, k.counted()) {
		a.drop(k)
	}
}

// miss: a deadline has passed.
func (a *absence) miss(k *key, t int64) {
	switch {
	case a.dropped(k, k.counted(), t):
		a.drop(k)
	case k.rule.Active != nil && !k.rule.Active.Active(t):
		// not this one
	default:
		v := verdict{at: t, holds: true, began: a.at, env: k.env(nil, nil)}
		if e := k.latest(); e != nil && e.time() >= a.at {
			v.first = e
		}
		k.judge(v)
	}
}

func (a *absence) drop(k *key) {
	a.armed = false
	k.holds, k.pending, k.swallowed = false, nil, nil
}

// counts are the events since the key was armed.
func (a *absence) counts(k *key) []int64 {
	return times(filter(k.done[a.since:], (*entry).selected))
}

// deadline is the first instant after `after` at which too few events will have
// come, if no more come.
func (a *absence) deadline(k *key, after int64) int64 {
	ab := k.rule.Absence
	if ab.Schedule != nil {
		return a.scheduled(k, after)
	}
	seen, t := a.counts(k), a.at
	if len(seen) >= ab.Min {
		t = seen[len(seen)-ab.Min]
	}
	for t += int64(ab.Every); t <= after; {
		t += int64(ab.Every) // the rule was not active at the last one
	}
	return t
}

// scheduled is the first deadline of the schedule not yet past by which too few
// events have come so far.
func (a *absence) scheduled(k *key, after int64) int64 {
	ab := k.rule.Absence
	before := a.at - 1
	for at := ab.Schedule.Next(a.at); ; before, at = at, ab.Schedule.Next(at) {
		from, to := at, at+int64(ab.Grace)
		if ab.Grace == 0 {
			from = before + 1
		}
		if to <= after {
			continue
		}
		came := slices.DeleteFunc(a.counts(k), func(t int64) bool { return t < from || t > to })
		if len(came) < ab.Min {
			return to
		}
	}
}
