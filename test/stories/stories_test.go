// Package stories plays the project's stories as `corral test` would: as written,
// shuffled, delivered twice, restarted after every event, on two and four shards,
// and as a batch.
package stories

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/txtar"

	"corral/ruletest"
)

// TestContract runs the rules that take the contract (docs/rules.md) sentence by
// sentence, and stories told as tests of rules.
func TestContract(t *testing.T) {
	run(t, "../../testdata/stories")
}

// TestArchives makes a test file of every story that is told as an archive.
func TestArchives(t *testing.T) {
	for _, dir := range []string{"../../testdata/stories", "../../correlate/testdata/stories"} {
		names, err := filepath.Glob(filepath.Join(dir, "*.txtar"))
		if err != nil || len(names) == 0 {
			t.Fatalf("no stories in %s: %v", dir, err)
		}
		for _, name := range names {
			t.Run(strings.TrimSuffix(filepath.Base(name), ".txtar"), func(t *testing.T) { run(t, unpacked(t, name)) })
		}
	}
}

func run(t *testing.T, path string) {
	t.Helper()
	var out bytes.Buffer
	report, err := ruletest.Run([]string{path}, ruletest.Options{}, &out)
	if err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	if report.Failed > 0 {
		t.Errorf("%d of %d stories went otherwise\n%s", report.Failed, report.Ran, out.String())
	}
}

// told is a test file.
type told struct {
	Start    string   `json:"start"`
	Lateness string   `json:"lateness"`
	Tests    [1]story `json:"tests"`
}

type story struct {
	Name   string           `json:"name"`
	Until  string           `json:"until"`
	Events []map[string]any `json:"events"`
	Expect []map[string]any `json:"expect"`
}

// unpacked writes the rules and the test of an archive, and returns the test's
// path.
func unpacked(t *testing.T, name string) string {
	t.Helper()
	archive, err := txtar.ParseFile(name)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{}
	for _, f := range archive.Files {
		files[f.Name] = f.Data
	}
	records := bytes.Split(bytes.TrimSpace(files["events.jsonl"]), []byte("\n"))
	start := at(t, records[0], "time")
	s := story{Name: filepath.Base(name), Expect: []map[string]any{}}
	end := start
	for _, record := range records {
		now := at(t, record, "time")
		end = latest(end, now)
		s.Events = append(s.Events, map[string]any{"at": now.Sub(start).String(), "event": string(record)})
	}
	for line := range strings.Lines(string(archive.Comment)) {
		if text, ok := strings.CutPrefix(line, "end: "); ok {
			end = parsed(t, strings.TrimSpace(text))
		}
	}
	s.Until = end.Sub(start).String()
	for line := range bytes.Lines(files["incidents.jsonl"]) {
		s.Expect = append(s.Expect, expectation(t, line, start))
	}
	dir := t.TempDir()
	write(t, filepath.Join(dir, "rules.yaml"), files["rules.yaml"])
	test, err := json.Marshal(told{Start: start.Format(time.RFC3339Nano), Lateness: "1h", Tests: [1]story{s}})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "rules_test.yaml")
	write(t, path, test)
	return path
}

// expectation is a line of incidents.jsonl as `expect:` has it.
func expectation(t *testing.T, line []byte, start time.Time) map[string]any {
	t.Helper()
	fields := map[string]any{}
	if err := json.Unmarshal(line, &fields); err != nil {
		t.Fatalf("%v: %s", err, line)
	}
	kind := "updated"
	switch {
	case fields["state"] == "resolved":
		kind = "resolved"
	case fields["rev"] == 1.0:
		kind = "open"
	}
	x := map[string]any{"at": at(t, line, "changed_at").Sub(start).String(), "rule": fields["rule_id"], kind: fields}
	if key, ok := fields["key"]; ok {
		x["key"] = key
	}
	return x
}

// at is a time of a record.
func at(t *testing.T, record []byte, field string) time.Time {
	t.Helper()
	var m map[string]json.RawMessage
	if err := json.Unmarshal(record, &m); err != nil {
		t.Fatalf("%v: %s", err, record)
	}
	return parsed(t, strings.Trim(string(m[field]), `"`))
}

func parsed(t *testing.T, text string) time.Time {
	t.Helper()
	tm, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		t.Fatal(err)
	}
	return tm
}

func latest(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

func write(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}
