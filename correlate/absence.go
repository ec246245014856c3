package correlate

import (
	"slices"

	"corral/event"
	"corral/rules"
)

// absence is the machine of a key that too few events came from by a deadline.
//
// With `every` the deadline is the time of the min-th latest event plus every, or
// of arming plus every while fewer came. With a schedule it is each instant of it
// plus grace, for the events since that instant, or without grace since the one
// before. An event at exactly the deadline counts.
type absence struct {
	p     *absencePlan
	armed bool
	known bool         // an expected key: it stays
	since int64        // armed at
	times []int64      // of the latest events since, at most min, oldest first
	last  int64        // latest event, or arming before the first
	seen  *event.Event // that event, nil before the first: what the silence is measured from
	due   int64        // deadline
	from  int64        // with a schedule: events from here on count for it
	tick  int64        // … and the instant of the schedule it belongs to
	hold  bool
}

type absencePlan struct {
	rule  *rules.Rule
	a     *rules.Absence
	every int64
}

func newAbsence(r *rules.Rule) func() machine {
	p := &absencePlan{rule: r, a: r.Absence, every: int64(r.Absence.Every)}
	return func() machine { return &absence{p: p} }
}

// arm begins the watch of the key at t.
func (a *absence) arm(t int64) {
	a.armed, a.since, a.last, a.seen = true, t, t, nil
	a.times = a.times[:0]
	a.schedule(t)
	a.aim()
}

// schedule finds the first deadline of the schedule for a watch that begins at t.
func (a *absence) schedule(t int64) {
	if a.p.a.Schedule == nil {
		return
	}
	a.from, a.tick = t, a.p.a.Schedule.Next(t)
	if a.p.a.Grace > 0 {
		a.from = a.tick
	}
}

// aim sets the deadline by what came.
func (a *absence) aim() {
	switch {
	case a.p.a.Schedule != nil:
		a.due = plus(a.tick, int64(a.p.a.Grace))
	case len(a.times) >= a.p.a.Min:
		a.due = plus(a.times[0], a.p.every)
	default:
		a.due = plus(a.since, a.p.every)
	}
}

// further moves the deadline on where it passed with nothing to tell.
func (a *absence) further() {
	if a.p.a.Schedule == nil {
		a.due = plus(a.due, a.p.every)
		return
	}
	before := a.tick
	a.tick = a.p.a.Schedule.Next(before)
	a.from = before + 1
	if a.p.a.Grace > 0 {
		a.from = a.tick
	}
	a.aim()
}

// enough reports whether what came makes the deadline.
func (a *absence) enough() bool {
	n := 0
	for _, t := range a.times {
		if t >= a.from {
			n++
		}
	}
	return n >= a.p.a.Min
}

func (a *absence) event(c *call, in *input) {
	if !in.selected {
		return
	}
	if a.hold {
		a.hold = false
		c.release(c.now)
		a.armed = false
	}
	if !a.armed {
		a.arm(c.now)
	}
	a.last, a.seen = c.now, in.ev
	if len(a.times) > 0 && len(a.times) >= a.p.a.Min {
		a.times = slices.Delete(a.times, 0, 1)
	}
	a.times = append(a.times, c.now)
	if a.p.a.Schedule == nil {
		a.aim()
	}
}

func (a *absence) timer(c *call) {
	if !a.hold && a.due <= c.now {
		a.missed(c)
	}
	if a.forgottenAt() <= c.now {
		c.end("forgotten")
		a.disarm()
	}
	if a.armed && !a.hold && a.droppedAt() <= c.now {
		a.disarm()
	}
}

// missed: the deadline has passed.
func (a *absence) missed(c *call) {
	if a.p.a.Schedule != nil && a.enough() || !active(a.p.rule, c.now) {
		a.further()
		return
	}
	a.hold = true
	c.hold()
}

func active(r *rules.Rule, t int64) bool { return r.Active == nil || r.Active.Active(t) }

func (a *absence) disarm() { *a = absence{p: a.p, known: a.known} }

// forgottenAt is when the key is given up.
func (a *absence) forgottenAt() int64 {
	if !a.armed || a.p.a.ForgetAfter <= 0 {
		return never
	}
	return plus(a.last, int64(a.p.a.ForgetAfter))
}

// droppedAt is when a key that nothing is told of is not remembered any more.
func (a *absence) droppedAt() int64 {
	if !a.armed || a.known || a.p.a.Remember <= 0 {
		return never
	}
	return plus(a.last, int64(a.p.a.Remember))
}

func (a *absence) next() int64 {
	if !a.armed {
		return never
	}
	if a.hold {
		return a.forgottenAt()
	}
	return min(a.due, a.forgottenAt(), a.droppedAt())
}

func (a *absence) content(c *call) firing {
	f := firing{start: a.last}
	if a.seen != nil {
		f.events = []*event.Event{a.seen}
	}
	if c.tally.at == a.last {
		f.count = c.tally.since(c.tally.before)
	}
	return f
}

func (a *absence) aggs(*call, []event.Value) {}
func (a *absence) idle() bool                { return !a.armed }

func (a *absence) size() int {
	if a.seen == nil {
		return 0
	}
	return eventSize
}

// reset begins the watch anew.
func (a *absence) reset(c *call) {
	a.hold = false
	a.arm(c.now)
}

// rejudge sets the deadline by a rule that was changed; one that has passed by
// then is told at once.
func (a *absence) rejudge(c *call) {
	if !a.armed || a.hold {
		return
	}
	if a.p.a.Schedule != nil {
		a.schedule(c.now)
	}
	for len(a.times) > max(1, a.p.a.Min) {
		a.times = slices.Delete(a.times, 0, 1)
	}
	a.aim()
	a.due = max(a.due, c.now)
}

func (a *absence) encode(e *encoder) {
	e.bool(a.armed)
	e.bool(a.known)
	e.bool(a.hold)
	for _, v := range [...]int64{a.since, a.last, a.due, a.from, a.tick} {
		e.int(v)
	}
	e.event(a.seen)
	e.len(len(a.times))
	for _, t := range a.times {
		e.int(t)
	}
}

func (a *absence) decode(d *decoder) {
	a.armed, a.known, a.hold = d.bool(), d.bool(), d.bool()
	for _, v := range [...]*int64{&a.since, &a.last, &a.due, &a.from, &a.tick} {
		*v = d.int()
	}
	a.seen = d.event()
	for range d.len() {
		a.times = append(a.times, d.int())
	}
}

// expected are the keys a rule watches, nil if that is any it sees.
func expected(r *rules.Rule) map[string]bool {
	if r.Absence == nil || r.Absence.Expect == nil {
		return nil
	}
	keys := make(map[string]bool)
	for _, values := range r.Absence.Expect {
		keys[rules.EncodeKey(values)] = true
	}
	return keys
}

// arm puts the keys an absence rule expects on watch at t.
func (r *ruleState) arm(t int64) {
	if r.rule.Absence == nil {
		return
	}
	for _, values := range r.rule.Absence.Expect {
		r.watch(rules.EncodeKey(values), t)
	}
}

func (r *ruleState) watch(key string, t int64) {
	hash := hashKey(key)
	k, ok := r.keys.find(key, hash)
	if !ok {
		if k, ok = r.add(key, hash); !ok {
			return
		}
		r.touch(k)
	}
	a := r.boxes[k].machine.(*absence)
	a.known = true
	if !a.armed {
		a.arm(t)
	}
	r.reschedule(k)
}
