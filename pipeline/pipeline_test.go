package pipeline

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"corral/correlate"
	"corral/ingest"
	"corral/ingest/decode"
	"corral/ingest/jetstream"
	"corral/internal/natstest"
	"corral/rules"
	"corral/sinks"
)

const shopRules = `
version: 1
rules:
  - id: errors
    title: "{{ count() }} errors of {{ service }}"
    severity: [{when: 'count() >= 8', is: critical}, {is: error}]
    match: level == "error"
    group_by: [service]
    threshold: {window: 30s, condition: count() >= 3}
  - id: silent
    match: message == "heartbeat"
    group_by: [service]
    absence: {every: 20s}
  - id: deploy-then-errors
    group_by: [service]
    sequence:
      within: 2m
      steps:
        - {name: deploy, match: message == "deploy"}
        - {name: failed, match: level == "error", times: 2}
  - id: both
    from: incidents
    match: incident.rule == "errors" && incident.state == "open"
    threshold: {window: 10m, condition: distinct(incident.key.service) >= 2}
`

func parseRules(t testing.TB, text string) *rules.Set {
	t.Helper()
	set, diags := rules.Parse([]rules.File{{Name: "test.yaml", Data: []byte(text)}})
	if set == nil {
		var b strings.Builder
		_ = rules.FormatText(&b, diags, rules.TextStyle{})
		t.Fatal(b.String())
	}
	return set
}

// shop is half an hour of three services: heartbeats, bursts of errors, deploys,
// out of order by up to three seconds, each line with its own time.
func shop() []string {
	var lines []string
	start := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	add := func(at time.Duration, service, level, msg string) {
		lines = append(lines, fmt.Sprintf(`{"time":%q,"level":%q,"service":%q,"msg":%q}`, start.Add(at).Format(time.RFC3339Nano), level, service, msg))
	}
	for s := range 1800 {
		at := time.Duration(s) * time.Second
		for i, service := range []string{"cart", "pay", "stock"} {
			jitter := time.Duration((s*7+i*3)%31) * 100 * time.Millisecond
			if s%10 == 0 && (s < 600 || s > 700 || i != 1) {
				add(at-jitter, service, "INFO", "heartbeat")
			}
			if s%300 > 280-i*20 && s%2 == 0 {
				add(at-jitter, service, "ERROR", "it failed")
			}
			if s%600 == 250 {
				add(at, service, "INFO", "deploy")
			}
		}
	}
	return lines
}

// collect is a sink that keeps what it gets.
type collect struct{ ts []*correlate.Transition }

func (c *collect) Write(_ context.Context, ts []*correlate.Transition) error {
	c.ts = append(c.ts, ts...)
	return nil
}

func (c *collect) Close() error { return nil }

// bare is what must not differ between two runs over the same events: all but
// provenance.
func bare(t testing.TB, ts []*correlate.Transition) []string {
	t.Helper()
	var out []string
	for _, tr := range ts {
		c := *tr
		if lag := c.DetectedAt.Sub(c.ChangedAt).Milliseconds(); c.DetectLagMS != lag {
			t.Errorf("%s rev %d: detect_lag_ms is %d, detected_at - changed_at %d", c.IncidentID, c.Rev, c.DetectLagMS, lag)
		}
		c.DetectedAt, c.DetectLagMS, c.Mode, c.RunID = time.Time{}, 0, "", ""
		c.InputFirstSeq, c.InputLastSeq, c.TruncatedEnd = 0, 0, false
		data, err := json.Marshal(&c)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, string(data))
	}
	return out
}

func runBatch(t testing.TB, set *rules.Set, lines []string, workers int, lateness time.Duration) (*collect, *Lane) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "events.ndjson")
	if err := os.WriteFile(path, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	src, err := ingest.NewFiles([]string{path}, ingest.FileOptions{Cut: decode.SafeCut})
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	sink := &collect{}
	lane := &Lane{Rules: set, Sink: sink}
	b := Batch{Lanes: []*Lane{lane}, Source: src, Dead: func(sinks.DeadLetter) {}, Lateness: lateness, Workers: workers, Shards: workers, Now: time.Now}
	if err := b.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	return sink, lane
}

// live runs a Stream over a real JetStream stream until it has come far enough,
// and returns what it said and how many events it took.
func live(t testing.TB, srv *natstest.Server, set *rules.Set, store Store, until func(s *Stream) bool) (*collect, uint64) {
	t.Helper()
	return liveLogged(t, srv, set, store, slog.New(slog.DiscardHandler), until)
}

func liveLogged(t testing.TB, srv *natstest.Server, set *rules.Set, store Store, log *slog.Logger, until func(s *Stream) bool) (*collect, uint64) {
	t.Helper()
	sink := &collect{}
	src, err := jetstream.New(srv.JetStream(), jetstream.Config{Streams: []string{"LOGS"}, Durable: "corral", Tick: 100 * time.Millisecond, Pull: 100})
	if err != nil {
		t.Fatal(err)
	}
	s := &Stream{
		Rules: set, Sources: []ingest.Source{src}, Sink: sink, Lateness: 5 * time.Second,
		Workers: 2, Counters: new(Counters), Now: time.Now, Log: log, Store: store, SnapshotSize: 50,
	}
	if err := s.Init(t.Context()); err != nil {
		t.Fatal(err)
	}
	src.Resume(s.Positions())
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	natstest.Eventually(t, "the stream is read", func() bool { return until(s) })
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if err := src.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	return sink, s.Counters.Events.Load()
}

func publish(t testing.TB, srv *natstest.Server, lines []string) {
	t.Helper()
	srv.Stream("LOGS", "logs.>")
	js := srv.JetStream()
	for i, l := range lines {
		if _, err := js.PublishAsync(fmt.Sprintf("logs.%d", i%3), []byte(l)); err != nil {
			t.Fatal(err)
		}
	}
	select {
	case <-js.PublishAsyncComplete():
	case <-t.Context().Done():
		t.Fatal("publish")
	}
}

// TestStreamEqualsBatch is the promise everything rests on: the same events give
// the same transitions, byte for byte, from a real stream and from a file, on any
// number of workers.
func TestStreamEqualsBatch(t *testing.T) {
	set, lines := parseRules(t, shopRules), shop()
	want, lane := runBatch(t, set, lines, 1, 5*time.Second)
	if n := lane.Counters.Late.Load(); n > 0 {
		t.Fatalf("%d events are late", n)
	}
	if len(want.ts) < 30 {
		t.Fatalf("only %d transitions: the story is too quiet to prove anything", len(want.ts))
	}
	for _, workers := range []int{2, 4} {
		got, _ := runBatch(t, set, lines, workers, 5*time.Second)
		if d := cmp.Diff(bare(t, want.ts), bare(t, got.ts)); d != "" {
			t.Errorf("%d workers (-1 +%d):\n%s", workers, workers, d)
		}
	}
	srv := natstest.Start(t, natstest.JetStream())
	publish(t, srv, lines)
	got, _ := live(t, srv, set, nil, func(s *Stream) bool {
		return s.Counters.Events.Load() == uint64(len(lines)) && s.Counters.Transitions.Load() >= uint64(len(want.ts))
	})
	compareLive(t, want.ts, got.ts)
}

// compareLive compares a live run, whose clock went on after the last event, with
// a batch run that ended there.
func compareLive(t *testing.T, batch, live []*correlate.Transition) {
	t.Helper()
	end := batch[len(batch)-1].ChangedAt
	n := slices.IndexFunc(live, func(t *correlate.Transition) bool { return t.ChangedAt.After(end) })
	if n >= 0 {
		live = live[:n]
	}
	if d := cmp.Diff(bare(t, batch), bare(t, live)); d != "" {
		t.Errorf("live differs (-batch +live):\n%s", d)
	}
}

// TestRestartGoesOn stops the worker again and again; what it says in all is what
// an undisturbed run says.
func TestRestartGoesOn(t *testing.T) {
	set, lines := parseRules(t, shopRules), shop()
	want, lane := runBatch(t, set, lines, 1, 5*time.Second)
	srv := natstest.Start(t, natstest.JetStream())
	publish(t, srv, lines)
	store := &DirStore{Dir: t.TempDir()}
	var got []*correlate.Transition
	var seen uint64
	for seen < uint64(len(lines)) {
		part, n := live(t, srv, set, store, func(s *Stream) bool {
			n := s.Counters.Events.Load()
			return n >= 300 || seen+n >= uint64(len(lines))
		})
		seen += n
		got = append(got, part.ts...)
	}
	last, n := live(t, srv, set, store, func(s *Stream) bool { return passed(t, s, lane.Counters.MaxEventTime.Load()) })
	if seen+n != uint64(len(lines)) {
		t.Errorf("%d events took effect, %d were published", seen+n, len(lines))
	}
	got = append(got, last.ts...)
	compareLive(t, want.ts, got)
}

func TestLateIsDecidedPerPartition(t *testing.T) {
	set := parseRules(t, shopRules)
	lines := []string{
		`{"time":"2026-03-01T12:00:00Z","level":"ERROR","service":"a","msg":"1"}`,
		`{"time":"2026-03-01T12:00:20Z","level":"ERROR","service":"a","msg":"2"}`,
		`{"time":"2026-03-01T12:00:09.999999999Z","level":"ERROR","service":"a","msg":"late by a nanosecond"}`,
		`{"time":"2026-03-01T12:00:10Z","level":"ERROR","service":"a","msg":"just in time"}`,
	}
	path := filepath.Join(t.TempDir(), "events.ndjson")
	if err := os.WriteFile(path, []byte(strings.Join(lines, "\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	src, err := ingest.NewFiles([]string{path}, ingest.FileOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	sink, lane := &collect{}, &Lane{Rules: set}
	lane.Sink = sink
	var dead []sinks.DeadLetter
	b := Batch{Lanes: []*Lane{lane}, Source: src, Dead: func(d sinks.DeadLetter) { dead = append(dead, d) }, Lateness: 10 * time.Second, Workers: 1, Now: time.Now}
	if err := b.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(dead) != 1 || dead[0].Reason != "late" || dead[0].Seq != 3 || !strings.Contains(dead[0].Data, "by a nanosecond") {
		t.Errorf("dead letters: %+v", dead)
	}
	if len(sink.ts) != 1 || sink.ts[0].EventCount != 3 || !sink.ts[0].TruncatedEnd {
		t.Errorf("want one incident of 3 events, truncated at the end: %+v", sink.ts)
	}
}

func TestDirStoreFallsBack(t *testing.T) {
	d := &DirStore{Dir: filepath.Join(t.TempDir(), "state"), Keep: 2}
	try := func(want ...string) {
		t.Helper()
		var tried []string
		err := d.Load(t.Context(), func(_ string, data []byte, _ [][]byte) error {
			tried = append(tried, string(data))
			if strings.HasPrefix(string(data), "bad") {
				return errors.New("bad")
			}
			return nil
		})
		if d := cmp.Diff(want, tried); d != "" {
			t.Errorf("%s (error %v)", d, err)
		}
	}
	if err := d.Load(t.Context(), nil); !errors.Is(err, ErrNoSnapshot) {
		t.Fatalf("empty store: %v", err)
	}
	for _, s := range []string{"1", "2", "bad 3"} {
		if err := d.Save(t.Context(), []byte(s)); err != nil {
			t.Fatal(err)
		}
	}
	try("bad 3", "2")
	again := &DirStore{Dir: d.Dir, Keep: 2}
	if err := again.Save(t.Context(), []byte("4")); err != nil {
		t.Fatal(err)
	}
	try("4")
}

// TestSnapshotRefused: whatever is done to a snapshot's bytes, it is refused and
// nothing panics.
func TestSnapshotRefused(t *testing.T) {
	s := NewSession(parseRules(t, shopRules), time.Second, correlate.Options{}, decode.Options{})
	for i, l := range shop()[:400] {
		s.Feed(ingest.Record{Data: []byte(l), Seq: uint64(i + 1)}, 0)
	}
	data, err := s.core.snapshot(header{Gen: 7})
	if err != nil {
		t.Fatal(err)
	}
	if h, _, err := open(data); err != nil || h.Gen != 7 || h.Parts[0].Seq != 400 {
		t.Fatalf("%+v, %v", h, err)
	}
	for i := range data {
		bad := bytes.Clone(data)
		bad[i] ^= 0x41
		if _, _, err := open(bad); err == nil {
			t.Fatalf("byte %d changed and not noticed", i)
		}
	}
	for n := range data {
		if _, _, err := open(data[:n]); err == nil {
			t.Fatalf("cut at %d and not noticed", n)
		}
	}
}

func TestHoldbackMarksOnlyTheLastWord(t *testing.T) {
	tr := func(id string, rev int, state string) *correlate.Transition {
		return &correlate.Transition{IncidentID: id, Rev: rev, State: state}
	}
	var h holdback
	a1, b1, a2, b2, c1 := tr("a", 1, "open"), tr("b", 1, "open"), tr("a", 2, "open"), tr("b", 2, "resolved"), tr("c", 1, "open")
	h.add(a1)
	h.add(b1)
	if got := h.ready(); len(got) != 0 {
		t.Errorf("a1 may be the last word: %v", got)
	}
	h.add(a2)
	if got := h.ready(); len(got) != 1 || got[0] != a1 {
		t.Errorf("a1 is not: %v", got)
	}
	h.written()
	h.add(b2)
	h.add(c1)
	h.end()
	got := h.ready()
	if !slices.Equal(got, []*correlate.Transition{b1, a2, b2, c1}) {
		t.Errorf("order: %v", got)
	}
	if a1.TruncatedEnd || b1.TruncatedEnd || b2.TruncatedEnd || !a2.TruncatedEnd || !c1.TruncatedEnd {
		t.Error("only a2 and c1 are open at the end")
	}
}
