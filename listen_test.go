package main

import (
	"errors"
	"net"
	"os/exec"
	"strings"
	"testing"

	"corral/internal/natstest"
)

// TestListen: what was meant to be shut is not left open by mistake.
func TestListen(t *testing.T) {
	srv := natstest.Start(t, natstest.JetStream())
	srv.Stream("LOGS", "logs.>")
	listening := func(args ...string) *process {
		t.Helper()
		return start(t, append([]string{
			"run", "--rules", write(t, "rules.yaml", burstRules), "--nats", srv.URL(), "--no-context", "--stream", "LOGS",
		}, args...)...)
	}
	for what, args := range map[string][]string{
		"is empty":              {"--listen", "127.0.0.1:0", "--listen-token-file", write(t, "token", " \n")},
		"go together":           {"--listen", "127.0.0.1:0", "--listen-tlskey", write(t, "key.pem", "x")},
		"--alerts":              {"--listen", "", "--alerts", "alert.>"},
		"--dead-letter-subject": {"--listen", "", "--dead-letter-subject", "dead letters"},
	} {
		p := listening(args...)
		var exit *exec.ExitError
		if err := <-p.done; !errors.As(err, &exit) || exit.ExitCode() != exitUsage || !strings.Contains(p.log.String(), what) {
			t.Errorf("%v: %v: %s", args, err, p.log.String())
		}
	}
}

func TestReachable(t *testing.T) {
	for addr, want := range map[string]bool{"127.0.0.1:1": false, "[::1]:1": false, "127.9.9.9:1": false, "0.0.0.0:1": true, "[::]:1": true, "192.0.2.7:1": true} {
		a, err := net.ResolveTCPAddr("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		if reachable(a) != want {
			t.Errorf("%s: want %v", addr, want)
		}
	}
}
