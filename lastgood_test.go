package main

import (
	"os"
	"strings"
	"syscall"
	"testing"

	"corral/internal/natstest"
)

// TestLastGoodOverRestart: a worker that starts with a broken file runs what ran
// before, wherever its state is; without such a memory it does not start.
func TestLastGoodOverRestart(t *testing.T) {
	for _, where := range []string{"kv:STATE", "directory"} {
		t.Run(where, func(t *testing.T) {
			srv := natstest.Start(t, natstest.JetStream())
			srv.Stream("LOGS", "logs.>")
			if where == "directory" {
				where = t.TempDir()
			}
			rules := write(t, "rules.yaml", burstRules)
			args := []string{
				"run", "--rules", rules, "--nats", srv.URL(), "--no-context", "--stream", "LOGS", "--state", where, "--listen", "", "--reload-every", "0",
			}
			p := start(t, args...)
			natstest.Eventually(t, "the worker", func() bool { return strings.Contains(p.log.String(), "msg=running") })
			if err := p.end(t, syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(rules, []byte(burstRules+"    nonsense: 1\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			p = start(t, args...)
			natstest.Eventually(t, "the worker, again", func() bool { return strings.Contains(p.log.String(), "msg=running") })
			if !strings.Contains(p.log.String(), "its last good content runs") || !strings.Contains(p.log.String(), "rules.yaml:8:5") {
				t.Errorf("it does not say what is wrong: %s", p.log.String())
			}
			if err := p.end(t, syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
		})
	}
}
