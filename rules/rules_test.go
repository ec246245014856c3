package rules

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v4"
	"pgregory.net/rapid"

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
		"count() > 3 ? count(service == 'a') > 1 : false": true, "let n = count(); n > 3": true, "count() in [0, 1]": true, "min(count(), 5) < 3": true,
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

// An event that fills several steps under different keys makes a match for each.
func TestKeysByStep(t *testing.T) {
	set := mustParse(t, ruleWith("group_by: {ip: {login: attrs.src, alert: attrs.dst}, zone: env}",
		"resolve: {when: message == 'clear'}",
		"temporal: {window: 5m, events: {login: has(attrs.src), alert: has(attrs.dst)}}"))
	m := set.Matcher()
	match := func(message string, attrs map[string]any) string {
		ev := &event.Event{Kind: "log", Env: "prod", Message: message}
		ev.SetAttrs(attrs)
		return show(m.Match(ev, nil))
	}
	for _, tt := range []struct {
		message string
		attrs   map[string]any
		want    string
	}{
		{"", map[string]any{"src": "1"}, "example selected=true resolve=false parts=1 key=[\"1\" \"prod\"]\n"},
		{"", map[string]any{"src": "1", "dst": "1"}, "example selected=true resolve=false parts=11 key=[\"1\" \"prod\"]\n"},
		{"", map[string]any{"src": "1", "dst": "2"}, "example selected=true resolve=false parts=1 key=[\"1\" \"prod\"]\nexample selected=true resolve=false parts=10 key=[\"2\" \"prod\"]\n"},
		{"clear", map[string]any{"src": "1", "dst": "2"}, "example selected=true resolve=true parts=1 key=[\"1\" \"prod\"]\nexample selected=true resolve=true parts=10 key=[\"2\" \"prod\"]\n"},
		{"clear", nil, ""},
		{"", nil, ""},
	} {
		if got := match(tt.message, tt.attrs); got != tt.want {
			t.Errorf("%v: got\n%swant\n%s", tt.attrs, got, tt.want)
		}
	}
	if m.NoKey[0] != 1 {
		t.Errorf("%d events without a key, want the one that would have resolved", m.NoKey[0])
	}
}

func TestGroupKeysAreCanonical(t *testing.T) {
	r := mustParse(t, ruleWith("match: true", "group_by: [attrs.k]", "event: {}"))
	m := r.Matcher()
	for _, tt := range []struct {
		value any
		want  string
	}{{7, "7"}, {7.0, "7"}, {0.1, "0.1"}, {1e6, "1000000"}, {true, "true"}, {false, "false"}, {"x", "x"}, {0, "0"}, {[]any{1, "a"}, `[1,"a"]`}, {map[string]any{"b": 1, "a": 2}, `{"a":2,"b":1}`}} {
		ev := &event.Event{}
		ev.SetAttrs(map[string]any{"k": tt.value})
		got := m.Match(ev, nil)
		if len(got) != 1 || DecodeKey(got[0].Key)[0] != tt.want {
			t.Errorf("%v: got %v, want key %q", tt.value, got, tt.want)
		}
	}
	for _, absent := range []any{nil, ""} {
		ev := &event.Event{}
		ev.SetAttrs(map[string]any{"k": absent})
		if got := m.Match(ev, nil); len(got) != 0 {
			t.Errorf("%#v made a key: %v", absent, got)
		}
	}
	if m.NoKey[0] != 2 {
		t.Errorf("NoKey is %d", m.NoKey[0])
	}
}

func TestKeysAreNamedAsWritten(t *testing.T) {
	r := one(t, `title: "{{ attrs.user.id }} {{ attrs['user.id'] }}"`, "match: true", `group_by: ['attrs["user.id"]', lower(service)]`, "event: {}")
	if want := []string{`attrs["user.id"]`, "lower(service)"}; !slices.Equal(r.KeyNames, want) {
		t.Errorf("got %q, want %q", r.KeyNames, want)
	}
	if got := r.Title.Render(&Env{Key: []string{"u1", "pay"}}); got != "u1 u1" {
		t.Errorf("got %q", got)
	}
}

func TestMatchDoesNotAllocateWithoutAMatch(t *testing.T) {
	m := mustParse(t, mixedRules(200)).Matcher()
	ev := &event.Event{Kind: "log", Service: "svc-1", Level: "error", Message: "nothing of interest in here", HTTP: event.HTTP{Path: "/api/v1/thing1", Status: 200}}
	ev.SetAttrs(map[string]any{"user": "nobody"})
	out := make([]Match, 0, 8)
	if n := testing.AllocsPerRun(100, func() { out = m.Match(ev, out[:0]) }); n != 0 || len(out) != 0 {
		t.Errorf("%v allocations, %d matches", n, len(out))
	}
}

func TestKeysReadBack(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		values := rapid.SliceOfN(rapid.String(), 1, 4).Draw(rt, "values")
		if got := DecodeKey(EncodeKey(values)); !slices.Equal(got, values) {
			rt.Errorf("got %q, want %q", got, values)
		}
		other := rapid.SliceOfN(rapid.String(), 1, 4).Draw(rt, "other")
		if (EncodeKey(values) == EncodeKey(other)) != slices.Equal(values, other) {
			rt.Errorf("%q and %q", values, other)
		}
		DecodeKey(rapid.String().Draw(rt, "junk")) // must not panic
	})
}

func TestTemplates(t *testing.T) {
	ev := &event.Event{Service: "pay", Time: 1, HTTP: event.HTTP{Status: 503, DurationMS: 0.1 + 0.2}}
	ev.SetAttrs(map[string]any{"n": 1234567.891, "tree": map[string]any{"b": 1.5, "a": []any{"x"}}, "s": "é"})
	for text, want := range map[string]string{
		"plain": "plain", "{{ service }} and {{ http.status }}": "pay and 503", "{{ http.duration_ms }}": "0.3", "{{ attrs.n }}": "1234568",
		"{{ attrs.nothing }}!": "?!", "{{ attrs.s > 5 }}": "?", "{{ attrs.tree }}": `{"a":["x"],"b":1.5}`, "{{ time }}": "1970-01-01T00:00:00.000000001Z",
		`{{ "{{" }}`: "{{", `{{ {"a": {"b": 1}}.a.b }}`: "1", "{{ 5m }}": "5m", "{{ has(service) ? upper(service) : '-' }}": "PAY", "a } b {": "a } b {",
		"{{ 1 / 3 }}": "0.333333", "{{ 2 / 1 }}": "2", `{{ "}}" }}`: "}}",
	} {
		r := one(t, "title: "+yamlQuote(text), "match: true", "event: {}")
		if got := r.Title.Render(&Env{Event: ev}); got != want {
			t.Errorf("%s: got %q, want %q", text, got, want)
		}
	}
}

// A text may name the group key; without an event at hand (a timer) it is all
// there is.
func TestTextsReadTheKeyWithoutAnEvent(t *testing.T) {
	r := one(t, `title: "{{ service }} {{ http.status + 1 }} {{ attrs.m }} {{ host }}"`, "match: true", "group_by: [service, http.status, attrs.m]", "event: {}")
	if got := r.Title.Render(&Env{Key: []string{"pay", "503", "m1"}}); got != "pay 504 m1 " {
		t.Errorf("got %q", got)
	}
	r = one(t, `title: "{{ who }}/{{ service }}"`, "match: true", "group_by: {who: attrs.user, service: attrs.svc}", "event: {}")
	if got := r.Title.Render(&Env{Event: &event.Event{Service: "other"}, Key: []string{"u", "mine"}}); got != "u/mine" {
		t.Errorf("a named key must win over a field: got %q", got)
	}
}

func TestHashesIgnoreLayoutOnly(t *testing.T) {
	base := "version: 1\nrules:\n  - {id: a, title: T, match: 'service == \"x\" && level in [\"error\", \"fatal\"]', group_by: [service], threshold: {window: 5m, condition: count() > 5}}\n"
	same := []string{
		"rules:\n  - threshold:\n      condition: 'count()>5' # more\n      window: 300s\n    group_by: [service]\n    match: >\n      \"x\" == service\n      and level in [\"fatal\", \"error\", \"fatal\"]\n    title: T\n    id: a\n",
		"version: 1\ndefaults: {title: T, group_by: &g [service], severity: warning}\nrules:\n  - {id: a, keep_firing_for: 5m, match: 'service == \"x\" && level in lists.l', group_by: *g, threshold: {window: 5m, condition: count() > 5}}\nlists: {l: [error, fatal]}\n",
	}
	b := mustParse(t, base).Rules[0]
	for _, text := range same {
		r := mustParse(t, text).Rules[0]
		if r.LogicHash != b.LogicHash || r.TextHash != b.TextHash || r.SelectHash != b.SelectHash {
			t.Errorf("hashes differ for\n%s", text)
		}
	}
	for _, tt := range []struct {
		from, to            string
		logic, text, choice bool // what must change
	}{
		{"count() > 5", "count() > 6", true, false, false},
		{"window: 5m", "window: 6m", true, false, false},
		{"title: T", "title: U", false, true, false},
		{"title: T", "title: T, owner: x", false, true, false},
		{"title: T", "title: T, severity: error", true, false, false},
		{`"x"`, `"y"`, true, false, true},
		{"[service]", "[service, host]", true, false, true},
		{"count() > 5", "count(http.status > 1) > 5", true, false, true},
		{"5m,", "{tumbling: 5m},", true, false, true},
	} {
		r := mustParse(t, strings.Replace(base, tt.from, tt.to, 1)).Rules[0]
		if r.LogicHash != b.LogicHash != tt.logic || r.TextHash != b.TextHash != tt.text || r.SelectHash != b.SelectHash != tt.choice {
			t.Errorf("%s → %s: logic %v, text %v, selection %v", tt.from, tt.to, r.LogicHash != b.LogicHash, r.TextHash != b.TextHash, r.SelectHash != b.SelectHash)
		}
	}
}

func TestRuleKeepsItsText(t *testing.T) {
	set := mustParse(t, "version: 1\nrules:\n  - id: a\n    match: true # why\n    event: {}\n  # about b\n\n  - {id: b, match: true, event: {}}\n")
	if got := set.Rules[0].Text; got != "  - id: a\n    match: true # why\n    event: {}\n" && got != "id: a\n    match: true # why\n    event: {}\n" {
		t.Errorf("a is %q", got)
	}
	if got := set.Rules[1].Text; !strings.Contains(got, "id: b") || strings.Contains(got, "id: a") {
		t.Errorf("b is %q", got)
	}
	if set.Rules[0].Line != 3 || set.Rules[1].Line != 8 {
		t.Errorf("lines %d, %d", set.Rules[0].Line, set.Rules[1].Line)
	}
}

func TestLoadReadsFilesAndDirectories(t *testing.T) {
	dir := t.TempDir()
	rule := func(id string) []byte {
		return []byte("version: 1\nrules: [{id: " + id + ", match: true, event: {}}]\n")
	}
	for name, data := range map[string][]byte{
		"b.yaml": rule("b"), "a.yml": rule("a"), "c_test.yaml": []byte("not a rule file"), "notes.txt": []byte("x"), ".hidden.yaml": []byte("x"),
		"sub/d.yaml": rule("d"), "empty/notes.txt": []byte("x"),
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	set, diags, err := Load([]string{dir, filepath.Join(dir, "sub", "d.yaml"), filepath.Join(dir, "b.yaml")})
	if err != nil || set == nil {
		t.Fatal(err, diags)
	}
	var ids []string
	for i, r := range set.Rules {
		ids = append(ids, r.ID)
		if r.Index != i || set.Rule(r.ID) != r {
			t.Errorf("%s: index %d", r.ID, r.Index)
		}
	}
	if !slices.Equal(ids, []string{"a", "b", "d"}) {
		t.Errorf("got %v", ids)
	}
	for path, want := range map[string]string{
		filepath.Join(dir, "nowhere"): "no such file or directory", filepath.Join(dir, "empty"): "no rule files (*.yaml, *.yml) in",
	} {
		if _, _, err := Load([]string{path}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", path, err, want)
		}
	}
	if _, _, err := Load(nil); err == nil {
		t.Error("no paths must be an error")
	}
}

// A rule's inline tests stay YAML, with their places.
func TestInlineTestsAreKept(t *testing.T) {
	r := everyField(t).Rule("every-envelope")
	if r.Tests == nil || r.Tests.Kind != yaml.SequenceNode || r.Tests.Line == 0 {
		t.Errorf("tests are %+v", r.Tests)
	}
}

func schema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(Schema()))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("rules.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("rules.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// asJSON reads YAML the way an editor's YAML server hands it to the schema.
func asJSON(t *testing.T, text []byte) any {
	t.Helper()
	var v any
	if err := yaml.Unmarshal(text, &v); err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

func TestSchemaAcceptsWhatLoads(t *testing.T) {
	s := schema(t)
	for _, f := range fixtures(t) {
		if set, _ := Parse([]File{f}); set == nil {
			continue
		}
		if err := s.Validate(asJSON(t, f.Data)); err != nil {
			t.Errorf("%s: %v\n%s", f.Name, err, f.Data)
		}
	}
}

// The schema refuses what has to do with keys, words and forms; what expressions
// mean it cannot know.
func TestSchemaRefusesWrongKeys(t *testing.T) {
	s := schema(t)
	for _, code := range []string{codeType, codeUnknown, codeOtherKind, codeDuration, codeNumber, codeEnum, codeSurprise, codeID, codeTwoKinds, codeNoKind, codeVersion, codeNoRules} {
		p, _ := ExplainCode(code)
		if err := s.Validate(asJSON(t, []byte(p.Wrong))); err == nil {
			t.Errorf("%s: the schema accepts\n%s", code, p.Wrong)
		}
	}
}

// The schema and the reader know the same keys.
func TestSchemaKnowsEveryKey(t *testing.T) {
	top := schemaFile()
	rule := ruleSchema()["properties"].(object)
	same := func(what string, properties any, keys []string) {
		t.Helper()
		var got []string
		for k := range properties.(object) {
			got = append(got, k)
		}
		if !slices.Equal(sorted(got), sorted(keys)) {
			t.Errorf("%s: the schema has %v, the reader %v", what, sorted(got), sorted(keys))
		}
	}
	same("file", top["properties"], fileKeys)
	same("rule", rule, ruleKeys)
	same("defaults", envelopeSchema(), envelopeKeys)
	for kind, keys := range blockKeys {
		if kind != "event" {
			same(kind, rule[kind].(object)["properties"], keys)
		}
	}
	step := rule["sequence"].(object)["properties"].(object)["steps"].(object)["items"].(object)
	same("step", step["properties"], stepKeys)
	var window []string
	for _, shape := range windowSchema()["oneOf"].([]object)[1:] {
		for k := range shape["properties"].(object) {
			window = append(window, k)
		}
	}
	slices.Sort(window)
	if got := slices.Compact(window); !slices.Equal(got, sorted(windowKeys)) {
		t.Errorf("window: the schema has %v", got)
	}
}

func TestFormats(t *testing.T) {
	_, diags := Parse([]File{{"r.yaml", []byte("version: 1\nrules:\n  - {id: a, match: http.stauts > 1, event: {}}\n")}})
	for _, tt := range []struct {
		name  string
		write func(*bytes.Buffer) error
		want  string
	}{
		{"unix", func(b *bytes.Buffer) error { return FormatUnix(b, diags) }, "r.yaml:3:25: error[E103]: unknown field \"stauts\" of http\n"},
		{"github", func(b *bytes.Buffer) error { return FormatGitHub(b, diags) }, "::error file=r.yaml,line=3,endLine=3,col=25,endColumn=31,title=E103::unknown field \"stauts\" of http%0Adid you mean \"status\"?%0Afields of http: method, route, path, status, duration_ms, client\n"},
		{"narrow", func(b *bytes.Buffer) error { return FormatText(b, diags, TextStyle{Width: 36}) }, "r.yaml:3:25: error[E103]: unknown field \"stauts\" of http\n    |\n  3 | …: http.stauts > 1, event: {}}\n    |         ^^^^^^ did you mean \"status\"?\n    = fields of http: method, route, path, status, duration_ms, client\n"},
		{"json", func(b *bytes.Buffer) error { return FormatJSON(b, diags) }, `{
  "diagnostics": [
    {
      "file": "r.yaml",
      "line": 3,
      "col": 25,
      "end_line": 3,
      "end_col": 31,
      "level": "error",
      "code": "E103",
      "message": "unknown field \"stauts\" of http",
      "note": "did you mean \"status\"?",
      "help": "fields of http: method, route, path, status, duration_ms, client"
    }
  ]
}
`},
	} {
		var b bytes.Buffer
		if err := tt.write(&b); err != nil || b.String() != tt.want {
			t.Errorf("%s: %v, got\n%s\nwant\n%s", tt.name, err, b.String(), tt.want)
		}
	}
}

func TestSummary(t *testing.T) {
	e, w := Diagnostic{File: "a", Level: "error"}, Diagnostic{File: "b", Level: "warning"}
	for want, diags := range map[string][]Diagnostic{
		"4 files, 37 rules: no findings.":                           nil,
		"4 files, 37 rules: 1 error.  1 file unusable.":             {e},
		"4 files, 37 rules: 2 errors, 1 warning.  1 file unusable.": {e, e, w},
		"4 files, 37 rules: 1 warning.":                             {w},
	} {
		if got := Summary(4, 37, diags); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// The order of files, and of rules in them, is the order of everything that
// follows; two loads of the same bytes are equal.
func TestLoadIsDeterministic(t *testing.T) {
	files := fixtures(t)
	_, first := Parse(files)
	for range 3 {
		if _, again := Parse(files); !reflect.DeepEqual(first, again) {
			t.Fatal("two runs differ")
		}
	}
	a, b := everyField(t), everyField(t)
	if !slices.Equal(a.AttrPaths, b.AttrPaths) {
		t.Errorf("slots differ: %v, %v", a.AttrPaths, b.AttrPaths)
	}
	for i := range a.Rules {
		if a.Rules[i].LogicHash != b.Rules[i].LogicHash || a.Rules[i].TextHash != b.Rules[i].TextHash {
			t.Errorf("%s: hashes differ", a.Rules[i].ID)
		}
	}
}

// Slots that a decoder filled are read in place of the tree.
func TestSlotsAreRead(t *testing.T) {
	set := mustParse(t, ruleWith("match: attrs.a == 1 && attrs.b.c == 2", "event: {}"))
	if !slices.Equal(set.AttrPaths, []string{"a", "b.c"}) {
		t.Fatalf("slots are %v", set.AttrPaths)
	}
	ev := &event.Event{}
	s := ev.Slots(2)
	s[0], s[1] = intValue(1), intValue(2)
	if got := set.Matcher().Match(ev, nil); len(got) != 1 {
		t.Errorf("got %v", got)
	}
}
