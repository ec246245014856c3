package correlate

import (
	"math"

	"corral/event"
	"corral/rules"
)

// An accumulator keeps what one or more aggregates need of the events in a pane.
// Events enter with rising numbers and leave oldest first; each operation is
// O(1), amortised, but for quantiles.
type accumulator interface {
	add(seq uint64, v event.Value)
	// drop is told that event seq, the oldest, leaves; it may not have been added.
	drop(seq uint64)
	value(a *rules.Agg) event.Value
	clear()
	encode(e *encoder)
	decode(d *decoder)
}

// newAccumulator makes the one for a; fixed panes never drop.
func newAccumulator(a *rules.Agg, fixed bool) accumulator {
	switch a.Fn {
	case rules.Sum, rules.Avg, rules.Stddev:
		return &moments{fixed: fixed}
	case rules.Min, rules.Max:
		return &extreme{fixed: fixed, max: a.Fn == rules.Max}
	case rules.Quantile:
		return &quantile{fixed: fixed}
	case rules.Distinct:
		return &distinct{fixed: fixed}
	case rules.First, rules.Last:
		return &ends{fixed: fixed}
	}
	return &partCount{fixed: fixed}
}

// numeric is a value as a number that can be computed with.
func numeric(v event.Value) (float64, bool) {
	switch v.Kind {
	case event.Int:
		return float64(v.Int), true
	case event.Float:
		return v.Float, !math.IsNaN(v.Float) && !math.IsInf(v.Float, 0)
	}
	return 0, false
}

func floatValue(x float64) event.Value { return event.Value{Kind: event.Float, Float: x} }
func intValue(n int) event.Value       { return event.Value{Kind: event.Int, Int: int64(n)} }

// partCount is count(pred): events are added only if they have the part.
type partCount struct {
	fixed bool
	n     int
	in    fifo[uint64]
}

func (p *partCount) add(seq uint64, _ event.Value) {
	p.n++
	if !p.fixed {
		p.in.push(seq)
	}
}

func (p *partCount) drop(seq uint64) {
	if p.in.n > 0 && *p.in.front() == seq {
		p.in.pop()
		p.n--
	}
}

func (p *partCount) value(*rules.Agg) event.Value { return intValue(p.n) }
func (p *partCount) clear()                       { *p = partCount{fixed: p.fixed} }

func (p *partCount) encode(e *encoder) {
	e.len(p.n)
	encodeFifo(e, &p.in, func(s uint64) { e.uint(s) })
}

func (p *partCount) decode(d *decoder) {
	p.n = int(d.uint())
	decodeFifo(d, &p.in, d.uint)
}

func encodeFifo[T any](e *encoder, q *fifo[T], put func(T)) {
	e.len(q.n)
	for i := range q.n {
		put(*q.at(i))
	}
}

func decodeFifo[T any](d *decoder, q *fifo[T], get func() T) {
	for range d.len() {
		q.push(get())
	}
}

// numbered is a value with the number of its event.
type numbered[T any] struct {
	seq uint64
	v   T
}

// sum2 is a sum of floats that does not drift: the unevaluated sum of two
// floats, some 106 bits, so that what was added and taken away again leaves
// nothing behind (Dekker's and Knuth's error-free sum).
type sum2 struct{ hi, lo float64 }

func (s *sum2) add(x float64) {
	t := s.hi + x
	b := t - s.hi
	s.lo += (s.hi - (t - b)) + (x - b)
	s.hi = t + s.lo
	s.lo -= s.hi - t
}

// addProduct adds x·y without losing what the product rounds away.
func (s *sum2) addProduct(x, y float64) {
	p := x * y
	s.add(p)
	s.add(math.FMA(x, y, -p))
}

func (s sum2) float() float64 { return s.hi + s.lo }

// moments is sum, avg and stddev of the numbers.
type moments struct {
	fixed  bool
	n      int
	floats int   // of the n, those that are not integers by type
	whole  int64 // exact sum of the integers while that is small enough
	sum    sum2  // of all
	square sum2  // sum of squares
	in     fifo[numbered[event.Value]]
}

// maxWhole bounds integers that are summed as such.
const maxWhole = 1 << 52

func (m *moments) add(seq uint64, v event.Value) {
	x, ok := numeric(v)
	if !ok {
		return
	}
	m.change(v, x, 1)
	if !m.fixed {
		m.in.push(numbered[event.Value]{seq, event.Value{Kind: v.Kind, Int: v.Int, Float: v.Float}})
	}
}

func (m *moments) change(v event.Value, x float64, sign int) {
	m.n += sign
	if v.Kind == event.Float || v.Int > maxWhole || v.Int < -maxWhole {
		m.floats += sign
	} else {
		m.whole += int64(sign) * v.Int
	}
	m.sum.add(float64(sign) * x)
	m.square.addProduct(float64(sign)*x, x)
	if m.n == 0 {
		m.sum, m.square, m.whole = sum2{}, sum2{}, 0
	}
}

func (m *moments) drop(seq uint64) {
	if m.in.n > 0 && m.in.front().seq == seq {
		v := m.in.pop().v
		x, _ := numeric(v)
		m.change(v, x, -1)
	}
}

func (m *moments) value(a *rules.Agg) event.Value {
	switch {
	case a.Fn == rules.Sum && m.floats == 0:
		return event.Value{Kind: event.Int, Int: m.whole}
	case a.Fn == rules.Sum:
		return floatValue(m.sum.float())
	case m.n == 0:
		return event.Value{}
	case a.Fn == rules.Avg:
		return floatValue(m.sum.float() / float64(m.n))
	}
	return floatValue(m.stddev())
}

// stddev is sqrt(n·Σx² − (Σx)²) / n.
func (m *moments) stddev() float64 {
	var v sum2
	n := float64(m.n)
	v.addProduct(n, m.square.hi)
	v.addProduct(n, m.square.lo)
	v.addProduct(-m.sum.hi, m.sum.hi)
	v.addProduct(-2*m.sum.hi, m.sum.lo)
	return math.Sqrt(max(0, v.float())) / n
}

func (m *moments) clear() { *m = moments{fixed: m.fixed} }

func (m *moments) encode(e *encoder) {
	e.len(m.n)
	e.len(m.floats)
	e.int(m.whole)
	for _, x := range [...]float64{m.sum.hi, m.sum.lo, m.square.hi, m.square.lo} {
		e.float(x)
	}
	encodeFifo(e, &m.in, e.numbered)
}

func (m *moments) decode(d *decoder) {
	m.n, m.floats, m.whole = int(d.uint()), int(d.uint()), d.int()
	for _, x := range [...]*float64{&m.sum.hi, &m.sum.lo, &m.square.hi, &m.square.lo} {
		*x = d.float()
	}
	decodeFifo(d, &m.in, d.numbered)
}

func (e *encoder) numbered(v numbered[event.Value]) {
	e.uint(v.seq)
	e.value(v.v)
}

func (d *decoder) numbered() numbered[event.Value] {
	return numbered[event.Value]{d.uint(), d.value()}
}

// extreme is min or max of the numbers: the front of a queue that holds those no
// later one beats.
type extreme struct {
	fixed, max bool
	in         fifo[numbered[event.Value]]
}

func (x *extreme) add(seq uint64, v event.Value) {
	n, ok := numeric(v)
	if !ok {
		return
	}
	for x.in.n > 0 && x.beats(n, x.in.back().v) {
		x.in.unpush()
	}
	if !x.fixed || x.in.n == 0 {
		x.in.push(numbered[event.Value]{seq, event.Value{Kind: v.Kind, Int: v.Int, Float: v.Float}})
	}
}

// beats reports whether a later n makes an older value irrelevant. Of equal ones
// a fixed pane keeps the first, a moving one the last.
func (x *extreme) beats(n float64, old event.Value) bool {
	o, _ := numeric(old)
	if n == o {
		return !x.fixed
	}
	return (n > o) == x.max
}

func (x *extreme) drop(seq uint64) {
	if x.in.n > 0 && x.in.front().seq == seq {
		x.in.pop()
	}
}

func (x *extreme) value(*rules.Agg) event.Value {
	if x.in.n == 0 {
		return event.Value{}
	}
	return x.in.front().v
}

func (x *extreme) clear()            { x.in.clear() }
func (x *extreme) encode(e *encoder) { encodeFifo(e, &x.in, e.numbered) }
func (x *extreme) decode(d *decoder) { decodeFifo(d, &x.in, d.numbered) }

// ends are the first and the last value that is not nil.
type ends struct {
	fixed bool
	in    fifo[numbered[event.Value]]
}

func (x *ends) add(seq uint64, v event.Value) {
	if v.Kind == event.Nil {
		return
	}
	if x.fixed && x.in.n == 2 {
		x.in.unpush()
	}
	x.in.push(numbered[event.Value]{seq, v})
}

func (x *ends) drop(seq uint64) {
	if x.in.n > 0 && x.in.front().seq == seq {
		x.in.pop()
	}
}

func (x *ends) value(a *rules.Agg) event.Value {
	switch {
	case x.in.n == 0:
		return event.Value{}
	case a.Fn == rules.First:
		return x.in.front().v
	}
	return x.in.back().v
}

func (x *ends) clear()            { x.in.clear() }
func (x *ends) encode(e *encoder) { encodeFifo(e, &x.in, e.numbered) }
func (x *ends) decode(d *decoder) { decodeFifo(d, &x.in, d.numbered) }
