package rules

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

var durationUnits = []struct {
	name string
	unit time.Duration
}{
	{"ns", time.Nanosecond},
	{"us", time.Microsecond},
	{"µs", time.Microsecond},
	{"ms", time.Millisecond},
	{"s", time.Second},
	{"m", time.Minute},
	{"h", time.Hour},
	{"d", 24 * time.Hour},
	{"w", 7 * 24 * time.Hour},
}

// ParseDuration reads a span as rules write it: Go's form, and also days (24h)
// and weeks: "90s", "1h30m", "7d", "2w". A bare number is an error, except 0.
func ParseDuration(s string) (time.Duration, error) {
	if s == "0" {
		return 0, nil
	}
	if s == "" {
		return 0, errors.New("empty")
	}
	rest, neg := strings.CutPrefix(s, "-")
	var total time.Duration
	for rest != "" {
		d, tail, err := cutSpan(rest)
		if err != nil {
			return 0, err
		}
		if total += d; total < 0 {
			return 0, errors.New("too long")
		}
		rest = tail
	}
	if neg {
		return -total, nil
	}
	return total, nil
}

// cutSpan reads one number with its unit.
func cutSpan(s string) (d time.Duration, tail string, err error) {
	n := strings.IndexFunc(s, func(r rune) bool { return r != '.' && (r < '0' || r > '9') })
	switch {
	case n == 0:
		return 0, "", fmt.Errorf("a number is missing before %q", s)
	case n < 0:
		return 0, "", fmt.Errorf("a unit is missing after %s (ns, us, ms, s, m, h, d, w)", s)
	}
	num, unit, tail, err := cutUnit(s, n)
	if err != nil {
		return 0, "", err
	}
	f, err := strconv.ParseFloat(num, 64)
	if err != nil {
		return 0, "", fmt.Errorf("%q is not a number", num)
	}
	if f*float64(unit) > math.MaxInt64/2 {
		return 0, "", errors.New("too long")
	}
	if i, err := strconv.ParseInt(num, 10, 64); err == nil {
		return time.Duration(i) * unit, tail, nil
	}
	return time.Duration(math.Round(f * float64(unit))), tail, nil
}

func cutUnit(s string, n int) (num string, unit time.Duration, tail string, err error) {
	num, tail = s[:n], s[n:]
	end := strings.IndexAny(tail, "0123456789.")
	if end < 0 {
		end = len(tail)
	}
	for _, u := range durationUnits {
		if tail[:end] == u.name {
			return num, u.unit, tail[end:], nil
		}
	}
	return "", 0, "", fmt.Errorf("unknown unit %q (ns, us, ms, s, m, h, d, w)", tail[:end])
}

// FormatDuration writes a span as rules write it, as short as it can be exactly:
// 90s is 1m30s, 24h is 1d.
func FormatDuration(d time.Duration) string {
	if d == 0 {
		return "0s"
	}
	var b strings.Builder
	if d < 0 {
		b.WriteByte('-')
		d = -d
	}
	for _, u := range []struct {
		name string
		unit time.Duration
	}{{"d", 24 * time.Hour}, {"h", time.Hour}, {"m", time.Minute}} {
		if n := d / u.unit; n > 0 {
			fmt.Fprintf(&b, "%d%s", n, u.name)
			d -= n * u.unit
		}
	}
	switch {
	case d == 0:
	case d%time.Second == 0 || d > time.Second:
		b.WriteString(strconv.FormatFloat(d.Seconds(), 'f', -1, 64) + "s")
	default:
		b.WriteString(d.String())
	}
	return b.String()
}
