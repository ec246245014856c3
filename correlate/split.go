package correlate

import (
	"sort"
	"time"

	"corral/event"
	"corral/rules"
)

// split is the machine of a threshold over windows that an event is in one of at
// most: tumbling, session, and from a start to an end event. They end at an
// instant; what is decided at close is decided there, and nothing is true after.
type split struct {
	plan *windowPlan
	pane pane
	open bool
	// The window: tumbling [start, end), else [start, end].
	start, end int64
	first      mark // its first event
	last       int64
	kept       []*event.Event
	hold       bool

	// A tumbling window that ended at an event of the next one's first instant, and
	// is decided after all events of that instant.
	closing *closed
	shown   *closed // decided or ended in this call: what aggs speaks of

	base    baseline
	prev    []event.Value // by windowPlan.previous: the tumbling window before
	prevEnd int64         // where that ended; never: there is none
}

// closed is a window that is over.
type closed struct {
	at   int64 // decided
	vals []event.Value
	f    firing
	mark mark
	n    int
	span time.Duration
}

func newSplit(p *windowPlan) *split {
	return &split{plan: p, pane: p.pane(true), base: newBaseline(p), prevEnd: never}
}

func (w *split) event(c *call, in *input) {
	w.shown = nil
	if w.plan.t.Window == rules.Bounded {
		w.bounded(c, in)
		return
	}
	if !in.selected {
		return
	}
	t := w.plan.t
	if w.open && t.Window == rules.Tumbling && c.now >= w.end {
		if done := w.roll(c); t.AtClose {
			w.closing = done
		}
	}
	if !w.open {
		w.begin(c)
	}
	w.enter(c, in)
}

// bounded takes an event of a window from start to end. Both ends are of the
// window, and they need not be events that the rule counts.
func (w *split) bounded(c *call, in *input) {
	t := w.plan.t
	opens := !w.open && in.parts&(1<<t.StartPart) != 0
	if opens {
		w.begin(c)
	}
	switch {
	case !in.selected:
	case w.open:
		w.enter(c, in)
	default:
		w.base.add(c.now, in)
	}
	if w.open && !opens && in.parts&(1<<t.EndPart) != 0 {
		w.close(c)
	}
}

// begin opens a window at c.now.
func (w *split) begin(c *call) {
	t := w.plan.t
	w.open, w.start = true, c.now
	switch t.Window {
	case rules.Tumbling:
		w.start, w.end = bucket(t, c.now)
		if w.prevEnd != w.start {
			w.prevEnd = never
		}
	case rules.Bounded:
		w.end = plus(c.now, w.plan.max)
	}
}

// enter takes an event into the open window.
func (w *split) enter(c *call, in *input) {
	m := mark{c.now, c.tally.before}
	if w.pane.n == 0 {
		w.first = m
	}
	w.last = c.now
	w.pane.add(in.parts, in.args)
	if w.plan.rule.Evidence > 0 {
		w.kept = append(trim(w.kept, maxKept-1), in.ev)
	}
	w.base.add(c.now, in)
	if w.plan.t.Window == rules.Session {
		w.end = plus(c.now, w.plan.width)
		if w.plan.max > 0 {
			w.end = min(w.end, plus(w.start, w.plan.max))
		}
	}
	if !w.plan.t.AtClose {
		w.judge(c)
	}
}

// bucket is the tumbling window that holds t: aligned to the epoch, or to local
// midnight, where the last one of a day ends with the day. Lengths of whole days
// are so many local days.
func bucket(th *rules.Threshold, t int64) (start, end int64) {
	size := int64(th.Size)
	if th.Location == nil {
		start = floor(t, size)
		return start, start + size
	}
	y, m, d := time.Unix(0, t).In(th.Location).Date()
	if days := size / int64(24*time.Hour); days > 0 && size%int64(24*time.Hour) == 0 {
		since := floor(time.Date(y, m, d, 0, 0, 0, 0, time.UTC).Unix(), 86400) / 86400
		back := int(since - floor(since, days))
		start, end = midnight(y, m, d-back, th.Location), midnight(y, m, d-back+int(days), th.Location)
	} else {
		first := midnight(y, m, d, th.Location)
		start = first + floor(t-first, size)
		end = min(start+size, midnight(y, m, d+1, th.Location))
	}
	if t < start || t >= end { // clocks that went back over midnight: the day is there twice
		start += floor(t-start, size)
		end = start + size
	}
	return start, end
}

// midnight is the first instant of a local day. Where clocks skip or repeat that
// hour time.Date names another.
func midnight(y int, m time.Month, d int, loc *time.Location) int64 {
	day := time.Date(y, m, d, 0, 0, 0, 0, time.UTC)
	begun := func(t int64) bool {
		y, m, d := time.Unix(0, t).In(loc).Date()
		return !time.Date(y, m, d, 0, 0, 0, 0, time.UTC).Before(day)
	}
	at := time.Date(y, m, d, 0, 0, 0, 0, loc).UnixNano()
	if begun(at) && !begun(at-1) {
		return at
	}
	const farthest = int64(26 * time.Hour) // that a clock is set: islands skip days
	n := sort.Search(int(2*farthest), func(i int) bool { return begun(at - farthest + int64(i)) })
	return at - farthest + int64(n)
}

// floor is the greatest multiple of size not above t.
func floor(t, size int64) int64 {
	f := t - t%size
	if f > t {
		f -= size
	}
	return f
}

func (w *split) timer(c *call) {
	w.shown = nil
	w.base.expire(c.now)
	if w.closing != nil {
		w.decide(c, w.closing)
		w.closing = nil
	}
	if w.open && w.end <= c.now {
		w.close(c)
	}
	if !w.open && w.prevEnd != never && w.prevEnds() <= c.now {
		w.prevEnd = never // nothing came in the window after it
	}
}

// close ends the open window at c.now.
func (w *split) close(c *call) {
	done := w.roll(c)
	if w.plan.t.AtClose {
		w.decide(c, done)
	} else if w.hold {
		w.hold = false
		c.release(c.now)
	}
	w.shown = done
	if w.plan.t.Window == rules.Tumbling && w.plan.t.AtClose && len(w.plan.previous) > 0 && done.n > 0 {
		w.begin(c) // `previous` has something to say even of an empty window
	}
}

// roll takes the window that is over out of the way.
func (w *split) roll(c *call) *closed {
	done := &closed{at: min(w.end, c.now), n: w.pane.n, mark: w.first, span: w.span(), vals: make([]event.Value, len(w.plan.rule.Aggs))}
	w.fill(min(c.now, w.end), done.vals)
	done.f = firing{start: w.start, events: w.kept}
	if done.n > 0 {
		done.f.start = w.first.at
	}
	if w.plan.t.Window == rules.Tumbling && len(w.plan.previous) > 0 {
		w.remember(done)
	}
	w.pane.clear()
	w.open, w.kept = false, nil
	return done
}

// remember keeps of a tumbling window what `previous` reads.
func (w *split) remember(done *closed) {
	if done.n == 0 {
		w.prevEnd = never
		return
	}
	w.prev = w.prev[:0]
	for _, i := range w.plan.previous {
		w.prev = append(w.prev, done.vals[w.plan.rule.Aggs[i].Of])
	}
	w.prevEnd = w.end
}

// decide evaluates the condition over a window that is over.
func (w *split) decide(c *call, done *closed) {
	w.shown = done
	c.env.Aggs, c.env.Window = done.vals, done.span
	if !c.holds(w.plan.t.Condition) {
		return
	}
	if done.n > 0 {
		done.f.count = c.tally.since(done.mark.before)
	}
	c.fire(done.f)
}

// judge evaluates the condition of an open window, or `clear` while it holds.
func (w *split) judge(c *call) {
	clear(w.plan.vals)
	w.fill(c.now, w.plan.vals)
	c.env.Aggs, c.env.Window = w.plan.vals, w.span()
	holds := false
	if w.hold && w.plan.t.Clear != nil {
		holds = !c.holds(w.plan.t.Clear)
	} else {
		holds = c.holds(w.plan.t.Condition)
	}
	switch {
	case holds:
		w.hold = true
		c.hold()
	case w.hold:
		w.hold = false
		c.release(c.now)
	}
}

func (w *split) span() time.Duration {
	if w.pane.n == 0 {
		return 0
	}
	return time.Duration(w.last - w.first.at)
}

// width is the span that rates are over.
func (w *split) width() int64 {
	if w.plan.t.Window == rules.Tumbling {
		return w.plan.width
	}
	return int64(w.span())
}

func (w *split) aggs(c *call, out []event.Value) {
	if w.shown != nil && w.shown.at == c.now {
		copy(out, w.shown.vals)
		return
	}
	w.fill(c.now, out)
}

// fill gives the values of the open window, seen at t.
func (w *split) fill(t int64, out []event.Value) {
	if w.plan.t.AtClose && w.plan.t.Window == rules.Tumbling {
		t = w.end - 1 // its last instant
	}
	for i := range out {
		a := &w.plan.rule.Aggs[i]
		switch a.Fn {
		case rules.Previous:
			out[i] = w.before(i)
		case rules.Baseline:
			out[i] = w.base.value(i, t)
		default:
			out[i] = w.pane.value(i, w.width())
		}
	}
}

// before is Previous aggregate i.
func (w *split) before(i int) event.Value {
	if w.prevEnd != w.start || !w.open {
		return event.Value{}
	}
	for j, agg := range w.plan.previous {
		if agg == i {
			return w.prev[j]
		}
	}
	return event.Value{}
}

// content is what an open window holds.
func (w *split) content(c *call) firing {
	return firing{start: w.first.at, count: c.tally.since(w.first.before), events: trim(w.kept, w.pane.n)}
}

// prevEnds is when the window before is not adjacent to any that may come.
func (w *split) prevEnds() int64 {
	_, end := bucket(w.plan.t, w.prevEnd)
	return end
}

func (w *split) next() int64 {
	t := w.base.next()
	if w.closing != nil {
		t = min(t, w.closing.at)
	}
	if w.open {
		return min(t, w.end)
	}
	if w.prevEnd != never {
		t = min(t, w.prevEnds())
	}
	return t
}

func (w *split) idle() bool {
	return !w.open && w.closing == nil && w.prevEnd == never && w.base.idle()
}

func (w *split) reset(*call) {
	fresh := newSplit(w.plan)
	fresh.base, fresh.shown = w.base, w.shown
	*w = *fresh
}

// rejudge evaluates a condition that was changed.
func (w *split) rejudge(c *call) {
	if w.open && !w.plan.t.AtClose && w.pane.n > 0 {
		w.judge(c)
	}
}

func (w *split) note(vars map[string]string) { w.pane.note(vars) }

func (w *split) encode(e *encoder) {
	w.pane.encode(e)
	e.bool(w.open)
	e.int(w.start)
	e.int(w.end)
	e.mark(w.first)
	e.int(w.last)
	e.eventList(w.kept)
	e.bool(w.hold)
	e.bool(w.closing != nil)
	if w.closing != nil {
		w.closing.encode(e)
	}
	w.base.encode(e)
	e.values(w.prev)
	e.int(w.prevEnd)
}

func (w *split) decode(d *decoder) {
	w.pane.decode(d)
	w.open, w.start, w.end = d.bool(), d.int(), d.int()
	w.first, w.last = d.mark(), d.int()
	w.kept, w.hold = d.eventList(), d.bool()
	if d.bool() {
		w.closing = new(closed)
		w.closing.decode(d)
	}
	w.base.decode(d)
	w.prev, w.prevEnd = d.values(), d.int()
	if w.prevEnd != never && len(w.prev) != len(w.plan.previous) {
		d.fail()
	}
	if w.closing != nil && len(w.closing.vals) != len(w.plan.rule.Aggs) {
		d.fail()
	}
}

func (k *closed) encode(e *encoder) {
	e.int(k.at)
	e.values(k.vals)
	e.int(k.f.start)
	e.eventList(k.f.events)
	e.mark(k.mark)
	e.len(k.n)
	e.int(int64(k.span))
}

func (k *closed) decode(d *decoder) {
	k.at, k.vals = d.int(), d.values()
	k.f.start, k.f.events = d.int(), d.eventList()
	k.mark, k.n, k.span = d.mark(), int(d.uint()), time.Duration(d.int())
}

func (w *split) size() int {
	return 200*len(w.pane.accs) + 64*len(w.base.old.buf) + eventSize*len(w.kept)
}
