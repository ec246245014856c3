package ruletest

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"corral/correlate"
	"corral/internal/phrase"
	"corral/rules"
)

// Options of a run of tests.
type Options struct {
	Filter   *regexp.Regexp // names to run; nil: all
	Verbose  bool           // timelines of every test
	Update   bool           // rewrite `expect:` from what happened
	Coverage bool
	JUnit    io.Writer // nil: none
}

// Report of a run.
type Report struct {
	Ran, Failed int
	Updated     []string // files rewritten
	cases       []junitCase
	coverage    *coverage
}

// Run finds the tests in paths (test files, rule files with inline tests,
// directories of both), runs them and writes what failed, and why, to w.
func Run(paths []string, opt Options, w io.Writer) (*Report, error) {
	s := &suite{opt: opt, w: w, sets: map[string]*rules.Set{}, report: &Report{}}
	files, err := s.find(paths)
	if err := s.rest(files, err); err != nil {
		return nil, err
	}
	if opt.Coverage {
		s.report.coverage = newCoverage()
	}
	began := time.Now()
	for _, f := range files {
		if err := s.file(f); err != nil {
			return nil, err
		}
	}
	return s.report, s.end(time.Since(began))
}

type suite struct {
	opt    Options
	w      io.Writer
	sets   map[string]*rules.Set
	report *Report

	skipped int // tests that Filter left out
}

// load compiles rule files once per list of paths; rules that do not load are an
// error of type Mistakes.
func (s *suite) load(paths []string) (*rules.Set, error) {
	key := strings.Join(paths, "\x00")
	if set := s.sets[key]; set != nil {
		return set, nil
	}
	set, diags, err := rules.Load(paths)
	if err != nil {
		return nil, err
	}
	if set == nil {
		return nil, Mistakes(slices.DeleteFunc(diags, func(d rules.Diagnostic) bool { return !d.IsError() }))
	}
	s.sets[key] = set
	return set, nil
}

func (s *suite) find(paths []string) ([]*File, error) {
	var files []*File
	var errs []error
	var diags Mistakes
	for _, path := range paths {
		names := []string{path}
		if info, err := os.Stat(path); err != nil {
			return nil, err
		} else if info.IsDir() {
			if names, err = yamlFiles(path); err != nil {
				return nil, err
			}
		}
		for _, name := range names {
			fs, err := s.of(name)
			if m, ok := errors.AsType[Mistakes](err); ok {
				diags, err = append(diags, m...), nil
			}
			errs = append(errs, err)
			files = append(files, fs...)
		}
	}
	if len(diags) > 0 {
		return files, diags
	}
	return files, errors.Join(errs...)
}

// rest adds to the mistakes found so far those that only the rules can tell.
func (s *suite) rest(files []*File, err error) error {
	diags, ok := errors.AsType[Mistakes](err)
	if err != nil && !ok {
		return err
	}
	for _, f := range files {
		if f == nil {
			continue
		}
		set, err := s.load(f.Rules)
		if err == nil {
			err = s.checkRules(f, set)
		}
		if m, ok := errors.AsType[Mistakes](err); ok {
			diags = append(diags, m...)
		}
	}
	return Mistakes(rules.Sorted(diags)).err()
}

// of returns the tests of one file.
func (s *suite) of(name string) ([]*File, error) {
	if rules.IsTestFile(name) {
		f, err := Load(name)
		return []*File{f}, err
	}
	paths := []string{name}
	if !loads(paths) {
		paths = []string{filepath.Dir(name)} // its rules may name those of other files
	}
	set, err := s.load(paths)
	if err != nil {
		return nil, err
	}
	all, err := Inline(set)
	var files []*File
	for _, f := range all {
		if filepath.Clean(f.Path) == filepath.Clean(name) {
			f.Rules = paths
			files = append(files, f)
		}
	}
	return files, err
}

func loads(paths []string) bool {
	set, _, err := rules.Load(paths)
	return err == nil && set != nil
}

func yamlFiles(dir string) ([]string, error) {
	var names []string
	err := filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if ext := filepath.Ext(path); !e.IsDir() && (ext == ".yaml" || ext == ".yml") {
			names = append(names, path)
		}
		return nil
	})
	slices.Sort(names)
	return names, err
}

func (s *suite) file(f *File) error {
	set, err := s.load(f.Rules)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s is for rules that are not there: %w; `rules: PATH` in the file says which it is for", f.Path, err)
	}
	if err != nil {
		return err
	}
	if err := s.checkRules(f, set); err != nil {
		return err
	}
	changed := false
	for _, t := range f.Tests {
		if s.opt.Filter != nil && !s.opt.Filter.MatchString(t.Name) {
			s.skipped++
			continue
		}
		got, err := s.one(f, t, set)
		if err != nil {
			return fmt.Errorf("%s:%d: %s: %w", f.Path, t.Line, t.Name, err)
		}
		changed = changed || got
	}
	if changed && s.opt.Update {
		s.report.Updated = append(s.report.Updated, f.Path)
		fmt.Fprintf(s.w, "rewrote the expectations of %s: look at what changed before you commit it\n", f.Path)
		return update(f)
	}
	return nil
}

// one runs a test in every variant and stops at the first that differs: as
// written from what is expected, in every other way from what it was as written.
func (s *suite) one(f *File, t *Test, set *rules.Set) (differs bool, err error) {
	began := time.Now()
	s.report.Ran++
	r := &runner{test: t, file: f.Path, set: set, load: s.load}
	r.trace = r.record
	if s.report.coverage != nil {
		s.report.coverage.rules(set)
	}
	for i, v := range variants {
		if v.applies != nil && !v.applies(t) {
			continue
		}
		got, err := v.run(r)
		if err != nil {
			return false, fmt.Errorf("%s: %w", v.name, err)
		}
		if i > 0 {
			if diffs := unlike(t.Start, t.got, got); len(diffs) > 0 {
				s.fail(f, t, v, i, diffs, r, time.Since(began))
				return false, nil // nothing --update could mend
			}
			continue
		}
		t.got = got
		s.written(f, t, r)
		if diffs := compare(t.Start, t.Expect, got); len(diffs) > 0 {
			differs = true
			if !s.opt.Update {
				s.fail(f, t, v, i, diffs, r, time.Since(began))
				return true, nil
			}
			if err := r.restate(); err != nil {
				return false, err
			}
		}
	}
	s.report.cases = append(s.report.cases, junitCase{Name: t.Name, Class: f.Path, Time: time.Since(began).Seconds()})
	return differs, nil
}

// written takes what the run as written has shown.
func (s *suite) written(f *File, t *Test, r *runner) {
	if s.report.coverage != nil {
		s.report.coverage.add(r, t.got)
	}
	if s.opt.Verbose {
		s.timeline(f, t, t.got)
	}
	r.trace = nil
}

func (s *suite) timeline(f *File, t *Test, got []*correlate.Transition) {
	fmt.Fprintf(s.w, "=== %s:%d %s\n", f.Path, t.Line, t.Name)
	for _, tr := range got {
		fmt.Fprintf(s.w, "    %s\n", line(t.Start, tr))
	}
}

func (s *suite) fail(f *File, t *Test, v variant, i int, diffs []difference, r *runner, took time.Duration) {
	s.report.Failed++
	var b strings.Builder
	fmt.Fprintf(&b, "--- FAIL: %s:%d %s\n", f.Path, t.Line, t.Name)
	if i > 0 {
		fmt.Fprintf(&b, "    passes as written; fails when run %s\n", v.name)
	}
	shown := diffs[:1]
	if s.opt.Verbose {
		shown = diffs
	}
	for _, d := range shown {
		d.write(&b, t)
		if why := r.why(d); why != "" {
			fmt.Fprintf(&b, "    why: %s\n", strings.ReplaceAll(why, "\n", "\n         "))
		}
	}
	if len(diffs) > len(shown) {
		fmt.Fprintf(&b, "    first difference of %d; -v for all and the timeline\n", len(diffs))
	}
	fmt.Fprint(s.w, b.String())
	s.report.cases = append(s.report.cases, junitCase{Name: t.Name, Class: f.Path, Time: took.Seconds(), Failure: &junitFailure{Message: "timeline differs", Text: b.String()}})
}

func (d difference) write(w io.Writer, t *Test) {
	at := "at " + offset(d.at)
	switch {
	case d.want == nil:
		fmt.Fprintf(w, "    %-9s want  nothing\n    %-9s got   %s %s%s (%s, %s)\n", at, "", kindOf(d.got), d.got.RuleID, phrase.Key(d.got.Key), d.got.Cause, phrase.Count(d.got.EventCount, "event"))
	case d.got == nil:
		fmt.Fprintf(w, "    %-9s want  %s %s%s   (line %d)\n    %-9s got   nothing\n", at, d.want.Kind, d.want.Rule, phrase.Key(d.want.Key), d.want.Line, "")
	default:
		fmt.Fprintf(w, "    %-9s %s %s%s   (line %d)\n", at, d.want.Kind, d.want.Rule, phrase.Key(d.want.Key), d.want.Line)
		for _, x := range d.fields {
			fmt.Fprintf(w, "              %s\n", x)
		}
	}
}

func (s *suite) end(took time.Duration) error {
	rep := s.report
	verdict := "ok  "
	n := rep.Ran
	switch {
	case rep.Ran == 0:
		return s.nothing()
	case rep.Failed > 0:
		verdict = fmt.Sprintf("FAIL %d of", rep.Failed)
	}
	fmt.Fprintf(s.w, "%s %s in %s   (each also run %d ways: shuffled, duplicated, restarted, 2 and 4 shards, batch)\n",
		verdict, phrase.Count(n, "test"), took.Round(time.Millisecond), len(variants)-1)
	if rep.coverage != nil {
		rep.coverage.write(s.w)
	}
	if s.opt.JUnit != nil {
		return writeJUnit(s.opt.JUnit, rep, took)
	}
	return nil
}

// nothing: no test ran.
func (s *suite) nothing() error {
	if s.opt.Filter != nil && s.skipped > 0 {
		return fmt.Errorf("no test's name matches --run %s; there are %s", s.opt.Filter, phrase.Count(s.skipped, "test"))
	}
	return errors.New("no tests found: `tests:` in a rule, or a file whose name ends in _test.yaml: name that, or its directory")
}

// JUnit's XML as CI systems read it.
type junitSuite struct {
	XMLName  xml.Name    `xml:"testsuite"`
	Name     string      `xml:"name,attr"`
	Tests    int         `xml:"tests,attr"`
	Failures int         `xml:"failures,attr"`
	Time     float64     `xml:"time,attr"`
	Cases    []junitCase `xml:"testcase"`
}

type junitCase struct {
	Name    string        `xml:"name,attr"`
	Class   string        `xml:"classname,attr"`
	Time    float64       `xml:"time,attr"`
	Failure *junitFailure `xml:"failure,omitempty"`
}

type junitFailure struct {
	Message string `xml:"message,attr"`
	Text    string `xml:",chardata"`
}

func writeJUnit(w io.Writer, rep *Report, took time.Duration) error {
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	enc := xml.NewEncoder(w)
	enc.Indent("", "  ")
	if err := enc.Encode(junitSuite{Name: "corral", Tests: rep.Ran, Failures: rep.Failed, Time: took.Seconds(), Cases: rep.cases}); err != nil {
		return err
	}
	_, err := io.WriteString(w, "\n")
	return err
}
