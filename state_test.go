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

// TestStateIsTakenOver: a bucket goes to the worker that comes last; the one before
// ends as soon as it wants to store something, and what they found together is what
// one would have found.
func TestStateIsTakenOver(t *testing.T) {
	srv := natstest.Start(t, natstest.JetStream())
	srv.Stream("LOGS", "logs.>")
	rules := write(t, "rules.yaml", burstRules)
	up := func() *process {
		t.Helper()
		p := start(t, "run", "--rules", rules, "--nats", srv.URL(), "--no-context", "--stream", "LOGS", "--listen", "", "--state", "kv:STATE",
			"--snapshot-every", "200ms", "--lateness", "1s")
		natstest.Eventually(t, "the worker", func() bool { return strings.Contains(p.log.String(), "msg=running") })
		return p
	}
	js := srv.JetStream()
	told := func() int { return int(inStream(t, js, "INCIDENTS")) }
	first := up()
	all := bursts(0, 3)
	publishLines(t, srv, all)
	natstest.Eventually(t, "incidents of the first", func() bool { return told() >= 3 })
	second := up()
	all = append(all, bursts(3, 3)...)
	publishLines(t, srv, all[12:])
	var exit *exec.ExitError
	if err := <-first.done; !errors.As(err, &exit) || exit.ExitCode() != exitInfra || !strings.Contains(first.log.String(), "another worker has taken the state over: process") {
		t.Errorf("the first one: %v: %s", err, first.log.String())
	}
	natstest.Eventually(t, "every incident", func() bool { return told() == len(wanted(t, rules, all)) })
	if err := second.end(t, syscall.SIGTERM); err != nil {
		t.Errorf("after SIGTERM: %v", err)
	}
}
