package pipeline

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"corral/correlate"
	"corral/ingest"
	"corral/internal/natstest"
	"corral/sinks"
)

// script is a source of one partition that hands over what a test says. Each step
// begins at its instant.
type script struct {
	clock *atomic.Int64
	steps []scripted
	acked atomic.Int64 // the last record released
}

type scripted struct {
	at    time.Time
	batch ingest.Batch
}

func (s *script) Partitions() []ingest.Partition {
	return []ingest.Partition{{Name: "stream:LOGS", Replay: true}}
}

func (s *script) Run(ctx context.Context, out func(ingest.Batch) error) error {
	for _, st := range s.steps {
		s.clock.Store(st.at.UnixNano())
		if n := len(st.batch.Records); n > 0 {
			last := int64(st.batch.Records[n-1].Seq)
			st.batch.Done = func() error { s.acked.Store(last); return nil }
		}
		if err := out(st.batch); err != nil {
			return err
		}
	}
	<-ctx.Done()
	return context.Cause(ctx)
}

// noSpace is a store that takes notes and no snapshots: a worker that uses it ends
// as one that was killed.
type noSpace struct{ *DirStore }

func (noSpace) Save(context.Context, []byte) error { return errors.New("no space left") }

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func record(seq uint64, at time.Duration, service string) ingest.Record {
	line := fmt.Sprintf(`{"time":%q,"level":"error","service":%q,"msg":"failed"}`, noon.Add(at).Format(time.RFC3339Nano), service)
	return ingest.Record{Data: []byte(line), Seq: seq, Observed: noon.Add(at).UnixNano()}
}

const countRules = `
version: 1
rules:
  - id: count
    match: level == "error"
    group_by: [service]
    threshold: {window: 30s, condition: count() >= 3}
`

// life runs a stream over steps and returns what it said. It ends when done says so.
func life(t *testing.T, store Store, steps []scripted, until func(s *Stream) bool) ([]*correlate.Transition, []sinks.DeadLetter, error) {
	t.Helper()
	sink, src := &collect{}, &script{clock: new(atomic.Int64), steps: steps}
	src.clock.Store(noon.UnixNano())
	var letters []sinks.DeadLetter
	s := &Stream{
		Rules: parseRules(t, countRules), Sources: []ingest.Source{src}, Sink: sink, Lateness: time.Second, Workers: 2,
		Dead:     func(_ context.Context, ds []sinks.DeadLetter) error { letters = append(letters, ds...); return nil },
		Counters: new(Counters), Now: func() time.Time { return time.Unix(0, src.clock.Load()) }, Log: slog.New(slog.DiscardHandler),
		Store: store, DrainTimeout: 100 * time.Millisecond,
	}
	if err := s.Init(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	natstest.Eventually(t, "the script is played", func() bool { return until(s) })
	cancel()
	err := <-done
	if err == nil && store != nil && src.acked.Load() != int64(s.core.parts[0].seq) {
		t.Errorf("acknowledged up to %d, applied up to %d", src.acked.Load(), s.core.parts[0].seq)
	}
	return sink.ts, letters, err
}

// TestReplayDecidesAsBefore: the clock moved the watermark of an idle stream, which
// made events late and ended incidents; then the worker is killed. A replay, which
// finds all records waiting, must decide every one of them as before.
func TestReplayDecidesAsBefore(t *testing.T) {
	at := func(d time.Duration) time.Time { return noon.Add(d) }
	idle := ingest.Batch{}
	steps := []scripted{
		{at(0), ingest.Batch{Records: []ingest.Record{record(1, 0, "a"), record(2, 0, "a")}}},
		{at(10 * time.Second), idle}, // the watermark is at 9 s now
		{at(12 * time.Second), ingest.Batch{Records: []ingest.Record{
			record(3, 5*time.Second, "a"), // late only because of the tick
			record(4, 11*time.Second, "a"), record(5, 11*time.Second, "b"),
		}}},
		{at(20 * time.Second), idle}, // fires: a has 3
		{at(21 * time.Second), ingest.Batch{Records: []ingest.Record{
			record(6, 12*time.Second, "b"), record(7, 13*time.Second, "b"), // both late
			record(8, 20*time.Second, "b"),
		}}},
		{at(3 * time.Minute), idle}, // a resolves
	}
	until := func(s *Stream) bool { return s.Counters.Resolved.Load() == 1 }
	dir := t.TempDir()
	killed, letters, err := life(t, noSpace{&DirStore{Dir: dir}}, steps, until)
	if err == nil {
		t.Fatal("the worker was to end as if it were killed")
	}
	if len(killed) != 2 || killed[0].EventCount != 3 || len(letters) != 3 {
		t.Fatalf("the story is not what it should be: %d transitions, %d letters", len(killed), len(letters))
	}
	var all []ingest.Record
	for _, st := range steps {
		all = append(all, st.batch.Records...)
	}
	for _, cut := range []int{0, 1, 2, 3, 5, 7} {
		again := []scripted{{at(time.Hour), ingest.Batch{Records: all[:cut], Pending: int64(len(all) - cut)}}, {at(time.Hour), ingest.Batch{Records: all[cut:]}}, {at(time.Hour), idle}}
		replayed, dead, _ := life(t, noSpace{&DirStore{Dir: dir}}, again, until)
		if d := cmp.Diff(bare(t, killed), bare(t, replayed)); d != "" {
			t.Errorf("cut at %d (-killed +replayed):\n%s", cut, d)
		}
		if d := cmp.Diff(letters, dead); d != "" {
			t.Errorf("cut at %d, dead letters (-killed +replayed):\n%s", cut, d)
		}
	}
	// Without the notes the same replay says something else: they are what counts.
	forgetful, _, _ := life(t, nil, []scripted{{at(time.Hour), ingest.Batch{Records: all}}, {at(time.Hour), idle}}, func(s *Stream) bool {
		return s.Counters.Resolved.Load() == s.Counters.Opened.Load() && s.Counters.Opened.Load() > 0
	})
	if cmp.Equal(bare(t, killed), bare(t, forgetful)) {
		t.Error("the notes made no difference: this test proves nothing")
	}
}

// TestDamagedSnapshotGivesWay: the last two snapshots are damaged, one by
// a flipped bit, one by being something else; the one before them is used, the
// stream read again from there, and the result is that of an undisturbed run.
func TestDamagedSnapshotGivesWay(t *testing.T) {
	set, lines := parseRules(t, shopRules), shop()
	want, lane := runBatch(t, set, lines, 1, 5*time.Second)
	srv := natstest.Start(t, natstest.JetStream())
	publish(t, srv, lines)
	store := &DirStore{Dir: t.TempDir()}
	first, _ := live(t, srv, set, store, func(s *Stream) bool { return s.Counters.Events.Load() >= 300 })
	names, err := store.names(snapshotSuffix)
	if err != nil || len(names) == 0 {
		t.Fatalf("snapshots: %v %v", names, err)
	}
	good, err := os.ReadFile(filepath.Join(store.Dir, names[0]))
	if err != nil {
		t.Fatal(err)
	}
	good[rand.IntN(len(good))] ^= 1
	for _, bad := range []string{string(good), "PK\x03\x04 something else altogether"} {
		if err := store.Save(t.Context(), []byte(bad)); err != nil {
			t.Fatal(err)
		}
	}
	var log strings.Builder
	again, _ := liveLogged(t, srv, set, &DirStore{Dir: store.Dir}, slog.New(slog.NewTextHandler(&log, nil)), func(s *Stream) bool {
		return passed(t, s, lane.Counters.MaxEventTime.Load())
	})
	if n := strings.Count(log.String(), "snapshot refused, trying the one before"); n != 2 {
		t.Errorf("%d snapshots refused, want 2:\n%s", n, log.String())
	}
	for _, reason := range []string{"checksum does not fit", "not a corral snapshot"} {
		if !strings.Contains(log.String(), reason) {
			t.Errorf("the log does not say %q:\n%s", reason, log.String())
		}
	}
	compareLive(t, want.ts, merge(t, first.ts, again.ts))
}

// passed reports whether the watermark has passed an instant for good: everything
// was read, and the clock moves it.
func passed(t *testing.T, s *Stream, at int64) (ok bool) {
	t.Helper()
	if err := s.Do(t.Context(), func() { ok = s.eng.Watermark() > at+int64(24*time.Hour) }); err != nil {
		t.Fatal(err)
	}
	return ok
}

// merge is what a receiver that drops what it has makes of two lives; the same
// revision with another content fails the test.
func merge(t *testing.T, lives ...[]*correlate.Transition) (all []*correlate.Transition) {
	t.Helper()
	had := map[string]string{}
	for _, ts := range lives {
		for i, line := range bare(t, ts) {
			id := fmt.Sprintf("%s.%d", ts[i].IncidentID, ts[i].Rev)
			if was, ok := had[id]; !ok {
				had[id] = line
				all = append(all, ts[i])
			} else if was != line {
				t.Errorf("%s was decided anew:\n%s", id, cmp.Diff(was, line))
			}
		}
	}
	return all
}

// TestAllSnapshotsDamaged: nothing usable is an error, not a beginning from nothing.
func TestAllSnapshotsDamaged(t *testing.T) {
	dir := t.TempDir()
	for i := range 3 {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("%016d.snapshot", i+1)), []byte("CORRALST but no more"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s := &Stream{Rules: parseRules(t, countRules), Store: &DirStore{Dir: dir}, Log: slog.New(slog.DiscardHandler), Now: time.Now, Counters: new(Counters)}
	err := s.Init(t.Context())
	if err == nil || strings.Count(err.Error(), ".snapshot: ") != 3 {
		t.Errorf("want an error that names all three: %v", err)
	}
}

func TestSteadyClock(t *testing.T) {
	start := time.Now()
	wall := start
	c := &steadyClock{now: func() time.Time { return wall }}
	c.read()
	for _, step := range []struct {
		what     string
		wall     time.Time
		observed int64
		want     time.Time
	}{
		{"time passes", start.Add(time.Minute), 0, start.Add(time.Minute)},
		{"set back", start.Add(time.Minute).Round(0).Add(-time.Hour), 0, start.Add(time.Minute - time.Hour)},
		{"a server's clock that is behind says nothing", start.Add(2 * time.Minute), start.UnixNano(), start.Add(2 * time.Minute)},
		{"a server's clock that is ahead, the wall clock still behind", start.Add(3 * time.Minute), start.Add(time.Hour).UnixNano(), start.Add(3 * time.Minute)},
	} {
		wall = step.wall
		if step.observed != 0 {
			c.observe(step.observed)
		}
		if got := c.read(); got != step.want.UnixNano() {
			t.Errorf("%s: %v, want %v", step.what, time.Unix(0, got).UTC(), step.want.UTC())
		}
	}
	// The wall clock jumps, the monotonic one does not: a reading says both, and only
	// one of them can be set. What a server says makes up for it.
	jumped := &steadyClock{now: func() time.Time { return time.Now().Round(0).Add(6 * time.Hour) }}
	jumped.start = time.Now()
	if got := time.Unix(0, jumped.read()); time.Until(got) < 5*time.Hour {
		t.Error("without a monotonic reading the wall clock is all there is")
	}
}

// TestProblemsAreIncidents: what is wrong with the worker itself opens, is said
// anew, and resolves, once each, over restarts too.
func TestProblemsAreIncidents(t *testing.T) {
	dir := t.TempDir()
	bad := func(why string) []Problem {
		return []Problem{{Rule: "corral-rules-stale", Key: [2]string{"file", "a.yaml"}, Title: "stale", Summary: why, File: "a.yaml", Line: 3}}
	}
	var said []*correlate.Transition
	var total uint64
	for _, problems := range [][]Problem{nil, bad("line 3"), bad("line 3"), bad("line 4"), bad("line 4"), nil, nil} {
		sink := &collect{}
		s := &Stream{
			Rules: parseRules(t, countRules), Sources: []ingest.Source{&script{clock: new(atomic.Int64)}}, Sink: sink, Workers: 1, Counters: new(Counters),
			Now: time.Now, Log: slog.New(slog.DiscardHandler), Store: &DirStore{Dir: dir},
		}
		if err := s.Init(t.Context()); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- s.Run(ctx) }()
		if _, err := s.Reload(ctx, nil, problems); err != nil {
			t.Fatal(err)
		}
		cancel()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		said = append(said, sink.ts...)
		total += s.Counters.Transitions.Load()
	}
	var got []string
	for _, tr := range said {
		got = append(got, fmt.Sprint(tr.Rev, " ", tr.State, " ", tr.Cause, " ", tr.Notified, " ", tr.Summary, " ", tr.Key["file"]))
	}
	want := []string{"1 open condition true line 3 a.yaml", "2 open text false line 4 a.yaml", "3 resolved clear_event true line 4 a.yaml"}
	if d := cmp.Diff(want, got); d != "" || total != 3 {
		t.Errorf("%d transitions (-want +got):\n%s", total, d)
	}
	if said[0].IncidentID != said[2].IncidentID {
		t.Error("not one incident")
	}
}

// TestStreamMadeAgain: a stream is deleted while the worker is away and made again
// with more messages than the old one had. The sequences of the snapshot mean other
// messages now: all of the new ones are read.
func TestStreamMadeAgain(t *testing.T) {
	set, lines := parseRules(t, shopRules), shop()
	srv := natstest.Start(t, natstest.JetStream())
	store := &DirStore{Dir: t.TempDir()}
	publish(t, srv, lines[:50])
	_, n := live(t, srv, set, store, func(s *Stream) bool { return s.Counters.Events.Load() == 50 })
	if n != 50 {
		t.Fatalf("%d events", n)
	}
	if err := srv.JetStream().DeleteStream(t.Context(), "LOGS"); err != nil {
		t.Fatal(err)
	}
	publish(t, srv, lines[50:250])
	if _, n = live(t, srv, set, store, func(s *Stream) bool { return s.Counters.Events.Load() >= 200 }); n != 200 {
		t.Errorf("%d events of the new stream were read, want 200", n)
	}
	if _, n = live(t, srv, set, store, func(s *Stream) bool { return passed(t, s, 0) }); n != 0 {
		t.Errorf("%d events were read again", n)
	}
}
