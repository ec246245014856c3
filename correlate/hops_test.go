package correlate

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"corral/event"
	"corral/rules"
)

func hopRules(t testing.TB) *rules.Set {
	t.Helper()
	set, diags := rules.Parse([]rules.File{{Name: "hops.yaml", Data: []byte(`
version: 1
rules:
  - id: slow
    from: hops
    match: hop.seen >= 3 && hop.gap_ms > 100
    group_by: {step: hop.step, at: service}
    event: {}
`)}})
	if set == nil {
		t.Fatal(diags)
	}
	return set
}

// logged is an event of a trace, at milliseconds.
func logged(trace string, ms int, service, logger string) *event.Event {
	at := int64(ms) * int64(time.Millisecond)
	return &event.Event{Time: at, Kind: "log", Service: service, Logger: logger, TraceID: trace, Raw: fmt.Sprint(trace, ms, service, logger)}
}

func newHops(t testing.TB) *hops {
	t.Helper()
	h := new(hops)
	h.rewire(hopRules(t))
	return h
}

func TestHopIsToldOfBothServices(t *testing.T) {
	h := newHops(t)
	if got := h.read(logged("t", 0, "a", "A")); got != nil {
		t.Fatalf("the first line of a trace makes a hop: %v", got)
	}
	got := h.read(logged("t", 5, "b", "B"))
	if len(got) != 2 {
		t.Fatalf("%d events", len(got))
	}
	to, from := got[0], got[1]
	if to.Service != "b" || to.Hop.Side != "to" || to.Hop.Peer != "a" || to.Hop.GapMS != 5 || to.Hop.Step != "a/A > b/B" {
		t.Errorf("to: %s %+v", to.Service, to.Hop)
	}
	if from.Service != "a" || from.Hop.Side != "from" || from.Hop.Peer != "b" || from.Logger != "B" {
		t.Errorf("from: %s %+v", from.Service, from.Hop)
	}
	if e := evidenceOf(from, "member", ""); e.Service != "b" {
		t.Errorf("the line is said to be of %q", e.Service)
	}
	if got := h.read(logged("t", 9, "b", "C")); len(got) != 1 || got[0].Hop.Side != "to" || got[0].Hop.Peer != "" {
		t.Errorf("inside one service: %v", got)
	}
	if got := h.read(logged("t", 9, "b", "C")); got != nil {
		t.Errorf("a line recorded twice: %v", got)
	}
	if got := h.read(logged("other", 10, "b", "B")); got != nil {
		t.Errorf("another trace: %v", got)
	}
}

func TestHopReach(t *testing.T) {
	h := newHops(t)
	h.read(logged("t", 0, "a", "A"))
	if got := h.read(logged("t", 60_000, "a", "B")); len(got) != 1 {
		t.Errorf("after exactly a minute: %d events", len(got))
	}
	if got := h.read(logged("t", 120_001, "a", "B")); got != nil {
		t.Errorf("after more than a minute: %v", got)
	}
	h.read(logged("u", 200_000, "a", "A"))
	if len(h.traces) != 1 {
		t.Errorf("%d traces are remembered", len(h.traces))
	}
}

func TestHopLearns(t *testing.T) {
	h := newHops(t)
	step := func(i int, to string, gap int) *event.Hop {
		trace := fmt.Sprint("t", i)
		h.read(logged(trace, i*1000, "a", "A"))
		return h.read(logged(trace, i*1000+gap, "a", to))[0].Hop
	}
	if got := step(0, "B", 4); got.Known != 0 || got.Seen != 0 || got.UsualLogger != "" || got.Share != 0 {
		t.Errorf("nothing is known yet: %+v", got)
	}
	for i := 1; i < 8; i++ {
		step(i, "B", 4+i%2)
	}
	got := step(8, "C", 1)
	if got.Known != 8 || got.Seen != 0 || got.Share != 0 || got.UsualLogger != "B" || got.UsualService != "a" || got.UsualShare != 1 {
		t.Errorf("a new step: %+v", got)
	}
	got = step(9, "B", 50)
	if got.Seen != 8 || got.P50MS != 4.5 || got.P90MS != 5 || got.Share != 8.0/9 {
		t.Errorf("a known step: %+v", got)
	}
}

// A fault that lasts for a run of gaps does not change what is usually slow, and
// what is long ago is forgotten.
func TestHopForgets(t *testing.T) {
	h := newHops(t)
	n := 0
	step := func(to string, gap int) *event.Hop {
		n++
		trace := fmt.Sprint("t", n)
		h.read(logged(trace, n*1000, "a", "A"))
		return h.read(logged(trace, n*1000+gap, "a", to))[0].Hop
	}
	for range 100 {
		step("B", 4)
	}
	for range gapRun {
		step("B", 900)
	}
	if got := step("B", 4); got.P90MS != 4 || got.P50MS != 4 {
		t.Errorf("a fault became usual: %+v", got)
	}
	for range maxDepartures + 1 {
		step("C", 7)
	}
	got := step("B", 4)
	if got.Seen != 0 || got.Share != 0 || got.UsualLogger != "C" || got.UsualShare != 1 || got.Known != maxDepartures {
		t.Errorf("what was %d steps ago is remembered: %+v", maxDepartures, got)
	}
	d := h.known[statement{"a", "A"}]
	if len(d.list) != 2 || len(d.next) != 2 {
		t.Errorf("%d and %d arrivals", len(d.list), len(d.next))
	}
	if a := d.next[statement{"a", "C"}]; a.gaps.n != maxGaps || len(a.sorted) != maxGaps || a.runs.n != maxGaps/gapRun {
		t.Errorf("%d gaps, %d sorted, %d runs", a.gaps.n, len(a.sorted), a.runs.n)
	}
}

// Nor does one that sends everything another way for a while.
func TestHopShareOutlastsAFault(t *testing.T) {
	h := newHops(t)
	n := 0
	step := func(to string) *event.Hop {
		n++
		trace := fmt.Sprint("t", n)
		h.read(logged(trace, n*1000, "a", "A"))
		return h.read(logged(trace, n*1000+4, "a", to))[0].Hop
	}
	for range 5 * shareRun {
		step("B")
	}
	for range 3 * shareRun {
		step("C")
	}
	got := step("C")
	if got.Share != 0 || got.UsualLogger != "B" || got.UsualShare != 1 || got.Known != 8*shareRun {
		t.Errorf("a fault became usual: %+v", got)
	}
	for range 4 * shareRun {
		step("C")
	}
	if got := step("C"); got.Share != 1 || got.UsualLogger != "C" || got.UsualShare != 1 {
		t.Errorf("what lasts did not: %+v", got)
	}
}

func TestHopsAreBounded(t *testing.T) {
	h := newHops(t)
	for i := range maxStatements + 10 {
		h.departures(statement{"s", fmt.Sprint(i)})
	}
	if len(h.known) > maxStatements {
		t.Errorf("%d statements", len(h.known))
	}
	if h.known[statement{"s", "0"}] != nil || h.known[statement{"s", fmt.Sprint(maxStatements + 9)}] == nil {
		t.Error("not the stalest were forgotten")
	}
	for i := range maxTraces + 10 {
		h.read(logged(fmt.Sprint("t", i), 0, "a", "A"))
	}
	if len(h.traces) > maxTraces+1 {
		t.Errorf("%d traces", len(h.traces))
	}
}

// TestHopsSnapshot takes a snapshot after every event: what comes after is the
// same as without.
func TestHopsSnapshot(t *testing.T) {
	set := hopRules(t)
	m := set.Matcher()
	whole, cut := New(set, Options{}), New(set, Options{})
	var a, b []string
	note := func(to *[]string) func(*Transition) {
		return func(t *Transition) { *to = append(*to, fmt.Sprint(t.ChangedAt, t.State, t.Key, t.EventCount)) }
	}
	for i := range 60 {
		gap := 5
		if i%20 == 19 {
			gap = 500
		}
		trace := fmt.Sprint("t", i%3)
		for k, ev := range []*event.Event{logged(trace, i*1000, "a", "A"), logged(trace, i*1000+gap, "b", fmt.Sprint("B", i%2))} {
			whole.Push(ev, m.Match(ev, nil))
			cut.Push(ev, m.Match(ev, nil))
			whole.Advance(int64(i*1000+k)*int64(time.Millisecond), note(&a))
			cut.Advance(int64(i*1000+k)*int64(time.Millisecond), note(&b))
			var buf, again bytes.Buffer
			if err := cut.Snapshot(&buf); err != nil {
				t.Fatal(err)
			}
			restored, err := Restore(set, Options{}, bytes.NewReader(buf.Bytes()))
			if err != nil {
				t.Fatal(err)
			}
			if err := restored.Snapshot(&again); err != nil || !bytes.Equal(buf.Bytes(), again.Bytes()) {
				t.Fatalf("event %d: a restored engine's snapshot differs: %v", 2*i+k, err)
			}
			cut = restored
		}
	}
	whole.Finish(int64(time.Hour), note(&a))
	cut.Finish(int64(time.Hour), note(&b))
	if fmt.Sprint(a) != fmt.Sprint(b) || len(a) < 4 {
		t.Errorf("without snapshots\n%v\nwith\n%v", a, b)
	}
}

// FuzzHopsDecode gives what is read from a snapshot any content: it is refused, or
// works.
func FuzzHopsDecode(f *testing.F) {
	h := newHops(f)
	for i := range 90 {
		h.read(logged(fmt.Sprint("t", i%4), i*100, "a", [...]string{"A", "B", "C"}[i%3]))
	}
	e := newEncoder()
	h.encode(e)
	f.Add(e.buf)
	set := hopRules(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		var got hops
		d := &decoder{buf: data}
		if got.decode(d); d.err != nil {
			return
		}
		got.rewire(set)
		for i := range 700 {
			got.read(logged("t1", 10_000+i*100, "a", [...]string{"A", "B", "C"}[i%3]))
		}
		got.encode(newEncoder())
	})
}

func BenchmarkHops(b *testing.B) {
	h := newHops(b)
	b.ReportAllocs()
	for i := range b.N {
		h.read(logged(fmt.Sprint("t", i/20), i, "a", [...]string{"A", "B", "C"}[i%3]))
	}
}
