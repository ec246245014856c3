package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"corral/correlate"
	"corral/history"
	"corral/internal/phrase"
	"corral/pipeline"
	"corral/rules"
	"corral/rules/pack"
	"corral/sinks"
)

// diffFlags are what `corral diff` can be told.
type diffFlags struct {
	batchFlags
	inputFlags
	base     string
	format   string
	failOn   string
	office   string
	known    string
	all      bool
	cases    int
	progress string
}

func cmdDiff(ctx context.Context, args []string, e env) error {
	d := &diffFlags{inputFlags: newInputs(e)}
	d.reports = true
	fs := newFlags("diff", "--base PATH|REVISION --rules PATH… [FILE…|-]",
		`Runs two rule sets over the same history, read once: which incidents are gone, new, longer, shorter, louder, and why.

  corral diff --base origin/main --rules rules/ --from -14d --fail-on 'added>20%,lost>0' 'logs/*.gz'

Exit codes: 0 within the limits, 1 beyond one of --fail-on, 2 rules invalid.`)
	d.add(fs)
	if done, err := parse(fs, args, e); done {
		return err
	}
	return d.main(ctx, e, fs.Args())
}

func (d *diffFlags) add(fs *pflag.FlagSet) {
	fs.StringVar(&d.base, "base", "", "rules to compare with: a file or directory, or a git revision (origin/main, git:HEAD~1, git:v1.2:old/rules) of what --rules names")
	d.batchFlags.add(fs)
	fs.Lookup("rules").Usage = "the changed rules: file or directory (*.yaml, *.yml); repeatable"
	fs.StringArrayVar(&d.rules, "head", nil, "the same as --rules")
	d.inputFlags.add(fs)
	fs.StringVar(&d.clickhouse.dsn, "clickhouse", "", "DSN of ClickHouse, for --clickhouse-table (env CORRAL_CLICKHOUSE)")
	fs.StringVar(&d.format, "format", "text", "text, md (a review comment) or json")
	fs.StringVar(&d.failOn, "fail-on", "", "exit 1 beyond limits: added>20%,lost>0; also longer, shorter, louder, quieter, moved, pages, off-hours, known-lost, known-later")
	fs.StringVar(&d.office, "office-hours", "Mon-Fri 09:00-18:00", "in --tz; pages outside are counted as off-hours")
	fs.StringVar(&d.known, "known", "", "YAML file of known incidents: which each side catches, and how much later")
	fs.BoolVar(&d.all, "all", false, "show rules that are the same too")
	fs.IntVar(&d.cases, "cases", 10, "incidents of each kind shown for a rule; 0: all")
	progressVar(fs, &d.progress)
}

func (d *diffFlags) main(ctx context.Context, e env, files []string) error {
	if d.base == "" {
		return usageError("--base is needed: rules or a git revision to compare with")
	}
	if !slices.Contains([]string{"text", "md", "json"}, d.format) {
		return usageError("--format %q: want text, md or json", d.format)
	}
	budgets, err := history.ParseBudgets(d.failOn)
	if err != nil {
		return usageError("--fail-on: %w", err)
	}
	known, err := d.readKnown()
	if err != nil {
		return err
	}
	head, err := loadRules(d.rules, d.packs, e)
	if err != nil {
		return err
	}
	base, err := d.loadBase(ctx, e)
	if err != nil {
		return err
	}
	defer d.close("diff", e)
	rep, layout, err := d.compare(ctx, e, base, head, known, files)
	if err != nil {
		return err
	}
	if err := d.write(e, rep, layout); err != nil {
		return infra(err)
	}
	if over := rep.Over(budgets); len(over) > 0 {
		return exit{exitFindings, errors.New("over the limit: " + strings.Join(over, "; "))}
	}
	return nil
}

func (d *diffFlags) write(e env, rep *history.Report, l history.Layout) error {
	switch d.format {
	case "md":
		return rep.WriteMarkdown(e.out, l)
	case "json":
		return rep.WriteJSON(e.out)
	}
	return rep.WriteText(e.out, l)
}

func (d *diffFlags) readKnown() ([]history.Known, error) {
	if d.known == "" {
		return nil, nil
	}
	data, err := os.ReadFile(d.known)
	if err != nil {
		return nil, usageError("--known: %w", err)
	}
	known, err := history.ReadKnown(data)
	if err != nil {
		return nil, usageError("--known %s: %w", d.known, err)
	}
	return known, nil
}

// compare runs both sets over the history.
func (d *diffFlags) compare(ctx context.Context, e env, base, head *rules.Set, known []history.Known, files []string) (*history.Report, history.Layout, error) {
	fail := func(err error) (*history.Report, history.Layout, error) { return nil, history.Layout{}, err }
	rng, loc, err := d.span(time.Now())
	if err != nil {
		return fail(err)
	}
	office, err := rules.ParseSchedule(d.office, loc)
	if err != nil {
		return fail(usageError("--office-hours: %w", err))
	}
	dopt, err := d.decode.options(loc)
	if err != nil {
		return fail(err)
	}
	begin := rng
	if rng.From != 0 {
		begin.From -= int64(max(pipeline.Warmup(base), pipeline.Warmup(head)))
	}
	src, err := d.open(ctx, files, begin, nil)
	if err != nil {
		return fail(err)
	}
	diff := history.NewDiff(base, head)
	var lanes []*pipeline.Lane
	for side, set := range []*rules.Set{base, head} {
		within := inRange(rng)
		lanes = append(lanes, &pipeline.Lane{
			Rules: set, Sink: sinks.Fanout(), Trace: diff.Trace(side),
			Keep: func(t *correlate.Transition) bool {
				if within == nil || within(t) {
					diff.Add(side, t)
				}
				return false
			},
		})
	}
	p := newMeter(d.progress, e, src, lanes[history.Head])
	p.plan(planned{set: head, rng: rng, begin: begin, loc: loc, flags: &d.batchFlags})
	b := pipeline.Batch{
		Lanes: lanes, Source: src, Dead: func(sinks.DeadLetter) {}, Decode: dopt, Range: begin, Stop: stop(rng),
		Lateness: d.lateness, Workers: d.workers, Shards: d.shards, Now: time.Now,
		Progress: func() { diff.Settle(); p.step() },
	}
	err = b.Run(ctx)
	p.end()
	if err == nil {
		err = errors.Join(src.problems()...)
	}
	if err != nil {
		return fail(infra(err))
	}
	rep := diff.Report(history.Options{All: d.all, Office: office, Known: known})
	return rep, history.Layout{Heading: heading(lanes[history.Head], loc), Cases: d.cases, Location: loc}, nil
}

// heading says what history was read.
func heading(l *pipeline.Lane, loc *time.Location) string {
	c := &l.Counters
	if c.Events.Load() == 0 {
		return "no events in the history"
	}
	at := func(ns int64) string { return time.Unix(0, ns).In(loc).Format("2006-01-02 15:04:05") }
	text := fmt.Sprintf("history %s → %s %s, %d events", at(c.MinEventTime.Load()), at(c.MaxEventTime.Load()), loc, c.Events.Load())
	if n := c.Late.Load(); n > 0 {
		text += fmt.Sprintf(", %d late", n)
	}
	return text
}

// loadBase compiles the rules to compare with.
func (d *diffFlags) loadBase(ctx context.Context, e env) (*rules.Set, error) {
	files, err := d.baseFiles(ctx)
	if err != nil {
		return nil, err
	}
	embedded, err := packFiles(d.packs)
	if err != nil {
		return nil, exit{exitRules, err}
	}
	set, diags := rules.Parse(append(pack.Override(embedded, files), files...))
	if set != nil {
		return set, nil
	}
	errs := slices.DeleteFunc(diags, func(x rules.Diagnostic) bool { return !x.IsError() })
	if err := rules.FormatText(e.err, errs, styleOf(e.err)); err != nil {
		return nil, infra(err)
	}
	return nil, exit{exitRules, fmt.Errorf("the rules of the base have mistakes: %s", phrase.Count(len(errs), "error"))}
}

// baseFiles reads --base: a path if there is one of that name, else a revision.
func (d *diffFlags) baseFiles(ctx context.Context) ([]rules.File, error) {
	rev, named := strings.CutPrefix(d.base, "git:")
	if !named {
		if _, err := os.Stat(d.base); err == nil {
			files, err := rules.ReadFiles([]string{d.base})
			if err != nil {
				return nil, exit{exitRules, err}
			}
			return files, nil
		}
	}
	rev, inside, _ := strings.Cut(rev, ":")
	if rev == "" || strings.HasPrefix(rev, "-") {
		return nil, usageError("--base %q: want a path, a git revision, git:REVISION or git:REVISION:PATH", d.base)
	}
	paths := d.rules
	if len(paths) == 0 {
		return nil, usageError("--base %s is a git revision of what --rules names: say --rules PATH", d.base)
	}
	var files []rules.File
	for _, p := range paths {
		found, err := revision{rev, inside}.read(ctx, p)
		if err != nil {
			return nil, exit{exitRules, fmt.Errorf("--base %s: %w", d.base, err)}
		}
		files = append(files, found...)
		if inside != "" {
			break // it stands for all of them
		}
	}
	return files, nil
}

// revision reads rule files as they were, with the git binary.
type revision struct {
	rev  string
	path string // in the repository; "": where the path on disk is
}

// read returns the rule files of a file or directory at the revision. A directory
// is not searched below its own level, as on disk.
func (r revision) read(ctx context.Context, onDisk string) ([]rules.File, error) {
	dir := onDisk
	if info, err := os.Stat(onDisk); err == nil && !info.IsDir() {
		dir = filepath.Dir(onDisk)
	}
	if _, err := git(ctx, dir, "rev-parse", "--verify", "--quiet", r.rev+"^{commit}"); err != nil {
		if _, inside := git(ctx, dir, "rev-parse", "--git-dir"); inside != nil {
			return nil, fmt.Errorf("there is no such path, and no git repository at %s: %w", dir, inside)
		}
		return nil, fmt.Errorf("there is no such path, and no such revision in the repository of %s", dir)
	}
	name := r.path
	if name == "" {
		prefix, err := git(ctx, dir, "rev-parse", "--show-prefix")
		if err != nil {
			return nil, err
		}
		name = path.Clean(strings.TrimSpace(prefix))
		if dir != onDisk {
			name = path.Join(name, filepath.Base(onDisk))
		}
	}
	names, err := r.list(ctx, dir, path.Clean(name))
	if err != nil {
		return nil, err
	}
	var files []rules.File
	for _, n := range names {
		data, err := git(ctx, dir, "cat-file", "blob", r.rev+":"+n)
		if err != nil {
			return nil, err
		}
		files = append(files, rules.File{Name: r.rev + ":" + n, Data: []byte(data)})
	}
	return files, nil
}

// list names the rule files of a path at the revision.
func (r revision) list(ctx context.Context, dir, name string) ([]string, error) {
	object := r.rev + ":" + name
	if name == "." {
		object = r.rev + ":"
	}
	kind, err := git(ctx, dir, "cat-file", "-t", object)
	if err != nil {
		return nil, fmt.Errorf("%s is not there: %w", object, err)
	}
	if strings.TrimSpace(kind) == "blob" {
		return []string{name}, nil
	}
	out, err := git(ctx, dir, "ls-tree", "-z", "--name-only", "--full-tree", object)
	if err != nil {
		return nil, err
	}
	var names []string
	for n := range strings.SplitSeq(out, "\x00") {
		if ext := path.Ext(n); (ext == ".yaml" || ext == ".yml") && !strings.HasPrefix(n, ".") && !rules.IsTestFile(n) {
			names = append(names, path.Join(name, n))
		}
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("no rule files (*.yaml, *.yml) in %s", object)
	}
	return names, nil
}

// git runs the git binary in a directory.
func git(ctx context.Context, dir string, args ...string) (string, error) {
	bin, err := exec.LookPath("git")
	if err != nil {
		return "", errors.New("git is not installed, which reads revisions")
	}
	var out, talk strings.Builder
	c := exec.CommandContext(ctx, bin, append([]string{"-C", dir}, args...)...)
	c.Stdout, c.Stderr = &out, &talk
	if err := c.Run(); err != nil {
		return "", fmt.Errorf("git %s: %s", args[0], cmp.Or(strings.TrimSpace(talk.String()), err.Error()))
	}
	return out.String(), nil
}
