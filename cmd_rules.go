package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/term"

	"corral/ingest"
	"corral/ingest/decode"
	"corral/internal/phrase"
	"corral/rules"
	"corral/rules/pack"
	"corral/ruletest"
)

// loadRules compiles what --rules and --pack name; mistakes are printed where
// they are and end the command.
func loadRules(paths, packs []string, e env) (*rules.Set, error) {
	set, diags, err := compile(paths, packs)
	if err != nil {
		return nil, err
	}
	if set != nil {
		return set, nil
	}
	errs := slices.DeleteFunc(diags, func(d rules.Diagnostic) bool { return !d.IsError() })
	if err := rules.FormatText(e.err, errs, styleOf(e.err)); err != nil {
		return nil, infra(err)
	}
	return nil, exit{exitRules, fmt.Errorf("the rules have mistakes: %s", phrase.Count(len(errs), "error"))}
}

func compile(paths, packs []string) (*rules.Set, []rules.Diagnostic, error) {
	if len(paths)+len(packs) == 0 {
		return nil, nil, usageError("no rules: say --rules PATH or --pack NAME")
	}
	files, err := ruleFiles(paths, packs)
	if err != nil {
		return nil, nil, exit{exitRules, err}
	}
	set, diags := rules.Parse(files)
	return set, diags, nil
}

// ruleFiles reads everything named; no files at all is an error.
func ruleFiles(paths, packs []string) ([]rules.File, error) {
	embedded, err := packFiles(packs)
	if err != nil {
		return nil, err
	}
	if len(paths) == 0 {
		return embedded, nil
	}
	files, err := rules.ReadFiles(paths)
	if err != nil {
		return nil, err
	}
	return append(pack.Override(embedded, files), files...), nil
}

func styleOf(w io.Writer) rules.TextStyle {
	f, ok := fileOf(w)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return rules.TextStyle{}
	}
	width, _, err := term.GetSize(int(f.Fd()))
	if err != nil {
		width = 0
	}
	return rules.TextStyle{Width: width, Color: os.Getenv("NO_COLOR") == ""}
}

func cmdCheck(ctx context.Context, args []string, e env) error {
	fs := newFlags("check", "[PATH…]", `Parses, type-checks and lints rules and their tests: every mistake of every file in one run.
Paths are files and directories (*.yaml, *.yml); without one it is the working directory.

  corral check rules/                    what people read
  corral check --format github rules/    annotations in a pull request
  corral check --strict rules/           warnings fail it, too
  corral check --data 'logs/*.gz' rules/ rules and fields that history has nothing of
  corral explain E103                    what a code means, with an example

Exit codes: 0 no errors, 1 warnings with --strict, 2 errors.`)
	paths := fs.StringArrayP("rules", "r", nil, "rule file or directory, as an argument is")
	packs := fs.StringArray("pack", nil, "built-in rules: nats; repeatable")
	format := fs.String("format", "text", "text, unix, json, github")
	data := fs.StringArray("data", nil, "files of events, as corral batch reads them: warn of fields none of them has, and of rules none of them meets; repeatable")
	strict := fs.Bool("strict", false, "warnings fail the check too")
	if done, err := parse(fs, args, e); done {
		return err
	}
	all := append(fs.Args(), *paths...)
	if len(all)+len(*packs) == 0 {
		all = []string{"."}
	}
	c, err := check(all, *packs)
	if err != nil {
		return exit{exitRules, err}
	}
	if len(*data) > 0 && c.set != nil {
		if err := c.sight(ctx, *data, e); err != nil {
			return err
		}
	}
	if err := writeDiagnostics(e.out, *format, c.diags); err != nil {
		return err
	}
	if *format == "text" {
		if len(c.diags) > 0 {
			fmt.Fprintln(e.out)
		}
		fmt.Fprintln(e.out, rules.Summary(c.files, c.rules, c.diags))
	}
	for _, note := range c.notes {
		fmt.Fprintln(e.err, "corral check: "+note)
	}
	if rules.HasErrors(c.diags) {
		return exit{exitRules, nil}
	}
	if *strict && len(c.diags) > 0 {
		return exit{exitFindings, nil}
	}
	return nil
}

// checked is what a check has found.
type checked struct {
	files, rules int
	diags        []rules.Diagnostic
	notes        []string
	set          *rules.Set // of the files without mistakes; nil: of none
}

// sight holds the rules against events of files.
func (c *checked) sight(ctx context.Context, files []string, e env) error {
	src, err := ingest.NewFiles(files, ingest.FileOptions{Cut: decode.SafeCut, Header: decode.HeaderLine, Stdin: e.in})
	if err != nil {
		return infra(fmt.Errorf("--data: %w", err))
	}
	defer src.Close()
	dec := decode.New(decode.Options{AttrPaths: c.set.AttrPaths, Today: time.Now()})
	seen := c.set.Sight()
	err = src.Run(ctx, func(b ingest.Batch) error {
		for _, rec := range b.Records {
			dec.Decode(rec, seen.Look, func(decode.DeadRecord) {})
		}
		return nil
	})
	if err = errors.Join(append(src.Problems(), err)...); err != nil {
		return infra(fmt.Errorf("--data: %w", err))
	}
	if seen.Events() == 0 {
		return infra(fmt.Errorf("--data: no event in %s", strings.Join(files, ", ")))
	}
	c.diags = rules.Sorted(append(c.diags, seen.Lint()...))
	return nil
}

func check(paths, packs []string) (*checked, error) {
	own := slices.DeleteFunc(slices.Clone(paths), rules.IsTestFile)
	var files []rules.File
	if len(own)+len(packs) > 0 {
		var err error
		if files, err = ruleFiles(own, packs); err != nil {
			return nil, err
		}
	}
	c := &checked{files: len(files), rules: rules.CountRules(files)}
	set, diags := rules.Parse(files)
	c.diags = diags
	if set == nil {
		set, c.diags = sound(files, diags)
	}
	n, mistakes, tested, err := ruletest.Check(paths, set)
	if err != nil {
		return nil, err
	}
	c.files += n
	if c.set = set; set != nil {
		c.diags = append(c.diags, set.Lint(func(file string) bool { return embedded(file) || tested(file) })...)
	}
	c.diags = rules.Sorted(append(c.diags, mistakes...))
	for _, dir := range own {
		if below := filesBelow(dir); len(below) > 0 {
			c.notes = append(c.notes, fmt.Sprintf("not read, because directories are not searched: %s; name the directories", strings.Join(below, ", ")))
		}
	}
	return c, nil
}

// sound compiles the files that have no mistakes, and adds what else there is to
// say of them: that need not wait until the others are mended. The set is nil if
// nothing is left.
func sound(files []rules.File, diags []rules.Diagnostic) (*rules.Set, []rules.Diagnostic) {
	all := slices.Clone(diags)
	for len(files) > 0 {
		rest := slices.DeleteFunc(slices.Clone(files), func(f rules.File) bool {
			return slices.ContainsFunc(diags, func(d rules.Diagnostic) bool { return d.IsError() && d.File == f.Name })
		})
		if len(rest) == len(files) {
			break
		}
		var set *rules.Set
		if set, diags = rules.Parse(rest); set != nil {
			for _, d := range diags {
				if !slices.ContainsFunc(all, func(x rules.Diagnostic) bool { return x.String() == d.String() }) {
					all = append(all, d)
				}
			}
			return set, all
		}
		files = rest
	}
	return nil, all
}

// embedded says that a file is one of a pack, whose tests are not at hand.
func embedded(file string) bool { return strings.HasPrefix(file, "pack:") }

// filesBelow are rule files in directories below a directory: somebody may think
// that they are read.
func filesBelow(dir string) []string {
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		return nil
	}
	var names []string
	_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil || d.IsDir() && path != dir && strings.HasPrefix(d.Name(), "."):
			return fs.SkipDir
		case d.IsDir() || filepath.Dir(path) == filepath.Clean(dir) || rules.IsTestFile(path):
			return nil
		}
		if ext := filepath.Ext(path); ext != ".yaml" && ext != ".yml" || !holdsRules(path) {
			return nil
		}
		if len(names) == 3 {
			names = append(names, "…")
			return fs.SkipAll
		}
		names = append(names, path)
		return nil
	})
	return names
}

// holdsRules says whether a YAML file has rules in it, and not something else.
func holdsRules(path string) bool {
	data, err := os.ReadFile(path)
	return err == nil && rules.CountRules([]rules.File{{Name: path, Data: data}}) > 0
}

func writeDiagnostics(w io.Writer, format string, diags []rules.Diagnostic) error {
	switch format {
	case "text":
		return rules.FormatText(w, diags, styleOf(w))
	case "unix":
		return rules.FormatUnix(w, diags)
	case "json":
		return rules.FormatJSON(w, diags)
	case "github":
		return rules.FormatGitHub(w, diags)
	}
	return usageError("--format %q: want text, unix, json or github", format)
}

func cmdSchema(_ context.Context, args []string, e env) error {
	fs := newFlags("schema", "[--tests]", `Prints the JSON Schema of rule files, or of test files, for editors: completion, and mistakes while you type.

  corral schema > corral.schema.json
  corral schema --tests > corral-tests.schema.json

and in the first line of a rule file

  # yaml-language-server: $schema=./corral.schema.json`)
	tests := fs.Bool("tests", false, "of *_test.yaml files")
	if done, err := parse(fs, args, e); done {
		return err
	}
	if err := noArgs(fs); err != nil {
		return err
	}
	schema := rules.Schema()
	if *tests {
		schema = rules.TestSchema()
	}
	if _, err := e.out.Write(schema); err != nil {
		return infra(err)
	}
	return nil
}
