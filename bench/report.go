package main

import (
	"bytes"
	"fmt"
	"os"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// result is what a section found.
type result struct {
	Verdicts []verdict
	Tables   []table
	Wrong    []string           // answers that differ: the report fails
	Values   map[string]float64 // for the sections after it
}

// verdict is a row of the table of targets.
type verdict struct {
	What, Target, Measured string
	Met                    bool
	Open                   bool // could not be measured
}

type table struct {
	Title string
	Head  []string
	Rows  [][]string
	Notes []string
}

func (r *result) verdict(what, target, measured string, met bool) {
	r.Verdicts = append(r.Verdicts, verdict{What: what, Target: target, Measured: measured, Met: met})
}

// unmeasured says why a target was not looked at.
func (r *result) unmeasured(what, target, why string) {
	r.Verdicts = append(r.Verdicts, verdict{What: what, Target: target, Measured: why, Open: true})
}

func (r *result) wrong(format string, args ...any) {
	r.Wrong = append(r.Wrong, fmt.Sprintf(format, args...))
}

func (r *result) value(name string, v float64) {
	if r.Values == nil {
		r.Values = map[string]float64{}
	}
	r.Values[name] = v
}

func (t *table) add(cells ...string) { t.Rows = append(t.Rows, cells) }

func (t *table) note(format string, args ...any) {
	t.Notes = append(t.Notes, fmt.Sprintf(format, args...))
}

// machine describes what was measured on, without names.
func machine() string {
	model := "unknown processor"
	if data, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(data)) {
			if name, v, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
				model = strings.TrimSpace(v)
				break
			}
		}
	}
	kernel := runtime.GOOS
	var u syscall.Utsname
	if syscall.Uname(&u) == nil {
		kernel += " " + text(u.Release[:])
	}
	return fmt.Sprintf("%s, %d cores, %s, %s/%s, %s", model, runtime.NumCPU(), runtime.Version(), runtime.GOOS, runtime.GOARCH, kernel)
}

func text(cs []int8) string {
	var b []byte
	for _, c := range cs {
		if c == 0 {
			break
		}
		b = append(b, byte(c))
	}
	return string(b)
}

// load is how busy the machine was before anything was measured.
func load() string {
	data, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	return strings.Join(strings.Fields(string(data))[:3], " ")
}

const preamble = `# Results

Written by ` + "`make bench`" + `; do not edit. What is measured, and against what, is in [README.md](README.md).

Times per event are processor time on one core unless they say otherwise, medians with (least–most) of several rounds
in which everything compared ran in turns. Rates of whole processes are by the clock.

`

// markdown writes the report.
func markdown(sections []result, before string, took time.Duration) []byte {
	var b bytes.Buffer
	b.WriteString(preamble)
	fmt.Fprintf(&b, "Machine: %s. Load average before: %s. The whole took %s, %s.\n\n", machine(), before, took.Round(time.Second), time.Now().UTC().Format(time.DateOnly))
	b.WriteString("| what | target | measured | met |\n|---|---|---|---|\n")
	for _, s := range sections {
		for _, v := range s.Verdicts {
			met := "**no**"
			switch {
			case v.Open:
				met = "–"
			case v.Met:
				met = "yes"
			}
			fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", v.What, v.Target, v.Measured, met)
		}
	}
	for _, s := range sections {
		for _, t := range s.Tables {
			t.write(&b)
		}
	}
	for _, s := range sections {
		for _, w := range s.Wrong {
			fmt.Fprintf(&b, "\n**Wrong answer:** %s\n", w)
		}
	}
	return b.Bytes()
}

func (t *table) write(b *bytes.Buffer) {
	fmt.Fprintf(b, "\n## %s\n\n| %s |\n|%s\n", t.Title, strings.Join(t.Head, " | "), strings.Repeat("---|", len(t.Head)))
	for _, r := range t.Rows {
		fmt.Fprintf(b, "| %s |\n", strings.Join(r, " | "))
	}
	if len(t.Notes) > 0 {
		fmt.Fprintf(b, "\n%s\n", strings.Join(t.Notes, "\n"))
	}
}
