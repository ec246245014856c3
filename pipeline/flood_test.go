package pipeline

import (
	"context"
	"flag"
	"fmt"
	"io"
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"corral/correlate"
	"corral/ingest"
	"corral/ingest/decode"
	"corral/sinks"
)

// floodKeys is how many distinct keys the flood has; 10,000,000 are for a run by
// hand: go test ./pipeline -run Flood -flood 10000000 -v
var floodKeys = flag.Int("flood", 120_000, "distinct keys of TestFlood")

const floodRules = `
version: 1
rules:
  - id: per-user
    match: level == "error"
    group_by: [attrs.user.id]
    limits: {groups: 100000000}
    threshold: {window: 24h, condition: count() >= 3}
  - id: per-user-sequence
    group_by: [attrs.user.id]
    limits: {groups: 100000000}
    sequence:
      within: 24h
      steps:
        - {name: failed, match: level == "error"}
        - {name: done, match: message == "done"}
  - id: quiet-one
    match: level == "fatal"
    group_by: [service]
    keep_firing_for: 10s
    threshold: {window: 1m, condition: count() >= 3}
`

// flood is a source whose every record has another user; each 1000th is of the one
// that must not be overlooked.
type flood struct{ n, at int }

func (f *flood) Partitions() []ingest.Partition { return []ingest.Partition{{Name: "flood"}} }
func (f *flood) Head(context.Context, int) (ingest.Batch, error) {
	return ingest.Batch{}, io.EOF
}

func (f *flood) Next(context.Context, int) (ingest.Batch, error) {
	if f.at == f.n {
		return ingest.Batch{}, io.EOF
	}
	var b ingest.Batch
	for range min(1000, f.n-f.at) {
		f.at++
		at := noon.Add(time.Duration(f.at) * time.Millisecond).Format(time.RFC3339Nano)
		line := `{"time":"` + at + `","level":"error","service":"login","user":{"id":"u` + strconv.Itoa(f.at) + `"},"msg":"refused"}`
		if f.at%1000 == 0 && f.at/1000%100 < 3 {
			line = `{"time":"` + at + `","level":"fatal","service":"pay","msg":"out of money"}`
		}
		b.Records = append(b.Records, ingest.Record{Data: []byte(line), Seq: uint64(f.at)})
	}
	b.End = f.at == f.n
	return b, nil
}

// TestFlood: rules whose keys are made up by whoever sends the events fill the
// memory they are given and no more, and the rule beside them sees everything.
func TestFlood(t *testing.T) {
	const limit, step = 32 << 20, 12 << 20 // the state is looked at every few thousand keys
	sink := &collect{}
	lane := &Lane{Rules: parseRules(t, floodRules), Sink: sink}
	most, began := 0, time.Now()
	b := Batch{
		Lanes: []*Lane{lane}, Source: &flood{n: *floodKeys}, Dead: func(d sinks.DeadLetter) { t.Error(d.Reason, d.Error) },
		Lateness: time.Second, Workers: 2, MaxBytes: limit, Now: time.Now,
	}
	n := 0
	b.Progress = func() {
		if n++; n%50 == 0 {
			most = max(most, lane.Engine.Stats().Bytes)
		}
	}
	if err := b.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	took := time.Since(began)
	st := lane.Engine.Stats()
	var evicted uint64
	for _, r := range st.Rules {
		evicted += r.Evicted
	}
	if evicted == 0 || most > limit+step {
		t.Errorf("%d keys evicted; the state took %d bytes, the limit is %d", evicted, most, limit)
	}
	var opened []string
	for _, tr := range sink.ts {
		if tr.Rev == 1 {
			opened = append(opened, fmt.Sprint(tr.RuleID, " ", tr.OpenedAt.Sub(noon).Round(time.Second), " ", tr.EventCount))
		}
	}
	var want []string
	for at := 102; at*1000 <= *floodKeys; at += 100 {
		want = append(want, fmt.Sprint("quiet-one ", time.Duration(at)*time.Second, " 3"))
	}
	if st.Rules[2].Evicted != 0 || !cmp.Equal(want, opened) || len(opened) == 0 {
		t.Errorf("the rule beside was disturbed: %d evicted\n%s", st.Rules[2].Evicted, cmp.Diff(want, opened))
	}
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	t.Logf("%d keys in %v, %.0f/s: %d evicted, state at most %d MiB of %d, heap now %d MiB, from the system %d MiB, %d incidents",
		*floodKeys, took.Round(time.Millisecond), float64(*floodKeys)/took.Seconds(), evicted, most>>20, limit>>20, m.HeapAlloc>>20, m.Sys>>20, len(opened))
}

// BenchmarkSnapshot is how long the stream stands still for a snapshot; ms-beside is
// how long encoding it takes then, while the stream goes on.
func BenchmarkSnapshot(b *testing.B) {
	for _, keys := range []int{10_000, 100_000, 1_000_000} {
		for id, text := range map[string]string{"count": `
  - id: count
    match: level == "error"
    group_by: [attrs.user.id]
    limits: {groups: 10000000}
    threshold: {window: 24h, condition: count() >= 3}
`, "sequence": `
  - id: sequence
    group_by: [attrs.user.id]
    limits: {groups: 10000000}
    sequence:
      within: 24h
      steps:
        - {name: failed, match: level == "error"}
        - {name: done, match: message == "done"}
`} {
			b.Run(fmt.Sprintf("%s/%d", id, keys), func(b *testing.B) {
				s := NewSession(parseRules(b, "version: 1\nrules:"+text), time.Second, correlate.Options{}, decode.Options{})
				src := &flood{n: keys}
				for {
					batch, err := src.Next(b.Context(), 0)
					if err != nil {
						break
					}
					s.core.apply(s.prep.prepare(batch, "session"))
				}
				b.ResetTimer()
				var encode func(int) ([]byte, error)
				for b.Loop() {
					var err error
					if encode, err = s.core.freeze(header{Gen: 1}); err != nil {
						b.Fatal(err)
					}
				}
				b.StopTimer()
				began := time.Now()
				data, err := encode(0)
				if err != nil {
					b.Fatal(err)
				}
				b.ReportMetric(float64(len(data)), "bytes")
				b.ReportMetric(float64(time.Since(began).Milliseconds()), "ms-beside")
			})
		}
	}
}
