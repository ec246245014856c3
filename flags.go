package main

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/pflag"
)

// newFlags is a flag set that talks like every other of ours.
func newFlags(name, args, help string) *pflag.FlagSet {
	fs := pflag.NewFlagSet(name, pflag.ContinueOnError)
	fs.SortFlags = false
	fs.SetInterspersed(true)
	fs.Usage = func() {}
	fs.Init("corral "+name+" "+args+"\n\n"+help, pflag.ContinueOnError)
	return fs
}

// parse reads the flags; done means --help was asked for and has been answered.
func parse(fs *pflag.FlagSet, args []string, e env) (done bool, err error) {
	fs.SetOutput(e.err)
	switch err := fs.Parse(args); {
	case errors.Is(err, pflag.ErrHelp):
		fmt.Fprintf(e.out, "Usage: %s\n\nFlags:\n%s", fs.Name(), fs.FlagUsages())
		return true, nil
	case err != nil:
		return true, exit{exitUsage, err}
	}
	return false, nil
}

// moment reads a time as the command line has it: RFC 3339, `now`, an offset
// such as -14d, or a local date with or without a time in loc.
func moment(s string, now time.Time, loc *time.Location) (time.Time, error) {
	switch {
	case s == "":
		return time.Time{}, nil
	case s == "now":
		return now, nil
	case s[0] == '-' || s[0] == '+':
		d, err := span(s[1:])
		if err != nil {
			return time.Time{}, fmt.Errorf("time %q: %w", s, err)
		}
		if s[0] == '-' {
			d = -d
		}
		return now.Add(d), nil
	}
	if t, err := time.Parse(time.RFC3339Nano, s); err == nil {
		return t, nil
	}
	for _, layout := range []string{"2006-01-02 15:04:05", "2006-01-02 15:04", "2006-01-02T15:04:05", "2006-01-02T15:04", "2006-01-02"} {
		if t, err := time.ParseInLocation(layout, s, loc); err == nil {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("time %q: want RFC 3339, now, -14d or 2026-11-20 10:03", s)
}

// span is a duration with days and weeks: 90s, 5m, 24h, 14d, 2w.
func span(s string) (time.Duration, error) {
	unit := map[byte]time.Duration{'d': 24 * time.Hour, 'w': 7 * 24 * time.Hour}
	if n := len(s); n > 1 && unit[s[n-1]] != 0 {
		var whole float64
		if _, err := fmt.Sscanf(s[:n-1], "%g", &whole); err != nil || strings.ContainsAny(s[:n-1], " eE") {
			return 0, fmt.Errorf("duration %q", s)
		}
		return time.Duration(whole * float64(unit[s[n-1]])), nil
	}
	return time.ParseDuration(s)
}
