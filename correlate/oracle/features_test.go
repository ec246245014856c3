package oracle_test

import (
	"fmt"
	"regexp"
	"slices"
	"testing"

	"corral/event"
)

// features are the parts of the language a random rule may have, by what gives
// them away in its text.
var features = map[string]*regexp.Regexp{}

func init() {
	for name, text := range map[string]string{
		"event": `event: \{\}`, "threshold": `threshold:`, "absence": `absence:`, "change": `change:`, "temporal": `temporal:`, "sequence": `sequence:`,
		"sliding": `window: \d`, "tumbling": `tumbling:`, "tumbling timezone": `tumbling: \S+, timezone`, "session": `session:`, "last": `last: \d`, "start end": `start: `,
		"clear": `clear:`, "decided at close": `(count|sum|distinct)\(.*\) <|(ex|why) (==|<|<=) `,
		"count": `count\(\)`, "count(pred)": `count\([^)]`, "sum": `sum\(`, "avg": `avg\(`, "min": `min\(`, "max": `max\(`, "stddev": `stddev\(`, "quantile": `quantile\(`,
		"distinct": `distinct\(`, "rate": `rate\(`, "first": `first\(`, "last value": `last\(`, "previous": `previous\(`, "baseline": `baseline\(`,
		"every": `[ {]every: \d`, "schedule": `every: \{schedule`, "grace": `grace:`, "min of absence": `[ {]min: \d.*|min: \d+\}`, "expect": `expect:`, "remember": `remember:`, "forget_after": `forget_after:`,
		"changed": `detect: changed`, "first_seen": `detect: first_seen`, "flapping": `detect: flapping`, "learn": `learn: [1-9]`,
		"strict": `contiguity: strict`, "relaxed": `contiguity: relaxed`, "any": `contiguity: any`, "past_last": `skip: past_last`, "next": `skip: next`, "none": `skip: none`,
		"until": `until:`, "on_timeout": `on_timeout: emit`, "times": `times: \d`, "times min max": `times: \{`, "optional": `optional: true`, "greedy": `greedy: true`, "absent": `absent: true`,
		"absent first": `s0, .*absent: true`, "step within": `name: s[1-9].*within:`, "where": `where: 'attrs`, "where all": `where: 'len`,
		"for": `(?m)^\s+for:`, "keep_firing_for": `keep_firing_for:`, "edge": `refire: edge`, "level": `refire: level`, "reset": `refire: reset`, "suppress": `suppress:`,
		"resolve.when": `when: message == "ok"`, "resolve.max": `resolve: .*max:`, "severity": `severity: [a-z]`, "ladder": `severity: \[`, "update_every": `update_every:`,
		"limits.open": `limits: \{open`, "inhibited_by": `inhibited_by:`, "signal": `signal: true`, "active": `active:`, "from incidents": `from: incidents`,
		"group_by none": `group_by: \[\]`, "group_by two": `\[service, host\]`, "group_by map": `\{svc: service\}`, "group_by parts": `who: `, "notify.resolved": `notify:`,
	} {
		features[name] = regexp.MustCompile(text)
	}
}

// featuresOf are the names of what a case has.
func featuresOf(text string, events []*event.Event, ways []way) []string {
	var names []string
	for name, x := range features {
		if x.MatchString(text) {
			names = append(names, name)
		}
	}
	at := map[int64]bool{}
	for _, ev := range events {
		if at[ev.Time] {
			names = append(names, "stream: equal times")
			break
		}
		at[ev.Time] = true
	}
	for _, w := range ways[1:] {
		names = append(names, fmt.Sprintf("way: %d shards", w.shards))
		if w.lateness > 0 {
			names = append(names, "way: disorder")
		}
		if w.restart {
			names = append(names, "way: restarted after every event")
		}
		if w.steps {
			names = append(names, "way: the watermark in jumps")
		}
	}
	return names
}

// tell logs in how many cases each feature was. A long run has all of them.
func tell(t *testing.T, drawn map[string]int, compared int) {
	names := []string{"stream: equal times", "way: disorder", "way: restarted after every event", "way: the watermark in jumps", "way: 1 shards", "way: 2 shards", "way: 4 shards"}
	for name := range features {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		t.Logf("%7d cases with %s", drawn[name], name)
		if drawn[name] == 0 && compared > 200_000 {
			t.Errorf("none of %d events was for a rule with %s", compared, name)
		}
	}
}
