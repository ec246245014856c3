package rules

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Page explains a code: what it means, an example that has the mistake, and the
// same without it.
type Page struct {
	Code, Title, Meaning string
	Wrong, Right         string // rule files
}

// Codes lists the codes that have a page.
func Codes() []string { return slices.Sorted(maps.Keys(pages)) }

// ExplainCode returns the page of a code, in any case; false if there is none.
func ExplainCode(code string) (Page, bool) {
	code = strings.ToUpper(strings.TrimSpace(code))
	p, ok := pages[code]
	p.Code = code
	return p, ok
}

// String is the page as text.
func (p Page) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s\n\n%s\n", p.Code, p.Title, p.Meaning)
	for _, ex := range []struct{ name, text string }{{"Wrong", p.Wrong}, {"Right", p.Right}} {
		if ex.text == "" {
			continue
		}
		fmt.Fprintf(&b, "\n%s:\n\n", ex.name)
		for line := range strings.Lines(ex.text) {
			b.WriteString("    " + line)
		}
	}
	return b.String()
}

// ruleWith makes a file of a rule's lines.
func ruleWith(lines ...string) string {
	return "version: 1\nrules:\n  - id: example\n    " + strings.Join(lines, "\n    ") + "\n"
}

const thresholdLine = "threshold: {window: 5m, condition: count() >= 20}"

var pages = map[string]Page{
	codeYAML: {
		Title:   "not YAML",
		Meaning: "The YAML reader could not make sense of the file. Usual causes: tabs, a missing space after a colon, an unquoted text that\nholds `: ` or begins with [, {, *, & or %.",
		Wrong:   ruleWith("title: errors: many", `match: level == "error"`, "event: {}"),
		Right:   ruleWith(`title: "errors: many"`, `match: level == "error"`, "event: {}"),
	},
	codeEmpty: {
		Title:   "empty file",
		Meaning: "A rule file without content is more often a failed write than meant, so it is not passed over.",
		Wrong:   "# nothing here\n", Right: ruleWith(`match: level == "error"`, "event: {}"),
	},
	codeNoRules: {
		Title: "no rules", Meaning: "The file has no `rules:`, or an empty list.",
		Wrong: "version: 1\nrules: []\n", Right: ruleWith(`match: level == "error"`, "event: {}"),
	},
	codeDocuments: {
		Title:   "several documents",
		Meaning: "A rule file is one YAML document. A second one, after a line `---`, would be lost.",
		Wrong:   ruleWith(`match: level == "error"`, "event: {}") + "---\nrules: []\n", Right: ruleWith(`match: level == "error"`, "event: {}"),
	},
	codeTooBig: {
		Title:   "file too large",
		Meaning: "The file is larger, more deeply nested or, with its aliases followed, longer than any file written by hand. The limits keep a\ndamaged or hostile file from using up the memory of the process: 8 MiB, 64 levels, 500000 values.",
	},
	codeType: {
		Title: "wrong type", Meaning: "The key takes another type of value: a mapping, a list, a text, a number, true or false.",
		Wrong: ruleWith(`match: level == "error"`, "group_by: service", "event: {}"),
		Right: ruleWith(`match: level == "error"`, "group_by: [service]", "event: {}"),
	},
	codeDupKey: {
		Title: "duplicate key", Meaning: "The same key twice in one mapping: most YAML readers would keep only the last.",
		Wrong: ruleWith(`match: level == "error"`, `match: level == "fatal"`, "event: {}"),
		Right: ruleWith(`match: level in ["error", "fatal"]`, "event: {}"),
	},
	codeUnknown: {
		Title: "unknown key", Meaning: "There is no such key. Nothing in a rule file is ignored, so a misspelt key is an error and not a rule without it.",
		Wrong: ruleWith(`match: level == "error"`, "thershold: {window: 5m, condition: count() >= 20}"),
		Right: ruleWith(`match: level == "error"`, thresholdLine),
	},
	codeOtherKind: {
		Title: "key in the wrong place", Meaning: "The key exists, but belongs to another kind, into the kind's block, or to the rule itself.",
		Wrong: ruleWith(`match: level == "error"`, "window: 5m", "threshold: {window: 5m, condition: count() >= 20}"),
		Right: ruleWith(`match: level == "error"`, "threshold: {window: 5m, condition: count() >= 20}"),
	},
	codeMissing: {
		Title: "missing key", Meaning: "Something that must be said is not.",
		Wrong: ruleWith(thresholdLine), Right: ruleWith(`match: level == "error"`, thresholdLine),
	},
	codeDuration: {
		Title: "bad duration", Meaning: "A span is a number with a unit, or a sum of them: 90s, 5m, 1h30m, 7d, 2w. A bare number has no unit and is refused, 0 excepted.",
		Wrong: ruleWith(`match: level == "error"`, "threshold: {window: 300, condition: count() >= 20}"),
		Right: ruleWith(`match: level == "error"`, "threshold: {window: 300s, condition: count() >= 20}"),
	},
	codeNumber: {
		Title: "number out of range", Meaning: "The number is smaller or larger than the key allows.",
		Wrong: ruleWith(`match: level == "error"`, "limits: {open: 0}", "event: {}"),
		Right: ruleWith(`match: level == "error"`, "limits: {open: 10}", "event: {}"),
	},
	codeEnum: {
		Title: "not one of the words", Meaning: "The key takes one of a few words.",
		Wrong: ruleWith(`match: level == "error"`, "severity: high", "event: {}"),
		Right: ruleWith(`match: level == "error"`, "severity: error", "event: {}"),
	},
	codeSurprise: {
		Title:   "YAML reads it as something else",
		Meaning: "yes, on and the like are texts to YAML 1.2 and true to older readers; 010 is ten or eight; 2026-01-01 is a date. Write true or\nfalse, plain decimal numbers, and quote texts that look like something else.",
		Wrong:   ruleWith(`match: level == "error"`, "signal: yes", "event: {}"),
		Right:   ruleWith(`match: level == "error"`, "signal: true", "event: {}"),
	},
	codeBlank: {
		Title: "empty", Meaning: "The key is there and its value is not.",
		Wrong: ruleWith("match:", "event: {}"), Right: ruleWith(`match: level == "error"`, "event: {}"),
	},
	codeDupID: {
		Title: "duplicate rule id", Meaning: "Ids are unique over all files: they name the incidents. Both places are shown.",
		Wrong: "version: 1\nrules:\n  - {id: a, match: true, event: {}}\n  - {id: a, match: true, event: {}}\n",
		Right: "version: 1\nrules:\n  - {id: a, match: true, event: {}}\n  - {id: b, match: true, event: {}}\n",
	},
	codeID: {
		Title: "bad rule id", Meaning: "An id is made of a-z, 0-9 and -, begins with a letter or digit and has at most 63: it becomes part of subjects and of keys.",
		Wrong: "version: 1\nrules:\n  - {id: Checkout 5xx, match: true, event: {}}\n",
		Right: "version: 1\nrules:\n  - {id: checkout-5xx, match: true, event: {}}\n",
	},
	codeTwoKinds: {
		Title: "two kinds", Meaning: "A rule has exactly one kind block.",
		Wrong: ruleWith(`match: level == "error"`, "event: {}", thresholdLine), Right: ruleWith(`match: level == "error"`, thresholdLine),
	},
	codeNoKind: {
		Title: "no kind", Meaning: "A rule needs one kind block: event, threshold, absence, change, temporal or sequence.",
		Wrong: ruleWith(`match: level == "error"`), Right: ruleWith(`match: level == "error"`, "event: {}"),
	},
	codeSchedule: {
		Title: "bad schedule", Meaning: "`active` takes days and hours, 'Mon-Fri 08:00-18:00'; `absence.every.schedule` five cron fields, '0 2 * * Mon-Fri'.",
		Wrong: ruleWith(`match: message == "done"`, "absence: {every: {schedule: '0 25 * * *'}}"),
		Right: ruleWith(`match: message == "done"`, "absence: {every: {schedule: '0 2 * * *'}}"),
	},
	codeZone: {
		Title: "unknown time zone", Meaning: "Zones have IANA names. Local is refused: it would be another zone on each machine.",
		Wrong: ruleWith(`match: level == "error"`, "active: {schedule: Mon-Fri, timezone: Europe/Berlinn}", "event: {}"),
		Right: ruleWith(`match: level == "error"`, "active: {schedule: Mon-Fri, timezone: Europe/Berlin}", "event: {}"),
	},
	codeVersion: {
		Title: "unknown version", Meaning: "This program knows version 1 of the rule language.",
		Wrong: "version: 2\nrules:\n  - {id: a, match: true, event: {}}\n", Right: "version: 1\nrules:\n  - {id: a, match: true, event: {}}\n",
	},
	codeTestFile: {
		Title:   "bad test file",
		Meaning: "A *_test.yaml file, or `tests:` in a rule, has a key that does not exist, a value of the wrong form, or says too little: each test\nneeds a `name` and `expect` (`expect: []` for silence), each expectation a `rule` and one of `open`, `updated` and `resolved`.\n`corral schema --tests` has all of it for editors.",
		Wrong:   "tests:\n  - name: one error\n    evnets: [{at: 0s, event: {level: error}}]\n    expect: [{at: 0s, rule: example}]\n",
		Right:   "tests:\n  - name: one error\n    events: [{at: 0s, event: {level: error}}]\n    expect: [{at: 0s, rule: example, open: {}}]\n",
	},
	codeSyntax: {
		Title: "not an expression", Meaning: "The text is no expression of expr-lang: a sign too much or too few, `=` for `==`, a bracket that is not closed.",
		Wrong: ruleWith(`match: level = "error"`, "event: {}"), Right: ruleWith(`match: level == "error"`, "event: {}"),
	},
	codeName: {
		Title: "unknown name", Meaning: "The name is no field of an event, no group key, step, event type or variable that may be read here. Fields of a record that have\nno name of their own are under attrs.",
		Wrong: ruleWith(`match: servce == "pay"`, "event: {}"), Right: ruleWith(`match: service == "pay"`, "event: {}"),
	},
	codeField: {
		Title: "unknown field", Meaning: "http, rpc, nats, incident and the events of a step have fixed fields, and this is none of them.",
		Wrong: ruleWith("match: http.stauts >= 500", "event: {}"), Right: ruleWith("match: http.status >= 500", "event: {}"),
	},
	codeFunc: {
		Title: "unknown function", Meaning: "There is no such function, or rules may not call it: now() would make the result depend on when it is computed.",
		Wrong: ruleWith(`match: includes(message, "timeout")`, "event: {}"), Right: ruleWith(`match: message contains "timeout"`, "event: {}"),
	},
	codeArgs: {
		Title: "wrong arguments", Meaning: "The function takes other arguments, or another number of them.",
		Wrong: ruleWith(`match: level == "error"`, "threshold: {window: 5m, condition: 'quantile(http.duration_ms) > 100'}"),
		Right: ruleWith(`match: level == "error"`, "threshold: {window: 5m, condition: 'quantile(0.99, http.duration_ms) > 100'}"),
	},
	codeMismatch: {
		Title: "types that do not go together", Meaning: "The operator does not work on these types, so the comparison could never hold.",
		Wrong: ruleWith(`match: http.status == "500"`, "event: {}"), Right: ruleWith("match: http.status == 500", "event: {}"),
	},
	codeRegexp: {
		Title: "bad pattern", Meaning: "A pattern is a constant text in RE2's syntax (no look-around, no back references); it is compiled when the rules are loaded.",
		Wrong: ruleWith(`match: message matches "time(out"`, "event: {}"), Right: ruleWith(`match: message matches "time(out)?"`, "event: {}"),
	},
	codeConstant: {
		Title: "bad constant", Meaning: "An argument that must be a constant is none, or cannot be read: a network, a time zone, a duration, a quantile.",
		Wrong: ruleWith(`match: cidr(http.client, "10.0.0.0/33")`, "event: {}"), Right: ruleWith(`match: cidr(http.client, "10.0.0.0/8")`, "event: {}"),
	},
	codeNotHere: {
		Title: "not here", Meaning: "The name or function has a meaning elsewhere: aggregates where there is a window, fields of an event where there is one event,\nincident.* in rules with `from: incidents`.",
		Wrong: ruleWith("match: count() > 5", "event: {}"), Right: ruleWith(`match: level == "error"`, "threshold: {window: 5m, condition: count() > 5}"),
	},
	codeNotBool: {
		Title: "must be true or false", Meaning: "The expression decides something, so it must be a condition.",
		Wrong: ruleWith("match: message", "event: {}"), Right: ruleWith(`match: message != ""`, "event: {}"),
	},
	codeNotValue: {
		Title: "not a number", Meaning: "Sums, means and quantiles need numbers; distinct, first and last a number or a text.",
		Wrong: ruleWith("match: true", "threshold: {window: 5m, condition: avg(message) > 5}"),
		Right: ruleWith("match: true", "threshold: {window: 5m, condition: avg(http.duration_ms) > 5}"),
	},
	codeTooLarge: {
		Title: "expression too large", Meaning: "Expressions are limited in length (16 KiB, 2000 words and signs) and loops in depth (3), so that no rule can hold a worker up.\nLong lists of values belong under `lists:`.",
		Wrong: ruleWith("match: 'any(attrs.a, any(attrs.b, any(attrs.c, any(attrs.d, # == 1))))'", "event: {}"),
		Right: ruleWith("match: 'any(attrs.a, any(attrs.b, # == 1))'", "event: {}"),
	},
	codeTemplate: {
		Title: "bad template", Meaning: "In a text, {{ begins an expression and }} ends it.",
		Wrong: ruleWith(`title: "errors on {{ service"`, `match: level == "error"`, "event: {}"),
		Right: ruleWith(`title: "errors on {{ service }}"`, `match: level == "error"`, "event: {}"),
	},
	codeList: {
		Title: "unknown list", Meaning: "lists.NAME reads a list of the same file.",
		Wrong: "version: 1\nlists: {probes: [10.0.0.7]}\nrules:\n  - {id: a, match: http.client in lists.proves, event: {}}\n",
		Right: "version: 1\nlists: {probes: [10.0.0.7]}\nrules:\n  - {id: a, match: http.client in lists.probes, event: {}}\n",
	},
	codeAggregate: {
		Title: "aggregate in the wrong place", Meaning: "An aggregate may not be inside another; only previous(…) and baseline(…) take one, and nothing else.",
		Wrong: ruleWith("match: true", "threshold: {window: 5m, condition: sum(count()) > 5}"),
		Right: ruleWith("match: true", "threshold: {window: 5m, condition: count() > 2 * previous(count())}"),
	},
	codeUnbounded: {
		Title: "state without bound", Meaning: "Nothing would ever be forgotten. Every rule that remembers events has a window, a time limit or a number.",
		Wrong: ruleWith(`match: level == "error"`, "threshold: {condition: count() >= 20}"), Right: ruleWith(`match: level == "error"`, thresholdLine),
	},
	codeAbsence: {
		Title:   "a condition that holds without events",
		Meaning: "Too few events have come at any instant of a sliding window's life, so `count() < 5` would fire at once and always. Ask for\nsilence with `absence`, or decide when a window ends: tumbling, session, or from start to end. A ratio, as\ncount(ok)/count() < 0.5, is no count: without events it is undefined and does not hold.",
		Wrong:   ruleWith(`match: message == "heartbeat"`, "threshold: {window: 5m, condition: count() < 5}"),
		Right:   ruleWith(`match: message == "heartbeat"`, "absence: {every: 5m, min: 5}"),
	},
	codeFor: {
		Title: "`for` on an instant", Meaning: "Rules of kind event, change and sequence fire at an instant; there is no condition that could go on holding. Nor is there\nwhere too few events are asked for: that is decided when a window ends, and true at that instant.",
		Wrong: ruleWith(`match: level == "error"`, "for: 5m", "event: {}"), Right: ruleWith(`match: level == "error"`, "for: 5m", thresholdLine),
	},
	codeRuleID: {
		Title: "no such rule", Meaning: "inhibited_by names a rule that is in none of the files loaded together.",
		Wrong: ruleWith("match: true", "inhibited_by: [{rule: nobody}]", "event: {}"), Right: ruleWith("match: true", "event: {}"),
	},
	codeInhibitKey: {
		Title: "no such group key", Meaning: "`same` lists group keys that both rules have.",
		Wrong: "version: 1\nrules:\n  - {id: a, match: true, group_by: [service], inhibited_by: [{rule: b, same: [host]}], event: {}}\n  - {id: b, match: true, group_by: [service], event: {}}\n",
		Right: "version: 1\nrules:\n  - {id: a, match: true, group_by: [service], inhibited_by: [{rule: b, same: [service]}], event: {}}\n  - {id: b, match: true, group_by: [service], event: {}}\n",
	},
	codeGroupStep: {
		Title: "keys by step", Meaning: "group_by: {ip: {login: attrs.src, alert: attrs.dst}} says for every step or event type what it calls the key, and for nothing else.",
		Wrong: ruleWith("group_by: {ip: {login: attrs.src}}", `temporal: {window: 5m, events: {login: attrs.t == "login", alert: attrs.t == "alert"}}`),
		Right: ruleWith("group_by: {ip: {login: attrs.src, alert: attrs.dst}}", `temporal: {window: 5m, events: {login: attrs.t == "login", alert: attrs.t == "alert"}}`),
	},
	codeName2: {
		Title: "bad name", Meaning: "Steps, event types, lists and named group keys are read in expressions, so their names are letters, digits and _, unlike the\noperators of the language, and each is used once.",
		Wrong: ruleWith(`temporal: {window: 5m, events: {out-of-memory: message contains "OOM"}}`),
		Right: ruleWith(`temporal: {window: 5m, events: {out_of_memory: message contains "OOM"}}`),
	},
	codeCycle: {
		Title: "a circle of rules", Meaning: "Rules over incidents must not read one another in a circle: each transition would make the next for ever.",
		Wrong: "version: 1\nrules:\n  - {id: a, from: incidents, match: incident.rule == \"b\", event: {}}\n  - {id: b, from: incidents, match: incident.rule == \"a\", event: {}}\n",
		Right: "version: 1\nrules:\n  - {id: a, match: level == \"fatal\", event: {}}\n  - {id: b, from: incidents, match: incident.rule == \"a\", event: {}}\n",
	},
	codeNever: {
		Title: "can never hold, or never end", Meaning: "A condition that is always false never opens an incident; one that is always true never lets it resolve.",
		Wrong: ruleWith("match: true", "threshold: {window: 5m, condition: count() >= 0}"),
		Right: ruleWith("match: true", "threshold: {window: 5m, condition: count() >= 1}"),
	},
	codeParts: {
		Title: "too many selections", Meaning: "Steps, event types and different predicates of count(…) are at most 64 in one rule. Split it.",
	},
	codeConflict: {
		Title: "options that do not go together", Meaning: "Two settings contradict each other, or one means nothing beside the other.",
		Wrong: ruleWith(`match: message == "heartbeat"`, "absence: {every: 2h, remember: 1h}"),
		Right: ruleWith(`match: message == "heartbeat"`, "absence: {every: 2h, remember: 24h}"),
	},
	codeExpect: {
		Title: "bad expected keys", Meaning: "`expect` lists keys that must report even if they were never seen: lists.NAME or a list, with one value per group_by expression.",
		Wrong: ruleWith(`match: message == "backup done"`, "absence: {every: 24h, expect: [orders-db]}"),
		Right: ruleWith(`match: message == "backup done"`, "group_by: [service]", "absence: {every: 24h, expect: [orders-db]}"),
	},
	codeOwner: {
		Title: "no owner", Meaning: "Nobody is named who would be told. Set `owner`, in the rule or in `defaults`.",
		Wrong: ruleWith(`match: level == "error"`, "event: {}"), Right: ruleWith(`match: level == "error"`, "owner: payments", "event: {}"),
	},
	codeRunbook: {
		Title: "no runbook", Meaning: "Whoever is woken finds no word on what to do.",
		Wrong: ruleWith(`match: level == "error"`, "event: {}"), Right: ruleWith(`match: level == "error"`, "runbook: https://runbooks.example/errors", "event: {}"),
	},
	codeNoTests: {
		Title: "no tests", Meaning: "The rule has no tests of its own, and no file of tests beside its file.",
		Wrong: ruleWith(`match: level == "error"`, "event: {}"), Right: ruleWith(`match: level == "error"`, "event: {}", "tests: [{name: fires, events: [], expect: []}]"),
	},
	codeUnstable: {
		Title: "unstable group key", Meaning: "A key such as a pod's name or an address changes at every rollout: each change resolves one incident and opens another, and\nstate is kept for names that never come back. Group by what stays.",
		Wrong: ruleWith(`match: level == "error"`, "group_by: [attrs.pod]", "event: {}"), Right: ruleWith(`match: level == "error"`, "group_by: [attrs.workload]", "event: {}"),
	},
	codeWindowFor: {
		Title: "window shorter than `for`", Meaning: "Events leave the window before the condition could have held for so long, unless more keep coming.",
		Wrong: ruleWith(`match: level == "error"`, "for: 10m", thresholdLine), Right: ruleWith(`match: level == "error"`, "for: 1m", thresholdLine),
	},
	codeShadowed: {
		Title: "shadowed step", Meaning: "Two steps or event types select the same events: one event fills only one step of a match.",
		Wrong: ruleWith(`temporal: {window: 5m, events: {a: level == "error", b: level == "error"}}`),
		Right: ruleWith(`temporal: {window: 5m, events: {a: level == "error", b: level == "fatal"}}`),
	},
	codeKeyUnread: {
		Title: "group key that `match` does not ask for", Meaning: "Events without the key are dropped from this rule, silently but for a counter. Say so in `match`: has(attrs.tenant).",
		Wrong: ruleWith(`match: level == "error"`, "group_by: [attrs.tenant]", "event: {}"), Right: ruleWith(`match: level == "error" && has(attrs.tenant)`, "group_by: [attrs.tenant]", "event: {}"),
	},
	codeClosedSet: {
		Title: "value that never occurs", Meaning: "The field has a closed set of values and this is none of them: levels are trace debug info warn error fatal, whatever the logger\ncalled them.",
		Wrong: ruleWith(`match: level == "warning"`, "event: {}"), Right: ruleWith(`match: level == "warn"`, "event: {}"),
	},
	codeNoVersion: {
		Title: "no version", Meaning: "The file does not say which version of the rule language it is in; 1 is assumed.",
		Wrong: "rules:\n  - {id: a, match: true, event: {}}\n", Right: "version: 1\nrules:\n  - {id: a, match: true, event: {}}\n",
	},
	codeHides: {
		Title: "name hides a field", Meaning: "A step or event type has the name of a field: in conditions and texts the name means the step.",
		Wrong: ruleWith(`temporal: {window: 5m, events: {error: level == "error", fatal: level == "fatal"}}`),
		Right: ruleWith(`temporal: {window: 5m, events: {errors: level == "error", fatals: level == "fatal"}}`),
	},
	codeAlways: {
		Title: "matches nothing", Meaning: "`match` is false for every event.",
		Wrong: ruleWith(`match: service == "a" && false`, "event: {}"), Right: ruleWith(`match: service == "a"`, "event: {}"),
	},
	codeWallClock: {
		Title: "decides by the worker's clock", Meaning: "`observed` is when a worker got the event, so a replay of the same events would decide otherwise. Ask for `time`, or show\n`observed` in a text only.",
		Wrong: ruleWith(`match: observed - time > duration("5m")`, "event: {}"), Right: ruleWith(`match: level == "error"`, `summary: "logged at {{ time }}, read at {{ observed }}"`, "event: {}"),
	},
	codeLadder: {
		Title: "step of the ladder that is never reached", Meaning: "The first step of `severity` that holds is taken. A step that an earlier one includes is never reached: put the highest first.",
		Wrong: ruleWith(`match: level == "error"`, "severity: [{when: count() >= 20, is: error}, {when: count() >= 100, is: critical}]", thresholdLine),
		Right: ruleWith(`match: level == "error"`, "severity: [{when: count() >= 100, is: critical}, {when: count() >= 20, is: error}]", thresholdLine),
	},
	codeAlphabet: {
		Title: "order of the alphabet", Meaning: "Texts are compared letter by letter: \"info\" comes after \"error\", and \"critical\" before it. Name the values that are meant.",
		Wrong: ruleWith(`match: level >= "error"`, "event: {}"), Right: ruleWith(`match: level in ["error", "fatal"]`, "event: {}"),
	},
	codeUnseen: {
		Title: "field that no event has", Meaning: "`corral check --data FILE…` holds the rules against history. A selection reads a field that none of the events there had: it is\nspelt otherwise, another decoder is meant (`corral parse FILE` shows what events have), or whoever sent it stopped.",
	},
	codeUnmet: {
		Title: "rule that nothing meets", Meaning: "`corral check --data FILE…` holds the rules against history. No event there met this rule's selection, so it could not have fired:\neither what it waits for has not happened in that time, or it never would. `corral explain --rule ID --event FILE` shows what\neach event lacks.",
	},
	codeStale: {
		Title: "reads a rule that is not there", Meaning: "`match` compares incident.rule with the id of a rule in none of the files loaded together.",
		Wrong: ruleWith("from: incidents", `match: incident.rule == "nobody"`, "event: {}"), Right: ruleWith("from: incidents", `match: incident.severity == "critical"`, "event: {}"),
	},
}
