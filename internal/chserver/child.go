package chserver

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"testing"
)

// childEnv tells a program that it is to be a server. Its value is a child as
// JSON, which names the parent: a stale variable makes no one a server.
const childEnv = "CORRAL_CLICKHOUSE_CHILD"

type child struct {
	Parent  int // process id
	Lib     string
	Args    []string
	Shields []shield
}

func init() {
	if testing.Testing() {
		Child()
	}
}

// Child makes this process the server that Start, in the parent process, asked
// for, and then never returns. In any other process it does nothing.
func Child() {
	v := os.Getenv(childEnv)
	if v == "" {
		return
	}
	_ = os.Unsetenv(childEnv) // not for what the server may start
	if err := beChild(v); err != nil {
		fmt.Fprintln(os.Stderr, "clickhouse child:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

func beChild(v string) error {
	var c child
	if err := json.Unmarshal([]byte(v), &c); err != nil {
		return fmt.Errorf("read %s: %w", childEnv, err)
	}
	if c.Parent != os.Getppid() {
		return fmt.Errorf("%s is set, but by process %d, which did not start this one", childEnv, c.Parent)
	}
	for _, s := range c.Shields {
		if err := s.serve(); err != nil {
			return err
		}
	}
	return c.run()
}

// hold returns a pipe whose reading end stays open, and empty, until standard
// input ends or a SIGTERM or SIGINT comes. The parent holds the other end of
// standard input, so the child ends with it, however it ends.
func hold() (*os.File, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	sig := make(chan os.Signal, 1)
	signal.Notify(sig, syscall.SIGTERM, syscall.SIGINT)
	eof := make(chan struct{})
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		close(eof)
	}()
	go func() {
		select {
		case <-sig:
		case <-eof:
		}
		_ = w.Close()
	}()
	return r, nil
}
