package explain

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/txtar"

	"corral/correlate"
	"corral/event"
	"corral/ingest"
	"corral/ingest/decode"
	"corral/rules"
)

var update = flag.Bool("update", false, "rewrite what the golden files expect")

// question is the file `ask` of a story: which rule, which key, when.
type question struct {
	Rule   string            `json:"rule"`
	Key    map[string]string `json:"key"`
	From   time.Time         `json:"from"`
	To     time.Time         `json:"to"`
	Events bool              `json:"events"` // how the rule looks at each event
}

// TestExplain: each file of testdata has rules, events, questions and the answers.
func TestExplain(t *testing.T) {
	names, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(names) < 8 {
		t.Fatal(names, err)
	}
	for _, name := range names {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txtar"), func(t *testing.T) { story(t, name) })
	}
}

func story(t *testing.T, name string) {
	ar, err := txtar.ParseFile(name)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{}
	for _, f := range ar.Files {
		files[f.Name] = f.Data
	}
	set, diags := rules.Parse([]rules.File{{Name: "rules.yaml", Data: files["rules.yaml"]}})
	if set == nil {
		t.Fatal(diags)
	}
	var got bytes.Buffer
	for line := range bytes.Lines(files["ask"]) {
		var q question
		if err := json.Unmarshal(line, &q); err != nil {
			t.Fatal(err)
		}
		if got.Len() > 0 {
			got.WriteByte('\n')
		}
		answer(t, &got, set, q, files["events.ndjson"])
	}
	if *update {
		ar.Files[len(ar.Files)-1].Data = got.Bytes()
		if err := os.WriteFile(name, txtar.Format(ar), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if want := string(files["want"]); got.String() != want {
		t.Errorf("got\n%s\nwant\n%s", got.String(), want)
	}
}

func answer(t *testing.T, w *bytes.Buffer, set *rules.Set, q question, events []byte) {
	t.Helper()
	rule := set.Rule(q.Rule)
	if rule == nil {
		t.Fatalf("no rule %q", q.Rule)
	}
	if q.Events {
		dec := decode.New(decode.Options{AttrPaths: set.AttrPaths})
		dec.Decode(ingest.Record{Data: events, Lines: true}, func(ev *event.Event) { Event(w, rule, ev) }, func(d decode.DeadRecord) { t.Error(d.Error) })
		return
	}
	path := filepath.Join(t.TempDir(), "events.ndjson")
	if err := os.WriteFile(path, events, 0o600); err != nil {
		t.Fatal(err)
	}
	win := &Window{Set: set, Rule: rule, Key: q.Key, From: q.From, To: q.To, Lateness: 5 * time.Second}
	if err := win.Read(t.Context(), History{Files: []string{path}, Workers: 1}); err != nil {
		t.Fatal(err)
	}
	win.Write(w)
}

// TestEveryChangeToldFires: what is said to have been enough is enough, whatever
// the events; Window tries it, and this tries again with the rule's text changed.
func TestEveryChangeToldFires(t *testing.T) {
	const rule = "version: 1\nrules:\n  - id: r\n    match: level == \"error\"\n    group_by: [service]\n    threshold: {window: WINDOW, condition: count() >= LIMIT}\n"
	with := func(window, limit string) *rules.Set {
		set, diags := rules.Parse([]rules.File{{Name: "r.yaml", Data: []byte(strings.NewReplacer("WINDOW", window, "LIMIT", limit).Replace(rule))}})
		if set == nil {
			t.Fatal(diags)
		}
		return set
	}
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	var events bytes.Buffer
	for _, s := range []int{0, 7, 11, 60, 61, 65, 200, 290, 300} {
		events.WriteString(`{"time":"` + start.Add(time.Duration(s)*time.Second).Format(time.RFC3339) + `","service":"a","level":"error"}` + "\n")
	}
	path := filepath.Join(t.TempDir(), "e.ndjson")
	if err := os.WriteFile(path, events.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	ask := func(set *rules.Set) string {
		var b strings.Builder
		win := &Window{Set: set, Rule: set.Rules[0], Key: map[string]string{"service": "a"}, From: start, To: start.Add(time.Hour), Lateness: time.Second}
		if err := win.Read(t.Context(), History{Files: []string{path}, Workers: 1}); err != nil {
			t.Fatal(err)
		}
		win.Write(&b)
		return b.String()
	}
	first := ask(with("60s", "6"))
	if !strings.Contains(first, "did not fire") || !strings.Contains(first, "window: 1m5s  (is 1m)") || !strings.Contains(first, "count() >= 5\n") {
		t.Fatal(first)
	}
	for _, fires := range []*rules.Set{with("65s", "6"), with("60s", "5")} {
		if got := ask(fires); !strings.Contains(got, ": fired") {
			t.Error(got)
		}
	}
	for _, silent := range []*rules.Set{with("64999ms", "6"), with("60s", "6")} {
		if got := ask(silent); !strings.Contains(got, "did not fire") {
			t.Error(got)
		}
	}
}

func TestTimelineTellsOfChangedRules(t *testing.T) {
	at := func(s int) time.Time { return time.Date(2026, 1, 1, 0, 0, s, 0, time.UTC) }
	ts := []*correlate.Transition{
		{
			IncidentID: "x-1", Rev: 1, State: "open", Cause: "condition", RuleID: "r", RuleHash: "aa", Severity: "error", ChangedAt: at(5), Notified: true, NotifyReason: "first", EventCount: 3, Vars: map[string]string{"count()": "3"},
			Evidence: []correlate.Evidence{{At: at(1), EventID: "1", Role: "member", Line: "boom\x1b[2J"}, {At: at(5), EventID: "2", Role: "trigger", Line: "boom again"}},
		},
		{IncidentID: "x-1", Rev: 2, State: "open", Cause: "severity", RuleID: "r", RuleHash: "bb", Severity: "critical", ChangedAt: at(7), Suppressed: true, SuppressedBy: []string{"inhibit:other"}, EventCount: 30},
		{
			IncidentID: "x-1", Rev: 3, State: "resolved", Cause: "quiet", RuleID: "r", RuleHash: "bb", Severity: "critical", ChangedAt: at(60), EventCount: 30, DurationMS: 59000, Recurrence: 2, PreviousID: "x-0", Title: "boom",
			Evidence: []correlate.Evidence{{At: at(1), EventID: "1", Role: "member", Line: "boom"}},
		},
	}
	var b strings.Builder
	Timeline(&b, ts, time.UTC, func(t *correlate.Transition) (RuleText, bool) {
		if t.RuleHash == "aa" {
			return RuleText{}, false
		}
		return RuleText{Text: "id: r\nevent: {}\n", From: "r.yaml:3", Other: true}, true
	})
	want := `r  critical  resolved  59s  30 events  no. 2 in 30 days (before: x-0)
boom
  2026-01-01 00:00:01.000  member    boom [2J
  2026-01-01 00:00:05.000  trigger   boom again
  2026-01-01 00:00:05.000  rev 1     open     condition  count() = 3  notified (first)
  2026-01-01 00:00:07.000  rev 2     open     severity critical  not notified (inhibit:other)
  2026-01-01 00:01:00.000  rev 3     resolved quiet  not notified
  times are UTC

rule r (:0) as of generation 0, hash aa, in force from rev 1 on
  its text is not at hand: --rules PATH names the files, --clickhouse the tables that keep it

rule r (:0) as of generation 0, hash bb, in force from rev 2 on
  the rule has changed since; this is how it is now (r.yaml:3)
  id: r
  event: {}
`
	if b.String() != want {
		t.Errorf("got\n%s\nwant\n%s", b.String(), want)
	}
}
