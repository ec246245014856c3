package rules

import (
	"slices"
	"strings"
	"testing"
)

// TestMistakes: what goes wrong at three in the morning, each with the line it is
// in, the words that say what is wrong, and what to do.
func TestMistakes(t *testing.T) {
	rule := func(lines ...string) string {
		return "version: 1\nrules:\n  - id: a\n    match: true\n    " + strings.Join(lines, "\n    ") + "\n"
	}
	for _, tt := range []struct {
		name, text string
		line       int
		says, hint string
	}{
		{"nothing", "", 1, "the file is empty", "rules:"},
		{"comments only", "# later\n", 1, "the file is empty", "rules:"},
		{"a list of rules", "- id: a\n", 1, "must be a mapping", ""},
		{"tabs", "version: 1\nrules:\n\t- id: a\n", 3, "not YAML", "spaces, not tabs"},
		{"colon in a text", rule(`title: errors: many`, "event: {}"), 5, "not YAML", "quoted as a whole"},
		{"bracket left open", rule("group_by: [service", "event: {}"), 6, "not YAML", ""},
		{"not UTF-8", "version: 1\nrules: # \xff\n", 2, "not UTF-8", ""},
		{"two documents", rule("event: {}") + "---\n" + rule("event: {}"), 6, "a second YAML document", "files of their own"},
		{"CRLF", strings.ReplaceAll(rule("evnt: {}"), "\n", "\r\n"), 5, `unknown key "evnt"`, "event"},
		{"a byte order mark", "\ufeff" + rule("evnt: {}"), 5, `unknown key "evnt"`, "event"},
		{"rule for rules", "rule: []\n", 1, `unknown key "rule"`, "rules"},
		{"rules indented away", "version: 1\nrules:\nid: a\n", 2, "no rules", ""},
		{"alias of another tool", rule("name: x", "event: {}"), 5, `unknown key "name"`, `"id"`},
		{"or for for", rule("or: 5m", "threshold: {window: 5m, condition: count() > 1}"), 5, `unknown key "or"`, `"for"`},
		{"window at the rule", rule("window: 5m", "threshold: {window: 5m, condition: count() > 1}"), 5, "belongs into a block", ""},
		{"timespan in a threshold", rule("threshold: {timespan: 5m, window: 5m, condition: count() > 1}"), 5, `unknown key "timespan"`, `"window"`},
		{"maxspan in a sequence", rule("sequence: {maxspan: 5m, within: 5m, steps: [{name: x, match: true}]}"), 5, `unknown key "maxspan"`, `"within"`},
		{"key twice", rule("event: {}", "event: {}"), 6, "duplicate key", "first at"},
		{"a number as a title", rule("title: 500", "event: {}"), 5, "is a number to YAML", "quote it"},
		{"yes", rule("signal: yes", "event: {}"), 5, "is a text to YAML 1.2", "true"},
		{"octal", rule("evidence: 010", "event: {}"), 5, "reads differently", "plain decimal"},
		{"high", rule("severity: high", "event: {}"), 5, "cannot be", `"error"`},
		{"fatal", rule("severity: fatal", "event: {}"), 5, "cannot be", `"critical"`},
		{"no unit", rule("suppress: 300", "event: {}"), 5, "no duration", "300s"},
		{"words for a span", rule("suppress: 5 minutes", "event: {}"), 5, "no duration", "90s"},
		{"negative span", rule("suppress: -5m", "event: {}"), 5, "must not be negative", ""},
		{"no window", rule("threshold: {condition: count() > 1}"), 5, "needs `window`", "5m"},
		{"no condition", rule("threshold: {window: 5m}"), 5, "needs `condition`", "count()"},
		{"a number for a condition", rule("threshold: {window: 5m, condition: 10}"), 5, "must be true or false", "compare it"},
		{"too few", rule("threshold: {window: 5m, condition: count() < 1}"), 5, "too few events", "absence"},
		{"always", rule("threshold: {window: 5m, condition: count() >= 0}"), 5, "always holds", ""},
		{"never", rule("threshold: {window: 5m, condition: count() < 0}"), 5, "never holds", ""},
		{"no times", rule("sequence: {within: 5m, steps: [{name: x, match: true, times: {}}]}"), 5, "`times` is empty", "min"},
		{"eleven of ten", rule("threshold: {window: {last: 10}, condition: count(level == 'error') > 10}"), 5, "never holds", ""},
		{"aggregate in match", rule("event: {}", "resolve: {when: count() > 1}"), 6, "is over a window", "threshold"},
		{"field in a condition", rule("threshold: {window: 5m, condition: http.status > 1}"), 5, "field of one event", "inside an aggregate"},
		{"no such key", rule("group_by: {shop: attrs.shop}", `title: "{{ key.shap }}"`, "event: {}"), 6, "unknown field", `"shop"`},
		{"a key without a name", rule("group_by: {shop: attrs.shop}", `title: "{{ key }}"`, "event: {}"), 6, "needs the name of a group key", "shop"},
		{"sum of sums", rule("threshold: {window: 5m, condition: sum(count()) > 1}"), 5, "may not be inside another", "previous"},
		{"sum of a text", rule("threshold: {window: 5m, condition: sum(message) > 1}"), 5, "needs numbers", ""},
		{"percentile", rule("threshold: {window: 5m, condition: 'percentile(99, http.duration_ms) > 1'}"), 5, "unknown function", "quantile"},
		{"99 for 0.99", rule("threshold: {window: 5m, condition: 'quantile(99, http.duration_ms) > 1'}"), 5, "from 0 to 1", "0.99"},
		{"previous of the last ten", rule("threshold: {window: {last: 10}, condition: previous(count()) > 1}"), 5, "sliding or tumbling", ""},
		{"endless session", rule("threshold: {window: {session: 5m}, condition: count() > 1}"), 5, "needs `max`", "max"},
		{"two windows", rule("threshold: {window: {tumbling: 5m, last: 5}, condition: count() > 1}"), 5, "does not go with", "one of"},
		{"too many", rule("threshold: {window: {last: 1000000}, condition: count() > 1}"), 5, "must be from 1 to", ""},
		{"misspelt field", rule("event: {}", "group_by: [servce]"), 6, "unknown name", `"service"`},
		{"unknown attribute", rule("event: {}", "group_by: [user]"), 6, "unknown name", "attrs.user"},
		{"field of http", rule("event: {}", "group_by: [http.code]"), 6, "unknown field", "status"},
		{"one key", rule("event: {}", "group_by: service"), 6, "must be a list", "[service]"},
		{"single equals", rule("event: {}", "resolve: {when: service = 'a'}"), 6, "is no operator", "=="},
		{"AND", rule("event: {}", "resolve: {when: true AND false}"), 6, "is no operator", "and"},
		{"text for a number", rule("event: {}", `resolve: {when: 'http.status == "500"'}`), 6, "does not work on", "is an int"},
		{"bad pattern", rule("event: {}", `resolve: {when: 're(message, "(")'}`), 6, "bad pattern", ""},
		{"bad network", rule("event: {}", `resolve: {when: 'cidr(http.client, "10.0.0.0/99")'}`), 6, "is no network", "prefix"},
		{"now", rule("event: {}", `resolve: {when: now() > time}`), 6, "may not be used", "time"},
		{"template left open", rule(`title: "{{ service"`, "event: {}"), 5, "{{ without }}", "}}"},
		{"misspelt in a template", rule(`title: "{{ servce }}"`, "event: {}"), 5, "unknown name", "service"},
		{"for on an event", rule("for: 5m", "event: {}"), 5, "means nothing", "threshold"},
		{"for at the end of a window", rule("for: 5m", "threshold: {window: {tumbling: 5m}, condition: count() < 5}"), 5, "decided at the instant a window ends", "longer window"},
		{"for on what did not come", rule("for: 5m", `temporal: {window: 5m, events: {x: level == "error"}, condition: x == 0}`), 5, "decided at the instant a window ends", "longer window"},
		{"clear at the end of a window", rule("threshold: {window: {tumbling: 5m}, condition: count() < 5, clear: count() > 9}"), 5, "`clear` does not go with", "keep_firing_for"},
		{"unknown list", rule("event: {}", "resolve: {when: service in lists.probes}"), 6, "unknown list", ""},
		{"bad cron", rule("absence: {every: {schedule: '0 25 * * *'}}"), 5, "hour", "minute hour"},
		{"bad zone", rule("absence: {every: {schedule: '0 2 * * *', timezone: Berlin}}"), 5, "unknown time zone", ""},
		{"expected without keys", rule("absence: {every: 5m, expect: [a]}"), 5, "no `group_by`", "group_by"},
		{"forgotten too soon", rule("absence: {every: 5m, forget_after: 1m}"), 5, "shorter than `every`", ""},
		{"learn for ever", rule("change: {of: service, detect: first_seen, learn: 30d}"), 5, "nothing would ever be new", ""},
		{"within of another kind", rule("change: {of: service, within: 5m}"), 5, "means nothing to", ""},
		{"steps without a limit", rule("sequence: {steps: [{name: x, match: true}, {name: y, match: true}]}"), 5, "no time limit", "within"},
		{"all absent", rule("sequence: {within: 5m, steps: [{name: x, match: true, absent: true}]}"), 5, "all steps are absent", "absence"},
		{"step with a dash", rule("sequence: {within: 5m, steps: [{name: log-in, match: true}]}"), 5, "cannot be a name", "letters"},
		{"two kinds", rule("event: {}", "absence: {every: 5m}"), 6, "one kind", ""},
		{"no kind", rule("title: x"), 3, "has no kind", "one of"},
		{"inhibited by nobody", rule("event: {}", "inhibited_by: [{rule: b}]"), 6, "there is no rule", ""},
		{"a circle", "version: 1\nrules:\n  - {id: a, from: incidents, match: incident.rule == 'b', event: {}}\n  - {id: b, from: incidents, match: incident.rule == 'a', event: {}}\n", 3, "read one another", ""},
		{"the same id", "version: 1\nrules:\n  - {id: a, match: true, event: {}}\n  - {id: a, match: true, event: {}}\n", 4, "duplicate rule id", "first at"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			set, diags := Parse([]File{{Name: "r.yaml", Data: []byte(tt.text)}})
			if set != nil {
				t.Fatal("it loads")
			}
			found := slices.ContainsFunc(diags, func(d Diagnostic) bool {
				all := strings.Join([]string{d.Message, d.Note, d.Help}, "\n")
				return d.IsError() && d.Line == tt.line && strings.Contains(d.Message, tt.says) && strings.Contains(all, tt.hint)
			})
			if !found {
				var b strings.Builder
				_ = FormatText(&b, diags, TextStyle{})
				t.Errorf("want line %d: %s … %s, got\n%s", tt.line, tt.says, tt.hint, b.String())
			}
		})
	}
}
