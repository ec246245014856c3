package correlate_test

import (
	"fmt"
	"testing"
	"time"

	"corral/correlate"
	"corral/event"
)

// lasting are rules of every kind and window, each under steady load for as long as
// one likes.
var lasting = map[string]string{
	"count":      `threshold: {window: 1m, condition: count() >= 500}`,
	"count of":   `threshold: {window: 1m, condition: count(attrs.n > 3) >= 500}`,
	"sum":        `threshold: {window: 1m, condition: sum(attrs.n) + avg(attrs.n) + stddev(attrs.n) > 1e9}`,
	"extremes":   `threshold: {window: 1m, condition: max(attrs.n) - min(attrs.n) > 1e9}`,
	"ends":       `threshold: {window: 1m, condition: first(attrs.n) + last(attrs.n) > 1e9}`,
	"quantile":   `threshold: {window: 1m, condition: 'quantile(0.9, attrs.n) > 1e9'}`,
	"distinct":   `threshold: {window: 1m, condition: distinct(attrs.new) >= 500}`,
	"previous":   `threshold: {window: 1m, condition: count() > 9 * previous(count())}`,
	"baseline":   `threshold: {window: 1m, condition: 'count() > 9 * baseline(count(), 2m, 2)'}`,
	"tumbling":   `threshold: {window: {tumbling: 1m}, condition: distinct(attrs.new) >= 5000}`,
	"session":    `threshold: {window: {session: 10s, max: 1m}, condition: sum(attrs.n) > 1e9}`,
	"last":       `threshold: {window: {last: 50}, condition: avg(attrs.n) > 1e9}`,
	"bounded":    `threshold: {window: {start: attrs.n == 0, end: attrs.n == 9, max: 1m}, condition: count() >= 5000}`,
	"event":      `event: {}`,
	"absence":    `absence: {every: 1m, min: 20}`,
	"first seen": `change: {of: attrs.new, detect: first_seen, memory: 1m}`,
	"flapping":   `change: {of: attrs.n, detect: flapping, changes: 50, within: 1m}`,
	"temporal":   `temporal: {window: 1m, events: {a: attrs.n == 1, b: attrs.n == 77}}`,
	"at close":   `temporal: {window: 1m, events: {a: attrs.n == 1, b: attrs.n == 77}, condition: a > 900 && b == 0}`,
	"sequence":   `sequence: {within: 1m, steps: [{name: a, match: attrs.n == 1}, {name: b, match: attrs.n == 77}]}`,
	"all of them": `sequence:
      within: 1m
      contiguity: any
      skip: none
      steps: [{name: a, match: attrs.n == 1, times: {min: 1}}, {name: b, match: attrs.n == 2, absent: true}, {name: c, match: attrs.n == 77}]`,
}

// outliving remember a key by what they mean, until limits.groups is reached: the
// last fifty events, the last value.
var outliving = map[string]int{"last": 1, "flapping": 1}

func lastingRule(kind string) string {
	return rulesFile(fmt.Sprintf("\n  - id: lasting\n    match: message == \"m\"\n    group_by: [service]\n    %s\n", kind))
}

// load pushes an event a second, from second `from` on, and returns the size of a
// snapshot at the end.
func (w *world) load(from, n int) int {
	w.t.Helper()
	m := w.set.Matcher()
	for i := from; i < from+n; i++ {
		w.seq++
		ev := &event.Event{
			Time: at(time.Duration(i) * time.Second), Kind: "log", Service: "a", Message: "m", Raw: "m", Pos: event.Pos{Seq: w.seq},
		}
		ev.SetAttrs(map[string]any{"n": i % 10, "new": i})
		w.e.Advance(ev.Time, w.emit)
		if !w.e.Push(ev, m.Match(ev, nil)) {
			w.t.Fatalf("event at %ds refused", i)
		}
	}
	w.out = nil
	return len(snapshot(w.t, w.e))
}

// What is kept of a key is what its window holds, however long the key has lived;
// and when nothing is live any more nothing is kept.
func TestStateIsWhatIsLive(t *testing.T) {
	for name, kind := range lasting {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, lastingRule(kind))
			soon := w.load(0, 600)
			late := w.load(600, 3000)
			if late > soon+soon/8+64 {
				t.Errorf("%d bytes after ten windows, %d after sixty", soon, late)
			}
			w.advance(200 * time.Hour)
			s := w.e.Stats().Rules[0]
			if s.Keys != outliving[name] || s.Open != 0 {
				t.Errorf("a week later: %d keys, %d incidents", s.Keys, s.Open)
			}
		})
	}
}

// A window of a month is looked at as often as one of a minute: at the events, and
// where one leaves it.
func TestWorkDoesNotDependOnTheWindow(t *testing.T) {
	evaluations := func(window string) int {
		n := 0
		w := &world{t: t, set: parse(t, lastingRule(`threshold: {window: `+window+`, condition: sum(attrs.n) > 1e9 && distinct(attrs.new) > 1e9}`))}
		w.e = correlate.New(w.set, correlate.Options{Trace: func(correlate.TraceEvent) { n++ }})
		w.load(0, 2000)
		return n
	}
	minute, month := evaluations("1m"), evaluations("30d")
	if minute > 2*2000 || month > minute {
		t.Errorf("2000 events: %d evaluations with a minute, %d with a month", minute, month)
	}
}

// Ten thousand keys come and go: what is left of each is nothing, and what
// is kept of their past incidents is bounded.
func TestKeysComeAndGo(t *testing.T) {
	w := newWorld(t, rulesFile(`
  - id: churn
    match: message == "m"
    group_by: [service]
    limits: {groups: 2000}
    evidence: 2
    keep_firing_for: 10s
    threshold: {window: 10s, condition: count() >= 2}
`))
	most := 0
	for i := range 20_000 {
		w.log(time.Duration(i/2)*10*time.Millisecond, fmt.Sprint("svc-", i/2), "m")
		if i%1000 == 0 {
			most = max(most, w.e.Stats().Rules[0].Keys)
		}
	}
	if most > 2000 {
		t.Errorf("%d keys at a time", most)
	}
	w.advance(time.Hour)
	if s := w.e.Stats().Rules[0]; s.Keys != 0 || s.Bytes > 160*2000+1<<20 {
		t.Errorf("%d keys and %d bytes are left", s.Keys, s.Bytes)
	}
}
