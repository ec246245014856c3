package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"corral/history"
	"corral/internal/chserver"
	"corral/internal/chserver/chtest"
	"corral/internal/natstest"
)

// TestVerify lets a worker write to ClickHouse and verifies the range: first it is
// equal; then events come that live's clock has gone past, but not the stream's;
// then the rules are other ones.
func TestVerify(t *testing.T) {
	ch := chtest.Start(t, chserver.Options{Dir: t.TempDir()})
	dsn := chtest.DSN(ch, "corral")
	srv := natstest.Start(t, natstest.JetStream())
	srv.Stream("LOGS", "logs.>")
	rules := write(t, "rules.yaml", burstRules)
	dead := filepath.Join(t.TempDir(), "dead.ndjson")
	p := start(t, "run", "--rules", rules, "--nats", srv.URL(), "--no-context", "--stream", "LOGS", "--clickhouse", dsn,
		"--lateness", "1s", "--listen", "", "--dead-letters", dead)
	lines := bursts(0, 5)
	last := time.Now().UTC()
	publishLines(t, srv, lines)
	want := wanted(t, rules, lines)
	natstest.Eventually(t, "the incidents", func() bool { return len(stored(t, dsn)) == len(want) })

	verify := func(rules string, more ...string) (int, string) {
		t.Helper()
		var out, talk bytes.Buffer
		args := append([]string{
			"verify", "--rules", rules, "--nats", srv.URL(), "--no-context", "--stream", "LOGS", "--clickhouse", dsn,
			"--lateness", "1s", "--from", "-10m", "--to", "now", "--progress", "off",
		}, more...)
		code := run(t.Context(), args, nil, &out, &talk)
		return code, out.String() + talk.String()
	}
	if code, out := verify(rules); code != exitOK || !strings.Contains(out, "no difference") || !strings.Contains(out, "equal  5 incidents, 10 revisions") {
		t.Errorf("exit %d: %s", code, out)
	}

	showsTimeline(t, dsn)

	// Live has said that they are resolved, so its clock is two seconds past the
	// last event of the stream.
	var late []string
	for range 4 {
		late = append(late, fmt.Sprintf(`{"time":%q,"level":"error","service":"slow","msg":"failed"}`, last.Format(time.RFC3339Nano)))
	}
	publishLines(t, srv, late)
	natstest.Eventually(t, "the dead letters", func() bool {
		data, err := os.ReadFile(dead)
		return err == nil && strings.Count(string(data), `"reason":"late"`) == 4
	})
	code, out := verify(rules)
	if code != exitFindings || !strings.Contains(out, "+ only batch  burst  service=slow") || !strings.Contains(out, "late: LOGS/21 of ") || !strings.Contains(out, "more than the lateness of 1s") {
		t.Errorf("late events, exit %d: %s", code, out)
	}
	if !strings.Contains(out, "equal  5 incidents, 10 revisions") {
		t.Errorf("the others are not equal: %s", out)
	}
	if _, out := verify(rules, "--dead-letters", dead); !strings.Contains(out, "it is among live's dead letters; so did 3 more") {
		t.Errorf("with live's dead letters: %s", out)
	}

	other := write(t, "rules.yaml", strings.Replace(burstRules, ">= 3", ">= 4", 1))
	code, out = verify(other, "--format", "json")
	var res history.Parity
	if err := json.Unmarshal([]byte(out), &res); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	reasons := map[string]int{}
	for _, d := range res.Different {
		reasons[d.Why[0].Kind]++
	}
	if code != exitFindings || reasons["rules"] != 5 || reasons["late"] != 1 {
		t.Errorf("other rules, exit %d: %v", code, reasons)
	}
	if err := p.end(t, syscall.SIGTERM); err != nil {
		t.Errorf("after SIGTERM: %v", err)
	}
}

// showsTimeline: an incident in ClickHouse is shown with its revisions and its rule
// as it was, the same by both commands that do.
func showsTimeline(t *testing.T, dsn string) {
	t.Helper()
	show := func(args ...string) string {
		t.Helper()
		var out, talk bytes.Buffer
		if code := run(t.Context(), append(args, "--clickhouse", dsn), nil, &out, &talk); code != exitOK {
			t.Errorf("%v: exit %d: %s", args, code, talk.String())
		}
		return out.String()
	}
	var last struct {
		ID string `json:"incident_id"`
	}
	first, _, _ := strings.Cut(show("incidents", "-o", "json", "--limit", "1"), "\n")
	if err := json.Unmarshal([]byte(first), &last); err != nil {
		t.Fatalf("%v: %s", err, first)
	}
	id := last.ID
	text := show("incidents", id)
	for _, want := range []string{
		"burst service=", "  trigger ", "  rev 1     open     condition  count() = ", "  notified (first)  lag ", "  rev 2     resolved quiet",
		"rule burst (", " as of generation 1, hash ", "(as ClickHouse keeps it)\n", "condition: count() >= 3",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	if other := show("explain", id); other != text {
		t.Errorf("corral explain says\n%s\ncorral incidents\n%s", other, text)
	}
	for line := range strings.Lines(show("incidents", id, "-o", "json")) {
		if !json.Valid([]byte(line)) || !strings.Contains(line, `"incident_id":"`+id) {
			t.Errorf("as JSON: %s", line)
		}
	}
	if list := show("incidents", "--rule", "burst", "--since", "-1h"); strings.Count(list, "  resolved  error     burst  ") != 5 {
		t.Errorf("the list is\n%s", list)
	}
}
