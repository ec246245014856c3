package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strings"
)

// helperEnv says what a process started by this program is for.
const helperEnv = "CORRAL_BENCH_HELPER"

// helperCommand is this program once more, as a helper.
func helperCommand(ctx context.Context, name string) (*exec.Cmd, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, self)
	cmd.Env = append(os.Environ(), helperEnv+"="+name)
	return cmd, nil
}

// helper is main of a helper.
func helper(name string) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	var err error
	switch kind, arg, _ := strings.Cut(name, ":"); kind {
	case "section":
		err = sectionHelper(ctx, arg)
	case "server":
		err = serverHelper(ctx, arg)
	case "raw":
		err = rawHelper(ctx)
	default:
		err = fmt.Errorf("unknown helper %q", name)
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "bench: %s: %v\n", name, err)
		return 1
	}
	return 0
}

func sectionHelper(ctx context.Context, name string) error {
	var l lab
	if err := json.NewDecoder(os.Stdin).Decode(&l); err != nil {
		return err
	}
	for _, s := range sections {
		if s.name != name {
			continue
		}
		r, err := s.run(ctx, &l)
		if err != nil {
			return err
		}
		return json.NewEncoder(os.Stdout).Encode(r)
	}
	return fmt.Errorf("no section %q", name)
}
