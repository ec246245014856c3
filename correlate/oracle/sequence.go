package oracle

import (
	"slices"

	"corral/event"
	"corral/rules"
)

// sequence: ordered steps. A run is one way to fill them with events.
type sequence struct{ runs []*run }

// run is a partial match: the events of each step so far.
type run struct {
	rule *rules.Sequence
	got  [][]*entry // by step
	cur  int        // the last step that has events
}

func (*sequence) view(k *key, _ int64) *rules.Env { return k.env(nil, nil) }
func (s *sequence) reset()                        { s.runs = nil }

func (s *sequence) next(k *key) int64 {
	t := int64(never)
	for _, r := range s.runs {
		t = min(t, r.decided(), r.dead())
	}
	return t
}

func (s *sequence) expire(k *key, t int64) {
	for _, r := range slices.Clone(s.runs) {
		switch {
		case !slices.Contains(s.runs, r): // ended by a match just made
		case r.decided() == t:
			s.drop(r)
			s.match(k, r, t)
		case r.dead() == t && r.mayEnd():
			s.drop(r)
			s.match(k, r, t)
		case r.dead() == t:
			s.drop(r)
			if k.rule.Sequence.EmitOnTimeout {
				s.fire(k, r, t, "timeout")
			}
		}
	}
}

func (s *sequence) drop(r *run) {
	s.runs = slices.DeleteFunc(s.runs, func(o *run) bool { return o == r })
}

func (s *sequence) enter(k *key, e *entry) {
	seq := k.rule.Sequence
	if seq.UntilPart >= 0 && e.fits(seq.UntilPart) {
		s.runs = nil
		return
	}
	var live, complete []*run
	for _, r := range s.runs {
		on, done := r.extend(k, e)
		live, complete = append(live, on...), append(complete, done...)
	}
	s.runs = live
	from := k.from
	used := s.matches(k, complete, e)
	if used && seq.Skip == rules.PastLast || k.from != from {
		return
	}
	s.start(k, e)
}

// matches makes those of complete firings that skip allows, oldest first. used:
// e was part of one.
func (s *sequence) matches(k *key, complete []*run, e *entry) (used bool) {
	from := k.from
	var made []*run
	for _, r := range complete {
		ended := slices.ContainsFunc(made, func(m *run) bool { return !m.spares(r) })
		if ended || k.from != from {
			continue
		}
		s.match(k, r, e.time())
		made = append(made, r)
		used = used || r.last() == e
	}
	return used
}

// match makes a firing of a complete run, and ends the runs that do not go on.
func (s *sequence) match(k *key, r *run, t int64) {
	s.runs = filter(s.runs, r.spares)
	s.fire(k, r, t, "")
}

// spares: the match r lets another run go on.
func (r *run) spares(o *run) bool {
	switch r.rule.Skip {
	case rules.PastLast:
		return event.Compare(o.first().ev, r.last().ev) > 0
	case rules.Next:
		return event.Compare(o.first().ev, r.first().ev) > 0
	}
	return true
}

func (s *sequence) fire(k *key, r *run, t int64, cause string) {
	env := k.env(nil, nil)
	env.Steps = r.events()
	k.judge(verdict{at: t, holds: true, instant: true, enters: true, first: r.first().time(), cause: cause, env: env})
}

// start lets e begin a run: at the first step, or a later one if those before
// are optional.
func (s *sequence) start(k *key, e *entry) {
	seq := k.rule.Sequence
	empty := &run{rule: seq, got: make([][]*entry, len(seq.Steps)), cur: -1}
	for i, step := range seq.Steps {
		switch {
		case len(s.runs) >= k.rule.Limits.Partials:
			return
		case step.Absent && empty.came(k, i, e):
			return
		case step.Absent:
			continue
		case empty.fits(k, i, e):
			r := empty.with(i, e)
			if r.complete() {
				s.match(k, r, e.time())
			}
			if !r.complete() || r.goesOn() {
				s.runs = append(s.runs, r)
			}
			if seq.Contiguity != rules.AnyMatch {
				return
			}
		}
		if !step.Optional {
			return
		}
	}
}

// came: an event of the absent step i came in the time before e.
func (r *run) came(k *key, i int, e *entry) bool {
	for _, old := range k.done[:len(k.done)-1] {
		if e.time()-old.time() <= int64(r.rule.Steps[i].Within) && r.fits(k, i, old) {
			return true
		}
	}
	return false
}

// fits: e is one of step i, for this run.
func (r *run) fits(k *key, i int, e *entry) bool {
	step := r.rule.Steps[i]
	if !e.fits(step.Part) {
		return false
	}
	if step.Where == nil {
		return true
	}
	ok, _ := step.Where.Bool(&rules.Env{Event: e.ev, Steps: r.events(), Key: k.values})
	return ok
}

func (r *run) events() [][]*event.Event {
	return mapped(r.got, func(list []*entry) []*event.Event {
		return mapped(list, func(e *entry) *event.Event { return e.ev })
	})
}

// extend shows the run an event: what goes on, and what is complete.
func (r *run) extend(k *key, e *entry) (live, complete []*run) {
	for _, i := range r.forbidden() {
		step := r.rule.Steps[i]
		over := step.Within > 0 && e.time() > r.last().time()+int64(step.Within)
		if !over && r.fits(k, i, e) {
			return nil, nil
		}
	}
	steps := filter(r.options(), func(i int) bool { return e.time() <= r.latest(i) && r.fits(k, i, e) })
	if r.rule.Contiguity == rules.AnyMatch {
		live = append(live, r)
	} else {
		steps = steps[:min(1, len(steps))]
	}
	for _, i := range steps {
		on := r.with(i, e)
		if on.complete() {
			complete = append(complete, on)
		}
		if !on.complete() || on.goesOn() {
			live = append(live, on)
		}
	}
	switch {
	case len(steps) > 0 || r.rule.Contiguity == rules.AnyMatch:
	case r.rule.Contiguity == rules.Relaxed:
		live = append(live, r)
	case r.mayEnd():
		complete = append(complete, r) // strict, and e is what ends it
	}
	return live, complete
}

// options are the steps the next event may be of, the preferred first.
func (r *run) options() []int {
	step := r.rule.Steps[r.cur]
	var take, on []int
	if n := len(r.got[r.cur]); step.Max == 0 || n < step.Max {
		take = []int{r.cur}
	}
	if r.filled() {
		for i := r.cur + 1; i < len(r.rule.Steps); i++ {
			if r.rule.Steps[i].Absent {
				continue
			}
			on = append(on, i)
			if !r.rule.Steps[i].Optional {
				break
			}
		}
	}
	if step.Greedy {
		return append(take, on...)
	}
	return append(on, take...)
}

// forbidden are the absent steps of the gap the run is in.
func (r *run) forbidden() []int {
	var out []int
	if !r.filled() {
		return nil
	}
	for i := r.cur + 1; i < len(r.rule.Steps); i++ {
		switch step := r.rule.Steps[i]; {
		case step.Absent:
			out = append(out, i)
		case !step.Optional:
			return out
		}
	}
	return out
}

// filled: the current step has as many events as it needs.
func (r *run) filled() bool { return len(r.got[r.cur]) >= r.rule.Steps[r.cur].Min }

// latest is the last instant at which an event may be of step i.
func (r *run) latest(i int) int64 {
	t := int64(never)
	if r.rule.Within > 0 {
		t = r.first().time() + int64(r.rule.Within)
	}
	if w := int64(r.rule.Steps[i].Within); w > 0 {
		from := r.first() // of a first step: its own
		if before := r.before(i); before != nil {
			from = before
		}
		t = min(t, from.time()+w)
	}
	return t
}

// dead is the instant after which no event can be of use; never, if it then
// waits for an absence only.
func (r *run) dead() int64 {
	t, some := int64(0), false
	for _, i := range r.options() {
		t, some = max(t, r.latest(i)), true
	}
	if !some || r.filled() && r.atEnd() && r.awaitsAbsence() {
		return never
	}
	return t
}

// decided is the instant at which trailing absent steps have been absent.
func (r *run) decided() int64 {
	if !r.filled() || !r.atEnd() || !r.awaitsAbsence() {
		return never
	}
	t := int64(0)
	for _, i := range r.forbidden() {
		at := int64(never)
		if w := int64(r.rule.Steps[i].Within); w > 0 {
			at = r.last().time() + w
		}
		if r.rule.Within > 0 {
			at = min(at, r.first().time()+int64(r.rule.Within))
		}
		t = max(t, at)
	}
	return t
}

// atEnd: no step to come needs an event.
func (r *run) atEnd() bool {
	return !slices.ContainsFunc(r.rule.Steps[r.cur+1:], func(s rules.Step) bool { return !s.Absent && !s.Optional })
}

func (r *run) awaitsAbsence() bool {
	return slices.ContainsFunc(r.rule.Steps[r.cur+1:], func(s rules.Step) bool { return s.Absent })
}

// mayEnd: it is a match if nothing more comes.
func (r *run) mayEnd() bool { return r.filled() && r.atEnd() && !r.awaitsAbsence() }

// complete: it is a match now. A greedy step is waited for.
func (r *run) complete() bool {
	step := r.rule.Steps[r.cur]
	wants := step.Greedy && (step.Max == 0 || len(r.got[r.cur]) < step.Max)
	wants = wants || slices.ContainsFunc(r.rule.Steps[r.cur+1:], func(s rules.Step) bool { return s.Greedy })
	return r.mayEnd() && !wants
}

// goesOn: with all combinations asked for, a complete run may still grow.
func (r *run) goesOn() bool {
	return r.rule.Contiguity == rules.AnyMatch && r.rule.Skip == rules.NoSkip && len(r.options()) > 0
}

func (r *run) first() *entry { return slices.Concat(r.got...)[0] }

func (r *run) last() *entry {
	all := slices.Concat(r.got...)
	return all[len(all)-1]
}

// before is the last event before step i, nil if it is the first filled one.
func (r *run) before(i int) *entry {
	if all := slices.Concat(r.got[:i]...); len(all) > 0 {
		return all[len(all)-1]
	}
	return nil
}

// with is the run with e as a further event of step i.
func (r *run) with(i int, e *entry) *run {
	c := &run{rule: r.rule, got: slices.Clone(r.got), cur: i}
	c.got[i] = append(slices.Clone(c.got[i]), e)
	return c
}
