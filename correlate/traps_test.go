package correlate_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"corral/correlate"
	"corral/event"
)

// These are traps others fell into, of which testdata/stories/traps has more; the
// reload ones are in reload_test.go, those about windows among the stories.

// A hundred thousand keys fail within a minute: a thousand incidents, one for all
// the others with exact counts, and every one of them is over in the end.
func TestStorm(t *testing.T) {
	w := newWorld(t, rulesFile(single))
	const keys = 100_000
	for i := range keys {
		w.log(time.Duration(i)*600*time.Microsecond, fmt.Sprintf("svc-%06d", i), "gone")
	}
	w.log(time.Minute, "svc-000001", "gone")
	w.log(time.Minute, "svc-050000", "gone")
	w.advance(62 * time.Second)
	open := w.e.OpenIncidents()
	if len(open) != 1001 {
		t.Fatalf("%d incidents open, want 1000 and the collapsed one", len(open))
	}
	w.advance(time.Hour)
	var own, events int
	for _, tr := range w.out {
		if tr.State != "resolved" {
			continue
		}
		events += tr.EventCount
		if !tr.Collapsed {
			own++
			continue
		}
		if tr.EventCount != keys-1000+1 || tr.Firings != keys-1000 {
			t.Errorf("collapsed: %d events of %d episodes, want %d of %d", tr.EventCount, tr.Firings, keys-1000+1, keys-1000)
		}
		if off := tr.DistinctKeys - (keys - 1000); off < -2000 || off > 2000 {
			t.Errorf("collapsed: %d different keys, want about %d", tr.DistinctKeys, keys-1000)
		}
		if len(tr.TopKeys) != 20 || len(tr.Key) != 0 {
			t.Errorf("collapsed: %d top keys, key %v", len(tr.TopKeys), tr.Key)
		}
	}
	if own != 1000 || events != keys+2 {
		t.Errorf("%d incidents of their own resolved, %d events in all; want 1000 and %d", own, events, keys+2)
	}
	if s := w.e.Stats().Rules[0]; s.Keys != 0 || s.Open != 0 {
		t.Errorf("what is left: %+v", s)
	}
}

// More keys than limits.groups: memory is bounded and what is open still ends.
func TestStormBeyondGroups(t *testing.T) {
	w := newWorld(t, rulesFile(strings.Replace(single, "event: {}", "limits: {groups: 500, open: 10}\n    event: {}", 1)))
	for i := range 5000 {
		w.log(time.Duration(i)*10*time.Millisecond, fmt.Sprintf("svc-%06d", i), "gone")
	}
	w.advance(time.Minute)
	s := w.e.Stats().Rules[0]
	if s.Keys != 500 || s.Evicted != 4500 || s.Open != 11 {
		t.Errorf("keys %d, evicted %d, open %d; want 500, 4500, 11", s.Keys, s.Evicted, s.Open)
	}
	w.advance(time.Hour)
	last := w.out[len(w.out)-1]
	if !last.Collapsed || last.State != "resolved" || last.EventCount != 4990 {
		t.Errorf("last of all: %s, collapsed %v, %d events; want the collapsed incident resolved with 4990", last.State, last.Collapsed, last.EventCount)
	}
	if got := w.e.Stats().Rules[0]; got.Keys != 0 || got.Open != 0 || got.Opened != got.Resolved {
		t.Errorf("what is left: %+v", got)
	}
}

// `for: 1d` over a replay that is cut into pieces, with a restart at each cut.
func TestForOverAReplayInPieces(t *testing.T) {
	w := newWorld(t, rulesFile(`
  - id: lasting
    match: message == "bad"
    for: 24h
    threshold: {window: 10m, condition: count() >= 2}
`))
	const step = 5 * time.Minute
	for i := range 12 * 25 {
		w.log(time.Duration(i)*step, "a", "bad")
		if i%100 == 99 {
			w.e = restart(t, w.e, w.set, correlate.Options{})
		}
	}
	w.expect("opens a day after the second event", w.told()[:1], "24h5m0s lastingmap[] 1 open/condition first")
}

// Severity going up and down ten times is one incident and two notifications.
func TestSeverityUpAndDown(t *testing.T) {
	w := newWorld(t, rulesFile(`
  - id: ladder
    match: message == "bad"
    severity: [{when: count() >= 6, is: critical}, {is: warning}]
    threshold: {window: 60s, condition: count() >= 2}
`))
	for round := range 10 {
		for i := range 8 {
			w.log(time.Duration(round)*2*time.Minute+time.Duration(i)*time.Second, "a", "bad")
		}
	}
	w.advance(time.Hour)
	told, incidents := 0, map[string]bool{}
	for _, tr := range w.out {
		incidents[tr.IncidentID] = true
		if tr.Notified && tr.State == "open" {
			told++
		}
	}
	if len(incidents) != 1 || told != 2 {
		t.Errorf("%d incidents, %d notifications while open; want 1 and 2", len(incidents), told)
	}
}

// Pods come and go; the key is the workload, so it is one incident.
func TestPodsRestart(t *testing.T) {
	w := newWorld(t, rulesFile(`
  - id: crash
    match: message == "crash"
    group_by: [service]
    event: {}
`))
	for i := range 10 {
		ev := &event.Event{
			Time: at(time.Duration(i) * time.Minute), Kind: "log", Service: "pay", Message: "crash",
			Instance: fmt.Sprintf("pay-%d", i), Pos: event.Pos{Seq: uint64(i)},
		}
		w.e.Push(ev, w.set.Matcher().Match(ev, nil))
	}
	w.advance(time.Hour)
	w.expect("one incident", w.told(),
		"0s crashmap[service:pay] 1 open/condition first",
		"5m0s crashmap[service:pay] 2 open/growth none",
		"14m0s crashmap[service:pay] 3 resolved/quiet resolved")
}

// The end of bounded input resolves nothing; what is open can be listed with the
// counts it has by then.
func TestFinishLeavesOpenWhatIsOpen(t *testing.T) {
	w := newWorld(t, rulesFile(burst))
	for i := range 5 {
		w.log(time.Duration(i)*time.Second, "a", "bad")
	}
	w.e.Finish(at(4*time.Second), w.emit)
	w.expect("finish", w.told(), "2s burstmap[service:a] 1 open/condition first")
	open := w.e.OpenIncidents()
	if len(open) != 1 || open[0].EventCount != 5 || !open[0].LastEventAt.Equal(epoch.Add(4*time.Second)) || open[0].Rev != 1 {
		t.Errorf("open: %+v", open)
	}
}

// An advisory that comes on two subjects counts once, for ten minutes.
func TestSameIDCountsOnce(t *testing.T) {
	w := newWorld(t, rulesFile(burst))
	push := func(d time.Duration, id string) {
		ev := &event.Event{Time: at(d), Kind: "log", Service: "a", Message: "bad", ID: id, Pos: event.Pos{Seq: uint64(d)}}
		w.e.Push(ev, w.set.Matcher().Match(ev, nil))
		w.e = restart(t, w.e, w.set, correlate.Options{})
	}
	push(time.Second, "1")
	push(2*time.Second, "1")
	push(3*time.Second, "2")
	push(3*time.Second, "2")
	w.advance(4 * time.Second)
	w.expect("two events", w.told())
	if s := w.e.Stats(); s.Duplicates != 2 {
		t.Errorf("%d duplicates, want 2", s.Duplicates)
	}
	push(11*time.Minute, "1")
	w.advance(12 * time.Minute)
	if s := w.e.Stats(); s.Duplicates != 2 || s.Rules[0].Matched != 3 {
		t.Errorf("ten minutes later: %d duplicates, %d matched; want 2 and 3", s.Duplicates, s.Rules[0].Matched)
	}
}

// An event from before the watermark is refused, whatever it says.
func TestLateIsRefused(t *testing.T) {
	w := newWorld(t, rulesFile(burst))
	w.advance(time.Minute)
	ev := &event.Event{Time: at(time.Minute) - 1}
	if w.e.Push(ev, nil) {
		t.Error("an event before the watermark was taken")
	}
	ev.Time++
	if !w.e.Push(ev, nil) {
		t.Error("an event at the watermark was refused")
	}
}

// Evidence is the first and the last events, fit for a terminal, and the trigger
// is marked.
func TestEvidence(t *testing.T) {
	w := newWorld(t, rulesFile(strings.Replace(burst, "match:", "evidence: 4\n    match:", 1)))
	for i := range 9 {
		w.seq++
		ev := &event.Event{
			Time: at(time.Duration(i) * time.Second), Kind: "log", Service: "a", Message: "bad", TraceID: fmt.Sprint("t", i%2),
			Raw: fmt.Sprintf("bad \x1b[31m%d\xff\n", i), Pos: event.Pos{Seq: w.seq},
		}
		w.e.Push(ev, w.set.Matcher().Match(ev, nil))
	}
	w.advance(time.Hour)
	var got []string
	for _, x := range w.out[len(w.out)-1].Evidence {
		got = append(got, fmt.Sprintf("%v %s %s %s", x.At.Sub(epoch), x.Role, x.Line, x.TraceID))
	}
	w.expect("evidence", got,
		`0s member bad \x1b[31m0\xff t0`, `1s member bad \x1b[31m1\xff t1`,
		`7s member bad \x1b[31m7\xff t1`, `8s member bad \x1b[31m8\xff t0`)
	opened := w.out[0]
	if n := len(opened.Evidence); n != 3 || opened.Evidence[2].Role != "trigger" {
		t.Errorf("at open: %+v", opened.Evidence)
	}
	w.expect("traces", w.out[0].TraceIDs, "t0", "t1")
	if opened.InputFirstSeq != 1 || w.out[len(w.out)-1].InputLastSeq != 9 {
		t.Errorf("input %d to %d, want 1 to 9", opened.InputFirstSeq, w.out[len(w.out)-1].InputLastSeq)
	}
}

// A silence shows the last event before it, which it counts, and the one that
// ended it; one of a key never seen has nothing to show.
func TestEvidenceOfSilence(t *testing.T) {
	w := newWorld(t, rulesFile(`
  - id: silent
    match: message == "beat"
    group_by: [service]
    absence: {every: 10s, expect: [a, b]}
`))
	w.log(0, "a", "beat")
	w.log(2*time.Second, "a", "beat")
	w.log(20*time.Second, "a", "beat")
	w.advance(25 * time.Second)
	var got []string
	for _, tr := range w.out {
		var events []string
		for _, x := range tr.Evidence {
			events = append(events, fmt.Sprint(x.At.Sub(epoch), " ", x.Role))
		}
		got = append(got, fmt.Sprintf("%s %s %d %q", tr.Key["service"], tr.State, tr.EventCount, events))
	}
	w.expect("evidence", got, `b open 0 []`, `a open 1 ["2s trigger"]`, `a resolved 2 ["2s trigger" "20s member"]`)
}

// Lines of any length and content are cut to 2 KiB of valid text.
func TestEvidenceIsBounded(t *testing.T) {
	w := newWorld(t, rulesFile(single))
	for i, raw := range []string{strings.Repeat("é", 5000), strings.Repeat("\x00", 5000), strings.Repeat("x", 2048)} {
		w.seq++
		ev := &event.Event{Time: at(time.Duration(i)), Kind: "log", Service: "a", Message: "gone", Raw: raw, Pos: event.Pos{Seq: w.seq}}
		w.e.Push(ev, w.set.Matcher().Match(ev, nil))
	}
	w.advance(time.Hour)
	evidence := w.out[len(w.out)-1].Evidence
	if len(evidence) != 3 {
		t.Fatalf("%d events, want 3", len(evidence))
	}
	for i, x := range evidence {
		if len(x.Line) > 2048 || (i < 2 && !strings.HasSuffix(x.Line, "…")) || (i == 2 && len(x.Line) != 2048) {
			t.Errorf("line %d has %d bytes and ends in %q", i, len(x.Line), x.Line[len(x.Line)-4:])
		}
	}
}

// A trace tells every evaluation and changes nothing.
func TestTrace(t *testing.T) {
	set := parse(t, rulesFile(burst))
	var lines []string
	e := correlate.New(set, correlate.Options{Trace: func(x correlate.TraceEvent) {
		what := "timer"
		if x.Event != nil {
			what = x.Event.Message
		}
		lines = append(lines, fmt.Sprintf("%v %s %v %s count=%d true=%v open=%v",
			time.Unix(0, x.At).UTC().Sub(epoch), x.Rule.ID, x.Key, what, x.Aggs[0].Int, x.True, x.Open))
	}})
	w := &world{t: t, set: set, e: e}
	for i := range 3 {
		w.log(time.Duration(i)*time.Second, "a", "bad")
	}
	w.advance(time.Hour)
	w.expect("trace", lines,
		"0s burst [a] bad count=1 true=false open=false",
		"1s burst [a] bad count=2 true=false open=false",
		"2s burst [a] bad count=3 true=true open=true",
		"1m0s burst [a] timer count=2 true=false open=true",
		"1m2s burst [a] timer count=0 true=false open=true",
		"2m0s burst [a] timer count=0 true=false open=false")
}

// A flood on one key takes bounded memory; that it is over is still known to the
// nanosecond.
func TestFloodOnOneKey(t *testing.T) {
	w := newWorld(t, rulesFile(strings.Replace(burst, "match:", "evidence: 2\n    match:", 1)))
	const n = 400_000
	ev := event.Event{Kind: "log", Service: "a", Message: "bad"}
	m := w.set.Matcher()
	for i := range n {
		one := ev
		one.Time, one.Pos.Seq = at(time.Duration(i)*100*time.Microsecond), uint64(i)
		w.e.Push(&one, m.Match(&one, nil))
		if i%1000 == 0 {
			w.e.Advance(one.Time, w.emit)
		}
		if i == n/2 {
			w.e = restart(t, w.e, w.set, correlate.Options{})
		}
	}
	w.advance(50 * time.Second)
	if size := w.e.Stats().Rules[0].Bytes; size > 4<<20 {
		t.Errorf("%d bytes for %d events", size, n)
	}
	w.advance(time.Hour)
	last := w.out[len(w.out)-1]
	// The third newest event was at 39.9997 s; a window and keep_firing_for later.
	if want := epoch.Add(159_999_700 * time.Microsecond); !last.ChangedAt.Equal(want) || last.EventCount != n {
		t.Errorf("resolved at %v with %d events, want %v with %d", last.ChangedAt, last.EventCount, want, n)
	}
}

// A flood of keys within one rule's own limits is held by the limit in bytes, and
// the other rules keep what they have.
func TestMaxBytes(t *testing.T) {
	set := parse(t, rulesFile(burst, strings.Replace(burst, "id: burst\n", "id: other\n", 1)))
	w := &world{t: t, set: set, e: correlate.New(set, correlate.Options{MaxBytes: 8 << 20})}
	for i := range 40_000 {
		w.log(time.Duration(i)*time.Millisecond, fmt.Sprintf("svc-%d", i), "bad")
	}
	s := w.e.Stats()
	if s.Bytes > 12<<20 {
		t.Errorf("%d bytes", s.Bytes)
	}
	for i, r := range s.Rules {
		if r.Evicted == 0 || r.Keys == 0 {
			t.Errorf("rule %d: %d evicted, %d keys", i, r.Evicted, r.Keys)
		}
	}
}
