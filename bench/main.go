// Command bench measures corral, what this machine can do at all, and others that
// do the same work, and writes the report RESULTS.md. See README.md.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// lab is what every section is given.
type lab struct {
	Dir    string             // for its files; goes away at the end
	Corral string             // the program that is measured
	Values map[string]float64 // what sections before found
}

// section is a part of the report. Each runs in a process of its own, so that none
// measures what another left behind.
type section struct {
	name  string
	cores int // 0: all
	run   func(context.Context, *lab) (*result, error)
}

var sections = []section{
	{"batch", 0, batchSection},
	{"sec", 0, secSection},
	{"engine", 1, engineSection},
	{"distinct", 1, distinctSection},
	{"window", 1, windowSection},
	{"keys", 1, keysSection},
	{"memory", 1, memorySection},
	{"jetstream", 0, jetstreamSection},
	{"latency", 0, latencySection},
	{"start", 0, startSection},
	{"curve", 1, curveSection},
	{"decode", 1, decodeSection},
	{"adversarial", 1, adversarialSection},
	{"state", 1, stateSection},
}

func main() {
	if name := os.Getenv(helperEnv); name != "" {
		os.Exit(helper(name))
	}
	out := flag.String("o", "RESULTS.md", "file for the report; - for standard output")
	only := flag.String("only", "", "regular expression: measure only these sections and print what they say")
	corral := flag.String("corral", "", "the program to measure (default: built from this tree)")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *out, *only, *corral); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out, only, corral string) error {
	pattern, err := regexp.Compile(only)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "corral-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	l := &lab{Dir: dir, Corral: corral, Values: map[string]float64{}}
	if l.Corral == "" {
		if l.Corral, err = build(ctx, dir); err != nil {
			return err
		}
	}
	begin, before := time.Now(), load()
	var results []result
	var wrong []string
	for _, s := range sections {
		if !pattern.MatchString(s.name) {
			continue
		}
		r, err := s.measure(ctx, l)
		if err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		for k, v := range r.Values {
			l.Values[k] = v
		}
		wrong = append(wrong, r.Wrong...)
		results = append(results, *r)
		progress(s.name, r)
	}
	text := markdown(results, before, time.Since(begin))
	if out == "-" || only != "" {
		_, err = os.Stdout.Write(text)
	} else {
		err = os.WriteFile(out, text, 0o644)
	}
	if err == nil && len(wrong) > 0 {
		err = fmt.Errorf("wrong answers:\n%s", strings.Join(wrong, "\n"))
	}
	return err
}

func progress(name string, r *result) {
	fmt.Fprintf(os.Stderr, "%s\n", name)
	for _, v := range r.Verdicts {
		mark := "MISSED"
		if v.Met {
			mark = "ok"
		} else if v.Open {
			mark = "open"
		}
		fmt.Fprintf(os.Stderr, "  %-6s %s: %s (target %s)\n", mark, v.What, v.Measured, v.Target)
	}
}

// build builds the program the way `make build` does.
func build(ctx context.Context, dir string) (string, error) {
	root, err := filepath.Abs("..")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "corral")
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", path, ".")
	cmd.Dir, cmd.Env = root, append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build corral: %w\n%s", err, out)
	}
	return path, nil
}

// measure runs the section in a process of its own.
func (s section) measure(ctx context.Context, l *lab) (*result, error) {
	in, err := json.Marshal(l)
	if err != nil {
		return nil, err
	}
	cmd, err := helperCommand(ctx, "section:"+s.name)
	if err != nil {
		return nil, err
	}
	if s.cores > 0 {
		cmd.Env = append(cmd.Env, fmt.Sprintf("GOMAXPROCS=%d", s.cores))
	}
	cmd.Stdin, cmd.Stderr = strings.NewReader(string(in)), os.Stderr
	data, err := cmd.Output()
	if err != nil {
		return nil, err
	}
	var r result
	return &r, json.Unmarshal(data, &r)
}
