package correlate_test

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"corral/correlate"
	"corral/event"
	"corral/rules"
)

// stream is a load of decoded events that go round, their times going on.
type stream struct {
	evs  []*event.Event
	step int64 // nanoseconds between events
	now  int64
	i    int
}

func (s *stream) next() *event.Event {
	ev := s.evs[s.i]
	if s.i++; s.i == len(s.evs) {
		s.i = 0
	}
	s.now += s.step
	ev.Time = s.now
	return ev
}

// batch is how many events come between two moves of the watermark.
const batch = 256

// drive runs the stream through matcher and engine for as long as b likes.
func drive(b *testing.B, set *rules.Set, s *stream) *correlate.Engine {
	e, m := correlate.New(set, correlate.Options{}), set.Matcher()
	n := 0
	emit := func(*correlate.Transition) { n++ }
	var ms []rules.Match
	turn := func() {
		for range batch {
			ev := s.next()
			if ms = m.Match(ev, ms[:0]); len(ms) == 0 {
				continue
			}
			if ms[0].Rule.Evidence > 0 {
				ev = ev.Clone() // the engine keeps it, and the same event comes again
			}
			e.Push(ev, ms)
		}
		e.Advance(s.now, emit)
	}
	for range len(s.evs) / batch {
		turn()
	}
	b.ReportAllocs()
	start := cpu()
	for b.Loop() {
		turn()
	}
	b.ReportMetric(float64(cpu()-start)/float64(b.N)/batch, "cpu-ns/event")
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/batch, "ns/event")
	b.ReportMetric(float64(b.N)*batch/b.Elapsed().Seconds(), "events/s")
	b.ReportMetric(0, "ns/op")
	return e
}

// BenchmarkTenRules is the engine alone with ten rules of which an event in forty
// meets one.
func BenchmarkTenRules(b *testing.B) {
	var text strings.Builder
	for i := range 10 {
		fmt.Fprintf(&text, `
  - id: r%d
    match: service == "svc-%d" && http.status >= 500
    group_by: [host]
    threshold: {window: 5m, condition: count() >= 50}
`, i, i)
	}
	rng := rand.New(rand.NewPCG(1, 1))
	s := &stream{step: int64(time.Millisecond)}
	for i := range 8192 {
		ev := &event.Event{Kind: "log", Service: "svc-" + strconv.Itoa(rng.IntN(40)), Host: "h" + strconv.Itoa(rng.IntN(20)), Level: "info"}
		ev.HTTP.Status = 200
		if rng.IntN(10) == 0 {
			ev.HTTP.Status = 503
		}
		ev.Pos.Seq = uint64(i)
		s.evs = append(s.evs, ev)
	}
	drive(b, parse(b, rulesFile(text.String())), s)
}

// keyed are n events that go over so many keys at random.
func keyed(n, keys int, step time.Duration) *stream {
	rng := rand.New(rand.NewPCG(2, 2))
	s := &stream{step: int64(step)}
	for range n {
		k := rng.IntN(keys)
		s.evs = append(s.evs, &event.Event{Kind: "log", Service: fmt.Sprintf("customer-%014d", k), RequestID: strconv.Itoa(k)})
	}
	return s
}

// BenchmarkKeys counts events of many keys, each event matching.
func BenchmarkKeys(b *testing.B) {
	for _, keys := range []int{1_000, 10_000, 100_000, 1_000_000} {
		b.Run(strconv.Itoa(keys), func(b *testing.B) {
			set := parse(b, rulesFile(`
  - id: count
    match: kind == "log"
    group_by: [service]
    evidence: 0
    limits: {groups: 2000000}
    threshold: {window: 1h, condition: count() >= 1000}
`))
			// A key comes every ten minutes or so: six in its window.
			drive(b, set, keyed(max(1<<16, 2*keys), keys, 10*time.Minute/time.Duration(keys)))
		})
	}
}

// BenchmarkWindow counts the events of a thousand keys in windows of any length.
func BenchmarkWindow(b *testing.B) {
	for _, window := range []string{"10s", "10m", "24h"} {
		b.Run(window, func(b *testing.B) {
			set := parse(b, rulesFile(`
  - id: count
    match: kind == "log"
    group_by: [service]
    evidence: 0
    threshold: {window: `+window+`, condition: count() >= 1000000}
`))
			drive(b, set, keyed(1<<16, 1000, time.Millisecond))
		})
	}
}

// BenchmarkDistinct counts different values of one key, so many in the window.
func BenchmarkDistinct(b *testing.B) {
	for _, n := range []int{240, 1_800, 7_200, 100_000} {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			set := parse(b, rulesFile(`
  - id: distinct
    match: kind == "log"
    evidence: 0
    threshold: {window: 10m, condition: distinct(request_id) >= 1000000}
`))
			drive(b, set, keyed(1<<16, n, 10*time.Minute/time.Duration(2*n)))
		})
	}
}

// BenchmarkAggregates is one window of each sort.
func BenchmarkAggregates(b *testing.B) {
	for _, c := range []struct{ name, condition string }{
		{"count", "count() >= 1000000"},
		{"sum", "sum(severity_number) > 1000000000"},
		{"avg", "avg(severity_number) > 1000"},
		{"max", "max(severity_number) > 1000"},
		{"ratio", "count(severity_number > 20) / count() > 0.9"},
		{"quantile", "quantile(0.99, severity_number) > 1000"},
	} {
		b.Run(c.name, func(b *testing.B) {
			set := parse(b, rulesFile(`
  - id: agg
    match: kind == "log"
    group_by: [service]
    evidence: 0
    threshold: {window: 10m, condition: '`+c.condition+`'}
`))
			s := keyed(1<<16, 100, 10*time.Minute/time.Duration(100*500))
			for i, ev := range s.evs {
				ev.SeverityNumber = i * 7 % 24
			}
			drive(b, set, s)
		})
	}
}

// BenchmarkIdleKey measures what a key costs that has one event in its window.
func BenchmarkIdleKey(b *testing.B) {
	for _, keys := range []int{100_000, 1_000_000} {
		b.Run(strconv.Itoa(keys), func(b *testing.B) {
			set := parse(b, rulesFile(`
  - id: count
    match: kind == "log"
    group_by: [service]
    evidence: 0
    limits: {groups: 2000000}
    threshold: {window: 24h, condition: count() >= 20}
`))
			for b.Loop() {
				before := heap()
				e, m := correlate.New(set, correlate.Options{}), set.Matcher()
				for i := range keys {
					ev := &event.Event{Kind: "log", Time: int64(i + 1), Service: fmt.Sprintf("customer-%014d", i)}
					e.Push(ev, m.Match(ev, nil))
					if i%batch == 0 {
						e.Advance(ev.Time, nil)
					}
				}
				e.Advance(int64(keys+2), nil)
				b.ReportMetric(float64(heap()-before)/float64(keys), "B/key")
				start := time.Now()
				runtime.GC()
				b.ReportMetric(float64(time.Since(start).Microseconds()), "µs/gc")
				runtime.KeepAlive(e)
			}
		})
	}
}

// cpu is the processor time used so far, in nanoseconds: on a machine that is
// shared it says more than the clock.
func cpu() int64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return u.Utime.Nano() + u.Stime.Nano()
}

func heap() int64 {
	runtime.GC()
	runtime.GC()
	var ms runtime.MemStats
	runtime.ReadMemStats(&ms)
	return int64(ms.HeapAlloc)
}
