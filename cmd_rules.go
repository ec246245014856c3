package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"

	"golang.org/x/term"

	"corral/rules"
	"corral/rules/pack"
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
	return nil, exit{exitRules, fmt.Errorf("the rules have mistakes: %s", plural(len(errs), "error"))}
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
	f, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return rules.TextStyle{}
	}
	width, _, err := term.GetSize(int(f.Fd()))
	if err != nil {
		width = 0
	}
	return rules.TextStyle{Width: width, Color: os.Getenv("NO_COLOR") == ""}
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

func cmdCheck(_ context.Context, args []string, e env) error {
	fs := newFlags("check", "[PATH…]", "Parses, type-checks and lints rules: every mistake of every file in one run.")
	paths := fs.StringArrayP("rules", "r", nil, "rule file or directory, as an argument is")
	packs := fs.StringArray("pack", nil, "built-in rules: nats; repeatable")
	format := fs.String("format", "text", "text, unix, json, github")
	strict := fs.Bool("strict", false, "warnings fail the check too")
	if done, err := parse(fs, args, e); done {
		return err
	}
	all := append(fs.Args(), *paths...)
	if len(all)+len(*packs) == 0 {
		all = []string{"."}
	}
	files, err := ruleFiles(all, *packs)
	if err != nil {
		return exit{exitRules, err}
	}
	set, diags := rules.Parse(files)
	if err := writeDiagnostics(e.out, *format, diags); err != nil {
		return err
	}
	if *format == "text" {
		n := 0
		if set != nil {
			n = len(set.Rules)
		}
		if len(diags) > 0 {
			fmt.Fprintln(e.out)
		}
		fmt.Fprintln(e.out, rules.Summary(len(files), n, diags))
	}
	if set == nil || rules.HasErrors(diags) {
		return exit{exitRules, nil}
	}
	if *strict && len(diags) > 0 {
		return exit{exitFindings, nil}
	}
	return nil
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
	fs := newFlags("schema", "", "Prints the JSON Schema of rule files, for editors.")
	if done, err := parse(fs, args, e); done {
		return err
	}
	_, err := e.out.Write(rules.Schema())
	return err
}
