// Package ruletest runs the unit tests people write for their rules: events on a
// virtual clock, the exact list of transitions expected of them, and every test
// also shuffled, duplicated, restarted, sharded and as a batch. The format is in
// docs/testing.md.
package ruletest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"go.yaml.in/yaml/v4"

	"corral/correlate"
	"corral/event"
	"corral/ingest"
	"corral/ingest/decode"
	"corral/rules"
)

// File is a test file, or the tests inside one rule.
type File struct {
	Path     string
	Rules    []string // paths, relative to the file's directory resolved
	Start    time.Time
	Lateness time.Duration
	Tests    []*Test

	at *yaml.Node // what names the rules, or the whole
}

// Test is one story: what arrives, what must come of it.
type Test struct {
	Name   string
	Line   int
	Start  time.Time
	Late   time.Duration
	Until  time.Duration // 0: see Test.storyEnd
	Steps  []Step
	Expect []Expect
	rules  []string

	expectNode *yaml.Node              // for --update
	got        []*correlate.Transition // as written
	restated   bool                    // what was got is going to be expected
}

// Step is one thing that happens. Offsets are from Start.
type Step struct {
	Line    int
	At      time.Duration // event time
	Arrives time.Duration // when the worker gets it
	Data    []byte        // the record; nil for a Do
	Shift   time.Duration // a fixture's: added to the time in the record
	Do      string        // restart, reload, redeliver, drop-connection
	Rules   []string      // reload
}

// Expect is one expected transition; only the fields named are compared.
type Expect struct {
	Line   int
	At     time.Duration
	Rule   string
	Key    map[string]string
	Kind   string // open, updated, resolved
	Fields map[string]any

	ruleAt, keyAt *yaml.Node
}

// DefaultStart is the virtual clock's start where a test names none.
var DefaultStart = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// DefaultLateness is that of `corral run`.
const DefaultLateness = 5 * time.Second

// Load reads a test file.
func Load(path string) (*File, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	r := newReader(path, data)
	root, diags := rules.ParseYAML(r.src)
	if root == nil {
		return nil, Mistakes(diags)
	}
	f := r.testFile(root)
	if len(f.Rules) == 0 {
		ext := filepath.Ext(path)
		f.Rules = []string{strings.TrimSuffix(strings.TrimSuffix(path, ext), "_test") + ext}
	}
	return f, r.err()
}

// Inline returns the tests that stand inside rules, one File for each.
func Inline(set *rules.Set) ([]*File, error) {
	var files []*File
	var diags Mistakes
	for _, rule := range set.Rules {
		if rule.Tests == nil {
			continue
		}
		data, err := os.ReadFile(rule.File)
		if err != nil {
			return nil, err
		}
		r := newReader(rule.File, data)
		f := &File{Path: rule.File, Rules: []string{rule.File}, Start: DefaultStart, Lateness: DefaultLateness}
		r.tests(f, rule.Tests)
		files = append(files, f)
		diags = append(diags, r.diags...)
	}
	return files, diags.err()
}

// reader walks YAML nodes and collects every mistake with its place.
type reader struct {
	src   rules.File
	file  string
	diags Mistakes
}

func newReader(path string, data []byte) *reader {
	return &reader{src: rules.File{Name: path, Data: data}, file: path}
}

func (r *reader) err() error { return r.diags.err() }

func (r *reader) fail(n *yaml.Node, format string, args ...any) {
	r.failNote(n, fmt.Sprintf(format, args...), "", "")
}

func (r *reader) failNote(n *yaml.Node, text, note, help string) {
	r.diags = append(r.diags, rules.NewDiagnostic(r.src, n, text, note, help))
}

// Mistakes are what is wrong with test files, each in its place.
type Mistakes []rules.Diagnostic

func (m Mistakes) err() error {
	if len(m) == 0 {
		return nil
	}
	return m
}

// Error has a line for each mistake.
func (m Mistakes) Error() string {
	var b strings.Builder
	_ = rules.FormatUnix(&b, m)
	return strings.TrimSuffix(b.String(), "\n")
}

// fields calls f for each key of a mapping and reports unknown ones.
func (r *reader) fields(n *yaml.Node, what string, f map[string]func(*yaml.Node)) {
	n = deref(n)
	if n.Kind != yaml.MappingNode {
		r.fail(n, "%s must be a mapping (key: value)", what)
		return
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k := n.Content[i]
		h, ok := f[k.Value]
		switch {
		case !ok:
			known := slices.Sorted(maps.Keys(f))
			note, help := "", "keys of "+what+": "+strings.Join(known, ", ")
			if best := rules.Nearest(k.Value, known); best != "" {
				note = fmt.Sprintf("did you mean %q?", best)
			}
			r.failNote(k, fmt.Sprintf("unknown key %q of %s", k.Value, what), note, help)
		case seen[k.Value]:
			r.fail(k, "key %q stands twice", k.Value)
		default:
			seen[k.Value] = true
			h(deref(n.Content[i+1]))
		}
	}
}

func deref(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode {
		return n.Alias
	}
	return n
}

func (r *reader) testFile(n *yaml.Node) *File {
	f := &File{Path: r.file, Start: DefaultStart, Lateness: DefaultLateness, at: n}
	var tests *yaml.Node
	r.fields(n, "a test file", map[string]func(*yaml.Node){
		"rules":    func(v *yaml.Node) { f.Rules, f.at = r.paths(v), v },
		"start":    func(v *yaml.Node) { f.Start = r.time(v) },
		"lateness": func(v *yaml.Node) { f.Lateness = r.span(v) },
		"tests":    func(v *yaml.Node) { tests = v },
	})
	if tests == nil {
		r.failNote(n, "no `tests:` in the file", "", "help: tests: [{name: …, events: […], expect: […]}]")
		return f
	}
	r.tests(f, tests)
	return f
}

func (r *reader) tests(f *File, n *yaml.Node) {
	if n.Kind != yaml.SequenceNode || len(n.Content) == 0 {
		r.fail(n, "`tests` must be a list of tests")
		return
	}
	for _, c := range n.Content {
		t := r.test(deref(c), f)
		t.rules = f.Rules
		f.Tests = append(f.Tests, t)
	}
}

func (r *reader) test(n *yaml.Node, f *File) *Test {
	t := &Test{Line: n.Line, Start: f.Start, Late: f.Lateness}
	expected := false
	r.fields(n, "a test", map[string]func(*yaml.Node){
		"name":     func(v *yaml.Node) { t.Name = v.Value },
		"start":    func(v *yaml.Node) { t.Start = r.time(v) },
		"lateness": func(v *yaml.Node) { t.Late = r.span(v) },
		"until":    func(v *yaml.Node) { t.Until = r.span(v) },
		"events":   func(v *yaml.Node) { r.list(v, "events", func(e *yaml.Node) { r.step(t, e) }) },
		"expect": func(v *yaml.Node) {
			expected, t.expectNode = true, v
			r.list(v, "expect", func(e *yaml.Node) { t.Expect = append(t.Expect, r.expect(e)) })
		},
	})
	if t.Name == "" {
		r.fail(n, "a test needs a name")
	}
	if !expected {
		r.failNote(n, fmt.Sprintf("test %q has no `expect`", t.Name), "", "help: `expect: []` says that nothing may happen; `corral test --update` fills in what does")
	}
	return t
}

func (r *reader) list(n *yaml.Node, what string, f func(*yaml.Node)) {
	if n.Kind != yaml.SequenceNode {
		r.fail(n, "`%s` must be a list", what)
		return
	}
	for _, c := range n.Content {
		f(deref(c))
	}
}

func (r *reader) step(t *Test, n *yaml.Node) {
	s := Step{Line: n.Line, Arrives: -1}
	var ev *yaml.Node
	file, repeat, every, does := "", 1, time.Duration(0), false
	r.fields(n, "an event", map[string]func(*yaml.Node){
		"at":      func(v *yaml.Node) { s.At = r.span(v) },
		"arrives": func(v *yaml.Node) { s.Arrives = r.span(v) },
		"event":   func(v *yaml.Node) { ev = v },
		"file":    func(v *yaml.Node) { file = v.Value },
		"repeat":  func(v *yaml.Node) { repeat = r.times(v) },
		"every":   func(v *yaml.Node) { every = r.span(v) },
		"do":      func(v *yaml.Node) { does, s.Do = true, r.oneOf(v, "restart", "reload", "redeliver", "drop-connection") },
		"rules":   func(v *yaml.Node) { s.Rules = r.paths(v) },
	})
	if s.Arrives < 0 {
		s.Arrives = s.At
	}
	switch {
	case does:
		if s.Do == "reload" && len(s.Rules) == 0 {
			r.fail(n, "`do: reload` needs `rules:`")
		}
		t.Steps = append(t.Steps, s)
	case file != "":
		r.fixture(t, n, s, file)
	case ev != nil:
		for i := range repeat {
			x := s
			x.At += time.Duration(i) * every
			x.Arrives += time.Duration(i) * every
			x.Data = r.record(ev, t.Start.Add(x.At))
			t.Steps = append(t.Steps, x)
		}
	default:
		r.failNote(n, "nothing happens here", "", "help: one of `event: {…}`, `file: PATH` and `do: restart`")
	}
}

// fixture takes a file of records, one a line. Lines that carry a time keep
// their distance from the first one that does, which comes at s.At; lines without
// a time come at s.At.
func (r *reader) fixture(t *Test, n *yaml.Node, s Step, file string) {
	data, err := os.ReadFile(r.resolve(file))
	if err != nil {
		r.fail(n, "%v", err)
		return
	}
	dec := decode.New(decode.Options{})
	var shift *time.Duration
	for line := range bytes.Lines(data) {
		if line = bytes.TrimSpace(line); len(line) == 0 {
			continue
		}
		x := s
		x.Data = bytes.Clone(line)
		if at, ok := timeOf(dec, x.Data); ok {
			if shift == nil {
				d := t.Start.Add(s.At).Sub(at)
				shift = &d
			}
			x.Shift = *shift
			x.At = at.Add(x.Shift).Sub(t.Start)
			x.Arrives = x.At
		}
		t.Steps = append(t.Steps, x)
	}
}

// timeOf is the time a record itself carries.
func timeOf(dec *decode.Decoder, data []byte) (at time.Time, ok bool) {
	dec.Decode(ingest.Record{Data: data}, func(ev *event.Event) {
		if !ok && ev.TimeQuality < event.TimeObserved {
			at, ok = ev.When(), true
		}
	}, func(decode.DeadRecord) {})
	return at, ok
}

// record is the record a service would have logged. A mapping without a time of
// its own gets the event's.
func (r *reader) record(n *yaml.Node, at time.Time) []byte {
	if n.Kind == yaml.ScalarNode {
		return []byte(n.Value)
	}
	var m map[string]any
	if !r.decode(n, &m) {
		return nil
	}
	timed := false
	for _, k := range []string{"time", "timestamp", "@timestamp", "ts", "@t"} {
		_, has := m[k]
		timed = timed || has
	}
	if !timed {
		m["time"] = at.Format(time.RFC3339Nano)
	}
	data, err := json.Marshal(m)
	if err != nil {
		r.fail(n, "%v", err)
	}
	return data
}

func (r *reader) expect(n *yaml.Node) Expect {
	x := Expect{Line: n.Line}
	kind := func(k string) func(*yaml.Node) {
		return func(v *yaml.Node) {
			if x.Kind != "" {
				r.fail(v, "one of `open`, `updated` and `resolved`, not several")
			}
			x.Kind, x.Fields = k, map[string]any{}
			if v.Tag != "!!null" {
				r.known(v)
				r.decode(v, &x.Fields)
			}
		}
	}
	r.fields(n, "an expectation", map[string]func(*yaml.Node){
		"at":   func(v *yaml.Node) { x.At = r.span(v) },
		"rule": func(v *yaml.Node) { x.Rule, x.ruleAt = v.Value, v },
		"key": func(v *yaml.Node) {
			x.keyAt = v
			var m map[string]any
			if r.decode(v, &m) {
				x.Key = map[string]string{}
				for k, v := range m {
					x.Key[k] = fmt.Sprint(v)
				}
			}
		},
		"open": kind("open"), "updated": kind("updated"), "resolved": kind("resolved"),
	})
	if x.Kind == "" {
		r.failNote(n, "it does not say what is expected", "", "help: one of `open: {…}`, `updated: {…}` and `resolved: {…}`; {} compares nothing more")
	}
	if x.Rule == "" {
		r.failNote(n, "it does not say of which rule", "", "help: rule: ID")
	}
	return x
}

// recordFields are the names of an incident record's fields.
var recordFields = sync.OnceValue(func() []string {
	var names []string
	for _, f := range reflect.VisibleFields(reflect.TypeFor[correlate.Transition]()) {
		if name, _, _ := strings.Cut(f.Tag.Get("json"), ","); name != "" && name != "-" {
			names = append(names, name)
		}
	}
	return names
})

// known reports fields that no incident has: compared with nothing they could
// only confuse.
func (r *reader) known(n *yaml.Node) {
	if n.Kind != yaml.MappingNode {
		return
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k := n.Content[i]
		if slices.Contains(recordFields(), k.Value) {
			continue
		}
		note := ""
		if best := rules.Nearest(k.Value, recordFields()); best != "" {
			note = fmt.Sprintf("did you mean %q?", best)
		}
		r.failNote(k, fmt.Sprintf("an incident has no field %q", k.Value), note, "fields: docs/incidents.md")
	}
}

func (r *reader) decode(n *yaml.Node, into any) bool {
	if err := n.Decode(into); err != nil {
		text, _, _ := strings.Cut(strings.TrimPrefix(err.Error(), "yaml: "), "\n")
		r.fail(n, "cannot read this: %s", text)
		return false
	}
	return true
}

// times reads how often an event comes.
func (r *reader) times(n *yaml.Node) int {
	var times int
	if !r.decode(n, &times) {
		return 0
	}
	if times < 1 || times > maxRepeat {
		r.fail(n, "`repeat` must be from 1 to %d", maxRepeat)
		return 0
	}
	return times
}

const maxRepeat = 1_000_000

func (r *reader) oneOf(n *yaml.Node, words ...string) string {
	for _, w := range words {
		if n.Value == w {
			return w
		}
	}
	note := ""
	if best := rules.Nearest(n.Value, words); best != "" {
		note = fmt.Sprintf("did you mean %q?", best)
	}
	r.failNote(n, fmt.Sprintf("%q is nothing that can be done", n.Value), note, "one of: "+strings.Join(words, ", "))
	return ""
}

func (r *reader) span(n *yaml.Node) time.Duration {
	d, err := rules.ParseDuration(n.Value)
	if err != nil {
		r.failNote(n, fmt.Sprintf("%q is no duration: %v", n.Value, err), "", "help: as 90s, 5m, 1h30m, 7d")
	}
	return d
}

func (r *reader) time(n *yaml.Node) time.Time {
	t, err := time.Parse(time.RFC3339Nano, n.Value)
	if err != nil {
		r.failNote(n, fmt.Sprintf("%q is no time", n.Value), "", "help: RFC 3339, as 2026-01-01T00:00:00Z")
	}
	return t.UTC()
}

func (r *reader) paths(n *yaml.Node) []string {
	if n.Kind == yaml.ScalarNode {
		return []string{r.resolve(n.Value)}
	}
	var out []string
	r.list(n, "rules", func(c *yaml.Node) { out = append(out, r.resolve(c.Value)) })
	return out
}

func (r *reader) resolve(path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(filepath.Dir(r.file), path)
}
