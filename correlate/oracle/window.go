package oracle

import (
	"slices"
	"time"

	"corral/event"
	"corral/rules"
)

// windowed is a threshold or temporal rule: a condition over the content of a
// window.
type windowed struct {
	rule      *rules.Rule
	shape     rules.WindowKind
	size, max int64
	n         int
	condition *rules.Expr
	clear     *rules.Expr
	atClose   bool
}

func thresholdOf(r *rules.Rule) *windowed {
	th := r.Threshold
	return &windowed{
		rule: r, shape: th.Window, size: int64(th.Size), max: int64(th.Max), n: th.N,
		condition: th.Condition, clear: th.Clear, atClose: th.AtClose,
	}
}

// opened is the shape of a temporal window that is decided when it closes: from
// the first event, whichever it is, for the window's length.
const opened rules.WindowKind = 100

func temporalOf(r *rules.Rule) *windowed {
	w := &windowed{
		rule: r, shape: rules.Sliding, size: int64(r.Temporal.Window),
		condition: r.Temporal.Condition, atClose: r.Temporal.AtClose,
	}
	if w.atClose {
		w.shape = opened
	}
	return w
}

// window is one window with its content. before is what `previous` reads, nil
// where that is not defined.
type window struct {
	content, before []*entry
	defined         bool   // before is
	start, end      int64  // end: when it closes by itself
	closer          *entry // the event that closed it
}

func (w *windowed) enter(k *key, e *entry) {
	switch {
	case w.shape == rules.Bounded:
		w.enterBounded(k, e)
	case !e.selected():
	case w.shape == rules.Sliding:
		w.judge(k, w.sliding(k, e.time(), false), e.time(), true)
	case w.shape == rules.LastN:
		held := k.held()
		w.judge(k, window{content: held[max(0, len(held)-w.n):]}, e.time(), true)
	default:
		w.enterSplit(k, e)
	}
}

// enterSplit: e came into one of the windows that the events of the key are split into.
func (w *windowed) enterSplit(k *key, e *entry) {
	all := w.split(k)
	if len(all) == 0 {
		return
	}
	win := all[len(all)-1]
	if !slices.Contains(win.content, e) {
		return
	}
	if !w.atClose {
		w.judge(k, win, e.time(), true)
	}
}

// enterBounded: e may be of a window from a start to an end, or one of the two.
func (w *windowed) enterBounded(k *key, e *entry) {
	all := w.split(k)
	if len(all) == 0 {
		return
	}
	win := all[len(all)-1]
	if e.selected() {
		w.enterSplit(k, e)
	}
	switch {
	case win.closer != e:
	case w.atClose:
		w.judge(k, win, e.time(), true)
	default:
		k.judge(verdict{at: e.time()})
	}
}

func (w *windowed) next(k *key) int64 {
	t := int64(never)
	for _, at := range w.instants(k) {
		if at > k.ticks {
			t = min(t, at)
		}
	}
	return t
}

// instants are those at which something leaves a window or a window ends.
func (w *windowed) instants(k *key) []int64 {
	switch w.shape {
	case rules.LastN:
		return nil
	case rules.Sliding:
		var leaves []int64
		for _, s := range times(k.held()) {
			leaves = append(leaves, s+w.size)
			if w.reads(rules.Previous) {
				leaves = append(leaves, s+2*w.size)
			}
		}
		return leaves
	}
	open := filter(w.split(k), func(win window) bool { return win.closer == nil })
	return mapped(open, func(win window) int64 { return win.end })
}

func (w *windowed) expire(k *key, t int64) {
	if !slices.Contains(w.instants(k), t) {
		return
	}
	if w.shape == rules.Sliding {
		w.judge(k, w.sliding(k, t, true), t, false)
		return
	}
	all := w.split(k)
	for i, win := range all {
		switch {
		case win.end != t || win.closer != nil:
		case w.atClose:
			w.judge(k, win, t, true)
		case i == len(all)-1: // else an event has begun the next one already
			k.judge(verdict{at: t})
		}
	}
}

func (*windowed) reset(*key, int64) {}

func (w *windowed) view(k *key, t int64) *rules.Env {
	switch w.shape {
	case rules.Sliding:
		win := w.sliding(k, t, false)
		return k.env(w.aggs(k, win, t), win.content)
	case rules.LastN:
		held := k.held()
		win := window{content: held[max(0, len(held)-w.n):]}
		return k.env(w.aggs(k, win, t), win.content)
	}
	all := w.split(k)
	for _, win := range slices.Backward(all) {
		if win.start <= t && t <= win.end && win.closer == nil {
			return k.env(w.aggs(k, win, t), win.content)
		}
	}
	return k.env(w.aggs(k, window{}, t), nil)
}

// judge evaluates the condition, or whether it still holds, over win.
func (w *windowed) judge(k *key, win window, t int64, enters bool) {
	env := k.env(w.aggs(k, win, t), win.content)
	v := verdict{at: t, enters: enters, instant: w.atClose, began: win.start}
	if len(win.content) > 0 {
		v.first = win.content[0]
	}
	if len(win.content) > 0 || w.atClose { // nothing is true, or to be said, of an empty window
		v.env, v.holds = env, w.holds(k, env)
	}
	k.judge(v)
}

func (w *windowed) holds(k *key, env *rules.Env) bool {
	if k.holds && w.clear != nil {
		clear, _ := w.clear.Bool(env)
		return !clear
	}
	ok, _ := w.condition.Bool(env)
	return ok
}

func (w *windowed) reads(fn rules.AggFn) bool {
	return slices.ContainsFunc(w.rule.Aggs, func(a rules.Agg) bool { return a.Fn == fn })
}

// sliding is the window [t−size, t], or just after t.
func (w *windowed) sliding(k *key, t int64, after bool) window {
	if after {
		t++ // as everything is in whole nanoseconds, this is just after
	}
	held := k.held()
	win := window{start: t - w.size, end: never}
	first := int64(never)
	for i, e := range held {
		if i == 0 || e.time()-held[i-1].time() > 2*w.size {
			first = e.time() // first seen, or seen again after it was forgotten
		}
		switch {
		case e.time() >= t-w.size:
			win.content = append(win.content, e)
		case e.time() >= t-2*w.size:
			win.before = append(win.before, e)
		}
	}
	win.defined = first < t-w.size
	return win
}

// split sorts the events of the key into windows, one after another.
func (w *windowed) split(k *key) []window {
	held := k.held()
	switch w.shape {
	case rules.Tumbling:
		return w.tumbling(held)
	case rules.Bounded:
		return w.bounded(k.done[k.from:])
	}
	var all []window
	for _, e := range held {
		if len(all) == 0 || e.time() > all[len(all)-1].end {
			all = append(all, window{start: e.time()})
		}
		win := &all[len(all)-1]
		win.content = append(win.content, e)
		win.end = win.start + w.size
		if w.shape == rules.Session {
			win.end = min(e.time()+w.size, win.start+w.max)
		}
	}
	return all
}

func (w *windowed) tumbling(held []*entry) []window {
	var all []window
	for _, e := range held {
		start, end := w.bucket(e.time())
		if len(all) == 0 || all[len(all)-1].start != start {
			win := window{start: start, end: end}
			if n := len(all); n > 0 && all[n-1].end == start {
				win.before, win.defined = all[n-1].content, true
			}
			all = append(all, win)
		}
		win := &all[len(all)-1]
		win.content = append(win.content, e)
	}
	if !w.atClose || !w.reads(rules.Previous) {
		return all
	}
	return w.withEmpty(all)
}

// withEmpty adds the empty windows that follow one that is not: there `previous`
// has something to say.
func (w *windowed) withEmpty(all []window) []window {
	var out []window
	for i, win := range all {
		out = append(out, win)
		if i+1 < len(all) && all[i+1].start == win.end {
			continue
		}
		start, end := w.bucket(win.end)
		out = append(out, window{start: start, end: end, before: win.content, defined: true})
	}
	return out
}

// bucket is the tumbling window that holds t.
func (w *windowed) bucket(t int64) (start, end int64) {
	if w.rule.Threshold == nil || w.rule.Threshold.Location == nil {
		start = floor(t, w.size)
		return start, start + w.size
	}
	loc := w.rule.Threshold.Location
	day, whole := dayOf(t, loc), int64(24*time.Hour)
	if w.size%whole == 0 { // so many local days
		first := floor(day, w.size/whole)
		return begins(first, loc), begins(first+w.size/whole, loc)
	}
	start = begins(day, loc) + floor(t-begins(day, loc), w.size)
	return start, min(start+w.size, begins(day+1, loc))
}

// dayOf numbers the local day of t.
func dayOf(t int64, loc *time.Location) int64 {
	y, m, d := time.Unix(0, t).In(loc).Date()
	return floor(time.Date(y, m, d, 0, 0, 0, 0, time.UTC).Unix(), 86400) / 86400
}

// begins is the first instant of a local day: clocks are set by whole minutes.
func begins(day int64, loc *time.Location) int64 {
	t := day*86400e9 - 15*3600e9
	for dayOf(t+3600e9, loc) < day {
		t += 3600e9
	}
	for dayOf(t, loc) < day {
		t += 60e9
	}
	return t
}

func floor(t, size int64) int64 {
	f := t / size * size
	if f > t {
		f -= size
	}
	return f
}

func (w *windowed) bounded(list []*entry) []window {
	var all []window
	inside := false
	for _, e := range list {
		if inside && e.time() > all[len(all)-1].end {
			inside = false
		}
		opens := !inside && e.fits(w.rule.Threshold.StartPart)
		if opens {
			inside = true
			all = append(all, window{start: e.time(), end: e.time() + w.max})
		}
		if !inside {
			continue
		}
		win := &all[len(all)-1]
		if e.selected() {
			win.content = append(win.content, e)
		}
		if !opens && e.fits(w.rule.Threshold.EndPart) {
			win.closer = e
			inside = false
		}
	}
	return all
}

// aggs are the values of the rule's aggregates over win, seen at t.
func (w *windowed) aggs(k *key, win window, t int64) []event.Value {
	if w.atClose && w.shape == rules.Tumbling {
		t = win.end - 1 // the last instant of the window
	}
	out := make([]event.Value, len(w.rule.Aggs))
	for i, a := range w.rule.Aggs {
		switch a.Fn {
		case rules.Previous:
			if win.defined {
				out[i] = aggregate(w.rule.Aggs[a.Of], win.before, w.seconds(win))
			}
		case rules.Baseline:
			out[i] = w.baseline(k, a, t)
		default:
			out[i] = aggregate(a, win.content, w.seconds(win))
		}
	}
	return out
}

// seconds is the length of the window that rates are over.
func (w *windowed) seconds(win window) float64 {
	switch {
	case w.shape == rules.Sliding || w.shape == rules.Tumbling || w.shape == opened:
		return time.Duration(w.size).Seconds()
	case len(win.content) == 0:
		return 0
	}
	return span(win.content).Seconds()
}

// baseline is the mean of the aggregate in the windows one to N offsets ago.
func (w *windowed) baseline(k *key, a rules.Agg, t int64) event.Value {
	var values []event.Value
	for i := range a.N {
		start := floor(t-int64(i+1)*int64(a.Offset), w.size)
		content := filter(k.counted(), func(e *entry) bool {
			return e.time() >= start && e.time() < start+w.size
		})
		if len(content) > 0 {
			values = append(values, aggregate(w.rule.Aggs[a.Of], content, w.seconds(window{content: content})))
		}
	}
	xs := numbers(values)
	if len(xs) == 0 {
		return event.Value{}
	}
	return float(mean(xs))
}
