package correlate

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"corral/event"
	"corral/rules"
)

// These compare each structure with the obvious one.

func TestRingSlab(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	var slab ringSlab
	rings := make([]ring, 50)
	want := make([][]int64, len(rings))
	for step := range 50_000 {
		i := rng.IntN(len(rings))
		switch {
		case rng.IntN(500) == 0:
			slab.free(&rings[i])
			want[i] = nil
		case len(want[i]) > 0 && rng.IntN(3) == 0:
			slab.shift(&rings[i])
			want[i] = want[i][1:]
		default:
			slab.push(&rings[i], int64(step))
			want[i] = append(want[i], int64(step))
		}
		if int(rings[i].n) != len(want[i]) {
			t.Fatalf("step %d: ring has %d, want %d", step, rings[i].n, len(want[i]))
		}
		for j, w := range want[i] {
			if g := slab.get(rings[i], j); g != w {
				t.Fatalf("step %d: element %d is %d, want %d", step, j, g, w)
			}
		}
	}
}

// TestRingSlabFewKeys: every rule has a slab of its own, and most rules few keys.
func TestRingSlabFewKeys(t *testing.T) {
	var slab ringSlab
	var r ring
	for i := range 20 {
		slab.push(&r, int64(i))
	}
	words := 0
	for _, c := range slab.classes {
		for _, chunk := range c.chunks {
			words += len(chunk)
		}
	}
	if words > 100 {
		t.Errorf("%d words for 20 instants", words)
	}
}

func TestRingSlabLargeRings(t *testing.T) {
	var slab ringSlab
	var a, b ring
	for i := range 20_000 {
		slab.push(&a, int64(i))
		slab.push(&b, int64(-i))
	}
	for i := range 20_000 {
		if slab.get(a, i) != int64(i) || slab.get(b, i) != int64(-i) {
			t.Fatalf("element %d: %d and %d", i, slab.get(a, i), slab.get(b, i))
		}
	}
}

func TestKeysDirectory(t *testing.T) {
	rng := rand.New(rand.NewPCG(2, 2))
	var k keys
	want := map[string]uint32{}
	for step := range 200_000 {
		name := fmt.Sprintf("key-%d-%s", rng.IntN(3000), "some text to make the buffer compact itself")
		hash := hashKey(name)
		i, ok := k.find(name, hash)
		w, is := want[name]
		if ok != is || (ok && i != w) {
			t.Fatalf("step %d: find %q = %d, %v; want %d, %v", step, name, i, ok, w, is)
		}
		switch {
		case !ok:
			want[name] = k.add(name, hash)
		case rng.IntN(2) == 0:
			k.remove(i)
			delete(want, name)
		}
	}
	if k.n != len(want) {
		t.Errorf("%d keys, want %d", k.n, len(want))
	}
	for name, i := range want {
		if k.name(i) != name {
			t.Errorf("key %d is %q, want %q", i, k.name(i), name)
		}
	}
	if names := k.sorted(); !slices.IsSortedFunc(names, func(a, b uint32) int { return cmpText(k.name(a), k.name(b)) }) || len(names) != k.n {
		t.Error("sorted is not")
	}
}

func cmpText(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

func TestTimersComeInOrder(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 3))
	var q timers
	var want []int64
	for range 20_000 {
		if len(want) > 0 && rng.IntN(3) == 0 {
			slices.Sort(want)
			if got := q.pop().at; got != want[0] {
				t.Fatalf("got %d, want %d", got, want[0])
			}
			want = want[1:]
			continue
		}
		at := rng.Int64N(1000)
		q.push(at, 0)
		want = append(want, at)
		if len(want) > 400 {
			want = want[:0]
			q = timers{}
		}
	}
}

func TestReorder(t *testing.T) {
	for _, disorder := range []int64{0, 5, 1000, 1_000_000} {
		rng := rand.New(rand.NewPCG(4, uint64(disorder)))
		var b reorder
		var all, got []*event.Event
		done := int64(math.MinInt64)
		for i := range 20_000 {
			ev := &event.Event{Time: max(done, int64(i)-rng.Int64N(disorder+1)), Pos: event.Pos{Seq: uint64(i)}}
			if rng.IntN(10) == 0 {
				ev.Pos.Seq = 0 // events that compare equal keep the order they came in
			}
			all = append(all, ev)
			b.push(pushed{ev: ev})
			if rng.IntN(200) == 0 {
				done = int64(i) - disorder
				for b.next() < done {
					got = append(got, b.pop().ev)
				}
			}
		}
		rest := b.all()
		for _, p := range rest {
			got = append(got, p.ev)
		}
		for i := range rest {
			if p := b.pop(); p.ev != rest[i].ev {
				t.Fatalf("disorder %d: all and pop disagree at %d", disorder, i)
			}
		}
		slices.SortStableFunc(all, event.Compare)
		if !slices.Equal(got, all) {
			t.Errorf("disorder %d: not in order", disorder)
		}
		if b.n != 0 || b.next() != never {
			t.Errorf("disorder %d: %d left", disorder, b.n)
		}
	}
}

// aggregates of every sort, with the obvious computation of each.
var aggregates = []struct {
	agg  rules.Agg
	want func(xs []event.Value, q float64) event.Value
}{
	{rules.Agg{Fn: rules.Count, Part: 0}, func(xs []event.Value, _ float64) event.Value { return intValue(len(xs)) }},
	{rules.Agg{Fn: rules.Sum, Part: -1}, func(xs []event.Value, _ float64) event.Value { return floatValue(total(xs)) }},
	{rules.Agg{Fn: rules.Avg, Part: -1}, func(xs []event.Value, _ float64) event.Value {
		if n := len(numbersOf(xs)); n > 0 {
			return floatValue(total(xs) / float64(n))
		}
		return event.Value{}
	}},
	{rules.Agg{Fn: rules.Min, Part: -1}, func(xs []event.Value, _ float64) event.Value {
		if ns := numbersOf(xs); len(ns) > 0 {
			return floatValue(slices.Min(ns))
		}
		return event.Value{}
	}},
	{rules.Agg{Fn: rules.Max, Part: -1}, func(xs []event.Value, _ float64) event.Value {
		if ns := numbersOf(xs); len(ns) > 0 {
			return floatValue(slices.Max(ns))
		}
		return event.Value{}
	}},
	{rules.Agg{Fn: rules.Stddev, Part: -1}, func(xs []event.Value, _ float64) event.Value {
		ns := numbersOf(xs)
		if len(ns) == 0 {
			return event.Value{}
		}
		mean, s := total(xs)/float64(len(ns)), 0.0
		for _, x := range ns {
			s += (x - mean) * (x - mean)
		}
		return floatValue(math.Sqrt(s / float64(len(ns))))
	}},
	{rules.Agg{Fn: rules.Quantile, Part: -1, Q: 0.9}, func(xs []event.Value, q float64) event.Value {
		ns := numbersOf(xs)
		if len(ns) == 0 {
			return event.Value{}
		}
		slices.Sort(ns)
		return floatValue(interpolate(ns, q))
	}},
	{rules.Agg{Fn: rules.Distinct, Part: -1}, func(xs []event.Value, _ float64) event.Value {
		seen := map[string]bool{}
		for _, x := range xs {
			if f, ok := numeric(x); ok {
				seen[fmt.Sprint(f)] = true
			} else if x.Kind != event.Nil {
				seen["s"+x.Str] = true
			}
		}
		return intValue(len(seen))
	}},
	{rules.Agg{Fn: rules.First, Part: -1}, func(xs []event.Value, _ float64) event.Value {
		for _, x := range xs {
			if x.Kind != event.Nil {
				return x
			}
		}
		return event.Value{}
	}},
	{rules.Agg{Fn: rules.Last, Part: -1}, func(xs []event.Value, _ float64) event.Value {
		for _, x := range slices.Backward(xs) {
			if x.Kind != event.Nil {
				return x
			}
		}
		return event.Value{}
	}},
}

func numbersOf(xs []event.Value) []float64 {
	var ns []float64
	for _, x := range xs {
		if f, ok := numeric(x); ok {
			ns = append(ns, f)
		}
	}
	return ns
}

func total(xs []event.Value) float64 {
	s := 0.0
	for _, x := range numbersOf(xs) {
		s += x
	}
	return s
}

func sameValue(got, want event.Value) bool {
	g, ok := numeric(got)
	w, is := numeric(want)
	if ok && is {
		return math.Abs(g-w) <= 1e-9*max(1, math.Abs(w))
	}
	return got.Kind == want.Kind && got.Str == want.Str
}

func randomValue(rng *rand.Rand) event.Value {
	switch rng.IntN(5) {
	case 0:
		return event.Value{}
	case 1:
		return event.Value{Kind: event.String, Str: fmt.Sprint("s", rng.IntN(20))}
	case 2:
		return floatValue(float64(rng.IntN(100)-50) / 8)
	case 3:
		return floatValue(math.NaN()) // never computed with
	}
	return intValue(rng.IntN(40) - 20)
}

func TestAccumulators(t *testing.T) {
	for _, c := range aggregates {
		for _, fixed := range []bool{false, true} {
			rng := rand.New(rand.NewPCG(5, 5))
			acc := newAccumulator(&c.agg, fixed)
			var content []event.Value
			first, next := uint64(0), uint64(0)
			for step := range 4000 {
				switch {
				case len(content) > 0 && !fixed && rng.IntN(5) < 2:
					acc.drop(first)
					first++
					content = content[1:]
				case rng.IntN(300) == 0:
					acc.clear()
					content, first = nil, next
				default:
					v := randomValue(rng)
					if v.Kind == event.Float && math.IsNaN(v.Float) && c.agg.Fn >= rules.Distinct {
						v = event.Value{}
					}
					acc.add(next, v)
					next++
					content = append(content, v)
				}
				got, want := acc.value(&c.agg), c.want(content, c.agg.Q)
				if !sameValue(got, want) {
					t.Fatalf("fn %d, fixed %v, step %d: got %+v, want %+v of %d values", c.agg.Fn, fixed, step, got, want, len(content))
				}
				if step%500 == 499 {
					acc = recoded(t, acc, &c.agg, fixed)
				}
			}
		}
	}
}

// recoded is what comes back from a snapshot.
func recoded(t *testing.T, acc accumulator, a *rules.Agg, fixed bool) accumulator {
	t.Helper()
	e := newEncoder()
	acc.encode(e)
	d := &decoder{buf: e.buf}
	again := newAccumulator(a, fixed)
	again.decode(d)
	if d.err != nil || len(d.buf) > 0 {
		t.Fatalf("fn %d: decode: %v, %d bytes left", a.Fn, d.err, len(d.buf))
	}
	return again
}

// A sum from which everything large was taken away again has lost nothing small.
func TestSumsDoNotDrift(t *testing.T) {
	m := &moments{}
	m.add(0, floatValue(1e16))
	m.add(1, floatValue(0.1))
	m.add(2, floatValue(1e16))
	m.drop(0)
	sum := &rules.Agg{Fn: rules.Sum}
	for seq := uint64(3); seq < 1000; seq++ {
		m.add(seq, floatValue(0.1))
	}
	m.drop(1)
	m.drop(2)
	if got := m.value(sum).Float; math.Abs(got-99.7) > 1e-11 {
		t.Errorf("sum of 997 tenths is %v", got)
	}
}

func TestQuantileBeyondExact(t *testing.T) {
	for _, fixed := range []bool{false, true} {
		rng := rand.New(rand.NewPCG(6, 6))
		agg := &rules.Agg{Fn: rules.Quantile, Q: 0.95}
		q := &quantile{fixed: fixed}
		var content []float64
		first := uint64(0)
		check := func(when string) {
			t.Helper()
			sorted := slices.Sorted(slices.Values(content))
			want, got := interpolate(sorted, 0.95), q.value(agg).Float
			limit := 0.0
			if len(content) > exactValues {
				want = sorted[int(0.95*float64(len(sorted)-1))] // the sketch does not interpolate
				limit = 1.0001 * sketchError * math.Abs(want)
			}
			if q.exact() != (len(content) <= exactValues) || math.Abs(got-want) > limit {
				t.Errorf("fixed %v, %s: quantile of %d values is %v, want %v; exact %v", fixed, when, len(content), got, want, q.exact())
			}
		}
		for i := range uint64(12_000) {
			x := math.Exp(rng.NormFloat64()*3) * float64(rng.IntN(3)-1)
			q.add(i, floatValue(x))
			content = append(content, x)
			if i%997 == 0 || i == exactValues-1 || i == exactValues {
				check("growing")
			}
		}
		q = recoded(t, q, agg, fixed).(*quantile)
		check("restored")
		for !fixed && len(content) > 10 {
			q.drop(first)
			first++
			content = content[1:]
			if n := len(content); n%997 == 0 || n == exactValues || n == exactValues+1 {
				check("shrinking")
			}
		}
	}
}

func TestAgedCountsAreClose(t *testing.T) {
	const width = int64(time.Minute)
	a := &aged{size: 1}
	rng := rand.New(rand.NewPCG(7, 7))
	var times []int64
	now := int64(0)
	for range 500_000 {
		now += rng.Int64N(2000)
		a.add(now)
		times = append(times, now)
	}
	if a.groups.n > maxGroups || a.total != len(times) {
		t.Fatalf("%d groups of %d events", a.groups.n, a.total)
	}
	for at := times[len(times)/2]; at < now; at += (now - times[0]) / 50 {
		c := &call{now: at + width}
		a.leave(c, width)
		i, _ := slices.BinarySearch(times, at)
		if want := len(times) - i; a.total < want || a.total > want+a.size {
			t.Errorf("%d in the window, want %d to %d", a.total, want, want+a.size)
		}
	}
}

func TestTopKeysAreExactWhileTheyFit(t *testing.T) {
	rng := rand.New(rand.NewPCG(8, 8))
	var top topKeys
	want := map[string]uint64{}
	for range 50_000 {
		k := fmt.Sprint(int(math.Abs(rng.NormFloat64()) * 200))
		top.add(k, 1)
		want[k]++
	}
	for _, k := range top.list() {
		if want[k.Key] != k.Count {
			t.Errorf("%s: %d, want %d", k.Key, k.Count, want[k.Key])
		}
	}
	for i := range 5 * maxTop {
		top.add(fmt.Sprint("new", i), 1)
	}
	if best := top.list()[0]; len(top.heap) != maxTop || best.Count < want[best.Key] {
		t.Errorf("%d keys, best %+v", len(top.heap), best)
	}
}

func TestDistinctKeys(t *testing.T) {
	var d distinctKeys
	for i := range exactKeys {
		d.add(scramble(uint64(i)))
		d.add(scramble(uint64(i)))
	}
	if n, exact := d.count(); n != exactKeys || !exact {
		t.Errorf("%d, exact %v", n, exact)
	}
	for i := range 10 * exactKeys {
		d.add(scramble(uint64(i)))
	}
	if n, exact := d.count(); exact || math.Abs(float64(n)/(10*exactKeys)-1) > 0.03 {
		t.Errorf("%d, exact %v, want about %d", n, exact, 10*exactKeys)
	}
}

func TestHistoryForgets(t *testing.T) {
	h := history{limit: 3}
	day := int64(24 * time.Hour)
	for i, key := range []string{"a", "b", "c", "d"} {
		h.opened(key, int64(i))
		h.resolved(key, int64(i)+1)
	}
	if h.past["a"] != nil || len(h.past) != 3 {
		t.Errorf("%d entries, the stalest there: %v", len(h.past), h.past["a"] != nil)
	}
	h.opened("b", 10)
	h.expire(31 * day)
	if len(h.past) != 1 || h.past["b"] == nil {
		t.Errorf("after 31 days: %d entries, want the one that goes on", len(h.past))
	}
	h.resolved("b", 32*day)
	h.expire(62 * day)
	if h.past["b"] == nil {
		t.Error("b was forgotten too early")
	}
	h.expire(62*day + 1)
	if len(h.past) != 0 {
		t.Error("b was not forgotten")
	}
}

func TestIdentity(t *testing.T) {
	if a, b := Fingerprint("r", []string{"a", "b"}, []string{"x", "yz"}), Fingerprint("r", []string{"a", "b"}, []string{"xy", "z"}); a == b || len(a) != 32 {
		t.Errorf("fingerprints %s and %s", a, b)
	}
	id := IncidentID("0123456789abcdef", 1_767_225_600_000_000_000)
	if want := "0123456789ab-1H1KJA7PZM000"; id != want {
		t.Errorf("incident id %s, want %s", id, want)
	}
	if IncidentID("0123456789abcdef", 31) >= IncidentID("0123456789abcdef", 32) {
		t.Error("ids do not sort by time")
	}
}
