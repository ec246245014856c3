package main

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

// The gates hold ratios within one run. They fail at twice the target, measure
// processor time and take the best of several tries, so that a machine with other
// work to do does not break a build. What is exact is exact: allocations, bytes.

const tries = 5

// least is the lowest ratio of a's cost to b's that some tries in turns show.
func least(t *testing.T, a, b contender) float64 {
	t.Helper()
	best := 0.0
	for try := range tries {
		fs := rounds(1, a, b)
		if r := ratioOf(fs[0], fs[1]); try == 0 || r < best {
			best = r
		}
	}
	t.Logf("%s : %s = %.2f", a.name, b.name, best)
	return best
}

func gate(t *testing.T, most float64, a, b contender) {
	t.Helper()
	if r := least(t, a, b); r > most {
		t.Errorf("%s costs %.2f × %s; at most %.1f", a.name, r, b.name, most)
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func ruled(n int, make func(int) []rule, records [][]byte) contender {
	set := must(compile(ruleFile(make(n), 12)))
	return play(fmt.Sprintf("%d rules", n), newPath(set), records)
}

func TestGateThousandRules(t *testing.T) {
	records := pieces(lines(1, 20_000), turn)
	for name, make := range map[string]func(int) []rule{"uniform": uniform, "mixed": mixed} {
		t.Run(name, func(t *testing.T) {
			gate(t, 4, ruled(1000, make, records), ruled(10, make, records))
		})
	}
}

func TestGateDistinct(t *testing.T) {
	count := func(n uint64) contender {
		rng := rand.New(rand.NewPCG(2, n))
		r := newRing(int64(10*time.Minute)/int64(2*n), func() uint64 { return rng.Uint64N(n) })
		return must(r.on(fmt.Sprintf("%d different values", n), distinctRule, int(3*n), 100_000))
	}
	gate(t, 3, count(7200), count(240))
}

func TestGateWindow(t *testing.T) {
	window := func(w string, fill int) contender {
		rng := rand.New(rand.NewPCG(3, 3))
		r := newRing(int64(time.Second), func() uint64 { return rng.Uint64N(100) })
		return must(r.on("a window of "+w, countRule(w, 1_000_000), fill, 100_000))
	}
	gate(t, 2.2, window("24h", 90_000), window("17m", 2_000))
}

func TestGateKeys(t *testing.T) {
	keys := func(n int) contender {
		rng := rand.New(rand.NewPCG(4, uint64(n)))
		r := newRing(int64(10*time.Minute)/int64(n), func() uint64 { return rng.Uint64N(uint64(n)) })
		return must(r.on(fmt.Sprintf("%d keys", n), countRule("1h", 1000), 3*n, 100_000))
	}
	gate(t, 12, keys(300_000), keys(1_000))
}

func TestGateMemory(t *testing.T) {
	const keys = 300_000
	k := uint64(0)
	load := newRing(int64(time.Hour)/keys, func() uint64 { k++; return k % keys })
	before := liveHeap()
	e := must(newEngine(countRule("24h", 20)))
	e.take(keys, load.next)
	perKey := float64(liveHeap()-before) / keys
	t.Logf("%.0f bytes an idle key", perKey)
	if e.fire > 0 || perKey > 256 {
		t.Errorf("an idle key takes %.0f bytes, at most 256", perKey)
	}
}

func TestGateAllocations(t *testing.T) {
	if n := must(noMatchAllocs(lines(1, curveLines))); n > 0 {
		t.Errorf("%v allocations an event that meets no rule", n)
	}
}

// The engines that are compared agree, and all workloads are rules that load.
func TestAnswersAgree(t *testing.T) {
	events := lines(7, 3000)
	for _, make := range []func(int) []rule{uniform, mixed} {
		set := must(compile(ruleFile(make(1000), 12)))
		evs := decoded(events, set.AttrPaths)[:500]
		var maps []map[string]any
		for _, ev := range evs {
			maps = append(maps, fields(ev))
		}
		rs := make(300)
		want := must(ourAnswers(rs, evs))
		for _, p := range []peer{must(exprLoop(rs, maps)), must(celLoop(rs, maps))} {
			if p.answers(len(evs)) != want {
				t.Errorf("%s and corral disagree", p.name)
			}
		}
	}
}
