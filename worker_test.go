package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"corral/correlate"
	"corral/internal/chserver"
	"corral/internal/chserver/chtest"
	"corral/internal/natstest"
	"corral/internal/testlog"
	"corral/sinks"
	"corral/sinks/clickhouse"
)

// binary builds corral once for the tests that run it as a process.
var binary = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "corral-bin-")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "corral")
	out, err := exec.Command("go", "build", "-o", path, ".").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return path, nil
})

// process is a running corral.
type process struct {
	cmd  *exec.Cmd
	log  testlog.Buffer
	done chan error
}

func start(t *testing.T, args ...string) *process {
	t.Helper()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	p := &process{cmd: exec.Command(path, args...), done: make(chan error, 1)}
	p.cmd.Stderr = &p.log
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { p.done <- p.cmd.Wait() }()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		if t.Failed() {
			t.Logf("corral said:\n%s", p.log.String())
		}
	})
	return p
}

// end sends a signal and returns how the process ended. When the log says after,
// the signal is sent again, and again.
func (p *process) end(t *testing.T, sig syscall.Signal, after ...string) error {
	t.Helper()
	if err := p.cmd.Process.Signal(sig); err != nil {
		t.Fatal(err)
	}
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	patience := time.After(time.Minute)
	for {
		select {
		case err := <-p.done:
			return err
		case <-again.C:
			if len(after) > 0 && strings.Contains(p.log.String(), after[0]) {
				_ = p.cmd.Process.Signal(sig) // it may have ended meanwhile
			}
		case <-patience:
			t.Fatal("corral does not end")
		}
	}
}

const burstRules = `version: 1
rules:
  - id: burst
    severity: error
    match: level == "error"
    group_by: [service]
    threshold: {window: 1s, condition: count() >= 3}
`

// bursts are n bursts of four errors, happening now, each of a service of its own.
func bursts(from, n int) []string {
	var lines []string
	for b := from; b < from+n; b++ {
		for range 4 {
			lines = append(lines, fmt.Sprintf(`{"time":%q,"level":"error","service":"s%d","msg":"failed"}`, time.Now().UTC().Format(time.RFC3339Nano), b))
		}
	}
	return lines
}

func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// wanted is what a batch run over the same lines says: id, revision and state.
func wanted(t *testing.T, rules string, lines []string) []string {
	t.Helper()
	var out bytes.Buffer
	code := run(t.Context(), []string{"batch", "--rules", rules, "-o", "ndjson", "--to", "2100-01-01T00:00:00Z", write(t, "all.ndjson", strings.Join(lines, "\n"))}, nil, &out, io.Discard)
	if code != 0 {
		t.Fatalf("batch: exit %d", code)
	}
	ts, err := sinks.ReadNDJSON(&out)
	if err != nil {
		t.Fatal(err)
	}
	return names(ts)
}

func names(ts []*correlate.Transition) []string {
	var out []string
	for _, t := range ts {
		out = append(out, fmt.Sprintf("%s %s.%d %s %d", t.ChangedAt.Format(time.RFC3339Nano), t.IncidentID, t.Rev, t.State, t.EventCount))
	}
	return out
}

func stored(t *testing.T, dsn string) []string {
	t.Helper()
	r, err := clickhouse.OpenReader(dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var ts []*correlate.Transition
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	for tr, err := range r.Revisions(ctx, clickhouse.Query{}) {
		if err != nil {
			return nil // not there yet, or not any more
		}
		ts = append(ts, tr)
	}
	return names(ts)
}

// TestWorkerOutlivesItsServers restarts NATS and kills ClickHouse while events
// flow through `corral run`; in the end ClickHouse holds what a batch run says,
// and SIGTERM ends the worker with 0.
func TestWorkerOutlivesItsServers(t *testing.T) {
	ch := chtest.Start(t, chserver.Options{Dir: t.TempDir()})
	dsn := chtest.DSN(ch, "corral")
	srv := natstest.Start(t, natstest.JetStream())
	srv.Stream("LOGS", "logs.>")
	rules := write(t, "rules.yaml", burstRules)
	p := start(t, "run", "--rules", rules, "--nats", srv.URL(), "--no-context", "--stream", "LOGS", "--clickhouse", dsn,
		"--state", t.TempDir(), "--snapshot-every", "200ms", "--lateness", "1s", "--listen", "127.0.0.1:0")
	var all []string
	feed := func(n int) {
		lines := bursts(len(all)/4, n)
		all = append(all, lines...)
		publishLines(t, srv, lines)
	}
	holds := func(what string) {
		t.Helper()
		want := wanted(t, rules, all)
		natstest.Eventually(t, what, func() bool { return len(stored(t, dsn)) == len(want) })
	}
	feed(5)
	holds("the first incidents")
	feed(3)
	srv.Restart()
	feed(5)
	holds("incidents after a restart of NATS")
	ch.Kill()
	feed(5)
	again, err := ch.Again(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = again.Stop() })
	feed(5)
	want := wanted(t, rules, all)
	natstest.Eventually(t, "every incident", func() bool { return len(stored(t, dsn)) == len(want) })
	if d := cmp.Diff(want, stored(t, dsn)); d != "" {
		t.Errorf("ClickHouse differs from a batch run (-batch +stored):\n%s", d)
	}
	if err := p.end(t, syscall.SIGTERM); err != nil {
		t.Errorf("after SIGTERM: %v", err)
	}
	if !strings.Contains(p.log.String(), "everything read is delivered and acknowledged") {
		t.Error("the worker does not say that it drained")
	}
}

func publishLines(t *testing.T, srv *natstest.Server, lines []string) {
	t.Helper()
	js := srv.JetStream()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute) // a busy machine
	defer cancel()
	for _, l := range lines {
		if _, err := js.Publish(ctx, "logs.a", []byte(l)); err != nil {
			t.Fatal(err)
		}
	}
}

// TestWorkerKilledGoesOn kills the worker at any moment; nothing is lost and
// nothing comes twice.
func TestWorkerKilledGoesOn(t *testing.T) {
	srv := natstest.Start(t, natstest.JetStream())
	srv.Stream("LOGS", "logs.>")
	rules := write(t, "rules.yaml", burstRules)
	state, out := t.TempDir(), filepath.Join(t.TempDir(), "out.ndjson")
	args := []string{
		"run", "--rules", rules, "--nats", srv.URL(), "--no-context", "--stream", "LOGS", "--state", state,
		"--snapshot-every", "50ms", "--lateness", "1s", "--listen", "", "-o", "ndjson:" + out,
	}
	var all []string
	for i := range 5 {
		lines := bursts(len(all)/4, 10)
		all = append(all, lines...)
		publishLines(t, srv, lines)
		p := start(t, args...)
		natstest.Eventually(t, "progress", func() bool { return len(seen(t, out)) > 12*i })
		_ = p.end(t, syscall.SIGKILL)
	}
	want := wanted(t, rules, all)
	p := start(t, args...)
	natstest.Eventually(t, "every incident", func() bool { return len(seen(t, out)) == len(want) })
	if d := cmp.Diff(want, seen(t, out)); d != "" {
		t.Errorf("differs from a batch run (-batch +live):\n%s", d)
	}
	if err := p.end(t, syscall.SIGTERM); err != nil {
		t.Errorf("after SIGTERM: %v", err)
	}
}

// seen are the distinct revisions of an NDJSON file: a revision written again
// after a crash is the same one.
func seen(t *testing.T, path string) []string {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		return nil
	}
	defer f.Close()
	ts, _ := sinks.ReadNDJSON(f) // the last line may still be written
	var out []string
	had := map[string]bool{}
	for _, n := range names(ts) {
		if !had[n] {
			had[n] = true
			out = append(out, n)
		}
	}
	return out
}

// TestHealthAndReload asks a worker over HTTP.
func TestHealthAndReload(t *testing.T) {
	lasting := strings.Replace(burstRules, "window: 1s", "window: 1h", 1) // they are open whenever the reload comes
	srv := natstest.Start(t, natstest.JetStream())
	srv.Stream("LOGS", "logs.>")
	rules := write(t, "rules.yaml", lasting)
	token := write(t, "token", "s3cret\n")
	p := start(t, "run", "--rules", rules, "--nats", srv.URL(), "--no-context", "--stream", "LOGS", "--listen", "127.0.0.1:0",
		"--listen-token-file", token, "--reload-every", "0")
	base := ""
	natstest.Eventually(t, "the address", func() bool {
		_, rest, ok := strings.Cut(p.log.String(), "msg=listening address=")
		base, _, _ = strings.Cut(rest, "\n")
		return ok
	})
	ask := func(method, path, token string) (int, string) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, "http://"+strings.TrimSpace(base)+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		if token != "" {
			req.Header.Set("Authorization", "Bearer "+token)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(body)
	}
	if code, _ := ask("GET", "/healthz", ""); code != 200 {
		t.Errorf("/healthz: %d", code)
	}
	if code, _ := ask("GET", "/metrics", "wrong"); code != 401 {
		t.Errorf("/metrics with a wrong token: %d", code)
	}
	natstest.Eventually(t, "readiness", func() bool { code, _ := ask("GET", "/readyz", "s3cret"); return code == 200 })
	publishLines(t, srv, bursts(0, 3))
	natstest.Eventually(t, "metrics of the rule", func() bool {
		_, body := ask("GET", "/metrics", "s3cret")
		return strings.Contains(body, `corral_rule_matched_total{rule="burst"}`) && strings.Contains(body, "corral_events_total 12") &&
			strings.Contains(body, `corral_incidents_open{rule="burst",severity="error"} 3`)
	})
	if err := os.WriteFile(rules, []byte(lasting+"    nonsense: 1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	code, body := ask("POST", "/-/reload", "s3cret")
	if code != 422 || !strings.Contains(body, "nonsense") || !strings.Contains(body, "rules.yaml:8:5") || !strings.Contains(body, "; keeping generation 1 of this file (1 rule)") {
		t.Errorf("reload of a broken file: %d %s", code, body)
	}
	if err := os.WriteFile(rules, []byte(strings.Replace(lasting, ">= 3", ">= 5", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, body = ask("POST", "/-/reload", "s3cret"); code != 200 || !strings.Contains(body, "generation 1 → 2") ||
		!strings.Contains(body, "  ± 1 logic      burst                condition: count() >= 3 → count() >= 5   3 open: 3 resolved\n") {
		t.Errorf("reload: %d %s", code, body)
	}
	if err := p.end(t, syscall.SIGINT); err != nil {
		t.Errorf("after SIGINT: %v", err)
	}
}
