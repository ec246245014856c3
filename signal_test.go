package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"corral/internal/natstest"
)

// TestInterrupted: every command that is interrupted says so and ends with 130.
func TestInterrupted(t *testing.T) {
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	rules := write(t, "rules.yaml", "version: 1\nrules:\n  - id: one\n    match: level == \"error\"\n    event: {}\n")
	for _, args := range [][]string{
		{"parse", "-"},
		{"batch", "--rules", rules, "-o", "text", "-"},
		{"explain", "--rules", rules, "--rule", "one", "--event", "-"},
	} {
		t.Run(args[0], func(t *testing.T) { interrupt(t, exec.CommandContext(t.Context(), path, args...)) })
	}
}

// interrupt starts a command that reads standard input, and interrupts it when it
// has taken something of that.
func interrupt(t *testing.T, c *exec.Cmd) {
	var talk bytes.Buffer
	in, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	c.Stderr = &talk
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	day := strings.Repeat(`{"time":"2026-01-01T00:00:00Z","level":"error","msg":"x"}`+"\n", 2000)
	fed := make(chan struct{})
	go func() { // until nobody reads any more; standard input stays open
		defer close(fed)
		for n := 1; ; n++ {
			if _, err := io.WriteString(in, strings.ReplaceAll(day, "01-01T", fmt.Sprintf("01-%02dT", n%28+1))); err != nil {
				return
			}
		}
	}()
	r := bufio.NewReader(out)
	if _, err := r.ReadString('\n'); err != nil {
		t.Fatalf("nothing was written: %v\n%s", err, talk.String())
	}
	if err := c.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, r); err != nil {
		t.Fatal(err)
	}
	in.Close()
	<-fed
	status, ok := errors.AsType[*exec.ExitError](c.Wait())
	if !ok || status.ExitCode() != exitSignal {
		t.Errorf("ended with %v, want exit code %d", status, exitSignal)
	}
	if !strings.Contains(talk.String(), "interrupted") {
		t.Errorf("it does not say so: %s", talk.String())
	}
}

// TestInterruptedAtStart: a worker that waits for NATS has nothing to deliver.
func TestInterruptedAtStart(t *testing.T) {
	rules := write(t, "rules.yaml", burstRules)
	p := start(t, "run", "--rules", rules, "--nats", "nats://127.0.0.1:1", "--no-context", "--stream", "LOGS", "--listen", "")
	natstest.Eventually(t, "an attempt", func() bool { return strings.Contains(p.log.String(), "connection refused") })
	status, ok := errors.AsType[*exec.ExitError](p.end(t, syscall.SIGTERM))
	if !ok || status.ExitCode() != exitSignal || !strings.Contains(p.log.String(), "corral run: interrupted") {
		t.Errorf("ended with %v, want exit code %d: %s", status, exitSignal, p.log.String())
	}
}
