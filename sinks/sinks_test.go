package sinks_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"corral/correlate"
	"corral/sinks"
	"corral/sinks/sinktest"
)

func TestNDJSONSink(t *testing.T) {
	sinktest.Run(t, func(t *testing.T) sinktest.Target {
		path := filepath.Join(t.TempDir(), "incidents.ndjson")
		s, err := sinks.OpenNDJSON(path, true)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close() })
		return sinktest.Target{
			Sink:   s,
			Read:   func(t *testing.T) []*correlate.Transition { return readFile(t, path) },
			Poison: func(x *correlate.Transition) { x.ChangedAt = time.Date(12000, 1, 1, 0, 0, 0, 0, time.UTC) },
		}
	})
}

func readFile(t *testing.T, path string) []*correlate.Transition {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	ts, err := sinks.ReadNDJSON(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	if lines := bytes.Count(b, []byte("\n")); lines != len(ts) {
		t.Errorf("%d lines for %d revisions", lines, len(ts))
	}
	return ts
}

func TestTextSink(t *testing.T) {
	sinktest.Run(t, func(*testing.T) sinktest.Target {
		return sinktest.Target{Sink: sinks.NewText(io.Discard, sinks.TextOptions{})}
	})
}

func TestWrappedSinks(t *testing.T) {
	sinktest.Run(t, func(*testing.T) sinktest.Target {
		m := &memory{}
		return sinktest.Target{
			Sink:   sinks.Sequence(sinks.Fanout(m, sinks.NewNDJSON(io.Discard)), sinks.Retry(&memory{}, sinks.RetryOptions{})),
			Read:   func(*testing.T) []*correlate.Transition { return m.kept() },
			Poison: m.poison,
		}
	})
}

// memory keeps each revision once, and fails as told.
type memory struct {
	mu     sync.Mutex
	ts     []*correlate.Transition
	seen   map[string]bool
	bad    map[*correlate.Transition]bool
	fail   []error // for the next writes
	writes int
	closed bool
}

func (m *memory) poison(t *correlate.Transition) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.bad = map[*correlate.Transition]bool{t: true}
}

func (m *memory) kept() []*correlate.Transition {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.ts
}

func (m *memory) Write(_ context.Context, ts []*correlate.Transition) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.writes++
	if m.closed {
		return errors.New("closed")
	}
	if len(m.fail) > 0 {
		err := m.fail[0]
		m.fail = m.fail[1:]
		if err != nil {
			return err
		}
	}
	for _, t := range ts {
		if m.bad[t] {
			return sinks.Permanent(fmt.Errorf("%s rev %d is bad", t.IncidentID, t.Rev))
		}
	}
	if m.seen == nil {
		m.seen = map[string]bool{}
	}
	for _, t := range ts {
		id := fmt.Sprint(t.IncidentID, t.Rev)
		if !m.seen[id] {
			m.seen[id] = true
			m.ts = append(m.ts, t)
		}
	}
	return nil
}

func (m *memory) Close() error { m.closed = true; return nil }

func TestAppendJSON(t *testing.T) {
	berlin := time.FixedZone("CET", 3600)
	at := time.Date(2026, 11, 20, 11, 2, 41, 120_000_001, berlin)
	x := &correlate.Transition{
		IncidentID: "a-1", Rev: 1, State: "open", StartedAt: at, OpenedAt: at, LastEventAt: at, ChangedAt: at, ResolvedAt: &at,
		Title: "a < b & c", Summary: "bad \xff byte\n",
		Evidence: []correlate.Evidence{{At: at.UTC(), Line: "x"}, {At: at, Line: "y"}},
		Steps:    []correlate.StepAt{{Name: "s", At: at}},
	}
	b, err := sinks.AppendJSON([]byte("before "), x)
	if err != nil {
		t.Fatal(err)
	}
	line := string(b)
	if !strings.HasPrefix(line, `before {"incident_id":"a-1","rev":1,"fingerprint":""`) || strings.Contains(line, "\n") {
		t.Errorf("line: %s", line)
	}
	for _, want := range []string{
		`"started_at":"2026-11-20T10:02:41.120000001Z"`, `"resolved_at":"2026-11-20T10:02:41.120000001Z"`,
		`"key":{}`, `"labels":{}`, `"title":"a < b & c"`, `"summary":"bad \ufffd byte\n"`,
	} {
		if !strings.Contains(line, want) {
			t.Errorf("no %s in %s", want, line)
		}
	}
	if strings.Contains(line, "+01:00") || !at.Equal(x.Evidence[1].At) || x.Evidence[1].At.Location() != berlin || x.Steps[0].At.Location() != berlin {
		t.Errorf("zones: %s", line)
	}
	if b, err = sinks.AppendJSON(nil, &correlate.Transition{}); err != nil || !strings.Contains(string(b), `"evidence":[]`) {
		t.Errorf("empty: %s, %v", b, err)
	}
}

// TestNDJSONAfterCrash: a torn line is removed, a whole one without its newline
// is kept, and what is in the file is not written again.
func TestNDJSONAfterCrash(t *testing.T) {
	ts := sinktest.Transitions(12)
	for name, tear := range map[string]func([]byte) []byte{
		"torn":       func(b []byte) []byte { return b[:len(b)-100] },
		"no newline": func(b []byte) []byte { return b[:len(b)-1] },
		"whole":      func(b []byte) []byte { return b },
		"empty":      func([]byte) []byte { return nil },
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "x.ndjson")
			var before bytes.Buffer
			if err := sinks.NewNDJSON(&before).Write(t.Context(), ts[:8]); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, tear(before.Bytes()), 0o600); err != nil {
				t.Fatal(err)
			}
			s, err := sinks.OpenNDJSON(path, false)
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Write(t.Context(), ts); err != nil {
				t.Fatal(err)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			if diff := sinktest.Diff(ts, readFile(t, path)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestNDJSONRuns: a batch run's incidents are its own.
func TestNDJSONRuns(t *testing.T) {
	var out bytes.Buffer
	s := sinks.NewNDJSON(&out)
	a, b := *sinktest.Transitions(1)[0], *sinktest.Transitions(1)[0]
	b.Mode, b.RunID = "batch", "0190c5e4-0000-7000-8000-000000000001"
	if err := s.Write(t.Context(), []*correlate.Transition{&a, &b, &a, &b}); err != nil {
		t.Fatal(err)
	}
	if err := s.Write(t.Context(), []*correlate.Transition{&b}); err != nil {
		t.Fatal(err)
	}
	ts, err := sinks.ReadNDJSON(&out)
	if err != nil || len(ts) != 2 {
		t.Errorf("%d revisions, %v; want one of each run", len(ts), err)
	}
}

func TestText(t *testing.T) {
	ts := sinktest.Transitions(12)
	ts[0].Title = "evil \x1b[2J\u202e\xff\ttitle"
	ts[1].Evidence[0].Line = "evil \x1b]0;owned\x07 line"
	var out bytes.Buffer
	s := sinks.NewText(&out, sinks.TextOptions{Evidence: 1})
	if err := s.Write(t.Context(), ts); err != nil {
		t.Fatal(err)
	}
	want := `TIME (UTC)               STATE     SEVERITY  RULE          KEY           INCIDENT
2026-11-20 09:58:02.127  open      warning   rule-0        merchant=m-0 quote=it's "x"  evil \x1b[2J\u202e\xff\ttitle  (10 events in 123ms)
    09:58:02.004  member   pay  {"msg":"declined"}
`
	if got := out.String(); !strings.HasPrefix(got, want) {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	for _, want := range []string{`evil \x1b]0;owned\x07 line`, "resolved  critical", "quiet", "flapping", "suppressed inhibit:dc-down", "1234 keys", "2nd time in 30d"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
	if i := strings.IndexFunc(out.String(), func(r rune) bool { return r < 0x20 && r != '\n' }); i >= 0 {
		t.Errorf("control character at %d of %q", i, out.String())
	}
}

// What changed and whom to suspect stand above the evidence of an opening, and
// only there.
func TestTextContextAndSuspects(t *testing.T) {
	at := time.Date(2026, 11, 20, 9, 58, 2, 0, time.UTC)
	opened := &correlate.Transition{
		IncidentID: "x", Rev: 1, State: "open", Severity: "info", RuleID: "outage", Title: "requests fail", ChangedAt: at,
		Context:  []correlate.Evidence{{At: at.Add(-time.Minute), Line: "too many"}, {At: at.Add(-time.Minute), Line: "Reloaded\x1b[2J"}},
		ChildIDs: []string{"a", "b"}, Suspects: []correlate.Suspect{{IncidentID: "a", Rank: 1, Reason: "disk: upstream"}, {IncidentID: "b", Rank: 2}},
		Evidence: []correlate.Evidence{{At: at, Role: "trigger", Line: "504"}},
	}
	more := *opened
	more.Rev, more.Cause = 2, "growth"
	var out bytes.Buffer
	if err := sinks.NewText(&out, sinks.TextOptions{Evidence: 1}).Write(t.Context(), []*correlate.Transition{opened, &more}); err != nil {
		t.Fatal(err)
	}
	want := `    09:57:02.000  changed    Reloaded\x1b[2J
    suspect 1  disk: upstream
    09:58:02.000  trigger    504
`
	if got := out.String(); strings.Count(got, want) != 1 || strings.Count(got, "changed ") != 1 || strings.Contains(got, "suspect 2") {
		t.Errorf("got\n%swant once\n%s", got, want)
	}
}

func TestTextColor(t *testing.T) {
	var out bytes.Buffer
	s := sinks.NewText(&out, sinks.TextOptions{Color: true, Quiet: true, Location: time.FixedZone("CET", 3600)})
	ts := sinktest.Transitions(1)
	growth := *ts[0]
	growth.Rev, growth.Cause = 2, "growth"
	if err := s.Write(t.Context(), append(ts, &growth)); err != nil {
		t.Fatal(err)
	}
	got := out.String()
	if !strings.Contains(got, "\x1b[33mwarning\x1b[0m") || !strings.Contains(got, "TIME (CET)") || !strings.Contains(got, "10:58:02.127") {
		t.Errorf("got %q", got)
	}
	if strings.Contains(got, "growth") {
		t.Errorf("quiet, and yet: %q", got)
	}
	f, err := os.Create(filepath.Join(t.TempDir(), "x"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	if sinks.ColorFor(f) {
		t.Error("colours for a file")
	}
}

func FuzzPrintable(f *testing.F) {
	f.Add("plain ünïcode 東京 \ufffd")
	f.Add("\x1b[31m\u009b\u2028\u202e\x00\xff\x7f")
	f.Fuzz(func(t *testing.T, s string) {
		p := sinks.Printable(s)
		if sinks.Printable(p) != p {
			t.Errorf("%q: printable is not stable: %q", s, p)
		}
		for _, r := range p {
			if r < 0x20 || r >= 0x7f && r < 0xa0 || r == '\u2028' || r == '\u202e' {
				t.Errorf("%q: %U in %q", s, r, p)
			}
		}
	})
}

func TestFanout(t *testing.T) {
	ts := sinktest.Transitions(6)
	good, bad := &memory{}, &memory{fail: []error{errors.New("down")}}
	f := sinks.Fanout(good, bad)
	err := f.Write(t.Context(), ts)
	if err == nil || err.Error() != "down" {
		t.Errorf("first write: %v, want down", err)
	}
	if len(good.ts) != 6 {
		t.Errorf("the good sink has %d, want 6 though the other failed", len(good.ts))
	}
	if err := f.Write(t.Context(), ts); err != nil || len(bad.ts) != 6 || good.writes != 1 {
		t.Errorf("second write: %v; bad has %d, good was written %d times", err, len(bad.ts), good.writes)
	}
	if err := f.Write(t.Context(), ts[:2]); err != nil || good.writes != 2 {
		t.Errorf("next batch: %v, written %d times", err, good.writes)
	}
	if err := f.Close(); err != nil || !good.closed || !bad.closed {
		t.Errorf("close: %v", err)
	}
}

// TestFanoutPermanent: what one sink refuses for good and another could take
// later is not permanent yet.
func TestFanoutPermanent(t *testing.T) {
	ts := sinktest.Transitions(2)
	a := &memory{fail: []error{sinks.Permanent(errors.New("refused")), sinks.Permanent(errors.New("refused"))}}
	b := &memory{fail: []error{errors.New("down"), nil}}
	f := sinks.Fanout(a, b)
	if err := f.Write(t.Context(), ts); err == nil || sinks.IsPermanent(err) {
		t.Errorf("got %v, want a temporary error", err)
	}
	if err := f.Write(t.Context(), ts); !sinks.IsPermanent(err) {
		t.Errorf("got %v, want a permanent error", err)
	}
}

func TestSequence(t *testing.T) {
	first, second := &memory{fail: []error{errors.New("down")}}, &memory{}
	q := sinks.Sequence(first, second)
	ts := sinktest.Transitions(3)
	if err := q.Write(t.Context(), ts); err == nil || second.writes != 0 {
		t.Errorf("%v; the second got %d writes before the first accepted", err, second.writes)
	}
	if err := q.Write(t.Context(), ts); err != nil || len(second.ts) != 3 {
		t.Errorf("%v; the second has %d", err, len(second.ts))
	}
}

func TestRetry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &memory{fail: []error{errors.New("1"), errors.New("2"), errors.New("3")}}
		var failed []string
		s := sinks.Retry(m, sinks.RetryOptions{OnError: func(err error) { failed = append(failed, err.Error()) }})
		began := time.Now()
		if err := s.Write(t.Context(), sinktest.Transitions(4)); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]string{"1", "2", "3"}, failed); diff != "" {
			t.Error(diff)
		}
		if d := time.Since(began); d == 0 || d > 700*time.Millisecond {
			t.Errorf("three retries took %v, want up to 100+200+400 ms", d)
		}
	})
}

func TestRetryCancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		down := errors.New("down")
		m := &memory{}
		for range 100 {
			m.fail = append(m.fail, down)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		err := sinks.Retry(m, sinks.RetryOptions{}).Write(ctx, sinktest.Transitions(1))
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want the deadline", err)
		}
	})
}

func TestRetryDeadLetters(t *testing.T) {
	ts := sinktest.Transitions(9)
	m := &memory{}
	m.poison(ts[5])
	var dead []sinks.DeadLetter
	s := sinks.Retry(m, sinks.RetryOptions{Name: "memory", Dead: func(d sinks.DeadLetter) error {
		dead = append(dead, d)
		return nil
	}})
	if err := s.Write(t.Context(), ts); err != nil {
		t.Fatal(err)
	}
	if len(m.ts) != 8 || len(dead) != 1 {
		t.Fatalf("delivered %d, dead %d", len(m.ts), len(dead))
	}
	d := dead[0]
	var back correlate.Transition
	if err := json.Unmarshal(d.Record(), &back); err != nil || back.IncidentID != ts[5].IncidentID || back.Rev != ts[5].Rev {
		t.Errorf("dead letter holds %+v, %v", back, err)
	}
	if d.Reason != "rejected" || d.Source != "sink:memory" || !strings.Contains(d.Error, "is bad") {
		t.Errorf("dead letter: %+v", d)
	}
	// Without dead letters the error comes back.
	if err := sinks.Retry(m, sinks.RetryOptions{}).Write(t.Context(), ts); !sinks.IsPermanent(err) {
		t.Errorf("got %v, want a permanent error", err)
	}
}

func TestDeadLetters(t *testing.T) {
	path := filepath.Join(t.TempDir(), "dead.ndjson")
	if err := os.WriteFile(path, []byte(`{"reason":"late","so`), 0o600); err != nil {
		t.Fatal(err)
	}
	d, err := sinks.OpenDeadLetters(path, true)
	if err != nil {
		t.Fatal(err)
	}
	text := sinks.DeadLetter{Reason: "late", Source: "file:a.log", Seq: 7, Time: "2026-11-20T10:02:41Z"}
	text.SetRecord([]byte("line <&>\nwith \x1b[31m"))
	binary := sinks.DeadLetter{Reason: "undecodable", Error: "not UTF-8", Source: "stream:LOGS", Subject: "logs.pay", Seq: 8, Sub: 2}
	binary.SetRecord([]byte{0xff, 0, '\n'})
	want := []sinks.DeadLetter{text, binary}
	if err := d.Write(want...); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]uint64{"late": 1, "undecodable": 1}, d.Counts()); diff != "" {
		t.Error(diff)
	}
	for range 2 {
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
	}
	again, err := sinks.OpenDeadLetters(path, false) // as a worker does that was killed before it acknowledged
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(again.Write(want...), again.Close()); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	var (
		got  []sinks.DeadLetter
		errs []string
	)
	for l, err := range sinks.ReadDeadLetters(f) {
		if err != nil {
			errs = append(errs, err.Error())
			continue
		}
		got = append(got, l)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if string(got[0].Record()) != "line <&>\nwith \x1b[31m" || !bytes.Equal(got[1].Record(), []byte{0xff, 0, '\n'}) {
		t.Errorf("records: %q, %q", got[0].Record(), got[1].Record())
	}
	if diff := cmp.Diff([]string{`dead letter in line 1: invalid character '\n' in string literal`}, errs); diff != "" {
		t.Error(diff)
	}
}

// TestDeadLettersAtOnce: letters of many writers do not mix.
func TestDeadLettersAtOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "dead.ndjson")
	var wg sync.WaitGroup
	for w := range 4 {
		d, err := sinks.OpenDeadLetters(path, false)
		if err != nil {
			t.Fatal(err)
		}
		wg.Go(func() {
			defer func() { _ = d.Close() }()
			for i := range 50 {
				l := sinks.DeadLetter{Reason: "late", Source: fmt.Sprint(w), Seq: uint64(i)}
				l.SetRecord(bytes.Repeat([]byte("x"), 5000))
				if err := d.Write(l); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, err := range sinks.ReadDeadLetters(bytes.NewReader(b)) {
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	if n != 200 {
		t.Errorf("%d letters, want 200", n)
	}
}

// TestPrintableWriter: characters cut anywhere come out whole, everything else as
// Printable has it.
func TestPrintableWriter(t *testing.T) {
	const text = "naïve — 語\ttab\nline \x1b[2J \u202e \xff \x00 end 語"
	const want = "naïve — 語\ttab\nline \\x1b[2J \\u202e \\xff \\x00 end 語"
	for size := 1; size < len(text); size++ {
		var b strings.Builder
		w := sinks.PrintableWriter(&b)
		for from := 0; from < len(text); from += size {
			part := text[from:min(len(text), from+size)]
			if n, err := w.Write([]byte(part)); n != len(part) || err != nil {
				t.Fatal(n, err)
			}
		}
		if b.String() != want {
			t.Errorf("in pieces of %d: %q", size, b.String())
		}
	}
}
