package pipeline

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"corral/ingest"
	"corral/internal/natstest"
	"corral/sinks"
)

// watch is a source whose machine has two clocks: one that people and protocols
// set, and one that only runs.
type watch struct {
	set   func(passed time.Duration) time.Duration // by how much the wall clock is off
	wall  atomic.Int64
	runs  atomic.Int64
	steps []watched
}

type watched struct {
	at     time.Duration // since noon
	events int
}

func (w *watch) Partitions() []ingest.Partition { return []ingest.Partition{{Name: "stream:LOGS"}} }

func (w *watch) Run(ctx context.Context, out func(ingest.Batch) error) error {
	var seq uint64
	for _, st := range w.steps {
		w.runs.Store(int64(st.at))
		w.wall.Store(noon.Add(st.at + w.set(st.at)).UnixNano())
		var b ingest.Batch
		for range st.events {
			seq++
			b.Records = append(b.Records, record(seq, st.at, "pay"))
		}
		if err := out(b); err != nil {
			return err
		}
	}
	<-ctx.Done()
	return context.Cause(ctx)
}

// TestClockIsSet: while a worker runs, its wall clock is set forward by hours, and
// back by hours, and right again. Nothing is late for that, and nothing decided
// otherwise.
func TestClockIsSet(t *testing.T) {
	told := func(set func(time.Duration) time.Duration) (told []string) {
		w := &watch{set: set, steps: []watched{
			{0, 1},
			{time.Second, 2},
			{5 * time.Second, 0},
			{6 * time.Second, 1},
			{9 * time.Second, 0},
			{12 * time.Second, 1},
			{20 * time.Second, 0},
			{25 * time.Second, 3},
			{30 * time.Second, 0},
			{90 * time.Second, 0},
			{100 * time.Second, 3},
			{200 * time.Second, 0},
			{300 * time.Second, 0},
		}}
		w.wall.Store(noon.UnixNano())
		sink, start := &collect{}, noon
		s := &Stream{
			Rules: parseRules(t, countRules), Sources: []ingest.Source{w}, Sink: sink, Lateness: time.Second, Workers: 2, Counters: new(Counters),
			Dead: func(_ context.Context, ds []sinks.DeadLetter) error {
				for _, d := range ds {
					told = append(told, d.Reason+" "+d.Data)
				}
				return nil
			},
			Now:   func() time.Time { return time.Unix(0, w.wall.Load()) },
			since: func(_, _ time.Time) time.Duration { return time.Duration(w.runs.Load()) },
			Log:   slog.New(slog.DiscardHandler), DrainTimeout: time.Minute,
		}
		if err := s.Init(t.Context()); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- s.Run(ctx) }()
		natstest.Eventually(t, "the last event has been forgotten", func() bool {
			return w.runs.Load() == int64(300*time.Second) && s.Stats().Watermark.After(start.Add(250*time.Second))
		})
		cancel()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		for _, tr := range sink.ts {
			told = append(told, fmt.Sprintf("%s.%d %s %s %d", tr.IncidentID, tr.Rev, tr.State, tr.ChangedAt.Format(time.RFC3339Nano), tr.EventCount))
		}
		return told
	}
	want := told(func(time.Duration) time.Duration { return 0 })
	if len(want) != 4 {
		t.Fatalf("undisturbed: %q", want)
	}
	off := func(by, from, to time.Duration) func(time.Duration) time.Duration {
		return func(at time.Duration) time.Duration {
			if at < from || at > to {
				return 0
			}
			return by
		}
	}
	for what, set := range map[string]func(time.Duration) time.Duration{
		"forward and right again": off(6*time.Hour, 2*time.Second, 10*time.Second),
		"forward for good":        off(6*time.Hour, 2*time.Second, time.Hour),
		"back and right again":    off(-6*time.Hour, 2*time.Second, 250*time.Second),
		"to and fro": func(at time.Duration) time.Duration {
			return off(3*time.Hour, 5*time.Second, 10*time.Second)(at) + off(-3*time.Hour, 11*time.Second, 250*time.Second)(at)
		},
	} {
		t.Run(what, func(t *testing.T) {
			if d := cmp.Diff(want, told(set)); d != "" {
				t.Errorf("-undisturbed +set:\n%s", d)
			}
		})
	}
}
