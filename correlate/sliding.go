package correlate

import (
	"time"

	"corral/event"
	"corral/rules"
)

// sliding is the machine of a threshold over a sliding window or the last N
// events. An event is in the window from its own time until just after its time
// plus the window's length; then, for `previous`, as long in the pane before.
type sliding struct {
	plan *windowPlan
	main pane
	prev pane
	in   fifo[mark]     // events of main
	past fifo[taken]    // events of main and prev with what they brought, for `previous`
	kept []*event.Event // newest of main, for evidence
	base baseline
	seen int64 // first event, or first after a silence that nothing outlived
	hold bool
}

// mark is an event in a window.
type mark struct {
	at     int64
	before uint64 // tally.before
}

// taken is what an event brought.
type taken struct {
	at    int64
	parts uint64
	args  []event.Value
}

func newSliding(p *windowPlan) *sliding {
	s := &sliding{plan: p, main: p.pane(false), seen: never}
	if len(p.previous) > 0 {
		s.prev = p.pane(false)
	}
	s.base = newBaseline(p)
	return s
}

func (s *sliding) event(c *call, in *input) {
	if !in.selected {
		return
	}
	s.leave(c)
	if s.forgotten() {
		s.seen = c.now
	}
	s.enter(c, in)
	s.judge(c)
}

// forgotten: nothing is left of the key.
func (s *sliding) forgotten() bool { return s.main.n == 0 && s.prev.n == 0 }

func (s *sliding) enter(c *call, in *input) {
	for s.plan.t.Window == rules.LastN && s.main.n >= s.plan.t.N {
		s.main.drop()
		s.in.pop()
	}
	s.main.add(in.parts, in.args)
	s.in.push(mark{c.now, c.tally.before})
	if len(s.plan.previous) > 0 {
		s.past.push(taken{c.now, in.parts, in.args})
	}
	if s.plan.rule.Evidence > 0 {
		s.kept = append(trim(s.kept, min(s.main.n, maxKept)-1), in.ev)
	}
	s.base.add(c.now, in)
}

// leave drops what has left the window, into the one before if that is read. It
// reports whether anything has.
func (s *sliding) leave(c *call) (left bool) {
	if s.plan.t.Window == rules.LastN {
		return false
	}
	for s.in.n > 0 && c.leaves(s.in.front().at, s.plan.width) {
		left = true
		s.in.pop()
		s.main.drop()
		if len(s.plan.previous) > 0 {
			t := s.past.at(s.prev.n)
			s.prev.add(t.parts, t.args)
		}
	}
	for s.prev.n > 0 && c.leaves(s.past.front().at, 2*s.plan.width) {
		left = true
		s.past.pop()
		s.prev.drop()
	}
	return left
}

func (s *sliding) timer(c *call) {
	s.base.expire(c.now)
	if s.leave(c) {
		s.judge(c)
	}
}

// judge evaluates the condition, or `clear` while it holds. Nothing is true of
// an empty window.
func (s *sliding) judge(c *call) {
	holds := s.main.n > 0 && s.true(c)
	switch {
	case holds:
		s.hold = true
		c.hold()
	case s.hold:
		s.hold = false
		c.release(c.now)
	}
}

func (s *sliding) true(c *call) bool {
	clear(s.plan.vals)
	s.aggs(c, s.plan.vals)
	c.env.Aggs, c.env.Window = s.plan.vals, s.span()
	if s.hold && s.plan.t.Clear != nil {
		return !c.holds(s.plan.t.Clear)
	}
	return c.holds(s.plan.t.Condition)
}

// span is the time from the first to the last event of the window.
func (s *sliding) span() (d time.Duration) {
	if s.in.n > 0 {
		d = time.Duration(s.in.back().at - s.in.front().at)
	}
	return d
}

// width is the span that rates are over.
func (s *sliding) width() int64 {
	if s.plan.t.Window == rules.LastN {
		return int64(s.span())
	}
	return s.plan.width
}

func (s *sliding) aggs(c *call, out []event.Value) {
	s.leave(c)
	width := s.width()
	for i := range out {
		a := &s.plan.rule.Aggs[i]
		switch a.Fn {
		case rules.Previous:
			if s.defined(c) {
				out[i] = s.prev.value(a.Of, width)
			}
		case rules.Baseline:
			out[i] = s.base.value(i, c.now)
		default:
			out[i] = s.main.value(i, width)
		}
	}
}

// defined: the key has a history, its first event has left the window.
func (s *sliding) defined(c *call) bool {
	return s.plan.t.Window == rules.Sliding && s.seen != never && c.leaves(s.seen, s.plan.width)
}

func (s *sliding) content(c *call) firing {
	s.kept = trim(s.kept, s.main.n)
	first := *s.in.front()
	return firing{start: first.at, count: c.tally.since(first.before), events: s.kept}
}

// next is when an event leaves a window, if that can change something, or when
// nothing is left.
func (s *sliding) next() int64 {
	t := s.base.next()
	switch {
	case s.plan.t.Window == rules.LastN:
		return t
	case s.main.n == 0:
	case s.plan.rising && !s.hold:
		t = min(t, plus(s.in.back().at, s.plan.width))
	default:
		t = min(t, plus(s.in.front().at, s.plan.width))
	}
	if s.prev.n > 0 {
		t = min(t, plus(s.past.front().at, 2*s.plan.width))
	}
	return t
}

func (s *sliding) idle() bool { return s.forgotten() && s.base.idle() }

func (s *sliding) reset(*call) {
	fresh := newSliding(s.plan)
	fresh.base = s.base
	*s = *fresh
}

// rejudge evaluates a condition that was changed.
func (s *sliding) rejudge(c *call) {
	s.leave(c)
	s.judge(c)
}

func (s *sliding) note(vars map[string]string) { s.main.note(vars) }

func (s *sliding) encode(e *encoder) {
	s.main.encode(e)
	encodeFifo(e, &s.in, e.mark)
	if len(s.plan.previous) > 0 {
		s.prev.encode(e)
		encodeFifo(e, &s.past, func(t taken) {
			e.int(t.at)
			e.uint(t.parts)
			e.values(t.args)
		})
	}
	e.eventList(s.kept)
	s.base.encode(e)
	e.int(s.seen)
	e.bool(s.hold)
}

func (s *sliding) decode(d *decoder) {
	s.main.decode(d)
	decodeFifo(d, &s.in, d.mark)
	if len(s.plan.previous) > 0 {
		s.prev.decode(d)
		decodeFifo(d, &s.past, func() taken { return taken{d.int(), d.uint(), s.plan.args(d)} })
	}
	s.kept = d.eventList()
	s.base.decode(d)
	s.seen, s.hold = d.int(), d.bool()
	if d.err == nil && (s.main.n != s.in.n || (len(s.plan.previous) > 0 && s.past.n != s.main.n+s.prev.n)) {
		d.fail()
	}
}

// args reads the values of a rule's arguments.
func (p *windowPlan) args(d *decoder) []event.Value {
	vs := d.values()
	if len(vs) != len(p.rule.Args) {
		d.fail()
	}
	return vs
}

func (e *encoder) mark(m mark) {
	e.int(m.at)
	e.uint(m.before)
}

func (d *decoder) mark() mark { return mark{d.int(), d.uint()} }

func (s *sliding) size() int {
	each := 16 + 40*len(s.main.accs)
	return each*(len(s.in.buf)+s.prev.n) + 48*len(s.past.buf) + 64*len(s.base.old.buf) + eventSize*len(s.kept)
}
