// Package sinktest proves of any sink what the pipeline relies on.
package sinktest

import (
	stdcmp "cmp"
	"context"
	"encoding/base32"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"corral/correlate"
	"corral/sinks"
)

// Target is a sink under test and a look at what it delivered to.
type Target struct {
	Sink sinks.Sink
	// Read returns what a reader of the receiver sees: each revision once, those
	// of an incident in order. nil: the sink cannot be read back.
	Read func(t *testing.T) []*correlate.Transition
	// Poison makes the sink refuse a transition for good. nil: none can.
	Poison func(*correlate.Transition)
}

// Run proves order, idempotence, permanent errors, and that Close may be called
// twice. open returns a new sink with an empty receiver each time.
func Run(t *testing.T, open func(t *testing.T) Target) {
	t.Run("order", func(t *testing.T) {
		x, want := open(t), Transitions(40)
		for part := range slices.Chunk(want, 7) {
			write(t, x, part)
		}
		x.expect(t, want)
	})
	t.Run("idempotence", func(t *testing.T) {
		x, want := open(t), Transitions(30)
		write(t, x, want[:20])
		write(t, x, want[:20])  // the whole batch again
		write(t, x, want[10:])  // a replay from the middle
		write(t, x, want[5:15]) // and an old one
		x.expect(t, want)
	})
	t.Run("nothing", func(t *testing.T) {
		x := open(t)
		write(t, x, nil)
		x.expect(t, nil)
	})
	t.Run("permanent", func(t *testing.T) {
		x, ts := open(t), Transitions(9)
		if x.Poison == nil {
			t.Skip("nothing is refused")
		}
		x.Poison(ts[4])
		err := x.Sink.Write(t.Context(), ts[4:5])
		if !sinks.IsPermanent(err) {
			t.Fatalf("poison: got %v, want a permanent error", err)
		}
		good := slices.Delete(slices.Clone(ts), 4, 5)
		write(t, x, good) // the sink is none the worse for it
		x.expect(t, good)
	})
	t.Run("cancelled", func(t *testing.T) {
		x := open(t)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		ts := Transitions(5)
		if err := x.Sink.Write(ctx, ts); sinks.IsPermanent(err) {
			t.Errorf("a cancelled write is permanent: %v", err)
		}
		write(t, x, ts)
		x.expect(t, ts)
	})
	t.Run("close", func(t *testing.T) {
		x, ts := open(t), Transitions(5)
		write(t, x, ts)
		for range 2 {
			if err := x.Sink.Close(); err != nil {
				t.Fatal("close:", err)
			}
		}
		x.expect(t, ts)
		if err := x.Sink.Write(t.Context(), ts); err == nil {
			t.Error("a closed sink accepts transitions")
		}
	})
}

func write(t *testing.T, x Target, ts []*correlate.Transition) {
	t.Helper()
	if err := x.Sink.Write(t.Context(), ts); err != nil {
		t.Fatal("write:", err)
	}
}

func (x Target) expect(t *testing.T, want []*correlate.Transition) {
	t.Helper()
	if x.Read == nil {
		return
	}
	if diff := Diff(want, x.Read(t)); diff != "" {
		t.Errorf("delivered (-want +got):\n%s", diff)
	}
}

// Diff compares transitions in the order of correlate.Compare; "" if they are
// the same. Nil and empty are the same.
func Diff(want, got []*correlate.Transition) string {
	want, got = slices.Clone(want), slices.Clone(got)
	byRunToo := func(a, b *correlate.Transition) int {
		return stdcmp.Or(correlate.Compare(a, b), stdcmp.Compare(a.RunID, b.RunID))
	}
	slices.SortStableFunc(want, byRunToo)
	slices.SortStableFunc(got, byRunToo)
	return cmp.Diff(want, got, cmpopts.EquateEmpty())
}

// Start is when the first of Transitions opens.
var Start = time.Date(2026, 11, 20, 9, 58, 2, 4_000_001, time.UTC)

// Transitions returns n transitions in output order, of incidents that open,
// change and resolve; between them every field of the record is used.
func Transitions(n int) []*correlate.Transition {
	ts := make([]*correlate.Transition, n)
	for i := range ts {
		ts[i] = transition(i)
	}
	return ts
}

// transition i is revision i/2%3+1 of an incident: two are under way at a time.
func transition(i int) *correlate.Transition {
	number, rev := i/6*2+i%2, i/2%3+1
	started := Start.Add(time.Duration(number) * time.Hour)
	at := Start.Add(time.Duration(i)*time.Hour + 123456789)
	fingerprint := fmt.Sprintf("%032x", 0x9f2c41d07ab3+number)
	t := &correlate.Transition{
		IncidentID: fingerprint[20:] + "-" + base32.StdEncoding.EncodeToString([]byte(fmt.Sprintf("%08d", number))),
		Rev:        rev, Fingerprint: fingerprint, State: "open", Cause: []string{"condition", "severity", "quiet"}[rev-1],
		Severity: []string{"warning", "error", "critical"}[rev-1], SeverityNow: []string{"warning", "error", "info"}[rev-1],
		RuleID: fmt.Sprintf("rule-%d", number%3), RuleTitle: "A rule", RuleFile: "rules/payments.yaml", RuleLine: 12 + number,
		RuleHash: "6c1e00aa11bb22cc6c1e00aa11bb22cc", RulesGen: 42, Owner: "payments", RunbookURL: "https://runbooks.example/5xx",
		Key:    map[string]string{"merchant": fmt.Sprintf("m-%d", number), "quote": `it's "x"`},
		Labels: map[string]string{"service.name": "pay", "team": "payments"},
		Title:  fmt.Sprintf("%d card declines", number), Summary: "line one\nline two \x1b[31mred\x1b[0m 東京",
		StartedAt: started, OpenedAt: started.Add(time.Second), LastEventAt: at, ChangedAt: at,
		DetectedAt: at.Add(5081 * time.Millisecond), DurationMS: at.Sub(started).Milliseconds(), DetectLagMS: 5081,
		EventCount: 10 * rev, Firings: rev, Relapses: rev - 1,
		Vars:       map[string]string{"count()": fmt.Sprint(10 * rev)},
		Recurrence: number + 1, Notified: rev != 2, NotifyReason: []string{"first", "none", "resolved"}[rev-1],
		Evidence: []correlate.Evidence{
			{At: started, EventID: fmt.Sprintf("LOGS/%d", number), Role: "member", Kind: "log", Service: "pay", Level: "error", TraceID: "4bf92f3577b34da6a3ce929d0e0e4736", Line: `{"msg":"declined"}`},
			{At: at, EventID: fmt.Sprintf("LOGS/%d-%d", number, rev), Role: "trigger", Step: "s", Kind: "nats", Line: "declined"},
		},
		TraceIDs:      []string{"4bf92f3577b34da6a3ce929d0e0e4736"},
		InputFirstSeq: 88120411, InputLastSeq: 88120411 + uint64(i),
		Mode: "live",
	}
	if rev == 3 {
		t.State, t.ResolvedAt = "resolved", &at
	}
	if number%4 == 1 {
		rare(t, at)
	}
	return t
}

// rare fills in what few incidents have.
func rare(t *correlate.Transition, at time.Time) {
	t.Steps = []correlate.StepAt{{Name: "fail", At: at.Add(-time.Minute), EventID: "a"}, {Name: "login", At: at, EventID: "b"}}
	t.DistinctKeys, t.Collapsed = 1234, true
	t.TopKeys = []correlate.KeyCount{{Key: "merchant=m-1", Count: 99}}
	t.PreviousID, t.ParentID, t.RotatedFrom = "abc-1", "abc-2", "abc-3"
	t.ChildIDs = []string{"abc-4", "abc-5"}
	t.Suspects = []correlate.Suspect{{IncidentID: "abc-4", Reason: "earliest", Rank: 1}}
	t.Flapping, t.Suppressed, t.SuppressedBy = true, true, []string{"inhibit:dc-down"}
	t.TruncatedStart, t.TruncatedEnd, t.Truncated = true, true, true
	t.Context = []correlate.Evidence{{At: at.Add(-time.Hour), EventID: "deploy-1", Role: "member", Kind: "log", Line: "deployed v2"}}
}
