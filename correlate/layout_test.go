package correlate_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"corral/correlate"
	"corral/event"
)

// sameMeaning are ways to write one rule that decide alike and keep different
// things of the events, or the same ones in another order.
var sameMeaning = map[string][]string{
	"counted": {
		`title: t, threshold: {window: 20s, condition: count() >= 3}`,
		`title: t, threshold: {window: 20s, condition: count() >= 3 && count() > 0}`,
		`title: t, threshold: {window: 20s, condition: count() >= 3, clear: count() < 3}`,
		`title: "{{ distinct(message) }} {{ rate() }}", threshold: {window: 20s, condition: count() >= 3}`,
		`title: t, severity: [{when: 'distinct(host) > 1', is: critical}, {is: warning}], threshold: {window: 20s, condition: count() > 2}`,
	},
	"sliding": {
		`title: t, threshold: {window: 20s, condition: count(level == "error") >= 2 && distinct(message) >= 2}`,
		`title: t, threshold: {window: 20s, condition: distinct(message) >= 2 && count("error" == level) >= 2 && sum(http.status) >= 0}`,
		`title: "{{ max(http.status) }}", threshold: {window: 20s, condition: count() > 0 && distinct(message) >= 2 && count(level == "error") >= 2}`,
	},
	"last": {
		`title: t, threshold: {window: {last: 4}, condition: max(http.status) >= 7 && avg(http.status) > 3}`,
		`title: "{{ quantile(0.5, http.status) }}", threshold: {window: {last: 4}, condition: avg(http.status) > 3 && max(http.status) >= 7}`,
	},
	"tumbling": {
		`title: t, threshold: {window: {tumbling: 20s}, condition: sum(http.status) >= 20}`,
		`title: "{{ distinct(message) }}", threshold: {window: {tumbling: 20s}, condition: count() > 0 && sum(http.status) >= 20}`,
	},
	"closing": {
		`title: t, threshold: {window: {tumbling: 20s}, condition: count(level == "error") < 2 && max(http.status) > 4}`,
		`title: "{{ min(http.status) }}", threshold: {window: {tumbling: 20s}, condition: max(http.status) > 4 && count(level == "error") < 2}`,
	},
	"session": {
		`title: t, threshold: {window: {session: 6s, max: 40s}, condition: count() >= 3 && stddev(http.status) > 1}`,
		`title: "{{ first(message) }}", threshold: {window: {session: 6s, max: 40s}, condition: stddev(http.status) > 1 && count() >= 3}`,
	},
	"bounded": {
		`title: t, threshold: {window: {start: message == "a", end: message == "b", max: 30s}, condition: count(level == "error") >= 1}`,
		`title: "{{ distinct(message) }}", threshold: {window: {start: message == "a", end: message == "b", max: 30s}, condition: sum(http.status) >= 0 && count(level == "error") >= 1}`,
	},
	"temporal": {
		`title: t, temporal: {window: 20s, events: {x: message == "a", y: level == "error"}, condition: x >= 1 && y >= 2}`,
		`title: "{{ distinct(message) }}", temporal: {window: 20s, events: {x: message == "a", y: level == "error"}, condition: y >= 2 && x >= 1 && count() > 0}`,
	},
	"temporal at close": {
		`title: t, temporal: {window: 20s, events: {x: message == "a", y: level == "error"}, condition: x >= 1 && y == 0}`,
		`title: "{{ distinct(message) }}", temporal: {window: 20s, events: {x: message == "a", y: level == "error"}, condition: y == 0 && x >= 1}`,
	},
}

// TestStateOutlivesTheWayItIsAsked: a rule whose condition, severity or title comes
// to ask for other aggregates, over a reload or over a restart, goes on with what it
// holds. Titles and steps of the severity that nobody looks at are all that differs
// between the rules, so incidents begin and end as if nothing had happened.
func TestStateOutlivesTheWayItIsAsked(t *testing.T) {
	for name, variants := range sameMeaning {
		t.Run(name, func(t *testing.T) {
			opens := 0
			for seed := range uint64(25) {
				want := lives(t, variants[:1], rand.New(rand.NewPCG(seed, 1)))
				if got := lives(t, variants, rand.New(rand.NewPCG(seed, 1))); !slices.Equal(got, want) {
					t.Fatalf("seed %d:\n got %s\nwant %s", seed, strings.Join(got, "\n     "), strings.Join(want, "\n     "))
				}
				opens += len(want)
			}
			if opens < 25 {
				t.Errorf("only %d transitions in 25 streams", opens)
			}
		})
	}
}

// lives drives a rule through a random stream, with reloads and restarts from one of
// its variants to another on the way, and says when its incidents began and ended,
// and with how many events.
func lives(t *testing.T, variants []string, random *rand.Rand) []string {
	text := func(i int) string {
		return "version: 1\nrules:\n  - {id: r, match: service != \"\", group_by: [service], " + variants[i%len(variants)] + "}\n"
	}
	w := newWorld(t, text(0))
	now := time.Duration(0)
	for i := range 60 {
		now += time.Duration(random.IntN(8)) * time.Second
		status := random.IntN(10)
		w.seq++
		ev := &event.Event{
			Time: at(now), Kind: "log", Service: []string{"a", "b"}[random.IntN(2)], Message: []string{"a", "b", "c"}[random.IntN(3)],
			Level: []string{"info", "error"}[random.IntN(2)], Pos: event.Pos{Seq: w.seq},
		}
		ev.HTTP.Status = status
		w.e.Advance(ev.Time, w.emit)
		if ms := w.set.Matcher().Match(ev, nil); len(ms) > 0 {
			w.e.Push(ev, ms)
		}
		switch next := random.IntN(len(sameMeaning["counted"]) * 2); {
		case i%7 == 3:
			w.set = parse(t, text(next))
			w.e.Reload(w.set, w.emit)
		case i%7 == 5:
			var snapshot bytes.Buffer
			if err := w.e.Snapshot(&snapshot); err != nil {
				t.Fatal(err)
			}
			w.set = parse(t, text(next))
			var err error
			if w.e, err = correlate.Restore(w.set, correlate.Options{}, &snapshot); err != nil {
				t.Fatal(err)
			}
			if res := w.e.Restored(); len(res.Reset) > 0 {
				t.Fatalf("state of %v is gone", res.Reset)
			}
		}
	}
	w.advance(time.Hour)
	var told []string
	for _, tr := range w.out {
		if tr.Rev == 1 || tr.State == "resolved" {
			told = append(told, fmt.Sprint(tr.ChangedAt.Sub(epoch), tr.Key, tr.State, tr.Cause, tr.StartedAt.Sub(epoch), tr.EventCount))
		}
	}
	return told
}
