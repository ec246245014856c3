package oracle_test

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"corral/correlate"
	"corral/event"
	"corral/rules"
)

// secRules say what testdata/pairs.sec says. SEC's pairs swallow further first
// events while one is open: so does a window from event to event, and so do
// sequences that wait for an absence when there is room for one (`partials: 1`).
// What is before and after is a pair in our sense, each beginning counts, is a
// context in SEC.
const secRules = `
version: 1
defaults: {group_by: [service], resolve: {max: 100000h}, limits: {partials: 1, open: 10000000, groups: 10000000}}
rules:
  - id: three
    match: message == "A"
    threshold: {window: 10s, condition: count() >= 3}
  - id: seven
    match: message == "A" || message == "B"
    threshold: {window: 25s, condition: count() >= 7}
  - id: pair
    match: message == "A" || message == "B"
    threshold:
      window: {start: message == "A", end: message == "B", max: 6s}
      condition: count(message == "B") >= 1
  - id: follows
    sequence:
      within: 6s
      steps:
        - {name: a, match: message == "A"}
        - {name: b, match: message == "B"}
  - id: missing
    sequence:
      within: 8s
      steps:
        - {name: a, match: message == "A"}
        - {name: b, match: message == "B", absent: true, within: 8s}
  - id: both
    temporal:
      window: 9s
      events: {a: message == "A", b: message == "B"}
      condition: a >= 2 && b >= 2
`

// secStart is the second at which the streams begin.
const secStart = 1_700_000_000

// TestSEC compares the first firing of every rule and key with that of Debian's
// sec, which runs under a clock that the lines themselves set.
func TestSEC(t *testing.T) {
	sec, err := exec.LookPath("sec")
	if err != nil {
		t.Skip("sec (Debian package sec) is not installed")
	}
	perl, err := exec.LookPath("perl")
	if err != nil {
		t.Skip("perl is not installed")
	}
	compared, firings, total := 0, 0, budget(t, 3000)
	for seed := uint64(1); compared < total; seed++ {
		events := secEvents(seed, min(total, 20000))
		want, got := firstOfSEC(t, perl, sec, events), firstOfEngine(t, events)
		for name, at := range want {
			if got[name] != at {
				t.Errorf("seed %d: %s: sec fires at %d, we at %d\n%s", seed, name, at, got[name], secStream(events, name))
			}
		}
		for name, at := range got {
			if want[name] == 0 {
				t.Errorf("seed %d: %s: sec does not fire, we at %d\n%s", seed, name, at, secStream(events, name))
			}
		}
		if t.Failed() {
			return
		}
		compared += len(events)
		firings += len(want)
	}
	t.Logf("%d events compared, %d first firings of a rule and key agree", compared, firings)
}

// secEvents draws a stream: at any time some twenty keys are alive, each for a
// dozen events, so that there are many first firings.
func secEvents(seed uint64, n int) []*event.Event {
	rng := rand.New(rand.NewPCG(seed, 1))
	out := make([]*event.Event, n)
	at := int64(secStart)
	for i := range out {
		if rng.IntN(3) == 0 {
			at += rng.Int64N(3)
		}
		out[i] = &event.Event{
			Time: at * int64(time.Second), Kind: "log", Pos: event.Pos{Seq: uint64(i + 1)},
			Service: fmt.Sprintf("k%d", i/240*20+rng.IntN(20)),
			Message: []string{"A", "A", "B"}[rng.IntN(3)],
		}
	}
	return out
}

func secStream(events []*event.Event, name string) string {
	_, key, _ := strings.Cut(name, " ")
	var b strings.Builder
	for _, ev := range events {
		if ev.Service == key {
			fmt.Fprintf(&b, "  %d %s\n", ev.Time/int64(time.Second), ev.Message)
		}
	}
	return b.String()
}

// firstOfSEC returns the second of the first firing by "rule key". Every second
// there is a tick, so that what expires does so on time.
func firstOfSEC(t *testing.T, perl, sec string, events []*event.Event) map[string]int64 {
	var in strings.Builder
	now := int64(secStart)
	tick := func(until int64) {
		for ; now <= until; now++ {
			fmt.Fprintf(&in, "@%d tick\n", now)
		}
	}
	for _, ev := range events {
		at := ev.Time / int64(time.Second)
		tick(at)
		fmt.Fprintf(&in, "@%d %s %s\n", at, ev.Service, ev.Message)
	}
	tick(now + 30)
	input := filepath.Join(t.TempDir(), "input")
	if err := os.WriteFile(input, []byte(in.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), perl, "testdata/virtual-sec.pl", sec,
		"--conf=testdata/pairs.sec", "--input="+input, "--notail", "--fromstart", "--nodetach")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("sec: %v\n%s", err, out)
	}
	first := map[string]int64{}
	for lines := bufio.NewScanner(strings.NewReader(string(out))); lines.Scan(); {
		f := strings.Fields(lines.Text())
		at, err := strconv.ParseInt(f[len(f)-1], 10, 64)
		if err != nil || len(f) != 3 {
			t.Fatalf("sec wrote %q", lines.Text())
		}
		if f[0] == "missing" {
			at-- // what expires after T seconds does so at the first whole second past it
		}
		if name := f[0] + " " + f[1]; first[name] == 0 {
			first[name] = at
		}
	}
	return first
}

func firstOfEngine(t *testing.T, events []*event.Event) map[string]int64 {
	set := load(t, secRules)
	engine, matcher := correlate.New(set, correlate.Options{}), set.Matcher()
	first := map[string]int64{}
	emit := func(tr *correlate.Transition) {
		if name := tr.RuleID + " " + tr.Key["service"]; first[name] == 0 {
			first[name] = tr.OpenedAt.Unix()
		}
	}
	var ms []rules.Match
	for _, ev := range events {
		engine.Seen(ev.Time)
		if ms = matcher.Match(ev, ms[:0]); len(ms) > 0 {
			engine.Push(ev, ms)
		}
		engine.Advance(ev.Time, emit)
	}
	engine.Finish(events[len(events)-1].Time+int64(30*time.Second), emit)
	return first
}
