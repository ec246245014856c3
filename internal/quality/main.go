// Command quality says how well rules find faults whose times and services are
// known: found, missed, false; the rank of the faulty service among those an
// incident names; the delay from the fault to the incident.
//
//	go run ./internal/quality --rules examples/trainticket DIRECTORY
//
// The directory has a fault list YYYY-MM-DD.json in Nezha's format, and the logs
// as *.csv or in *YYYY-MM-DD*.tar.zst. It runs `corral batch` over all of them at
// once.
package main

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"

	"corral/correlate"
	"corral/rules"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	rulesPath := flag.String("rules", "examples/trainticket", "rule file or directory")
	corral := flag.String("corral", "./corral", "the corral to run")
	flag.Parse()
	if flag.NArg() != 1 {
		fmt.Fprintln(os.Stderr, "quality: name one directory with a fault list and logs")
		os.Exit(3)
	}
	if err := run(ctx, *corral, *rulesPath, flag.Arg(0), os.Stdout); err != nil {
		fmt.Fprintf(os.Stderr, "quality: %v\n", err)
		os.Exit(1)
	}
}

// run scores each day there is a fault list of.
func run(ctx context.Context, corral, rulesPath, dir string, out io.Writer) error {
	lists, err := findLists(dir)
	if err != nil {
		return err
	}
	if len(lists) == 0 {
		return fmt.Errorf("no fault list YYYY-MM-DD.json below %s", dir)
	}
	set, _, err := rules.Load([]string{rulesPath})
	if err != nil || set == nil {
		return cmp.Or(err, errors.New("the rules have mistakes: see corral check"))
	}
	for _, list := range lists {
		if err := day(ctx, corral, rulesPath, list, set, out); err != nil {
			return err
		}
	}
	return nil
}

// day scores one day.
func day(ctx context.Context, corral, rulesPath, list string, set *rules.Set, out io.Writer) error {
	faults, err := readFaults(list)
	if err != nil {
		return err
	}
	logs, cleanup, err := findLogs(list)
	if err != nil {
		return err
	}
	defer cleanup()
	all, err := batch(ctx, corral, rulesPath, logs)
	if err != nil {
		return err
	}
	signal := func(id string) bool { r := set.Rule(id); return r != nil && r.Signal }
	results, wrong := score(faults, incidents(all, signal))
	fmt.Fprintf(out, "%s: %d files, %d faults\n\n", filepath.Base(list), len(logs), len(faults))
	report(out, results, wrong)
	return nil
}

// batch runs corral over the logs and returns what it says.
func batch(ctx context.Context, corral, rulesPath string, logs []string) ([]correlate.Transition, error) {
	cmd := exec.CommandContext(ctx, corral, append([]string{"batch", "--rules", rulesPath, "-o", "ndjson"}, logs...)...)
	var talk strings.Builder
	cmd.Stderr = &talk
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	all, err := transitions(pipe)
	if wait := cmd.Wait(); wait != nil {
		return nil, fmt.Errorf("corral batch: %w\n%s", wait, talk.String())
	}
	return all, err
}

func transitions(r io.Reader) ([]correlate.Transition, error) {
	var all []correlate.Transition
	d := json.NewDecoder(bufio.NewReader(r))
	for {
		var t correlate.Transition
		switch err := d.Decode(&t); {
		case errors.Is(err, io.EOF):
			return all, nil
		case err != nil:
			return nil, fmt.Errorf("output of corral batch: %w", err)
		}
		all = append(all, t)
	}
}
