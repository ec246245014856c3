package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"corral/internal/chserver"
	"corral/internal/chserver/chtest"
	"corral/internal/fulldisk"
	"corral/internal/natstest"
	"corral/sinks"
)

// TestFullDisk: no file of a worker can grow, neither state nor spool nor dead
// letters nor output, while ClickHouse is away. The worker waits and says so; nothing
// is acknowledged. When there is room again everything is there, once, and a worker
// that is killed then goes on.
func TestFullDisk(t *testing.T) {
	ch := chtest.Start(t, chserver.Options{Dir: t.TempDir()})
	dsn := chtest.DSN(ch, "corral")
	srv := natstest.Start(t, natstest.JetStream())
	srv.Stream("LOGS", "logs.>")
	rules, dir := write(t, "rules.yaml", burstRules), t.TempDir()
	out, dead := filepath.Join(dir, "out.ndjson"), filepath.Join(dir, "dead.ndjson")
	args := []string{
		"run", "--rules", rules, "--nats", srv.URL(), "--no-context", "--stream", "LOGS", "--clickhouse", dsn, "--lateness", "1s", "--listen", "",
		"--state", filepath.Join(dir, "state"), "--snapshot-every", "200ms", "--spool", filepath.Join(dir, "spool"),
		"--dead-letters", dead, "-o", "ndjson:" + out,
	}
	p := start(t, args...)
	var all []string
	late := 0
	feed := func() {
		lines := bursts(len(all)/4, 3)
		all = append(all, lines...)
		publishLines(t, srv, lines)
		publishLines(t, srv, []string{fmt.Sprintf(`{"time":"2026-03-01T12:00:00Z","level":"error","service":"late","msg":"late %d"}`, late)})
		late++
	}
	settled := func(what string) {
		t.Helper()
		want := wanted(t, rules, all)
		natstest.Eventually(t, what, func() bool { return slices.Equal(want, stored(t, dsn)) && len(seen(t, out)) == len(want) })
	}
	feed()
	settled("before")
	ch.Kill()
	lift := fulldisk.Limit(t, p.cmd.Process.Pid, 300)
	feed()
	natstest.Eventually(t, "a word about the snapshot, or the letters", func() bool { return strings.Contains(p.log.String(), "file too large") })
	feed()
	lift()
	feed()
	if _, err := ch.Again(t.Context()); err != nil {
		t.Fatal(err)
	}
	settled("after")
	if err := p.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-p.done
	p = start(t, args...)
	feed()
	settled("in the next life")
	if err := p.end(t, syscall.SIGTERM); err != nil {
		t.Errorf("after SIGTERM: %v", err)
	}
	f, err := os.Open(dead)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	letters := map[string]int{}
	for d, err := range sinks.ReadDeadLetters(f) {
		if err == nil { // else: torn
			letters[d.Data]++
		}
	}
	if len(letters) != late {
		t.Errorf("%d different letters, want %d: %v", len(letters), late, letters)
	}
	if n := inStream(t, srv.JetStream(), "INCIDENTS"); int(n) != len(wanted(t, rules, all)) {
		t.Errorf("%d revisions on NATS, want %d", n, len(wanted(t, rules, all)))
	}
	c, err := srv.JetStream().Stream(t.Context(), "LOGS")
	if err != nil {
		t.Fatal(err)
	}
	for info := range c.ListConsumers(t.Context()).Info() {
		if info.AckFloor.Stream != c.CachedInfo().State.LastSeq {
			t.Errorf("acknowledged up to %d of %d", info.AckFloor.Stream, c.CachedInfo().State.LastSeq)
		}
	}
}
