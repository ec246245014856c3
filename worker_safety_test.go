package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"corral/internal/chserver"
	"corral/internal/chserver/chtest"
	"corral/internal/natstest"
	"corral/sinks"
)

// startEnv is start with further variables of the environment.
func startEnv(t *testing.T, env []string, args ...string) *process {
	t.Helper()
	for _, e := range env {
		name, value, _ := strings.Cut(e, "=")
		t.Setenv(name, value)
	}
	return start(t, args...)
}

// base is the address the process listens on.
func (p *process) base(t *testing.T) (addr string) {
	t.Helper()
	natstest.Eventually(t, "the address", func() bool {
		_, rest, ok := strings.Cut(p.log.String(), "msg=listening address=")
		addr, _, _ = strings.Cut(rest, "\n")
		return ok && strings.Contains(rest, "\n")
	})
	return addr
}

// get asks over HTTP; "" for the body if nobody answers.
func get(t *testing.T, client *http.Client, url, token string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), "GET", url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := client.Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

// metrics are the values of a scrape by name and labels as they stand there.
func metrics(text string) map[string]float64 {
	m := map[string]float64{}
	for line := range strings.Lines(text) {
		name, value, ok := strings.Cut(strings.TrimSpace(line), " ")
		if v, err := strconv.ParseFloat(value, 64); ok && err == nil && !strings.HasPrefix(line, "#") {
			m[name] = v
		}
	}
	return m
}

// TestWorkerWithTLSAndSecrets runs a worker against a NATS server that wants a
// client certificate and a password and a ClickHouse over TLS with a password, both
// from the environment, and serves HTTPS with a token. Every metric that
// docs/guarantees.md names is there with its true value, and no secret is anywhere.
func TestWorkerWithTLSAndSecrets(t *testing.T) {
	certs := natstest.NewCerts(t)
	cert, key := chtest.Certificate(t)
	ch := chtest.Start(t, chserver.Options{Users: []chserver.User{{Name: "corral", Password: "s3cret-of-clickhouse"}}, TLSCert: cert, TLSKey: key})
	srv := natstest.Start(t, natstest.JetStream(), natstest.Config(fmt.Sprintf(
		"tls { cert_file: %q, key_file: %q, ca_file: %q, verify: true }\nauthorization { users [{user: w, password: s3cret-of-nats}] }", certs.Cert, certs.Key, certs.CA)))
	admin := []nats.Option{nats.RootCAs(certs.CA), nats.ClientCert(certs.Cert, certs.Key), nats.UserInfo("w", "s3cret-of-nats")}
	js := srv.JetStream(admin...)
	for name, subject := range map[string]string{"LOGS": "logs.>", "WIDE": "wide.>"} {
		if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: name, Subjects: []string{subject}}); err != nil {
			t.Fatal(err)
		}
	}
	rules := filepath.Join(t.TempDir(), "rules.yaml")
	if err := os.WriteFile(rules, []byte(burstRules), 0o600); err != nil {
		t.Fatal(err)
	}
	letters, out := filepath.Join(t.TempDir(), "dead.ndjson"), filepath.Join(t.TempDir(), "out.ndjson")
	dsn := fmt.Sprintf("clickhouse://corral@localhost:%d/default?ca=%s", ch.TLSPort, cert)
	p := startEnv(t, []string{"NATS_PASSWORD=s3cret-of-nats", "CLICKHOUSE_PASSWORD=s3cret-of-clickhouse", "CORRAL_LISTEN_TOKEN=s3cret-of-health"},
		"run", "--rules", rules, "--nats", srv.URL(), "--no-context", "--user", "w", "--tlsca", certs.CA, "--tlscert", certs.Cert, "--tlskey", certs.Key,
		"--stream", "LOGS", "--subject", "core.>", "--clickhouse", dsn, "--state", t.TempDir(), "--snapshot-every", "200ms", "--lateness", "1s",
		"--dead-letters", letters, "--dead-letter-subject", "dead.v1", "-o", "ndjson:"+out, "--spool", t.TempDir(), "--memory", "64MiB",
		"--listen", "127.0.0.1:0", "--listen-tlscert", certs.Cert, "--listen-tlskey", certs.Key)
	pem, err := os.ReadFile(certs.CA)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}}}
	base := "https://" + p.base(t)
	natstest.Eventually(t, "readiness", func() bool {
		code, _ := get(t, client, base+"/readyz", "s3cret-of-health")
		return code == 200
	})
	if code, _ := get(t, client, base+"/metrics", "wrong"); code != http.StatusUnauthorized {
		t.Errorf("/metrics with a wrong token: %d", code)
	}
	send := func(subject string, lines ...string) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute) // a busy machine
		defer cancel()
		for _, l := range lines {
			if _, err := js.Publish(ctx, subject, []byte(l)); err != nil {
				t.Fatal(err)
			}
		}
	}
	send("logs.a", bursts(0, 3)...)
	send("logs.a", `{"time":"`+time.Now().Add(-time.Hour).UTC().Format(time.RFC3339Nano)+`","level":"error","service":"late","msg":"x"}`, "\x00\x01\x02\xff\xfe\x80\x81\x82")
	want := map[string]float64{
		"corral_records_read_total": 14, "corral_events_total": 13, "corral_events_matched_total": 12, "corral_events_late_total": 1,
		"corral_records_unreadable_total": 1, `corral_dead_letters_total{reason="late"}`: 1, `corral_dead_letters_total{reason="undecodable"}`: 1,
		`corral_incidents_total{rule="burst",state="opened"}`: 3, `corral_incidents_total{rule="burst",state="resolved"}`: 3,
		`corral_incidents_open{rule="burst",severity="error"}`: 0, "corral_transitions_total": 6, "corral_detection_delay_seconds_count": 6,
		`corral_rule_matched_total{rule="burst"}`: 12, `corral_rule_fired_total{rule="burst"}`: 3, `corral_rule_errors_total{rule="burst"}`: 0,
		`corral_source_pending_messages{partition="stream:LOGS"}`: 0, `corral_source_lag_seconds{partition="stream:LOGS"}`: 0,
		`corral_source_messages_total{partition="stream:LOGS"}`: 14, `corral_source_dropped_total{partition="subject:core.>"}`: 0,
		`corral_sink_retries_total{sink="clickhouse"}`: 0, "corral_spool_bytes": 0, "corral_nats_connected": 1, "corral_nats_reconnects_total": 0,
		"corral_rules_generation": 1, "corral_rules_stale_files": 0, "corral_state_limit_bytes": 64 << 20, `corral_clickhouse_rows_total{table="incident_transitions"}`: 6,
	}
	text := ""
	differing := func() (diffs []string) {
		_, text = get(t, client, base+"/metrics", "s3cret-of-health")
		got := metrics(text)
		for name, v := range want {
			if g, ok := got[name]; !ok || g != v {
				diffs = append(diffs, fmt.Sprintf("%s is %v (there: %v), want %v", name, g, ok, v))
			}
		}
		slices.Sort(diffs)
		return diffs
	}
	var diffs []string
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(strings.Join(diffs, "\n"))
		}
	})
	natstest.Eventually(t, "true metrics", func() bool { diffs = differing(); return len(diffs) == 0 })
	got := metrics(text)
	for _, name := range []string{`corral_snapshots_total{outcome="stored"}`, "corral_snapshot_bytes", "corral_detection_delay_seconds_sum", "corral_event_time_seconds"} {
		if got[name] <= 0 {
			t.Errorf("%s is %v", name, got[name])
		}
	}
	documented(t, text)
	said, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	dead, err := os.ReadFile(letters)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.end(t, syscall.SIGTERM); err != nil {
		t.Errorf("after SIGTERM: %v", err)
	}
	for what, text := range map[string]string{"/metrics": text, "log": p.log.String(), "incidents": string(said), "dead letters": string(dead)} {
		if strings.Contains(text, "s3cret-of-") {
			t.Errorf("a secret is in %s", what)
		}
	}
	if n := inStream(t, js, "DEAD_LETTERS"); n != 2 {
		t.Errorf("%d dead letters on NATS, want 2", n)
	}
}

// inStream is how many messages a stream has.
func inStream(t *testing.T, js jetstream.JetStream, stream string) uint64 {
	t.Helper()
	s, err := js.Stream(t.Context(), stream)
	if err != nil {
		t.Fatal(err)
	}
	return s.CachedInfo().State.Msgs
}

// documented fails where the table of metrics and a scrape differ.
func documented(t *testing.T, scrape string) {
	t.Helper()
	doc, err := os.ReadFile("docs/guarantees.md")
	if err != nil {
		t.Fatal(err)
	}
	told := map[string]bool{}
	for _, m := range regexp.MustCompile("(?m)^\\| `(corral_[a-z_]+)").FindAllStringSubmatch(string(doc), -1) {
		told[m[1]] = true
	}
	there := map[string]bool{}
	for _, m := range regexp.MustCompile("(?m)^# TYPE (corral_[a-z_]+)").FindAllStringSubmatch(scrape, -1) {
		there[m[1]] = true
		if !told[m[1]] {
			t.Errorf("docs/guarantees.md does not name %s", m[1])
		}
	}
	for name := range told {
		if !there[name] && name != "corral_rules_stale" {
			t.Errorf("docs/guarantees.md names %s, which a worker does not have", name)
		}
	}
}

// TestSecondSignalEndsAtOnce: a drain that hangs, because NATS is gone and takes no
// alert, is not waited for by whoever sends another signal; and one that is not
// disturbed ends after --shutdown-timeout with an error. Nothing is lost by either.
func TestSecondSignalEndsAtOnce(t *testing.T) {
	srv := natstest.Start(t, natstest.JetStream())
	srv.Stream("LOGS", "logs.>")
	rules, state, out := write(t, "rules.yaml", burstRules), t.TempDir(), filepath.Join(t.TempDir(), "out.ndjson")
	args := func(timeout string) []string {
		return []string{
			"run", "--rules", rules, "--nats", srv.URL(), "--no-context", "--stream", "LOGS", "--state", "kv:STATE", "--snapshot-every", "1h",
			"--lateness", "1s", "--listen", "", "--shutdown-timeout", timeout, "-o", "ndjson:" + out, "--dead-letters", filepath.Join(state, "dead.ndjson"),
		}
	}
	var all []string
	hang := func(timeout string) *process {
		t.Helper()
		p := start(t, args(timeout)...)
		natstest.Eventually(t, "the worker", func() bool { return strings.Contains(p.log.String(), "msg=running") })
		before := len(seen(t, out))
		lines := bursts(len(all)/4, 3)
		all = append(all, lines...)
		publishLines(t, srv, lines)
		natstest.Eventually(t, "incidents", func() bool { return len(seen(t, out)) > before })
		srv.Stop() // the snapshot has nowhere to go
		return p
	}
	p := hang("1h")
	var exit *exec.ExitError
	err := p.end(t, syscall.SIGTERM, "stopping: what was read")
	if !errors.As(err, &exit) || !exit.Sys().(syscall.WaitStatus).Signaled() {
		t.Errorf("after two signals: %v, want an end by a signal", err)
	}
	srv.Restart()
	p = hang("500ms")
	err = p.end(t, syscall.SIGTERM)
	if !errors.As(err, &exit) || exit.ExitCode() != exitInfra {
		t.Errorf("after --shutdown-timeout: %v, want exit %d", err, exitInfra)
	}
	srv.Restart()
	p = start(t, args("20s")...)
	want := wanted(t, rules, all)
	natstest.Eventually(t, "every incident", func() bool { return len(seen(t, out)) == len(want) })
	if err := p.end(t, syscall.SIGTERM); err != nil {
		t.Errorf("after SIGTERM: %v", err)
	}
}

// TestStaleRulesAreAnIncident: a rule file with a mistake opens an incident that
// says where, on NATS as in the output, over a restart too; it ends when the file is
// good again.
func TestStaleRulesAreAnIncident(t *testing.T) {
	srv := natstest.Start(t, natstest.JetStream())
	srv.Stream("LOGS", "logs.>")
	rules, state, out := write(t, "rules.yaml", burstRules), t.TempDir(), filepath.Join(t.TempDir(), "out.ndjson")
	args := []string{
		"run", "--rules", rules, "--nats", srv.URL(), "--no-context", "--stream", "LOGS", "--state", state, "--lateness", "1s", "--listen", "",
		"--reload-every", "50ms", "-o", "ndjson:" + out,
	}
	p := start(t, args...)
	natstest.Eventually(t, "the worker", func() bool { return strings.Contains(p.log.String(), "msg=running") })
	rewrite := func(text string) {
		t.Helper()
		if err := os.WriteFile(rules, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	rewrite(burstRules + "    nonsense: 1\n")
	natstest.Eventually(t, "the incident", func() bool { return len(seen(t, out)) == 1 })
	if err := p.end(t, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	p = start(t, args...) // with the broken file still there
	natstest.Eventually(t, "the worker", func() bool { return strings.Contains(p.log.String(), "msg=running") })
	rewrite(burstRules)
	natstest.Eventually(t, "the end of the incident", func() bool { return len(seen(t, out)) == 2 })
	f, err := os.Open(out)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	ts, err := sinks.ReadNDJSON(f)
	if err != nil {
		t.Fatal(err)
	}
	if len(ts) != 2 || ts[0].RuleID != "corral-rules-stale" || ts[0].State != "open" || !ts[0].Notified || ts[1].State != "resolved" || !ts[1].Notified ||
		ts[0].IncidentID != ts[1].IncidentID || !strings.Contains(ts[0].Summary, "rules.yaml:8:5") || !strings.Contains(ts[0].Summary, "nonsense") {
		t.Errorf("transitions: %+v", ts)
	}
	if n := inStream(t, srv.JetStream(), "ALERTS"); n != 2 {
		t.Errorf("%d alerts on NATS, want 2", n)
	}
	if err := p.end(t, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
}

// TestDeadLettersAreReadBack: what was late in live, and bytes that are not UTF-8,
// come back as they were, from the file and from the stream, and the events in them
// count.
func TestDeadLettersAreReadBack(t *testing.T) {
	srv := natstest.Start(t, natstest.JetStream())
	srv.Stream("LOGS", "logs.>")
	rules, file := write(t, "rules.yaml", burstRules), filepath.Join(t.TempDir(), "dead.ndjson")
	p := start(t, "run", "--rules", rules, "--nats", srv.URL(), "--no-context", "--stream", "LOGS", "--lateness", "1s", "--listen", "",
		"--dead-letters", file, "--dead-letter-subject", "dead.v1")
	publishLines(t, srv, bursts(0, 1))
	var late []string
	for i := range 3 {
		late = append(late, fmt.Sprintf(`{"time":"2026-03-01T12:00:00.%dZ","level":"error","service":"late","msg":"caf\u00e9 %d"}`, i+1, i))
	}
	late = append(late, "2026-03-01T12:00:01Z ERROR service=late msg=\"\xe9\xff broken\"")
	publishLines(t, srv, late)
	natstest.Eventually(t, "the letters", func() bool {
		data, err := os.ReadFile(file)
		return err == nil && strings.Count(string(data), "\n") == len(late)
	})
	if err := p.end(t, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	for _, from := range [][]string{{file}, {"--stream", "DEAD_LETTERS", "--nats", srv.URL(), "--no-context"}} {
		var said strings.Builder
		code := run(t.Context(), append([]string{"batch", "--rules", rules, "-o", "ndjson", "--to", "2100-01-01T00:00:00Z", "--lateness", "24h"}, from...), nil, &said, io.Discard)
		ts, err := sinks.ReadNDJSON(strings.NewReader(said.String()))
		if code != 0 || err != nil || len(ts) == 0 || ts[0].Key["service"] != "late" || ts[0].State != "open" {
			t.Errorf("%v: exit %d, %v: %s", from, code, err, said.String())
			continue
		}
		if last := ts[len(ts)-1]; last.State != "resolved" || last.EventCount != 3 {
			t.Errorf("%v: %+v", from, last)
		}
	}
}

// TestSeenWhileTheSinkIsDown: ClickHouse is not there, and rules are reloaded: the
// worker waits, and says so. When ClickHouse comes everything is there, and the
// rules that were asked for meanwhile are in force, though who asked has gone.
func TestSeenWhileTheSinkIsDown(t *testing.T) {
	ch := chtest.Start(t, chserver.Options{Dir: t.TempDir()})
	dsn := chtest.DSN(ch, "corral")
	srv := natstest.Start(t, natstest.JetStream())
	srv.Stream("LOGS", "logs.>")
	rules := write(t, "rules.yaml", burstRules)
	p := start(t, "run", "--rules", rules, "--nats", srv.URL(), "--no-context", "--stream", "LOGS", "--clickhouse", dsn,
		"--state", t.TempDir(), "--lateness", "1s", "--listen", "127.0.0.1:0", "--reload-every", "0")
	base, client := "http://"+p.base(t), &http.Client{Timeout: time.Minute}
	natstest.Eventually(t, "readiness", func() bool { code, _ := get(t, client, base+"/readyz", ""); return code == 200 })
	ch.Kill()
	lines := bursts(0, 3)
	publishLines(t, srv, lines)
	natstest.Eventually(t, "failing inserts", func() bool {
		_, text := get(t, client, base+"/metrics", "")
		return metrics(text)[`corral_sink_retries_total{sink="clickhouse"}`] > 0
	})
	if err := os.WriteFile(rules, []byte(strings.Replace(burstRules, "severity: error", "severity: critical", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 20 { // a storm of them
		if err := p.cmd.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
	}
	hasty, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	req, err := http.NewRequestWithContext(hasty, "POST", base+"/-/reload", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	if resp, err := http.DefaultClient.Do(req); err == nil {
		_ = resp.Body.Close()
		t.Errorf("a reload that has to wait for ClickHouse was answered: %s", resp.Status)
	}
	for path, want := range map[string]int{"/healthz": 200, "/readyz": 503, "/metrics": 200} {
		if code, text := get(t, client, base+path, ""); code != want {
			t.Errorf("%s: %d %s", path, code, text)
		}
	}
	if _, err := ch.Again(t.Context()); err != nil {
		t.Fatal(err)
	}
	natstest.Eventually(t, "every incident", func() bool { return len(stored(t, dsn)) == len(wanted(t, rules, lines)) })
	natstest.Eventually(t, "the new rules", func() bool {
		_, text := get(t, client, base+"/metrics", "")
		return metrics(text)["corral_rules_generation"] == 2
	})
	if err := p.end(t, syscall.SIGTERM); err != nil {
		t.Errorf("after SIGTERM: %v", err)
	}
}
