package rules

import (
	"os"
	"reflect"
	"slices"
	"testing"
	"time"

	"corral/event"
)

// one wraps the lines of a rule into a file and returns the rule.
func one(t testing.TB, lines ...string) *Rule {
	t.Helper()
	return mustParse(t, ruleWith(lines...)).Rules[0]
}

func everyField(t testing.TB) *Set {
	t.Helper()
	text, err := os.ReadFile("testdata/every-field.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return mustParse(t, string(text))
}

func TestEnvelopeDefaults(t *testing.T) {
	r := one(t, "match: true", "event: {}")
	want := struct {
		Title          string
		Severity       []SeverityStep
		Keep, Max, Upd time.Duration
		Limits         Limits
		Evidence       int
		NotifyResolved bool
	}{"example", []SeverityStep{{Is: Warning}}, 5 * time.Minute, 24 * time.Hour, 5 * time.Minute, Limits{100000, 1000, 100}, 6, true}
	got := want
	got.Title, got.Severity, got.Keep, got.Max, got.Upd = r.Title.Render(&Env{}), r.Severity, r.KeepFiringFor, r.ResolveMax, r.UpdateEvery
	got.Limits, got.Evidence, got.NotifyResolved = r.Limits, r.Evidence, r.NotifyResolved
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestKeepFiringForDefaultsByKind(t *testing.T) {
	for block, want := range map[string]time.Duration{
		"event: {}": 5 * time.Minute,
		"threshold: {window: 7m, condition: count() > 1}":                                         7 * time.Minute,
		"threshold: {window: {tumbling: 6m}, condition: count() > 1}":                             6 * time.Minute,
		"threshold: {window: {session: 1m, max: 9m}, condition: count() > 1}":                     9 * time.Minute,
		"threshold: {window: {last: 9}, condition: count() > 1}":                                  5 * time.Minute,
		"threshold: {window: {start: message == 'a', end: true, max: 3m}, condition: rate() > 1}": 3 * time.Minute,
		"temporal: {window: 8m, events: {a: true}}":                                               8 * time.Minute,
		"sequence: {within: 1h, steps: [{name: a, match: true}]}":                                 5 * time.Minute,
		"change: {of: attrs.x}":             5 * time.Minute,
		"absence: {every: 1h}":              0,
		"event: {}\n    keep_firing_for: 0": 0,
	} {
		if r := one(t, "match: true", block); r.KeepFiringFor != want {
			t.Errorf("%s: got %s, want %s", block, r.KeepFiringFor, want)
		}
	}
}

func TestFileDefaultsYieldToTheRule(t *testing.T) {
	set := mustParse(t, `
version: 1
defaults: {severity: critical, owner: platform, labels: {a: b}, group_by: [service], for: 1m, limits: {open: 5}, title: "{{ service }}"}
rules:
  - {id: takes, match: true, threshold: {window: 5m, condition: count() > 1}}
  - {id: sets, match: true, severity: info, owner: me, group_by: [], for: 0, labels: {c: d}, threshold: {window: 5m, condition: count() > 1}}
  - {id: instant, match: true, event: {}}
`)
	a, b, c := set.Rule("takes"), set.Rule("sets"), set.Rule("instant")
	if a.Severity[0].Is != Critical || a.Owner != "platform" || len(a.KeyNames) != 1 || a.For != time.Minute || a.Limits != (Limits{100000, 5, 100}) {
		t.Errorf("takes: %+v", a)
	}
	if b.Severity[0].Is != Info || b.Owner != "me" || len(b.KeyNames) != 0 || b.For != 0 || b.Labels["a"] != nil {
		t.Errorf("sets: %+v", b)
	}
	if c.For != 0 {
		t.Error("a default `for` must not reach a rule that has none")
	}
}

// What is written twice is one aggregate, with one argument and one part.
func TestAggregatesAreShared(t *testing.T) {
	r := one(t, `title: "{{ count() }} {{ avg(http.duration_ms) }}"`, "match: true",
		"severity: [{when: 'count( http.status>=500 ) > 5', is: error}, {is: info}]",
		"threshold: {window: 5m, condition: 'count() > 3 && count(http.status >= 500) > 1 && avg(http.duration_ms) > quantile(0.9, http.duration_ms) && previous(count()) > baseline(count(), 7d, 4)'}")
	var texts []string
	for _, a := range r.Aggs {
		texts = append(texts, a.Text)
	}
	want := []string{"count()", "count(http.status >= 500)", "avg(http.duration_ms)", "quantile(0.9, http.duration_ms)", "previous(count())", "baseline(count(), 7d, 4)"}
	if !slices.Equal(texts, want) {
		t.Errorf("got %q, want %q", texts, want)
	}
	if len(r.Args) != 1 || len(r.Parts) != 1 {
		t.Errorf("%d args, %d parts, want one of each", len(r.Args), len(r.Parts))
	}
	if p := r.Aggs[4]; p.Fn != Previous || p.Of != 0 || p.Arg != -1 {
		t.Errorf("previous is %+v", p)
	}
	if b := r.Aggs[5]; b.Fn != Baseline || b.Offset != 7*24*time.Hour || b.N != 4 {
		t.Errorf("baseline is %+v", b)
	}
}

func TestConditionsDecidedAtTheClose(t *testing.T) {
	for condition, want := range map[string]bool{
		"count() >= 5": false, "count() > 5 && count(service == 'a') >= 2": false, "5 < count()": false,
		"count() < 5": true, "count() <= 5": true, "count() == 0": true, "5 > count()": true, "!(count() > 5)": true, "not (5 <= count())": true,
		"!(count() < 5)": false, "count() == 5": false, "count() != 5": true, "count() != 0": false, "!(count() == 0)": false, "!(count() != 0)": true,
		"count(service == 'a') > count()": true, "count() - count(service == 'a') > 3": true, "count() + distinct(service) > 3": false,
		"-count() < -3": false, "count() * -1 > -3": true, "count() * 2 < 10": true, "10 - count() > 3": true,
		"count(service == 'a') / count() < 0.5 && count() > 3": false, "count() / 2 < 5": true, "avg(http.duration_ms) < 5": false, "rate() < 5": true, "sum(http.status) < 5": true,
		"distinct(service) < 3": true, "max(http.status) < 5": false, "count() > 3 || count(service == 'a') == 0": true,
		"count() > 3 ? count(service == 'a') > 1 : false": false, "count() > 3 ? false : count(service == 'a') > 1": true, "!(count() > 3 ? false : true)": false, "count() > 3 ? count() > 9 : true": true,
		"let n = count(); n > 3": false, "let n = count(); let m = n + 1; 9 > m": true, "let few = count() < 3; !few": false, "let few = count() < 3; few && rate() > 0": true,
		"count() in [0, 1]": true, "count() in [3, 4]": false, "count() not in [3, 4]": true, "count() not in [0]": false, "count() in 3..9": false, "count() in 0..9": true, "min(count(), 5) < 3": true,
	} {
		r := one(t, "match: true", "threshold: {window: {tumbling: 5m}, condition: "+yamlQuote(condition)+"}")
		if r.Threshold.AtClose != want {
			t.Errorf("%s: got %v", condition, r.Threshold.AtClose)
		}
	}
}

func TestTemporalConditionDefaultsToAllSeen(t *testing.T) {
	r := one(t, "temporal: {window: 5m, events: {a: level == 'error', b: level == 'fatal'}}")
	count := func(a, b int) bool {
		ok, _ := r.Temporal.Condition.Bool(&Env{Aggs: []event.Value{intValue(a), intValue(b)}})
		return ok
	}
	if count(1, 0) || count(0, 1) || !count(1, 2) || r.Temporal.AtClose {
		t.Error("the default must ask for every event type")
	}
}

func TestSequenceWhereReadsEarlierSteps(t *testing.T) {
	r := one(t, `sequence:
      within: 1h
      steps:
        - {name: deploy, match: attrs.type == "deploy"}
        - {name: crash, match: attrs.type == "crash", times: {min: 2}, where: 'attrs.version == deploy.attrs.version && host != deploy.host'}
        - {name: end, match: attrs.type == "end", where: 'len(crash.all) == 2 && all(crash.all, .host == "h2" && .attrs.n > 1) && crash.attrs.n == 2'}`)
	ev := func(host, version string, n int) *event.Event {
		e := &event.Event{Host: host}
		e.SetAttrs(map[string]any{"version": version, "n": n})
		return e
	}
	deploy := []*event.Event{ev("h1", "v1", 0)}
	crash := []*event.Event{ev("h2", "v1", 2), ev("h2", "v1", 3)}
	where := func(step int, e *event.Event, steps ...[]*event.Event) bool {
		ok, _ := r.Sequence.Steps[step].Where.Bool(&Env{Event: e, Steps: steps})
		return ok
	}
	if !where(1, crash[0], deploy) || where(1, ev("h2", "v2", 1), deploy) || where(1, ev("h1", "v1", 1), deploy) || where(1, crash[0]) {
		t.Error("where of the second step")
	}
	if !where(2, ev("x", "", 0), deploy, crash) || where(2, ev("x", "", 0), deploy, crash[:1]) {
		t.Error("where of the third step")
	}
}
