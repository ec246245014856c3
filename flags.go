package main

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"corral/rules"
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
	verb := strings.Fields(fs.Name())[1]
	switch err := fs.Parse(args); {
	case errors.Is(err, pflag.ErrHelp):
		fmt.Fprintf(e.out, "Usage: %s\n", fs.Name())
		if fs.HasFlags() {
			fmt.Fprintf(e.out, "\nFlags:\n%s", flagUsages(fs))
		}
		return true, nil
	case err != nil:
		return true, usageError("%w%s; corral %s --help shows the flags", err, nearestFlag(fs, err), verb)
	}
	return false, nil
}

// nearestFlag is the flag somebody may have meant.
func nearestFlag(fs *pflag.FlagSet, err error) string {
	unknown, ok := errors.AsType[*pflag.NotExistError](err)
	if !ok {
		return ""
	}
	var names []string
	fs.VisitAll(func(f *pflag.Flag) { names = append(names, "--"+f.Name) })
	return didYouMean("--"+unknown.GetSpecifiedName(), names)
}

// noArgs refuses arguments of a command that has none: what is not understood is
// not passed over.
func noArgs(fs *pflag.FlagSet) error {
	if fs.NArg() > 0 {
		return usageError("unexpected argument %q", fs.Arg(0))
	}
	return nil
}

// valueNames are what a flag's value is called in the help.
var valueNames = map[string]string{
	"bool": "", "stringArray": "string", "stringToString": "name=value", "int": "number", "int64": "number", "uint64": "number", "uint": "number", "float64": "number",
}

// flagUsages lists the flags as people write them.
func flagUsages(fs *pflag.FlagSet) string {
	var rows [][2]string
	width := 0
	fs.VisitAll(func(f *pflag.Flag) {
		value, usage := pflag.UnquoteUsage(f)
		if name, ok := valueNames[f.Value.Type()]; ok && !strings.Contains(f.Usage, "`") {
			value = name
		}
		left := "      --" + f.Name
		if f.Shorthand != "" {
			left = "  -" + f.Shorthand + ", --" + f.Name
		}
		switch {
		case f.NoOptDefVal != "" && f.Value.Type() != "bool":
			left += "[=" + value + "]"
		case value != "":
			left += " " + value
		}
		if d := f.DefValue; d != "" && d != "[]" && d != "false" && d != "0" && d != "0s" && !strings.Contains(usage, "(default") {
			usage += " (default " + d + ")"
		}
		width = max(width, len(left))
		rows = append(rows, [2]string{left, usage})
	})
	var b strings.Builder
	for _, r := range rows {
		fmt.Fprintf(&b, "%-*s  %s\n", width, r[0], r[1])
	}
	return b.String()
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

// span is a duration as rules have it, days and weeks too: 90s, 5m, 14d, 2w, 1h30m.
// A number may have a fraction.
func span(s string) (time.Duration, error) {
	d, err := rules.ParseDuration(s)
	if err == nil {
		return d, nil
	}
	if n := len(s) - 1; n > 0 {
		unit := map[byte]time.Duration{'d': 24 * time.Hour, 'w': 7 * 24 * time.Hour}[s[n]]
		if whole, err := strconv.ParseFloat(s[:n], 64); err == nil && unit > 0 && whole >= 0 && whole < 1e5 {
			return time.Duration(whole * float64(unit)), nil
		}
	}
	return 0, err
}

// spanVar adds a flag that is a duration, never below zero.
func spanVar(fs *pflag.FlagSet, p *time.Duration, name string, value time.Duration, usage string) {
	*p = value
	fs.Var((*spanValue)(p), name, usage)
}

type spanValue time.Duration

// Set implements pflag.Value.
func (v *spanValue) Set(s string) error {
	d, err := span(s)
	if err == nil && d < 0 {
		err = errors.New("below zero")
	}
	if err != nil {
		return fmt.Errorf("%w: want a duration such as 90s, 5m, 14d", err)
	}
	*v = spanValue(d)
	return nil
}

// String implements pflag.Value.
func (v *spanValue) String() string { return rules.FormatDuration(time.Duration(*v)) }

// Type implements pflag.Value.
func (v *spanValue) Type() string { return "duration" }

// workersVar adds --workers, at least one.
func workersVar(fs *pflag.FlagSet, p *int) {
	*p = runtime.GOMAXPROCS(0)
	fs.Var((*workersValue)(p), "workers", "goroutines that decode and match; changes no result")
}

type workersValue int

// Set implements pflag.Value.
func (v *workersValue) Set(s string) error {
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 || n > 1024 {
		return errors.New("want a number from 1 to 1024")
	}
	*v = workersValue(n)
	return nil
}

// String implements pflag.Value.
func (v *workersValue) String() string { return strconv.Itoa(int(*v)) }

// Type implements pflag.Value.
func (v *workersValue) Type() string { return "number" }

// shareVar adds a flag that is a part of the whole: 20%, 0.2.
func shareVar(fs *pflag.FlagSet, p *float64, name string, value float64, usage string) {
	*p = value
	fs.Var((*shareValue)(p), name, usage)
}

type shareValue float64

// Set implements pflag.Value.
func (v *shareValue) Set(s string) error {
	number, percent := strings.CutSuffix(s, "%")
	f, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
	if percent {
		f /= 100
	}
	if err != nil || !(f >= 0 && f <= 1) {
		return errors.New("want a share such as 20% or 0.2")
	}
	*v = shareValue(f)
	return nil
}

// String implements pflag.Value.
func (v *shareValue) String() string { return strconv.FormatFloat(100*float64(*v), 'g', 6, 64) + "%" }

// Type implements pflag.Value.
func (v *shareValue) Type() string { return "share" }

// progressVar adds --progress.
func progressVar(fs *pflag.FlagSet, p *string) {
	*p = "auto"
	fs.Var((*progressValue)(p), "progress", "auto, on, off")
}

type progressValue string

// Set implements pflag.Value.
func (v *progressValue) Set(s string) error {
	if !slices.Contains([]string{"auto", "on", "off"}, s) {
		return errors.New("want auto, on or off")
	}
	*v = progressValue(s)
	return nil
}

// String implements pflag.Value.
func (v *progressValue) String() string { return string(*v) }

// Type implements pflag.Value.
func (v *progressValue) Type() string { return "string" }

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
