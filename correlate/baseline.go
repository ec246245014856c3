package correlate

import (
	"corral/event"
	"corral/rules"
)

// baseline remembers the values of aggregates in past windows aligned to the
// epoch, one each, for as long as baseline(…) looks back. Windows without events
// are not there.
type baseline struct {
	plan   *windowPlan
	pane   pane  // the window being filled
	bucket int64 // its number since the epoch
	old    fifo[pastValues]
}

type pastValues struct {
	bucket int64
	vals   []event.Value // by windowPlan.baseline
}

func newBaseline(p *windowPlan) baseline {
	b := baseline{plan: p}
	if b.used() {
		b.pane = p.pane(true)
	}
	return b
}

func (b *baseline) used() bool { return len(b.plan.baseline) > 0 && b.plan.width > 0 }

// number is the number of the aligned window that holds t.
func (b *baseline) number(t int64) int64 {
	n := t / b.plan.width
	if t%b.plan.width < 0 {
		n--
	}
	return n
}

func (b *baseline) add(t int64, in *input) {
	if !b.used() {
		return
	}
	b.expire(t)
	if n := b.number(t); b.pane.n > 0 && n != b.bucket {
		b.old.push(pastValues{b.bucket, b.values()})
		b.pane.clear()
	}
	b.bucket = b.number(t)
	b.pane.add(in.parts, in.args)
}

// values are those of the window being filled.
func (b *baseline) values() []event.Value {
	vs := make([]event.Value, len(b.plan.baseline))
	for i, agg := range b.plan.baseline {
		vs[i] = b.pane.value(b.plan.rule.Aggs[agg].Of, b.plan.width)
	}
	return vs
}

// value is Baseline aggregate i at t: the mean of the numbers there are.
func (b *baseline) value(i int, t int64) event.Value {
	if !b.used() {
		return event.Value{}
	}
	a := &b.plan.rule.Aggs[i]
	var sum sum2
	n := 0
	for k := 1; k <= a.N; k++ {
		if x, ok := numeric(b.lookup(a, b.number(t-int64(k)*int64(a.Offset)))); ok {
			sum.add(x)
			n++
		}
	}
	if n == 0 {
		return event.Value{}
	}
	return floatValue(sum.float() / float64(n))
}

// lookup is what a had in window number n, Nil if that had no events.
func (b *baseline) lookup(a *rules.Agg, n int64) event.Value {
	if b.pane.n > 0 && n == b.bucket {
		return b.pane.value(a.Of, b.plan.width)
	}
	lo, hi := 0, b.old.n
	for lo < hi {
		mid := (lo + hi) / 2
		if b.old.at(mid).bucket < n {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	if lo == b.old.n || b.old.at(lo).bucket != n {
		return event.Value{}
	}
	for j, agg := range b.plan.baseline {
		if &b.plan.rule.Aggs[agg] == a {
			return b.old.at(lo).vals[j]
		}
	}
	return event.Value{}
}

// ends is when window number n is out of reach.
func (b *baseline) ends(n int64) int64 { return plus(n*b.plan.width, b.plan.memory) }

func (b *baseline) expire(t int64) {
	for b.old.n > 0 && b.ends(b.old.front().bucket) <= t {
		b.old.pop()
	}
	if b.pane.n > 0 && b.ends(b.bucket) <= t {
		b.pane.clear()
	}
}

func (b *baseline) next() int64 {
	switch {
	case b.old.n > 0:
		return b.ends(b.old.front().bucket)
	case b.pane.n > 0:
		return b.ends(b.bucket)
	}
	return never
}

func (b *baseline) idle() bool { return b.old.n == 0 && b.pane.n == 0 }

func (b *baseline) encode(e *encoder) {
	if !b.used() {
		return
	}
	b.pane.encode(e)
	e.int(b.bucket)
	encodeFifo(e, &b.old, func(p pastValues) {
		e.int(p.bucket)
		e.values(p.vals)
	})
}

func (b *baseline) decode(d *decoder) {
	if !b.used() {
		return
	}
	b.pane.decode(d)
	b.bucket = d.int()
	decodeFifo(d, &b.old, func() pastValues {
		p := pastValues{d.int(), d.values()}
		if len(p.vals) != len(b.plan.baseline) {
			d.fail()
		}
		return p
	})
}
