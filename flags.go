package main

import (
	"errors"
	"fmt"
	"strconv"
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

// byteSize is a flag in bytes: 512MiB, 2GB, 1073741824.
type byteSize int64

// Set implements pflag.Value.
func (b *byteSize) Set(s string) error {
	number := strings.TrimRight(s, "kKMGTiB")
	n, err := strconv.ParseFloat(number, 64)
	unit, ok := map[string]float64{
		"": 1, "B": 1, "kB": 1e3, "KB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12,
		"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40,
	}[s[len(number):]]
	if err != nil || !ok || n < 0 || n*unit > 1<<60 {
		return fmt.Errorf("size %q: want bytes, or 512MiB, 2GB", s)
	}
	*b = byteSize(n * unit)
	return nil
}

// String implements pflag.Value.
func (b *byteSize) String() string {
	for _, u := range []struct {
		size int64
		name string
	}{{1 << 30, "GiB"}, {1 << 20, "MiB"}, {1 << 10, "KiB"}} {
		if n := int64(*b); n >= u.size && n%u.size == 0 {
			return strconv.FormatInt(n/u.size, 10) + u.name
		}
	}
	return strconv.FormatInt(int64(*b), 10)
}

// Type implements pflag.Value.
func (b *byteSize) Type() string { return "size" }

// defaultMemory is what the state may take unless --memory says otherwise.
const defaultMemory = 2 << 30

func addMemory(fs *pflag.FlagSet, b *byteSize) {
	*b = defaultMemory
	fs.Var(b, "memory", "about what the rules' state may take; beyond it the rule that holds most forgets its stalest keys. 0: no limit")
}
