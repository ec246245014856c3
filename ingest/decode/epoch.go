package decode

import (
	"strings"
)

// epoch reads a decimal number of seconds, milli-, micro- or nanoseconds since
// 1970, told apart by magnitude. The digits are read as they stand: a float64
// would lose hundreds of nanoseconds.
func epoch(s string) (ns int64, ok bool) {
	neg := strings.HasPrefix(s, "-")
	if neg {
		s = s[1:]
	}
	whole, rest := s, ""
	if i := strings.IndexByte(s, '.'); i >= 0 {
		whole, rest = s[:i], s[i+1:]
	}
	if strings.ContainsAny(s, "eE") {
		return epochScientific(s)
	}
	n, ok := integer(whole)
	if !ok || len(whole) > 19 || n < 0 {
		return 0, false
	}
	unit := epochUnit(n)
	ns = n * unit
	for i := 0; i < len(rest); i++ {
		if rest[i]-'0' > 9 {
			return 0, false
		}
		unit /= 10
		ns += int64(rest[i]-'0') * unit
	}
	if neg {
		ns = -ns
	}
	return ns, true
}

// epochUnit returns how many nanoseconds one of n stands for.
func epochUnit(n int64) int64 {
	switch {
	case n < 1e11:
		return second
	case n < 1e14:
		return second / 1e3
	case n < 1e17:
		return second / 1e6
	}
	return 1
}

// epochScientific reads 1.661140434e+09, which some encoders write.
func epochScientific(s string) (int64, bool) {
	f, isFloat := number(s).(float64)
	if !isFloat || f < 0 || f >= 1e19 {
		return 0, false
	}
	switch {
	case f < 1e11:
		return int64(f * 1e9), true
	case f < 1e14:
		return int64(f * 1e6), true
	case f < 1e17:
		return int64(f * 1e3), true
	case f < 9.2e18:
		return int64(f), true
	}
	return 0, false
}
