package main

import (
	"errors"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"corral/internal/natstest"
)

// TestOneWorkerForOneState: a second worker with the same directory for its state
// does not start; after a kill of the first, it does.
func TestOneWorkerForOneState(t *testing.T) {
	srv := natstest.Start(t, natstest.JetStream())
	srv.Stream("LOGS", "logs.>")
	args := []string{
		"run", "--rules", write(t, "rules.yaml", burstRules), "--nats", srv.URL(), "--no-context", "--stream", "LOGS", "--listen", "", "--state", t.TempDir(),
	}
	up := func(p *process) {
		t.Helper()
		natstest.Eventually(t, "the worker", func() bool { return strings.Contains(p.log.String(), "msg=running") })
	}
	first := start(t, args...)
	up(first)
	second := start(t, args...)
	var exit *exec.ExitError
	if err := <-second.done; !errors.As(err, &exit) || exit.ExitCode() != exitInfra || !strings.Contains(second.log.String(), "in use by another process") {
		t.Errorf("the second one: %v: %s", err, second.log.String())
	}
	_ = first.end(t, syscall.SIGKILL) // signal: killed
	up(start(t, args...))
}
