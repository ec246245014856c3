package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"corral/correlate"
	"corral/internal/chserver/chtest"
)

// TestExplainTheRuleAsItWas: an incident in ClickHouse is told with the text of
// the rule that made it, whatever the files say today.
func TestExplainTheRuleAsItWas(t *testing.T) {
	dsn := chtest.DSN(chtest.Shared(t), chtest.Name())
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	const text = "version: 1\nrules:\n  - id: pay # as it was\n    match: level == \"error\"\n    threshold: {window: 1m, condition: count() >= 2}\n"
	events := file("events.ndjson", `{"time":"2026-01-01T00:00:00Z","level":"error","msg":"x"}
{"time":"2026-01-01T00:00:10Z","level":"error","msg":"x"}
`)
	corral := func(args ...string) string {
		var out, talk bytes.Buffer
		if code := run(t.Context(), args, nil, &out, &talk); code != 0 {
			t.Fatalf("corral %s: exit %d\n%s", strings.Join(args, " "), code, talk.String())
		}
		return out.String()
	}
	line := corral("batch", "--rules", file("was.yaml", text), "--clickhouse", dsn, "-o", "ndjson", "--progress", "off", events)
	var inc correlate.Transition
	if err := json.Unmarshal([]byte(strings.SplitAfter(line, "\n")[0]), &inc); err != nil {
		t.Fatal(err, line)
	}
	now := file("now.yaml", strings.ReplaceAll(text, "as it was", "now")+"    for: 5m\n")
	got := corral("explain", "--clickhouse", dsn, "--rules", now, inc.IncidentID)
	for _, want := range []string{"as ClickHouse keeps it", "id: pay # as it was", "rev 1", "trigger   {"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	if strings.Contains(got, "# now") {
		t.Errorf("the rule of today:\n%s", got)
	}
}
