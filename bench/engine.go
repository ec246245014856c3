package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"runtime/metrics"
	"time"

	"corral/event"
)

// engineSection is matcher and engine over decoded events, ten rules, one core.
func engineSection(context.Context, *lab) (*result, error) {
	set, err := compile(ruleFile(uniform(10), 12))
	if err != nil {
		return nil, err
	}
	events := decoded(lines(1, 8192), set.AttrPaths)
	e, err := newEngine(string(ruleFile(uniform(10), 12)[len("version: 1\nrules:\n"):]))
	if err != nil {
		return nil, err
	}
	i, now := 0, epoch.UnixNano()
	next := func() *event.Event {
		ev := events[i%len(events)]
		i++
		now += 1e6
		ev.Time = now
		return ev
	}
	const share = 500_000
	fs := rounds(7, contender{"ten rules", func() int { e.take(share, next); return share }})
	r := &result{}
	perSecond := 1e9 / fs[0].Median
	r.verdict("engine alone, decoded events in memory, 10 rules, one core", "≥ 3 M events/s", fmt.Sprintf("%s, %s", rate(perSecond), nanos(fs[0])), perSecond >= 3e6)
	return r, nil
}

// distinctSection counts different values of one key, so many in the window.
func distinctSection(context.Context, *lab) (*result, error) {
	var cs []contender
	counts := []uint64{240, 1_800, 7_200, 100_000}
	for _, n := range counts {
		rng := rand.New(rand.NewPCG(2, n))
		r := newRing(int64(10*time.Minute)/int64(2*n), func() uint64 { return rng.Uint64N(n) })
		c, err := r.on(fmt.Sprint(n), distinctRule, int(3*n), 100_000)
		if err != nil {
			return nil, err
		}
		cs = append(cs, c)
	}
	fs := rounds(7, cs...)
	worst := max(ratioOf(fs[1], fs[0]), ratioOf(fs[2], fs[0]), ratioOf(fs[0], fs[1]), ratioOf(fs[0], fs[2]))
	r := &result{}
	r.verdict("distinct count, 240 / 1,800 / 7,200 different in the window", "flat within 1.5 ×",
		fmt.Sprintf("%.2f ×: %.0f / %.0f / %.0f ns", worst, fs[0].Median, fs[1].Median, fs[2].Median), worst <= 1.5)
	t := table{Title: "Distinct count (W7)", Head: []string{"different in the window", "per event", "events/s"}}
	for i, n := range counts {
		t.add(fmt.Sprint(n), nanos(fs[i]), rate(1e9/fs[i].Median))
	}
	r.Tables = append(r.Tables, t)
	return r, nil
}

const distinctRule = `
  - id: distinct
    match: kind == "log"
    evidence: 0
    threshold: {window: 10m, condition: distinct(request_id) >= 1000000}
`

func countRule(window string, count int) string {
	return fmt.Sprintf(`
  - id: count
    match: kind == "log"
    group_by: [service]
    evidence: 0
    limits: {groups: 2000000}
    threshold: {window: %s, condition: count() >= %d}
`, window, count)
}

// windowSection counts in windows of any length; the longest is full before it is
// measured.
func windowSection(context.Context, *lab) (*result, error) {
	var cs []contender
	windows := []string{"10s", "10m", "24h"}
	const keys, step = 100, 10 * time.Millisecond
	for _, w := range windows {
		rng := rand.New(rand.NewPCG(3, 3))
		r := newRing(int64(step), func() uint64 { return rng.Uint64N(keys) })
		d, err := time.ParseDuration(w)
		if err != nil {
			return nil, err
		}
		c, err := r.on(w, countRule(w, 1_000_000), int(d/step)+1000, 200_000)
		if err != nil {
			return nil, err
		}
		cs = append(cs, c)
	}
	fs := rounds(15, cs...)
	ratio := ratioOf(fs[2], fs[0])
	r := &result{}
	r.verdict("window 10 s → 24 h", "≤ 1.1 ×", fmt.Sprintf("%s: %.0f / %.0f / %.0f ns at 10 s / 10 m / 24 h", times(ratio), fs[0].Median, fs[1].Median, fs[2].Median), ratio <= 1.1)
	return r, nil
}

// keysSection counts events of many keys in any order.
func keysSection(context.Context, *lab) (*result, error) {
	var cs []contender
	counts := []int{1_000, 10_000, 100_000, 1_000_000}
	for _, n := range counts {
		rng := rand.New(rand.NewPCG(4, uint64(n)))
		// A key comes every ten minutes or so: six in its window.
		r := newRing(int64(10*time.Minute)/int64(n), func() uint64 { return rng.Uint64N(uint64(n)) })
		c, err := r.on(fmt.Sprint(n), countRule("1h", 1000), 3*n, 200_000)
		if err != nil {
			return nil, err
		}
		cs = append(cs, c)
	}
	fs := rounds(7, cs...)
	ratio := ratioOf(fs[3], fs[0])
	r := &result{}
	r.verdict("1 k → 1 M keys", "≤ 6 ×", fmt.Sprintf("%s: %.0f → %.0f ns", times(ratio), fs[0].Median, fs[3].Median), ratio <= 6)
	t := table{Title: "Keys, uniform (W6)", Head: []string{"keys", "per event", "events/s"}}
	for i, n := range counts {
		t.add(fmt.Sprint(n), nanos(fs[i]), rate(1e9/fs[i].Median))
	}
	t.note("Every event matches and is of a key at random. What makes the events costs the same for all.")
	r.Tables = append(r.Tables, t)
	return r, nil
}

// memorySection is what a key costs that has one event in its window, and the
// collector's share with a million of them.
func memorySection(context.Context, *lab) (*result, error) {
	const keys = 1_000_000
	k := uint64(0)
	load := newRing(int64(time.Hour)/keys, func() uint64 { k++; return k % keys })
	before := liveHeap()
	e, err := newEngine(countRule("24h", 20))
	if err != nil {
		return nil, err
	}
	e.take(keys, load.next)
	perKey := float64(liveHeap()-before) / keys
	begin := time.Now()
	runtime.GC()
	full := time.Since(begin)

	load.own = true
	gc, used := collector(), cpu()
	e.take(3_000_000, load.next)
	share := (collector() - gc) / (cpu() - used).Seconds()
	runtime.KeepAlive(e)
	r := &result{}
	r.verdict("memory per idle key, one rule", "≤ 128 B", fmt.Sprintf("%.0f B, 24 of them the key", perKey), perKey <= 128)
	r.verdict("collector's share of the processor, 1 M keys", "< 2 %", fmt.Sprintf("%.1f %%; a whole collection takes %s", 100*share, full.Round(100*time.Microsecond)), share < 0.02)
	return r, nil
}

// collector is the processor time the garbage collector has used, in seconds.
func collector() float64 {
	s := []metrics.Sample{{Name: "/cpu/classes/gc/total:cpu-seconds"}}
	metrics.Read(s)
	return s[0].Value.Float64()
}

// stateSection is W8 and W10: sequences in flight, floods of beginnings without an
// end, deadlines, and events out of order.
func stateSection(context.Context, *lab) (*result, error) {
	r := &result{}
	t := table{Title: "Sequences, absence, disorder (W8, W10)", Head: []string{"workload", "size", "per event", "events/s"}}
	kinds := []struct{ name, text string }{
		{"sequence A → B, half completed", `
  - id: s
    group_by: [service]
    evidence: 0
    sequence: {within: 1h, steps: [{name: a, match: 'http.status == 1'}, {name: b, match: 'http.status == 2'}]}
`},
		{"sequence, beginnings only", `
  - id: s
    group_by: [service]
    evidence: 0
    limits: {groups: 2000000}
    sequence: {within: 1h, steps: [{name: a, match: 'kind == "log"'}, {name: b, match: 'http.status == 2'}]}
`},
		{"absence, a deadline per key", `
  - id: s
    match: kind == "log"
    group_by: [service]
    evidence: 0
    limits: {groups: 2000000}
    absence: {every: 1h}
`},
	}
	for _, kind := range kinds {
		var cs []contender
		sizes := []int{1_000, 100_000}
		for _, n := range sizes {
			rng := rand.New(rand.NewPCG(5, uint64(n)))
			load := newRing(int64(10*time.Minute)/int64(n), func() uint64 { return rng.Uint64N(uint64(n)) })
			for i, ev := range load.evs {
				ev.HTTP.Status = i%2 + 1
			}
			c, err := load.on(kind.name, kind.text, 2*n, 50_000)
			if err != nil {
				return nil, err
			}
			cs = append(cs, c)
		}
		for i, f := range rounds(5, cs...) {
			t.add(kind.name, fmt.Sprintf("%d keys", sizes[i]), nanos(f), rate(1e9/f.Median))
		}
	}
	for _, late := range []int{0, 1, 10, 50} {
		f, err := disorder(late)
		if err != nil {
			return nil, err
		}
		t.add("events out of order by up to a second", fmt.Sprintf("%d %%", late), nanos(f), rate(1e9/f.Median))
	}
	r.Tables = append(r.Tables, t)
	return r, nil
}

// disorder counts events of which a share comes up to a second late.
func disorder(percent int) (figure, error) {
	rng := rand.New(rand.NewPCG(6, 6))
	load := newRing(int64(time.Millisecond), func() uint64 { return rng.Uint64N(1000) })
	e, err := newEngine(countRule("1m", 1000))
	if err != nil {
		return figure{}, err
	}
	load.own = true // events wait for a second: a ring of them would come round
	share := func() int {
		const n = 100_000
		for range n / turn {
			for range turn {
				ev := load.next()
				if rng.IntN(100) < percent {
					ev.Time -= rng.Int64N(int64(time.Second))
				}
				if e.ms = e.m.Match(ev, e.ms[:0]); len(e.ms) > 0 {
					e.eng.Push(ev, e.ms)
				}
			}
			e.eng.Advance(load.now-int64(time.Second), nil)
		}
		return n / turn * turn
	}
	return rounds(5, contender{"", share})[0], nil
}
