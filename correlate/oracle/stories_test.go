package oracle_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/txtar"

	"corral/correlate"
	"corral/correlate/oracle"
	"corral/event"
)

var update = flag.Bool("update", false, "rewrite the incidents of the stories")

// The stories told for the project; the engine's own, with storms and rules over
// incidents, are played by the engine's tests.
const stories = "../../testdata/stories"

// TestStories plays the stories through the oracle and the engine. A story ends
// at its last event, or where a line `end: TIME` of its comment says. A line of
// incidents.jsonl names the fields it is about; there must be a line for every
// transition.
func TestStories(t *testing.T) {
	for _, dir := range []string{stories} {
		names, err := filepath.Glob(filepath.Join(dir, "*.txtar"))
		if err != nil || len(names) == 0 {
			t.Fatalf("no stories in %s: %v", dir, err)
		}
		for _, name := range names {
			t.Run(strings.TrimSuffix(filepath.Base(name), ".txtar"), func(t *testing.T) { play(t, name) })
		}
	}
}

// ours are the stories that -update may rewrite.
func ours(name string) bool {
	base := filepath.Base(name)
	return strings.HasPrefix(base, "sec-") || strings.HasPrefix(base, "ea-")
}

func play(t *testing.T, name string) {
	archive, err := txtar.ParseFile(name)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]*txtar.File{}
	for i := range archive.Files {
		files[archive.Files[i].Name] = &archive.Files[i]
	}
	set := load(t, string(files["rules.yaml"].Data))
	events := records(t, files["events.jsonl"].Data)
	end := ending(t, archive.Comment, latest(events))
	byOracle := oracle.Run(set, events, end)
	if *update && ours(name) {
		files["incidents.jsonl"].Data = written(t, byOracle)
		if err := os.WriteFile(name, txtar.Format(archive), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	var want []map[string]any
	for text := range bytes.Lines(files["incidents.jsonl"].Data) {
		want = append(want, fields(t, text))
	}
	for _, w := range want {
		for _, field := range untold {
			delete(w, field)
		}
	}
	told(t, "oracle", byOracle, want)
	for _, w := range []way{{shards: 1}, {shards: 4, lateness: int64(time.Hour), seed: 7}, {shards: 2, restart: true}} {
		told(t, w.String(), w.run(t, set, events, end), want)
	}
}

func ending(t *testing.T, comment []byte, end int64) int64 {
	t.Helper()
	for text := range strings.Lines(string(comment)) {
		if at, ok := strings.CutPrefix(text, "end: "); ok {
			tm, err := time.Parse(time.RFC3339Nano, strings.TrimSpace(at))
			if err != nil {
				t.Fatal(err)
			}
			end = tm.UnixNano()
		}
	}
	return end
}

// untold are the fields that the oracle has nothing to say about.
var untold = []string{
	"title", "summary", "labels", "vars", "steps", "evidence", "trace_ids", "recurrence", "owner", "runbook_url", "duration_ms",
	"rule_title", "rule_file", "rule_line", "rule_hash", "rules_gen", "suspects", "parent_id", "child_ids", "top_keys",
	"input_first_seq", "input_last_seq",
}

// told compares transitions with the lines of a story, field by field named there.
func told(t *testing.T, by string, got []*correlate.Transition, want []map[string]any) {
	t.Helper()
	for i := range max(len(got), len(want)) {
		switch {
		case i >= len(got):
			t.Errorf("%s: missing %s", by, encoded(t, want[i]))
		case i >= len(want):
			t.Errorf("%s: one too many: %s", by, line(got[i]))
		default:
			for field, value := range want[i] {
				if is := fields(t, encoded(t, got[i]))[field]; !reflect.DeepEqual(is, value) {
					t.Errorf("%s: transition %d: %s is %v, want %v\n%s", by, i+1, field, is, value, encoded(t, want[i]))
				}
			}
		}
	}
}

func encoded(t *testing.T, v any) []byte {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func fields(t *testing.T, text []byte) map[string]any {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal(text, &m); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	return m
}

// shown is what -update writes of a transition.
type shown struct {
	ChangedAt  time.Time         `json:"changed_at"`
	RuleID     string            `json:"rule_id"`
	Key        map[string]string `json:"key"`
	Rev        int               `json:"rev"`
	State      string            `json:"state"`
	Cause      string            `json:"cause"`
	StartedAt  time.Time         `json:"started_at"`
	OpenedAt   time.Time         `json:"opened_at"`
	ResolvedAt *time.Time        `json:"resolved_at,omitempty"`
	EventCount int               `json:"event_count"`
	Firings    int               `json:"firings"`
	Relapses   int               `json:"relapses"`
	Notified   bool              `json:"notified"`
}

func written(t *testing.T, trs []*correlate.Transition) []byte {
	t.Helper()
	var b bytes.Buffer
	for _, tr := range trs {
		fmt.Fprintf(&b, "%s\n", encoded(t, shown{
			tr.ChangedAt, tr.RuleID, tr.Key, tr.Rev, tr.State, tr.Cause,
			tr.StartedAt, tr.OpenedAt, tr.ResolvedAt, tr.EventCount, tr.Firings, tr.Relapses, tr.Notified,
		}))
	}
	return b.Bytes()
}

// records reads events as a service would log them: the fields the stories need.
func records(t *testing.T, data []byte) []*event.Event {
	t.Helper()
	var out []*event.Event
	for i, raw := range bytes.Split(bytes.TrimSpace(data), []byte("\n")) {
		var known struct {
			Time                          time.Time
			Level, Service, Host, Message string
		}
		if err := json.Unmarshal(raw, &known); err != nil {
			t.Fatalf("events.jsonl:%d: %v", i+1, err)
		}
		attrs := map[string]any{}
		decoder := json.NewDecoder(bytes.NewReader(raw))
		decoder.UseNumber()
		if err := decoder.Decode(&attrs); err != nil {
			t.Fatalf("events.jsonl:%d: %v", i+1, err)
		}
		for _, name := range []string{"time", "level", "service", "host", "message"} {
			delete(attrs, name)
		}
		ev := &event.Event{
			Time: known.Time.UnixNano(), Kind: "log", Level: known.Level, Service: known.Service, Host: known.Host,
			Message: known.Message, Raw: string(raw), Pos: event.Pos{Seq: uint64(i + 1)},
		}
		ev.SetAttrs(plain(attrs))
		out = append(out, ev)
	}
	return out
}

// plain makes numbers int or float64, as the decoder does.
func plain(attrs map[string]any) map[string]any {
	for name, v := range attrs {
		n, ok := v.(json.Number)
		if !ok {
			continue
		}
		if i, err := n.Int64(); err == nil {
			attrs[name] = int(i)
		} else if f, err := n.Float64(); err == nil {
			attrs[name] = f
		}
	}
	return attrs
}
