package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go/jetstream"

	"corral/correlate"
	"corral/internal/chserver"
	"corral/internal/chserver/chtest"
	"corral/internal/natstest"
	"corral/sinks"
	"corral/sinks/clickhouse"
)

const resumeRules = `version: 1
rules:
  - id: burst
    severity: [{when: 'count() >= 40', is: critical}, {is: error}]
    match: level == "error"
    group_by: [service]
    threshold: {window: 20s, condition: count() >= 5}
  - id: silent
    match: message startsWith "request"
    group_by: [service]
    absence: {every: 40s}
  - id: both
    from: incidents
    match: incident.rule == "burst" && incident.state == "open"
    threshold: {window: 10m, condition: distinct(incident.key.service) >= 3}
`

// transitions reads an NDJSON file.
func transitions(t *testing.T, path string) []*correlate.Transition {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	ts, err := sinks.ReadNDJSON(f)
	if err != nil {
		t.Fatal(err)
	}
	return ts
}

// bareLine is a revision without what says who found it when.
func bareLine(t *testing.T, tr *correlate.Transition) string {
	t.Helper()
	tr.DetectedAt, tr.DetectLagMS, tr.RunID = time.Time{}, 0, ""
	data, err := sinks.AppendJSON(nil, tr)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func bareLines(t *testing.T, path string) (all []string) {
	t.Helper()
	for _, tr := range transitions(t, path) {
		all = append(all, bareLine(t, tr))
	}
	return all
}

// runBatch runs corral and ends it with SIGINT a while after it has said what it is
// going to do, or lets it end. It returns the exit code.
func runBatch(t *testing.T, args []string, interrupt bool, after time.Duration) (int, string) {
	t.Helper()
	p := start(t, args...)
	if interrupt {
		natstest.Eventually(t, "the plan", func() bool { return strings.Contains(p.log.String(), "lateness") || len(p.done) > 0 })
		timer := time.AfterFunc(after, func() { _ = p.cmd.Process.Signal(syscall.SIGINT) })
		defer timer.Stop()
	}
	select {
	case <-p.done:
	case <-time.After(2 * time.Minute):
		t.Fatal("corral does not end")
	}
	return p.cmd.ProcessState.ExitCode(), p.log.String()
}

// TestResume interrupts runs over files, a stream and a table again and again: in
// the end there is what an uninterrupted run writes, each revision once.
func TestResume(t *testing.T) {
	lines := shopLines(40_000)
	h := historyOf{files: splitFiles(t, lines)}
	srv := natstest.Start(t, natstest.JetStream())
	srv.Stream("LOGS", "logs.>")
	publishAsync(t, srv, lines)
	ch := chtest.Start(t, chserver.Options{Dir: t.TempDir()})
	h.nats, h.dsn = srv.URL(), chtest.DSN(ch, chtest.Database(t, ch))
	insertLogs(t, h.dsn, lines)
	rules := write(t, "rules.yaml", resumeRules)
	if _, err := binary(); err != nil {
		t.Fatal(err)
	}
	for name, input := range inputsOf(h) {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			whole, parts, state := filepath.Join(dir, "whole.ndjson"), filepath.Join(dir, "parts.ndjson"), filepath.Join(dir, "resume")
			args := append([]string{"batch", "--rules", rules, "--workers", "2", "--lateness", "2s"}, input...)
			begin := time.Now()
			if code, talk := runBatch(t, append(args, "-o", "ndjson:"+whole), false, 0); code != 0 {
				t.Fatalf("uninterrupted: exit %d\n%s", code, talk)
			}
			took := time.Since(begin)
			stops := 0
			for try := 0; ; try++ {
				if try > 200 {
					t.Fatal("the run does not come to its end")
				}
				// Later and later, so that each comes further; wherever it happens to be.
				code, talk := runBatch(t, append(args, "-o", "ndjson:"+parts, "--resume", state), true, time.Duration(try)*took/16)
				if code == 0 && stops == 0 { // it was too fast: once more
					_ = os.Remove(parts)
					continue
				}
				if code == 0 {
					break
				}
				if code != exitSignal {
					t.Fatalf("exit %d\n%s", code, talk)
				}
				if _, err := os.Stat(state); err == nil {
					stops++
				}
			}
			if _, err := os.Stat(state); err == nil {
				t.Error("the file of --resume is still there")
			}
			want, got := bareLines(t, whole), bareLines(t, parts)
			if len(want) < 100 {
				t.Fatalf("only %d revisions", len(want))
			}
			if d := cmp.Diff(want, got); d != "" {
				t.Errorf("interrupted %d times (-whole +parts):\n%s", stops, d)
			}
			t.Logf("%d revisions, interrupted %d times", len(want), stops)
		})
	}
}

// TestResumeRefusesAnotherRun: what is not the interrupted run does not go on with
// it, and says what differs.
func TestResumeRefusesAnotherRun(t *testing.T) {
	rules := write(t, "rules.yaml", resumeRules)
	events := filepath.Join(t.TempDir(), "events.log")
	if err := syscall.Mkfifo(events, 0o600); err != nil {
		t.Fatal(err)
	}
	state := filepath.Join(t.TempDir(), "resume")
	args := func(rules string, more ...string) []string {
		return append([]string{"batch", "--rules", rules, "-o", "none", "--resume", state, events}, more...)
	}
	p := start(t, args(rules)...)
	natstest.Eventually(t, "the plan", func() bool { return strings.Contains(p.log.String(), "lateness") })
	_ = p.end(t, syscall.SIGINT)
	if code := p.cmd.ProcessState.ExitCode(); code != exitSignal || !strings.Contains(p.log.String(), "the same command goes on there (--resume "+state) {
		t.Fatalf("exit %d: %s", code, p.log.String())
	}
	for _, tt := range []struct {
		want string
		args []string
	}{
		{"other rules", args(write(t, "rules.yaml", strings.Replace(resumeRules, ">= 5", ">= 6", 1)))},
		{"other range", args(rules, "--lateness", "3s")},
		{"other inputs", args(rules, rules)},
		{"cannot be read again", args(rules, "-")},
	} {
		var talk bytes.Buffer
		if code := run(t.Context(), tt.args, nil, &talk, &talk); code != exitUsage || !strings.Contains(talk.String(), tt.want) {
			t.Errorf("%s: exit %d, %s", tt.want, code, talk.String())
		}
	}
	if err := os.WriteFile(state, []byte(`{"version":1`), 0o600); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if code := run(t.Context(), args(rules), nil, &out, &out); code != exitInfra || !strings.Contains(out.String(), "damaged") {
		t.Errorf("damaged: exit %d, %s", code, out.String())
	}
}

// TestBatchIntoClickHouse: a run's rows are its own, --into live are live's, and
// nothing is published unless asked.
func TestBatchIntoClickHouse(t *testing.T) {
	ch := chtest.Start(t, chserver.Options{Dir: t.TempDir()})
	dsn := chtest.DSN(ch, "corral")
	srv := natstest.Start(t, natstest.JetStream())
	alerts := srv.Stream("ALERTS", "alert.v1.>")
	replayed := srv.Stream("REPLAYED", "alert-replay.v1.>")
	rules := write(t, "rules.yaml", burstRules)
	events := write(t, "events.ndjson", strings.Join(bursts(0, 3), "\n"))
	batch := func(more ...string) string {
		t.Helper()
		var talk bytes.Buffer
		args := append([]string{
			"batch", "--rules", rules, "-o", "none", "--to", "2100-01-01T00:00:00Z", "--clickhouse", dsn,
			"--nats", srv.URL(), "--no-context", events,
		}, more...)
		if code := run(t.Context(), args, nil, &talk, &talk); code != 0 {
			t.Fatalf("exit %d: %s", code, talk.String())
		}
		return talk.String()
	}
	talk := batch()
	_, rest, ok := strings.Cut(talk, "in ClickHouse as run ")
	runID, _, _ := strings.Cut(rest, ":")
	if !ok || !strings.Contains(talk, "output   none") && !strings.Contains(talk, "output   ClickHouse, as run "+runID) {
		t.Errorf("the run does not say where its rows are: %s", talk)
	}
	if !strings.Contains(talk, "3      3                0  error  burst") {
		t.Errorf("no summary by rule: %s", talk)
	}
	if got := rows(t, dsn, clickhouse.Query{}); got != 0 {
		t.Errorf("%d of a run's rows are live's", got)
	}
	if got := rows(t, dsn, clickhouse.Query{Run: runID}); got != 6 {
		t.Errorf("%d rows of the run, want 6", got)
	}
	batch("--into", "live")
	batch("--into", "live")
	if got := rows(t, dsn, clickhouse.Query{}); got != 6 {
		t.Errorf("%d rows of live, want 6", got)
	}
	if a, r := messages(t, alerts), messages(t, replayed); a+r != 0 {
		t.Errorf("%d messages were published", a+r)
	}
	batch("--publish")
	if a, r := messages(t, alerts), messages(t, replayed); a != 0 || r != 6 {
		t.Errorf("with --publish: %d alerts, %d replayed, want 0 and 6", a, r)
	}
}

func messages(t *testing.T, s jetstream.Stream) uint64 {
	t.Helper()
	info, err := s.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return info.State.Msgs
}

// rows is how many revisions a query selects.
func rows(t *testing.T, dsn string, q clickhouse.Query) (n int) {
	t.Helper()
	r, err := clickhouse.OpenReader(dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for _, err := range r.Revisions(t.Context(), q) {
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	return n
}
