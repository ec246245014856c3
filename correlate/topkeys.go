package correlate

import (
	"cmp"
	"encoding/binary"
	"slices"

	"github.com/axiomhq/hyperloglog"
)

// distinctKeys counts different keys by their hashes, exactly up to exactKeys,
// then with a HyperLogLog sketch.
type distinctKeys struct {
	exact  map[uint64]struct{}
	sketch *hyperloglog.Sketch
}

const exactKeys = 10_000

func (d *distinctKeys) add(hash uint64) {
	if d.sketch != nil {
		d.sketch.Insert(binary.LittleEndian.AppendUint64(nil, hash))
		return
	}
	if d.exact == nil {
		d.exact = make(map[uint64]struct{})
	}
	d.exact[hash] = struct{}{}
	if len(d.exact) > exactKeys {
		d.spill()
	}
}

func (d *distinctKeys) spill() {
	d.sketch = hyperloglog.New14()
	for _, h := range sortedHashes(d.exact) {
		d.sketch.Insert(binary.LittleEndian.AppendUint64(nil, h))
	}
	d.exact = nil
}

func sortedHashes(m map[uint64]struct{}) []uint64 {
	hs := make([]uint64, 0, len(m))
	for h := range m {
		hs = append(hs, h)
	}
	slices.Sort(hs)
	return hs
}

// count is the number of keys, and whether it is exact.
func (d *distinctKeys) count() (n int, exact bool) {
	if d.sketch != nil {
		return int(d.sketch.Estimate()), false
	}
	return len(d.exact), true
}

// topKeys finds the keys with the highest counts (space-saving): with more than
// maxTop keys a new one takes the place, and the count, of the smallest, so a
// count is never too low and a frequent key never missing.
type topKeys struct {
	heap []KeyCount // least first
	at   map[string]int
}

const (
	maxTop   = 1000
	shownTop = 20
)

func (t *topKeys) add(key string, n uint64) {
	if t.at == nil {
		t.at = make(map[string]int)
	}
	i, ok := t.at[key]
	switch {
	case ok:
	case len(t.heap) < maxTop:
		i = len(t.heap)
		t.heap = append(t.heap, KeyCount{Key: key})
		t.at[key] = i
		t.up(i)
		i = t.at[key]
	default:
		i = 0
		delete(t.at, t.heap[0].Key)
		t.heap[0].Key = key
		t.at[key] = 0
	}
	t.heap[i].Count += n
	t.down(i)
}

func (t *topKeys) less(i, j int) bool {
	a, b := t.heap[i], t.heap[j]
	return a.Count < b.Count || (a.Count == b.Count && a.Key < b.Key)
}

func (t *topKeys) swap(i, j int) {
	t.heap[i], t.heap[j] = t.heap[j], t.heap[i]
	t.at[t.heap[i].Key], t.at[t.heap[j].Key] = i, j
}

func (t *topKeys) up(i int) {
	for i > 0 && t.less(i, (i-1)/2) {
		t.swap(i, (i-1)/2)
		i = (i - 1) / 2
	}
}

func (t *topKeys) down(i int) {
	for {
		c := 2*i + 1
		if c >= len(t.heap) {
			return
		}
		if c+1 < len(t.heap) && t.less(c+1, c) {
			c++
		}
		if !t.less(c, i) {
			return
		}
		t.swap(i, c)
		i = c
	}
}

// list is the keys by count, highest first.
func (t *topKeys) list() []KeyCount {
	all := slices.Clone(t.heap)
	slices.SortFunc(all, func(a, b KeyCount) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Key, b.Key))
	})
	return all[:min(len(all), shownTop)]
}

func (t *topKeys) encode(e *encoder) {
	e.len(len(t.heap))
	for _, k := range t.heap {
		e.str(k.Key)
		e.uint(k.Count)
	}
}

func (t *topKeys) decode(d *decoder) {
	for range d.len() {
		t.add(d.str(), d.uint())
	}
}
