package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// batchLines is the size of the file that whole processes read.
const batchLines = 1_000_000

// process is a run of a program to its end.
type process struct {
	out    []byte
	wall   time.Duration
	cpu    time.Duration
	memory int64 // bytes resident at most
}

func runProcess(ctx context.Context, name string, args ...string) (*process, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	begin := time.Now()
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("%s: %w\n%s", filepath.Base(name), err, errs.Bytes())
	}
	return &process{out: out.Bytes(), wall: time.Since(begin), cpu: cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime(), memory: peak(cmd.ProcessState)}, nil
}

func (l *lab) batch(ctx context.Context, rules, file string, more ...string) (*process, error) {
	return runProcess(ctx, l.Corral, append([]string{"batch", "-r", rules, "-o", "ndjson", "--progress", "off", file}, more...)...)
}

// file writes a file of the lab once.
func (l *lab) file(name string, data func() []byte) (string, error) {
	path := filepath.Join(l.Dir, name)
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	return path, os.WriteFile(path, data(), 0o600)
}

func (l *lab) rules(name string, rs []rule, count int) (string, error) {
	return l.file(fmt.Sprintf("%s-%d.yaml", name, count), func() []byte { return ruleFile(rs, count) })
}

// batchSection is the whole program over a file.
func batchSection(ctx context.Context, l *lab) (*result, error) {
	events := filepath.Join(l.Dir, "events.ndjson")
	if err := writeLines(events, 1, batchLines); err != nil {
		return nil, err
	}
	jobs := []struct {
		name, file string
		rules      []rule
		args       []string
	}{
		{"10 uniform rules", "uniform10", uniform(10), nil},
		{"1,000 uniform rules", "uniform1000", uniform(1000), nil},
		{"10 mixed rules", "mixed10", mixed(10), nil},
		{"1,000 mixed rules", "mixed1000", mixed(1000), nil},
		{"1,000 mixed rules, --workers 1", "mixed1000", mixed(1000), []string{"--workers", "1"}},
	}
	const again = 7
	wall, used := make([][]float64, len(jobs)), make([][]float64, len(jobs))
	outs, memory := make([][]byte, len(jobs)), make([]int64, len(jobs))
	for range again {
		for i, j := range jobs {
			path, err := l.rules(j.file, j.rules, 12)
			if err != nil {
				return nil, err
			}
			p, err := l.batch(ctx, path, events, j.args...)
			if err != nil {
				return nil, err
			}
			wall[i] = append(wall[i], batchLines/p.wall.Seconds())
			used[i] = append(used[i], float64(p.cpu)/batchLines)
			outs[i], memory[i] = p.out, max(memory[i], p.memory)
		}
	}
	r := &result{}
	t := table{Title: "`corral batch`, whole process, 1 M lines", Head: []string{"rules", "events/s", "processor time per event", "resident", "revisions"}}
	for i, j := range jobs {
		t.add(j.name, rates(figureOf(wall[i])), nanos(figureOf(used[i])), fmt.Sprintf("%d MB", memory[i]>>20), fmt.Sprint(bytes.Count(outs[i], []byte{'\n'})))
	}
	r.Tables = append(r.Tables, t)
	ten, thousand := figureOf(wall[0]), figureOf(wall[1])
	r.verdict("`corral batch`, NDJSON file, whole process, 10 rules", "≥ 1.2 M events/s", rates(ten), ten.Median >= 1.2e6)
	r.verdict("the same, 1,000 rules", "≥ 0.6 M events/s", rates(thousand), thousand.Median >= 0.6e6)
	ratio := ratioOf(ten, thousand)
	r.verdict("time of 1,000 rules : 10 rules", "≤ 2 ×", fmt.Sprintf("%s by the clock, %s of the processor", times(ratio), times(ratioOf(figureOf(used[1]), figureOf(used[0])))), ratio <= 2)
	r.value("batch10", ten.Median)
	r.value("batch1000", thousand.Median)
	if a, b := stable(outs[3]), stable(outs[4]); a != b {
		r.wrong("corral batch gives other incidents with --workers 1")
	}
	return r, nil
}

// stable is the output without what says when and by which run it was made.
func stable(out []byte) string {
	var b strings.Builder
	for line := range bytes.Lines(out) {
		var o map[string]any
		if err := json.Unmarshal(line, &o); err != nil {
			return string(out)
		}
		delete(o, "detected_at")
		delete(o, "detect_lag_ms")
		delete(o, "run_id")
		text, _ := json.Marshal(o) // cannot fail: it was JSON
		b.Write(append(text, '\n'))
	}
	return b.String()
}

// secSection runs SEC over the same lines with the same rules, translated. Its
// clock is the wall's, so the window is longer than the whole run and the lines.
func secSection(ctx context.Context, l *lab) (*result, error) {
	r := &result{}
	sec, err := exec.LookPath("sec")
	for _, c := range []struct {
		rules, lines int
		target       float64
		key          string
	}{{10, 200_000, 12, "batch10"}, {1000, 15_000, 700, "batch1000"}} {
		what := fmt.Sprintf("beside SEC, same lines, same rules, %d rules", c.rules)
		target := fmt.Sprintf("≥ %.0f ×", c.target)
		if err != nil {
			r.unmeasured(what, target, "`sec` is not installed")
			continue
		}
		if err := l.beside(ctx, r, sec, what, target, c.rules, c.lines, c.target, l.Values[c.key]); err != nil {
			return nil, err
		}
	}
	return r, nil
}

func (l *lab) beside(ctx context.Context, r *result, sec, what, target string, n, count int, want, ours float64) error {
	file, err := l.file(fmt.Sprintf("sec-%d.ndjson", count), func() []byte { return lines(1, count) })
	if err != nil {
		return err
	}
	const firings = 2
	rs := uniform(n)
	conf, err := l.file(fmt.Sprintf("sec-%d.conf", n), func() []byte { return secFile(rs, firings) })
	if err != nil {
		return err
	}
	theirs, err := runProcess(ctx, sec, "--conf="+conf, "--input="+file, "--notail", "--nointevents", "--debug=3", "--nojointbuf")
	if err != nil {
		return err
	}
	path, err := l.rules(fmt.Sprintf("sec-%d", n), rs, firings)
	if err != nil {
		return err
	}
	own, err := l.batch(ctx, path, file)
	if err != nil {
		return err
	}
	a, err := opened(own.out)
	if err != nil {
		return err
	}
	b := fired(theirs.out)
	if !slices.Equal(a, b) || len(a) == 0 {
		r.wrong("%s: corral opened %d incidents, SEC fired %d", what, len(a), len(b))
	}
	rateOf := float64(count) / theirs.wall.Seconds()
	r.verdict(what, target, fmt.Sprintf("%s: %s to SEC's %s on %d k lines; the same %d firings", times(ours/rateOf), rate(ours), rate(rateOf), count/1000, len(a)), ours/rateOf >= want)
	return nil
}

// opened lists rule and key of the incidents in an output.
func opened(out []byte) ([]string, error) {
	var all []string
	for line := range bytes.Lines(out) {
		var t struct {
			Rule  string            `json:"rule_id"`
			State string            `json:"state"`
			Rev   int               `json:"rev"`
			Key   map[string]string `json:"key"`
		}
		if err := json.Unmarshal(line, &t); err != nil {
			return nil, fmt.Errorf("output of corral: %w", err)
		}
		if t.Rev == 1 {
			all = append(all, t.Rule+" "+t.Key["http.method"])
		}
	}
	slices.Sort(all)
	return all, nil
}

// fired lists the same of SEC's output.
func fired(out []byte) []string {
	var all []string
	for line := range strings.Lines(string(out)) {
		if rest, ok := strings.CutPrefix(strings.TrimSpace(line), "fired "); ok {
			all = append(all, rest)
		}
	}
	slices.Sort(all)
	return all
}

// start measures the whole program with a thousand rules and nothing to read.
func start(ctx context.Context, l *lab, r *result) error {
	empty, err := l.file("empty.ndjson", func() []byte { return nil })
	if err != nil {
		return err
	}
	rules, err := l.rules("start", mixed(1000), 12)
	if err != nil {
		return err
	}
	var took []float64
	for range 7 {
		p, err := l.batch(ctx, rules, empty)
		if err != nil {
			return err
		}
		took = append(took, float64(p.wall.Milliseconds()))
	}
	f := figureOf(took)
	r.verdict("start with 1,000 rules", "≤ 1 s", spread(f, " ms", 0), f.Median <= 1000)
	return nil
}

var errEarly = errors.New("ended early")

// peak is the most memory a process that ended had, in bytes.
func peak(s *os.ProcessState) int64 {
	u, ok := s.SysUsage().(*syscall.Rusage)
	if !ok {
		return 0
	}
	return u.Maxrss << 10
}
