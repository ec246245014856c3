package correlate_test

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"corral/correlate"
	"corral/event"
	"corral/rules"
)

// world is an engine being driven by a test, on a clock that starts at zero.
type world struct {
	t   *testing.T
	set *rules.Set
	e   *correlate.Engine
	out []*correlate.Transition
	seq uint64
}

var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func newWorld(t *testing.T, text string) *world {
	w := &world{t: t, set: parse(t, text)}
	w.e = correlate.New(w.set, correlate.Options{})
	return w
}

func (w *world) emit(tr *correlate.Transition) { w.out = append(w.out, tr) }

func at(d time.Duration) int64 { return epoch.Add(d).UnixNano() }

// log pushes an event of a service and lets time go on to it.
func (w *world) log(d time.Duration, service, message string) {
	w.t.Helper()
	w.seq++
	ev := &event.Event{
		Time: at(d), Kind: "log", Service: service, Message: message, Raw: message, Pos: event.Pos{Seq: w.seq},
	}
	w.e.Advance(ev.Time, w.emit)
	if !w.e.Push(ev, w.set.Matcher().Match(ev, nil)) {
		w.t.Fatalf("event at %v refused", d)
	}
}

func (w *world) advance(d time.Duration) { w.e.Advance(at(d), w.emit) }

// reload replaces the rules; told are the transitions that makes at once.
func (w *world) reload(text string) (correlate.Reloaded, []string) {
	w.t.Helper()
	w.out = nil
	w.set = parse(w.t, text)
	rep := w.e.Reload(w.set, w.emit)
	return rep, w.told()
}

// told is what was emitted since, in a line each, by instant and key, and forgets
// it.
func (w *world) told() []string {
	var lines []string
	slices.SortStableFunc(w.out, func(a, b *correlate.Transition) int {
		return cmp.Or(a.ChangedAt.Compare(b.ChangedAt), cmp.Compare(a.Key["service"], b.Key["service"]))
	})
	for _, tr := range w.out {
		lines = append(lines, fmt.Sprintf("%v %s%v %d %s/%s %s",
			tr.ChangedAt.Sub(epoch), tr.RuleID, tr.Key, tr.Rev, tr.State, tr.Cause, tr.NotifyReason))
	}
	w.out = nil
	return lines
}

func (w *world) expect(what string, got []string, want ...string) {
	w.t.Helper()
	if !slices.Equal(got, want) {
		w.t.Errorf("%s:\n got %s\nwant %s", what, strings.Join(got, "\n     "), strings.Join(want, "\n     "))
	}
}

func rulesFile(rules ...string) string { return "version: 1\nrules:\n" + strings.Join(rules, "") }

const (
	burst = `
  - id: burst
    title: "{{ count() }} bad"
    match: message == "bad"
    group_by: [service]
    threshold: {window: 60s, condition: count() >= 3}
`
	single = `
  - id: single
    match: message == "gone"
    group_by: [service]
    event: {}
`
)

// opened has three incidents: burst of a and b, single of c. The watermark is 10 s.
func opened(t *testing.T) *world {
	w := newWorld(t, rulesFile(burst, single))
	for i := range 3 {
		w.log(time.Duration(i)*time.Second, "a", "bad")
		w.log(time.Duration(i)*time.Second, "b", "bad")
	}
	w.log(3*time.Second, "b", "bad")
	w.log(4*time.Second, "b", "bad")
	w.log(5*time.Second, "c", "gone")
	w.advance(10 * time.Second)
	w.expect("open", w.told(),
		"2s burstmap[service:a] 1 open/condition first",
		"2s burstmap[service:b] 1 open/condition first",
		"5s singlemap[service:c] 1 open/condition first")
	return w
}

func TestReloadOfTheSameRulesDoesNothing(t *testing.T) {
	w := opened(t)
	rep, told := w.reload("# another comment\n" + rulesFile(single, burst))
	w.expect("reload", told)
	w.expect("unchanged", rep.Unchanged, "single", "burst")
	if rep.Gen != 2 {
		t.Errorf("generation %d, want 2", rep.Gen)
	}
	w.advance(time.Hour)
	w.expect("later", w.told(),
		"2m0s burstmap[service:a] 2 resolved/quiet resolved",
		"2m2s burstmap[service:b] 2 resolved/quiet resolved",
		"5m5s singlemap[service:c] 2 resolved/quiet resolved")
}

func TestReloadOfTextSaysItAnewAndTellsNobody(t *testing.T) {
	w := opened(t)
	rep, told := w.reload(rulesFile(strings.Replace(burst, "bad\"\n    match", "failures\"\n    match", 1), single))
	w.expect("reload", told,
		"10s burstmap[service:a] 2 open/text none",
		"10s burstmap[service:b] 2 open/text none")
	w.expect("text", rep.Text, "burst")
	w.expect("unchanged", rep.Unchanged, "single")
	w.log(11*time.Second, "d", "gone")
	w.advance(12 * time.Second)
	w.expect("neighbour", w.told(), "11s singlemap[service:d] 1 open/condition first")
}

func TestReloadOfAThresholdIsJudgedAtOnce(t *testing.T) {
	w := opened(t)
	rep, told := w.reload(rulesFile(strings.Replace(burst, ">= 3", ">= 4", 1), single))
	w.expect("reload", told)
	w.expect("logic", rep.Logic, "burst")
	w.advance(time.Hour)
	w.expect("later", w.told(),
		"1m10s burstmap[service:a] 2 resolved/rule_changed resolved", // false from the reload on
		"2m1s burstmap[service:b] 2 resolved/quiet resolved",         // [1,61] held four last
		"5m5s singlemap[service:c] 2 resolved/quiet resolved")
	if rep.Stay["burst"] != 1 || rep.Resolved["burst"] != 1 {
		t.Errorf("stay %v, resolved %v; want one each", rep.Stay, rep.Resolved)
	}
}

func TestReloadOfALowerThresholdOpensAtOnce(t *testing.T) {
	w := newWorld(t, rulesFile(burst))
	w.log(0, "a", "bad")
	w.log(time.Second, "a", "bad")
	w.advance(10 * time.Second)
	_, told := w.reload(rulesFile(strings.Replace(burst, ">= 3", ">= 2", 1)))
	w.expect("reload", told, "10s burstmap[service:a] 1 open/condition first")
}

func TestReloadOfANarrowerWindowTrims(t *testing.T) {
	w := newWorld(t, rulesFile(burst))
	for _, d := range []time.Duration{0, 8, 9} {
		w.log(d*time.Second, "a", "bad")
	}
	w.advance(12 * time.Second)
	w.expect("open", w.told(), "9s burstmap[service:a] 1 open/condition first")
	_, told := w.reload(rulesFile(strings.Replace(burst, "60s", "10s", 1)))
	w.expect("reload", told)
	w.advance(time.Hour)
	w.expect("later", w.told(), "22s burstmap[service:a] 2 resolved/rule_changed resolved")
}

func TestReloadOfTheSelectionStartsEmpty(t *testing.T) {
	w := opened(t)
	rep, told := w.reload(rulesFile(strings.Replace(burst, `== "bad"`, `startsWith "bad"`, 1), single))
	w.expect("reload", told,
		"10s burstmap[service:a] 2 resolved/rule_changed resolved",
		"10s burstmap[service:b] 2 resolved/rule_changed resolved")
	w.expect("reset", rep.Reset, "burst")
	w.log(11*time.Second, "a", "bad")
	w.log(12*time.Second, "a", "bad")
	w.advance(13 * time.Second)
	w.expect("state is gone", w.told())
	w.log(13*time.Second, "a", "bad again")
	w.advance(14 * time.Second)
	w.expect("opens", w.told(), "13s burstmap[service:a] 1 open/condition first")
}

func TestReloadWithoutARuleResolvesItsIncidents(t *testing.T) {
	w := opened(t)
	rep, told := w.reload(rulesFile(burst))
	w.expect("reload", told, "10s singlemap[service:c] 2 resolved/rule_removed resolved")
	w.expect("removed", rep.Removed, "single")
	if n := len(w.e.OpenIncidents()); n != 2 {
		t.Errorf("%d incidents open, want 2", n)
	}
}

func TestReloadCarriesARenamedRule(t *testing.T) {
	w := opened(t)
	before := ids(w.e.OpenIncidents())
	renamed := strings.Replace(burst, "id: burst\n", "id: storm\n    renamed_from: burst\n", 1)
	rep, told := w.reload(rulesFile(renamed, single))
	w.expect("reload", told)
	w.expect("renamed", rep.Renamed, "storm")
	w.expect("ids", ids(w.e.OpenIncidents()), before...)
	w.advance(3 * time.Minute)
	w.expect("later", w.told(),
		"2m0s stormmap[service:a] 2 resolved/quiet resolved",
		"2m2s stormmap[service:b] 2 resolved/quiet resolved")
}

func ids(ts []*correlate.Transition) []string {
	var ids []string
	for _, tr := range ts {
		ids = append(ids, tr.IncidentID)
	}
	return ids
}

func TestReloadOfASignalTellsWhatIsOpen(t *testing.T) {
	quiet := strings.Replace(single, "event: {}", "event: {}\n    signal: true", 1)
	w := newWorld(t, rulesFile(quiet))
	w.log(0, "a", "gone")
	w.advance(time.Second)
	w.expect("signal", w.told(), "0s singlemap[service:a] 1 open/condition none")
	_, told := w.reload(rulesFile(single))
	w.expect("reload", told, "1s singlemap[service:a] 2 open/text first")
}

func TestReloadOfForAndKeep(t *testing.T) {
	held := strings.Replace(burst, "match:", "for: 30s\n    match:", 1)
	w := newWorld(t, rulesFile(held))
	for i := range 3 {
		w.log(time.Duration(i)*time.Second, "a", "bad")
	}
	w.advance(10 * time.Second)
	w.expect("pending", w.told())
	_, told := w.reload(rulesFile(strings.Replace(held, "for: 30s", "for: 20s\n    keep_firing_for: 5s", 1)))
	w.expect("reload", told)
	w.advance(time.Hour)
	w.expect("later", w.told(),
		"22s burstmap[service:a] 1 open/condition first",
		"1m5s burstmap[service:a] 2 resolved/quiet resolved")
}

func TestReloadOfTheLadder(t *testing.T) {
	w := opened(t)
	_, told := w.reload(rulesFile(strings.Replace(burst, "match:", "severity: [{when: count() >= 5, is: critical}, {is: warning}]\n    match:", 1), single))
	w.expect("reload", told, "10s burstmap[service:b] 2 open/severity severity")
}

func TestReloadKeepsWhatIsBuffered(t *testing.T) {
	w := opened(t)
	w.log(20*time.Second, "e", "gone")
	w.reload(rulesFile(single))
	w.advance(21 * time.Second)
	w.expect("buffered", w.told(), "20s singlemap[service:e] 1 open/condition first")
}

func TestReloadArmsWhatIsExpectedFromNowOn(t *testing.T) {
	w := opened(t)
	w.reload(rulesFile(burst, single, `
  - id: beat
    match: message == "beat"
    group_by: [service]
    absence: {every: 20s, expect: [x]}
`))
	w.advance(31 * time.Second)
	w.expect("armed at the reload", w.told(), "30s beatmap[service:x] 1 open/condition first")
}

// TestRestoreWithOtherRules is a reload over a restart: the same transitions, with
// the next Advance.
func TestRestoreWithOtherRules(t *testing.T) {
	for name, text := range map[string]string{
		"same":      rulesFile(burst, single),
		"text":      rulesFile(strings.Replace(burst, "bad\"\n    match", "failures\"\n    match", 1), single),
		"threshold": rulesFile(strings.Replace(burst, ">= 3", ">= 4", 1), single),
		"window":    rulesFile(strings.Replace(burst, "60s", "7s", 1), single),
		"selection": rulesFile(strings.Replace(burst, `== "bad"`, `startsWith "bad"`, 1), single),
		"removed":   rulesFile(burst),
		"added":     rulesFile(burst, single, strings.Replace(single, "id: single", "id: another", 1)),
	} {
		t.Run(name, func(t *testing.T) {
			a := opened(t)
			a.set = parse(t, text)
			a.e.Reload(a.set, a.emit)
			b := opened(t)
			var snapshot bytes.Buffer
			if err := b.e.Snapshot(&snapshot); err != nil {
				t.Fatal(err)
			}
			b.set = parse(t, text)
			e, err := correlate.Restore(b.set, correlate.Options{}, &snapshot)
			if err != nil {
				t.Fatal(err)
			}
			b.e = e
			for _, w := range []*world{a, b} {
				w.log(11*time.Second, "a", "bad")
				w.log(12*time.Second, "c", "gone")
				w.advance(time.Hour)
			}
			b.expect("restored", b.told(), a.told()...)
		})
	}
}

// An event that was matched before a reload and pushed after it is matched anew.
func TestReloadBetweenMatchAndPush(t *testing.T) {
	w := newWorld(t, rulesFile(burst, single))
	ev := &event.Event{Time: at(time.Second), Kind: "log", Service: "a", Message: "gone"}
	ms := w.set.Matcher().Match(ev, nil)
	w.reload(rulesFile(single))
	w.e.Push(ev, ms)
	w.advance(2 * time.Second)
	w.expect("after", w.told(), "1s singlemap[service:a] 1 open/condition first")
}
