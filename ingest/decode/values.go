package decode

import (
	"strconv"
	"strings"
	"time"
)

// genericContainer reports whether a container's name says nothing about what
// runs in it.
func genericContainer(name string) bool {
	switch name {
	case "server", "app", "main", "service", "container", "application", "web", "api", "worker":
		return true
	}
	return false
}

// workload strips what Kubernetes adds to a workload's name to name a pod: a
// replica set's hash and a random suffix, a daemon set's suffix, a stateful set's
// number.
func workload(pod string) string {
	i := strings.LastIndexByte(pod, '-')
	if i <= 0 {
		return pod
	}
	stem, last := pod[:i], pod[i+1:]
	if _, ok := integer(last); ok && len(last) <= 4 {
		return stem
	}
	if len(last) != 5 || !safeEncoded(last) {
		return pod
	}
	if j := strings.LastIndexByte(stem, '-'); j > 0 && len(stem)-j-1 >= 5 && len(stem)-j-1 <= 10 && safeEncoded(stem[j+1:]) {
		return stem[:j]
	}
	return stem
}

// safeEncoded reports whether s is of the alphabet Kubernetes takes for hashes:
// no vowels and nothing that looks like one.
func safeEncoded(s string) bool {
	for i := 0; i < len(s); i++ {
		if !strings.Contains("bcdfghjklmnpqrstvwxz2456789", s[i:i+1]) {
			return false
		}
	}
	return true
}

// millis converts a duration to milliseconds. A number without unit is what its
// logger writes: zap's seconds, slog's nanoseconds, else milliseconds; a whole number
// that would be a quarter of an hour is one of Go's, in nanoseconds.
func (m *mapper) millis(f field) float64 {
	m.taken |= 1 << f
	guess := unitMS
	switch {
	case m.unit[f] != unitUnknown:
	case m.has(fTime) && m.vals[fTime].kind == kNumber && strings.IndexByte(m.vals[fTime].s, '.') >= 0:
		guess = unitSeconds
	case strings.IndexByte(m.vals[f].s, '.') < 0 && (m.likeSlog() || tooLong(m.vals[f].s)):
		guess = unitNanos
	}
	ms, _ := millis(m.vals[f], m.unit[f], guess)
	return ms
}

// likeSlog reports whether a record has the keys and the levels of slog's handler.
func (m *mapper) likeSlog() bool {
	return m.has(fTime) && m.from[fTime] == "time" && m.has(fMessage) && m.from[fMessage] == "msg" && m.has(fLevel) && upperLevel(m.vals[fLevel].s)
}

// upperLevel reports whether a level is written in capitals.
func upperLevel(s string) bool {
	return len(s) > 1 && s[0]-'A' <= 'Z'-'A' && s[1]-'A' <= 'Z'-'A'
}

// tooLong reports whether a number is no request's milliseconds.
func tooLong(s string) bool {
	n, ok := integer(s)
	return ok && n >= 1e6
}

// millis reads a duration in unit u, or in guess if a number has no unit.
func millis(v val, u, guess unit) (float64, bool) {
	if v.kind != kNumber && v.kind != kString || v.s == "" {
		return 0, false
	}
	if v.s[0]-'0' > 9 && v.s[0] != '-' && v.s[0] != '.' {
		return 0, false
	}
	f, ok := float(v.s)
	if !ok {
		d, err := time.ParseDuration(strings.ReplaceAll(v.s, " ", ""))
		return float64(d) / 1e6, err == nil
	}
	if u == unitUnknown {
		u = guess
	}
	switch u {
	case unitSeconds:
		return f * 1e3, true
	case unitMicros:
		return f / 1e3, true
	case unitNanos:
		return f / 1e6, true
	}
	return f, true
}

func float(s string) (float64, bool) {
	if f, ok := shortFloat(s); ok {
		return f, true
	}
	f, err := strconv.ParseFloat(s, 64)
	return f, err == nil
}

// shortFloat parses plain decimals of few digits: both the digits and the power
// of ten they are divided by are exact in a float64, so the quotient is the
// nearest one.
func shortFloat(s string) (float64, bool) {
	if len(s) == 0 || len(s) > 16 {
		return 0, false
	}
	var n int64
	point := -1
	for i := 0; i < len(s); i++ {
		c := s[i] - '0'
		switch {
		case c <= 9:
			n = n*10 + int64(c)
		case s[i] == '.' && point < 0 && i > 0:
			point = i
		default:
			return 0, false
		}
	}
	if point < 0 {
		return float64(n), true
	}
	return float64(n) / tenTo[len(s)-point-1], point < len(s)-1
}

var tenTo = [...]float64{1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15}

// urlPath returns the path of a request target or URL, without its query.
func urlPath(s string) string {
	if s != "" && s[0] != '/' {
		s = withoutHost(s)
	}
	if i := strings.IndexByte(s, '?'); i >= 0 {
		s = s[:i]
	}
	if i := strings.IndexByte(s, '#'); i >= 0 {
		s = s[:i]
	}
	return s
}

// withoutHost takes scheme and host off a URL.
func withoutHost(s string) string {
	i := strings.Index(clip(s, 10), "://")
	if i <= 0 {
		return s
	}
	rest := s[i+3:]
	j := strings.IndexByte(rest, '/')
	if j < 0 {
		return "/"
	}
	return rest[j:]
}

// hostOf returns the address of a "host:port", "[v6]:port" or list of them: the
// first, without port.
func hostOf(s string) string {
	if i := strings.IndexByte(s, ','); i >= 0 {
		s = s[:i]
	}
	s = strings.TrimSpace(s)
	if strings.HasPrefix(s, "[") {
		if i := strings.IndexByte(s, ']'); i > 0 {
			return s[1:i]
		}
	}
	if i := strings.IndexByte(s, ':'); i >= 0 && strings.IndexByte(s[i+1:], ':') < 0 {
		return s[:i]
	}
	if v4, ok := strings.CutPrefix(s, "::ffff:"); ok && strings.IndexByte(v4, '.') > 0 {
		return v4
	}
	return s
}
