package oracle

import (
	"slices"

	"corral/event"
	"corral/rules"
)

// sequence: ordered steps. It keeps every way to fill the first so many steps
// with events, and asks of each event, and at each deadline, which of them it
// makes longer or complete. Whether it may is looked up in the list of all
// events between.
type sequence struct {
	runs []*run
	made []*entry // first events of matches: what began with them is no timeout
}

// run is a partial match: the events of each step so far.
type run struct {
	k   *key
	seq *rules.Sequence
	got [][]*entry // by step
	cur int        // the last step that has events, -1: none
	end int        // position of its last event in key.done
}

func (*sequence) view(k *key, _ int64) *rules.Env { return k.env(nil, nil) }
func (s *sequence) reset(*key, int64)             { s.runs = nil }

func (s *sequence) enter(k *key, e *entry) {
	seq := k.rule.Sequence
	if seq.UntilPart >= 0 && e.fits(seq.UntilPart) {
		s.runs = nil
	}
	empty := &run{k: k, seq: seq, got: make([][]*entry, len(seq.Steps)), cur: -1}
	var complete []*run
	for _, r := range append(slices.Clone(s.runs), empty) {
		for _, i := range r.targets() {
			if !r.takes(i, e) {
				continue
			}
			on := r.with(i, e)
			s.runs = append(s.runs, on)
			if on.mayEnd() && len(on.trailing()) == 0 {
				complete = append(complete, on)
			}
		}
	}
	s.tell(k, complete, e.time())
	s.bury(k, e.time(), false)
}

// next is the earliest deadline of anything begun.
func (s *sequence) next(k *key) int64 {
	t := int64(never)
	for _, r := range s.runs {
		for _, at := range r.deadlines() {
			if at > k.ticks {
				t = min(t, at)
			}
		}
	}
	return t
}

func (s *sequence) expire(k *key, t int64) {
	var complete []*run
	for _, r := range s.runs {
		if len(r.trailing()) > 0 && r.decided() == t && r.undisturbed(t) {
			complete = append(complete, r)
		}
	}
	s.tell(k, complete, t)
	s.bury(k, t, true)
}

// tell makes firings of the complete runs that skip lets through: the one that
// began first, then the one that ended last.
func (s *sequence) tell(k *key, complete []*run, t int64) {
	slices.SortStableFunc(complete, func(a, b *run) int {
		if c := event.Compare(a.first().ev, b.first().ev); c != 0 {
			return c
		}
		return event.Compare(b.last().ev, a.last().ev)
	})
	var told []*run
	for _, r := range complete {
		s.made = append(s.made, r.first())
		if k.wipe || slices.ContainsFunc(told, func(m *run) bool { return !m.spares(r) }) {
			continue
		}
		told = append(told, r)
		s.runs = filter(s.runs, r.spares)
		s.fire(k, r, t, "")
	}
}

// spares: the match r lets another run go on.
func (r *run) spares(o *run) bool {
	switch r.seq.Skip {
	case rules.PastLast:
		return event.Compare(o.first().ev, r.last().ev) > 0
	case rules.Next:
		return o.first() != r.first()
	}
	return true
}

func (s *sequence) fire(k *key, r *run, t int64, cause string) {
	env := k.env(nil, nil)
	env.Steps = r.events()
	k.judge(verdict{at: t, holds: true, instant: true, enters: true, first: r.first(), cause: cause, env: env})
}

// bury lets go of what began with an event and can lead nowhere any more. If
// nothing came of it and the last of it ended for time, that is a timeout.
func (s *sequence) bury(k *key, t int64, timer bool) {
	var firsts []*entry
	for _, r := range s.runs {
		if !slices.Contains(firsts, r.first()) {
			firsts = append(firsts, r.first())
		}
	}
	for _, first := range firsts {
		mine := filter(s.runs, func(r *run) bool { return r.first() == first })
		if slices.ContainsFunc(mine, func(r *run) bool { return r.lives(t, timer) }) {
			continue
		}
		s.runs = filter(s.runs, func(r *run) bool { return r.first() != first })
		late := slices.IndexFunc(mine, func(r *run) bool { return timer && r.lives(t, false) })
		if late >= 0 && !k.wipe && k.rule.Sequence.EmitOnTimeout && !slices.Contains(s.made, first) {
			s.fire(k, mine[late], t, "timeout")
		}
	}
}

// lives: the run may still become longer or complete. after: the deadlines at t
// have passed.
func (r *run) lives(t int64, after bool) bool {
	if after {
		t++
	}
	if len(r.trailing()) > 0 && r.decided() >= t && r.undisturbed(r.decided()) {
		return true
	}
	return slices.ContainsFunc(r.targets(), func(i int) bool { return r.waits(i) && r.latest(i) >= t })
}

// deadlines are the instants at which the run may become complete or end.
func (r *run) deadlines() []int64 {
	out := mapped(r.targets(), r.latest)
	if len(r.trailing()) > 0 {
		out = append(out, r.decided())
	}
	return out
}

// targets are the steps that the next event may be of.
func (r *run) targets() []int {
	var out []int
	if r.cur >= 0 {
		step, n := r.seq.Steps[r.cur], len(r.got[r.cur])
		if step.Max == 0 || n < step.Max {
			out = append(out, r.cur)
		}
		if n < step.Min {
			return out
		}
	}
	for i := r.cur + 1; i < len(r.seq.Steps); i++ {
		step := r.seq.Steps[i]
		if step.Absent {
			continue
		}
		out = append(out, i)
		if !step.Optional {
			break
		}
	}
	return out
}

// takes: e may be the next event, as one of step i.
func (r *run) takes(i int, e *entry) bool {
	return r.fits(i, e) && (r.cur < 0 || e.time() <= r.latest(i)) && r.free(i, e)
}

// waits: the run may still go on with an event of step i to come, by what has come.
func (r *run) waits(i int) bool {
	since := r.since()
	switch {
	case r.seq.Contiguity == rules.Strict && len(since) > 0:
		return false
	case r.seq.Contiguity == rules.Relaxed && r.any(since, i):
		return false
	}
	return !r.forbidden(r.cur, i, since) && !r.greedy(i, since)
}

// free: nothing between the run's last event and e, nor e itself, stands in the
// way of e as one of step i.
func (r *run) free(i int, e *entry) bool {
	if r.cur < 0 {
		return !r.cameBefore(i) && !r.greedy(i, []*entry{e})
	}
	since := r.since()
	between := since[:len(since)-1]
	switch {
	case r.seq.Contiguity == rules.Strict && len(between) > 0:
		return false
	case r.seq.Contiguity == rules.Relaxed && r.any(between, i):
		return false
	}
	return !r.forbidden(r.cur, i, since) && !r.greedy(i, since)
}

// since are the events after the run's last one.
func (r *run) since() []*entry { return r.k.done[r.end+1:] }

// any: one of list is of step i.
func (r *run) any(list []*entry, i int) bool {
	return slices.ContainsFunc(list, func(e *entry) bool { return r.fits(i, e) })
}

// forbidden: one of list is of an absent step between steps i and j, in the time
// in which it must be absent.
func (r *run) forbidden(i, j int, list []*entry) bool {
	for s := i + 1; s < j; s++ {
		if !r.seq.Steps[s].Absent {
			continue
		}
		timely := filter(list, func(e *entry) bool { return e.time() <= r.until(s) })
		if r.any(timely, s) {
			return true
		}
	}
	return false
}

// until is how long step s must be absent after the run's last event.
func (r *run) until(s int) int64 {
	if w := int64(r.seq.Steps[s].Within); w > 0 {
		return r.last().time() + w
	}
	return never
}

// greedy: one of list ought to have been of a greedy step rather than that the
// run goes on to step j.
func (r *run) greedy(j int, list []*entry) bool {
	for _, i := range r.targets() {
		if i >= j || !r.seq.Steps[i].Greedy {
			continue
		}
		timely := list
		if r.seq.Contiguity == rules.Strict {
			timely = list[:min(1, len(list))] // it could have taken no other
		}
		if r.cur >= 0 {
			timely = filter(timely, func(e *entry) bool { return e.time() <= r.latest(i) })
		}
		if r.any(timely, i) {
			return true
		}
	}
	return false
}

// cameBefore: an absent step before step i, the first of a run, came in the time
// before the event that has just come.
func (r *run) cameBefore(i int) bool {
	now := len(r.k.done) - 1
	t := r.k.done[now].time()
	for s, step := range r.seq.Steps[:i] {
		within := int64(step.Within)
		if within == 0 {
			within = int64(r.seq.Within)
		}
		lately := filter(r.k.done[:now], func(e *entry) bool { return t-e.time() <= within })
		if step.Absent && r.any(lately, s) {
			return true
		}
	}
	return false
}

// fits: e is one of step i, for this run.
func (r *run) fits(i int, e *entry) bool {
	step := r.seq.Steps[i]
	if !e.fits(step.Part) {
		return false
	}
	if step.Where == nil {
		return true
	}
	ok, _ := step.Where.Bool(&rules.Env{Event: e.ev, Steps: r.events(), Key: r.k.values})
	return ok
}

func (r *run) events() [][]*event.Event {
	return mapped(r.got, func(list []*entry) []*event.Event {
		return mapped(list, func(e *entry) *event.Event { return e.ev })
	})
}

// latest is the last instant at which an event may be of step i.
func (r *run) latest(i int) int64 {
	t := int64(never)
	if r.seq.Within > 0 {
		t = r.first().time() + int64(r.seq.Within)
	}
	if w := int64(r.seq.Steps[i].Within); w > 0 {
		from := r.first() // of a first step: its own
		if before := slices.Concat(r.got[:i]...); len(before) > 0 {
			from = before[len(before)-1]
		}
		t = min(t, from.time()+w)
	}
	return t
}

// mayEnd: the steps to come need no event.
func (r *run) mayEnd() bool {
	enough := len(r.got[r.cur]) >= r.seq.Steps[r.cur].Min
	return enough && !slices.ContainsFunc(r.seq.Steps[r.cur+1:], func(s rules.Step) bool { return !s.Absent && !s.Optional })
}

// trailing are the absent steps that a run which may end waits for.
func (r *run) trailing() []int {
	var out []int
	for i := r.cur + 1; r.mayEnd() && i < len(r.seq.Steps); i++ {
		if r.seq.Steps[i].Absent {
			out = append(out, i)
		}
	}
	return out
}

// decided is the instant at which the trailing steps have been absent.
func (r *run) decided() int64 {
	t := int64(0)
	for _, i := range r.trailing() {
		at := r.until(i)
		if at == never {
			at = r.first().time() + int64(r.seq.Within)
		}
		t = max(t, at)
	}
	return t
}

// undisturbed: what came since the last event up to t lets the run end.
func (r *run) undisturbed(t int64) bool {
	since := filter(r.since(), func(e *entry) bool { return e.time() <= t })
	beyond := len(r.seq.Steps)
	return !r.forbidden(r.cur, beyond, since) && !r.greedy(beyond, since)
}

func (r *run) first() *entry { return slices.Concat(r.got...)[0] }

func (r *run) last() *entry { return r.k.done[r.end] }

// with is the run with e, which has just come, as a further event of step i.
func (r *run) with(i int, e *entry) *run {
	c := &run{k: r.k, seq: r.seq, got: slices.Clone(r.got), cur: i, end: len(r.k.done) - 1}
	c.got[i] = append(slices.Clone(c.got[i]), e)
	return c
}
