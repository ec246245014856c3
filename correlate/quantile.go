package correlate

import (
	"slices"

	"github.com/DataDog/sketches-go/ddsketch/mapping"
	"github.com/DataDog/sketches-go/ddsketch/store"

	"corral/event"
	"corral/rules"
)

// exactValues is how many values a quantile is exact for.
const exactValues = 4096

// sketchError is the relative error of a quantile beyond.
const sketchError = 0.01

// quantile keeps the numbers sorted, and beyond exactValues in the bins of a
// DDSketch. What it says depends on the content alone: exact for up to
// exactValues, the sketch's beyond. A moving pane keeps both forms for a while
// so that a count going up and down past the limit costs nothing.
type quantile struct {
	fixed  bool
	n      int
	sorted []float64 // all values; nil while there are too many
	sketch *bins     // all values; nil while there are few
	in     fifo[numbered[float64]]
}

func (q *quantile) add(seq uint64, v event.Value) {
	x, ok := numeric(v)
	if !ok {
		return
	}
	if !q.fixed {
		q.in.push(numbered[float64]{seq, x})
	}
	q.n++
	if q.sorted != nil || q.n == 1 {
		i, _ := slices.BinarySearch(q.sorted, x)
		q.sorted = slices.Insert(q.sorted, i, x)
	}
	switch {
	case q.sketch != nil:
		q.sketch.add(x, 1)
	case q.n > exactValues:
		q.sketch = newBins()
		for _, y := range q.sorted {
			q.sketch.add(y, 1)
		}
	}
	if q.n > 2*exactValues || (q.fixed && q.n > exactValues) {
		q.sorted = nil
	}
}

func (q *quantile) drop(seq uint64) {
	if q.in.n == 0 || q.in.front().seq != seq {
		return
	}
	x := q.in.pop().v
	q.n--
	if q.sketch != nil {
		q.sketch.add(x, -1)
	}
	if q.sorted != nil {
		i, _ := slices.BinarySearch(q.sorted, x)
		q.sorted = slices.Delete(q.sorted, i, i+1)
	}
	if q.sorted == nil && q.n <= exactValues {
		q.sort()
	}
	if q.n <= exactValues/2 {
		q.sketch = nil
	}
}

// sort makes the sorted form anew.
func (q *quantile) sort() {
	q.sorted = make([]float64, q.in.n)
	for i := range q.sorted {
		q.sorted[i] = q.in.at(i).v
	}
	slices.Sort(q.sorted)
}

// exact reports whether value is.
func (q *quantile) exact() bool { return q.n <= exactValues }

func (q *quantile) value(a *rules.Agg) event.Value {
	switch {
	case q.n == 0:
		return event.Value{}
	case !q.exact():
		return floatValue(q.sketch.quantile(a.Q))
	}
	return floatValue(interpolate(q.sorted, a.Q))
}

// interpolate is the linear interpolation on n−1.
func interpolate(sorted []float64, q float64) float64 {
	at := q * float64(len(sorted)-1)
	low := int(at)
	if low >= len(sorted)-1 {
		return sorted[len(sorted)-1]
	}
	return sorted[low] + (at-float64(low))*(sorted[low+1]-sorted[low])
}

func (q *quantile) clear() { *q = quantile{fixed: q.fixed} }

func (q *quantile) encode(e *encoder) {
	e.len(q.n)
	if !q.fixed {
		encodeFifo(e, &q.in, func(v numbered[float64]) {
			e.uint(v.seq)
			e.float(v.v)
		})
		return
	}
	e.len(len(q.sorted))
	for _, x := range q.sorted {
		e.float(x)
	}
	e.bool(q.sketch != nil)
	if q.sketch != nil {
		q.sketch.encode(e)
	}
}

func (q *quantile) decode(d *decoder) {
	n := int(d.uint())
	if !q.fixed {
		for range d.len() {
			q.add(d.uint(), floatValue(d.float()))
		}
		// Whether there is a sketch where none is needed changes nothing.
		return
	}
	q.n = n
	for range d.len() {
		q.sorted = append(q.sorted, d.float())
	}
	if d.bool() {
		q.sketch = newBins()
		q.sketch.decode(d)
	}
	if d.err == nil && (q.exact() && len(q.sorted) != q.n || !q.exact() && q.sketch == nil) {
		d.fail()
	}
}

// bins are the bins of a DDSketch, from which values can be taken away again.
type bins struct {
	mapping            mapping.IndexMapping
	positive, negative *store.DenseStore
	zero               float64
}

func newBins() *bins {
	m, err := mapping.NewLogarithmicMapping(sketchError)
	if err != nil {
		panic(err) // the error is a constant in range
	}
	return &bins{mapping: m, positive: store.NewDenseStore(), negative: store.NewDenseStore()}
}

func (b *bins) add(x, count float64) {
	least, most := b.mapping.MinIndexableValue(), b.mapping.MaxIndexableValue()
	switch {
	case x >= least:
		b.positive.AddWithCount(b.mapping.Index(min(x, most)), count)
	case x <= -least:
		b.negative.AddWithCount(b.mapping.Index(min(-x, most)), count)
	default:
		b.zero += count
	}
}

func (b *bins) quantile(q float64) float64 {
	below := b.negative.TotalCount()
	rank := q * (below + b.zero + b.positive.TotalCount() - 1)
	switch {
	case rank < below:
		return -b.mapping.Value(b.negative.KeyAtRank(below - 1 - rank))
	case rank < below+b.zero:
		return 0
	}
	return b.mapping.Value(b.positive.KeyAtRank(rank - b.zero - below))
}

func (b *bins) encode(e *encoder) {
	e.float(b.zero)
	for _, s := range [...]*store.DenseStore{b.negative, b.positive} {
		var filled []store.Bin
		s.ForEach(func(i int, n float64) bool {
			if bin, err := store.NewBin(i, n); err == nil && n > 0 {
				filled = append(filled, *bin)
			}
			return false
		})
		e.len(len(filled))
		for _, bin := range filled {
			e.int(int64(bin.Index()))
			e.float(bin.Count())
		}
	}
}

// maxBin is beyond any index of a finite value.
const maxBin = 1 << 17

func (b *bins) decode(d *decoder) {
	b.zero = d.float()
	for _, s := range [...]*store.DenseStore{b.negative, b.positive} {
		for range d.len() {
			i, n := d.int(), d.float()
			if i < -maxBin || i > maxBin {
				d.fail()
				return
			}
			s.AddWithCount(int(i), n)
		}
	}
}
