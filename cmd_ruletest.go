package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"

	"corral/internal/phrase"
	"corral/rules"
	"corral/ruletest"
)

func cmdTest(_ context.Context, args []string, e env) error {
	fs := newFlags("test", "[PATH…]", `Runs the unit tests of rules, each also shuffled, duplicated, restarted, sharded and as a batch.
Paths are test files (*_test.yaml), files of rules with tests inside, and directories, searched to the bottom.

  corral test rules/                       all tests
  corral test --run 'three declines' -v    one, with its timeline
  corral test --update rules/pay_test.yaml fill in what happens, and read whether you meant that
  corral test --coverage rules/            operands that no test has seen true, or false

The smallest test:

  tests:                                   # in pay_test.yaml, beside pay.yaml
    - name: three declines open an incident
      events:
        - {at: 0s, event: {service: pay, msg: declined, merchant: m1}, repeat: 3, every: 10s}
      expect:
        - {at: 20s, rule: card-declines, open: {event_count: 3}}
        - {at: 10m, rule: card-declines, resolved: {}}

Exit codes: 0 passed, 1 failed, 2 the rules or the tests have mistakes.`)
	filter := fs.String("run", "", "only tests whose name matches the regular expression")
	verbose := fs.BoolP("verbose", "v", false, "the timeline of every test")
	update := fs.Bool("update", false, "rewrite expectations from what happened (refused when CI is set)")
	coverage := fs.Bool("coverage", false, "which rules, conditions and transitions the tests have seen")
	junit := fs.String("junit", "", "write the results as JUnit XML")
	if done, err := parse(fs, args, e); done {
		return err
	}
	opt := ruletest.Options{Verbose: *verbose, Update: *update, Coverage: *coverage}
	if *update && os.Getenv("CI") != "" {
		return usageError("--update rewrites expectations: not in CI")
	}
	if *filter != "" {
		re, err := regexp.Compile(*filter)
		if err != nil {
			return usageError("--run: %w", err)
		}
		opt.Filter = re
	}
	if *junit != "" {
		f, err := os.Create(*junit)
		if err != nil {
			return infra(err)
		}
		defer f.Close()
		opt.JUnit = f
	}
	paths := fs.Args()
	if len(paths) == 0 {
		paths = []string{"."}
	}
	rep, err := ruletest.Run(paths, opt, e.out)
	return testResult(rep, err, e)
}

func testResult(rep *ruletest.Report, err error, e env) error {
	if m, ok := errors.AsType[ruletest.Mistakes](err); ok {
		if err := rules.FormatText(e.err, m, styleOf(e.err)); err != nil {
			return infra(err)
		}
		return exit{exitRules, fmt.Errorf("nothing was run: %s", phrase.Count(len(m), "mistake"))}
	}
	switch {
	case err != nil:
		return exit{exitRules, err}
	case len(rep.Updated) > 0:
		return nil
	case rep.Failed > 0:
		return exit{exitFindings, fmt.Errorf("%s failed", phrase.Count(rep.Failed, "test"))}
	}
	return nil
}
