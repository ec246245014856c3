package correlate

import (
	"cmp"
	"encoding/binary"
	"maps"
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
	counts map[string]uint64
}

const (
	maxTop   = 1000
	shownTop = 20
)

func (t *topKeys) add(key string, n uint64) {
	if t.counts == nil {
		t.counts = make(map[string]uint64)
	}
	if _, ok := t.counts[key]; !ok && len(t.counts) >= maxTop {
		least := t.least()
		n += t.counts[least]
		delete(t.counts, least)
	}
	t.counts[key] += n
}

func (t *topKeys) least() string {
	var key string
	var n uint64
	for k, c := range t.counts {
		if key == "" || c < n || (c == n && k < key) {
			key, n = k, c
		}
	}
	return key
}

// list is the keys by count, highest first.
func (t *topKeys) list() []KeyCount {
	all := make([]KeyCount, 0, len(t.counts))
	for k, n := range t.counts {
		all = append(all, KeyCount{Key: k, Count: n})
	}
	slices.SortFunc(all, func(a, b KeyCount) int {
		if c := cmp.Compare(b.Count, a.Count); c != 0 {
			return c
		}
		return cmp.Compare(a.Key, b.Key)
	})
	return all[:min(len(all), shownTop)]
}

func (t *topKeys) encode(e *encoder) {
	keys := slices.Sorted(maps.Keys(t.counts))
	e.len(len(keys))
	for _, k := range keys {
		e.str(k)
		e.uint(t.counts[k])
	}
}

func (t *topKeys) decode(d *decoder) {
	for range d.len() {
		t.add(d.str(), d.uint())
	}
}
