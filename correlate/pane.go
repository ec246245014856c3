package correlate

import (
	"slices"
	"strconv"
	"strings"

	"corral/event"
	"corral/rules"
)

// pane is the content of one window as the aggregates see it.
type pane struct {
	plan  *windowPlan
	fixed bool          // events do not leave one by one
	accs  []accumulator // by windowPlan.slots
	n     int           // Selected events
	next  uint64        // number of the next event; the oldest has next-n
}

// slot says which events and which argument an accumulator of a pane is given.
type slot struct {
	agg       *rules.Agg // one of those it serves
	arg, part int        // -1: none, all
}

func (p *pane) add(parts uint64, args []event.Value) {
	for i, s := range p.plan.slots {
		if s.part >= 0 && parts&(1<<s.part) == 0 {
			continue
		}
		var v event.Value
		if s.arg >= 0 {
			v = args[s.arg]
		}
		p.accs[i].add(p.next, v)
	}
	p.next++
	p.n++
}

// drop removes the oldest event.
func (p *pane) drop() {
	seq := p.next - uint64(p.n)
	for _, a := range p.accs {
		a.drop(seq)
	}
	p.n--
}

func (p *pane) clear() {
	for _, a := range p.accs {
		a.clear()
	}
	p.n, p.next = 0, 0
}

// value is aggregate i over the pane, whose events span so many nanoseconds.
func (p *pane) value(i int, span int64) event.Value {
	a := &p.plan.rule.Aggs[i]
	at := p.plan.at[i]
	switch {
	case at >= 0 && a.Fn == rules.Rate:
		return rateOf(int(p.accs[at].value(a).Int), span)
	case at >= 0:
		return p.accs[at].value(a)
	case a.Fn == rules.Rate:
		return rateOf(p.n, span)
	}
	return intValue(p.n)
}

func (p *pane) encode(e *encoder) {
	e.len(p.n)
	e.uint(p.next)
	for _, a := range p.accs {
		a.encode(e)
	}
}

func (p *pane) decode(d *decoder) {
	p.n, p.next = int(d.uint()), d.uint()
	for _, w := range p.plan.written {
		if w.slot >= 0 {
			p.accs[w.slot].decode(d)
			continue
		}
		newAccumulator(&rules.Agg{Fn: w.fn}, p.fixed).decode(d) // nobody asks for it any more
	}
}

// written is an accumulator in what a pane wrote.
type written struct {
	fn   rules.AggFn // family
	slot int         // windowPlan.slots that goes on with it, -1: none
}

// read prepares for state that was written by l.
func (p *windowPlan) read(l layout) {
	keys := make([]slotKey, len(p.slots)) // of those that nothing goes on in yet
	for i := range p.slots {
		keys[i] = p.slots[i].key(p.rule)
	}
	p.written = make([]written, len(l.slots))
	for i, k := range l.slots {
		at := slices.Index(keys, k)
		p.written[i] = written{k.fn, at}
		if at >= 0 {
			keys[at] = slotKey{} // two parts may mean the same
		}
	}
}

// windowPlan is what the machines of a threshold rule share.
type windowPlan struct {
	rule  *rules.Rule
	t     *rules.Threshold
	width int64
	max   int64
	slots []slot
	at    []int // Rule.Aggs → slot; -1: the pane's count serves it
	fixed bool  // events do not leave windows one by one

	previous []int // indexes of Previous aggregates
	baseline []int // … and of Baseline ones
	memory   int64 // how far back those look
	rising   bool  // what leaves a window cannot make the condition true
	vals     []event.Value
	written  []written // what decode finds in a pane
}

func newWindowPlan(r *rules.Rule) *windowPlan {
	t := r.Threshold
	p := &windowPlan{
		rule: r, t: t, width: int64(t.Size), max: int64(t.Max),
		slots: slotsOf(r), at: make([]int, len(r.Aggs)), vals: make([]event.Value, len(r.Aggs)),
		fixed: t.Window != rules.Sliding && t.Window != rules.LastN,
	}
	for i := range r.Aggs {
		a := &r.Aggs[i]
		p.at[i] = -1
		switch {
		case a.Fn == rules.Previous:
			p.previous = append(p.previous, i)
		case a.Fn == rules.Baseline:
			p.baseline = append(p.baseline, i)
			p.memory = max(p.memory, int64(a.N)*int64(a.Offset)+int64(t.Size))
		case accumulates(a):
			p.at[i] = slices.IndexFunc(p.slots, func(s slot) bool { return s.serves(a) })
		}
	}
	p.read(layoutOf(r))
	p.rising = t.Window == rules.Sliding && t.Clear == nil && len(p.previous)+len(p.baseline) == 0 && rises(r)
	return p
}

// slotsOf are the accumulators that the aggregates of r need: those of the same
// events and argument share what they keep.
func slotsOf(r *rules.Rule) (slots []slot) {
	for i := range r.Aggs {
		a := &r.Aggs[i]
		if accumulates(a) && !slices.ContainsFunc(slots, func(s slot) bool { return s.serves(a) }) {
			slots = append(slots, slot{agg: a, arg: a.Arg, part: a.Part})
		}
	}
	return slots
}

func (s *slot) serves(a *rules.Agg) bool {
	return s.arg == a.Arg && s.part == a.Part && family(s.agg.Fn) == family(a.Fn)
}

// family is the function that stands for all that share an accumulator.
func family(fn rules.AggFn) rules.AggFn {
	switch fn {
	case rules.Avg, rules.Stddev:
		return rules.Sum
	case rules.Last:
		return rules.First
	case rules.Rate:
		return rules.Count
	}
	return fn
}

func (p *windowPlan) pane(fixed bool) pane {
	accs := make([]accumulator, len(p.slots))
	for i, s := range p.slots {
		accs[i] = newAccumulator(s.agg, fixed)
	}
	return pane{plan: p, fixed: fixed, accs: accs}
}

// note says which values are approximate.
func (p *pane) note(vars map[string]string) {
	for i, at := range p.plan.at {
		if at < 0 {
			continue
		}
		if q, ok := p.accs[at].(*quantile); ok && !q.exact() {
			vars[p.plan.rule.Aggs[i].Text+" error"] = "1%"
		}
	}
}

// rises reports whether the condition of a rule is made of comparisons that an
// event leaving a window cannot make true, joined by && and || alone. It reads
// the text, and what it does not understand does not rise.
func rises(r *rules.Rule) bool {
	for _, leaf := range strings.FieldsFunc(r.Threshold.Condition.Text(), func(c rune) bool { return c == '&' || c == '|' }) {
		if !slices.ContainsFunc(r.Aggs, func(a rules.Agg) bool { return rising(leaf, &a) }) {
			return false
		}
	}
	return true
}

// rising reports whether leaf compares a with a number in a way that only
// entering events can make true.
func rising(leaf string, a *rules.Agg) bool {
	rest, ok := strings.CutPrefix(strings.TrimLeft(leaf, "( "), a.Text)
	if !ok {
		return false
	}
	rest = strings.TrimSpace(rest)
	up := a.Fn == rules.Count || a.Fn == rules.Rate || a.Fn == rules.Distinct || a.Fn == rules.Max
	if (!up || rest == "" || rest[0] != '>') && (a.Fn != rules.Min || rest == "" || rest[0] != '<') {
		return false
	}
	number := strings.TrimRight(strings.TrimPrefix(rest[1:], "="), ") ")
	_, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
	return err == nil
}
