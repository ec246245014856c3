package decode

import "strings"

// severity is a level of the rule language and its OpenTelemetry number.
type severity struct {
	level  string
	number int
}

// levelWords are the words loggers use, in lower case.
var levelWords = map[string]severity{
	"trace": {"trace", 1}, "verbose": {"trace", 1}, "finest": {"trace", 1}, "trc": {"trace", 1}, "trac": {"trace", 1}, "trce": {"trace", 1}, "all": {"trace", 1}, "silly": {"trace", 1}, "finer": {"trace", 3},
	"debug": {"debug", 5}, "dbg": {"debug", 5}, "fine": {"debug", 5}, "debg": {"debug", 5}, "debu": {"debug", 5}, "dbug": {"debug", 5}, "config": {"debug", 7},
	"info": {"info", 9}, "information": {"info", 9}, "informational": {"info", 9}, "inf": {"info", 9}, "log": {"info", 9}, "http": {"info", 9}, "notice": {"info", 10}, "note": {"info", 10}, "default": {"info", 9}, "success": {"info", 9},
	"warn": {"warn", 13}, "warning": {"warn", 13}, "wrn": {"warn", 13},
	"error": {"error", 17}, "err": {"error", 17}, "eror": {"error", 17}, "erro": {"error", 17}, "severe": {"error", 17}, "fail": {"error", 17},
	"critical": {"fatal", 21}, "crit": {"fatal", 21}, "dpanic": {"error", 19},
	"fatal": {"fatal", 21}, "ftl": {"fatal", 21}, "fata": {"fatal", 21}, "panic": {"fatal", 22}, "pani": {"fatal", 22}, "pnc": {"fatal", 22}, "alert": {"fatal", 22}, "emerg": {"fatal", 24}, "emergency": {"fatal", 24},
	"t": {"trace", 1}, "d": {"debug", 5}, "i": {"info", 9}, "w": {"warn", 13}, "e": {"error", 17}, "f": {"fatal", 21},
}

// levelNames are the levels by the OpenTelemetry number minus one, in fours.
var levelNames = [...]string{"trace", "debug", "info", "warn", "error", "fatal"}

// severityNumber returns the severity of an OpenTelemetry number.
func severityNumber(n int) (severity, bool) {
	if n < 1 || n > 24 {
		return severity{}, false
	}
	return severity{levelNames[(n-1)/4], n}, true
}

// levelWord understands a level's name, whatever the logger's spelling: case,
// colour codes, brackets, and slog's offsets ("ERROR+4").
func levelWord(s string) (severity, bool) {
	if sev, ok := commonLevel(s); ok {
		return sev, true
	}
	return rareLevel(s)
}

// commonLevel knows the spellings nearly every line has.
func commonLevel(s string) (severity, bool) {
	switch s {
	case "info", "INFO", "Info", "Information":
		return severity{"info", 9}, true
	case "error", "ERROR", "Error":
		return severity{"error", 17}, true
	case "warn", "WARN", "warning", "WARNING", "Warn", "Warning":
		return severity{"warn", 13}, true
	case "debug", "DEBUG", "Debug":
		return severity{"debug", 5}, true
	}
	return severity{}, false
}

const maxLevelWord = 24

func rareLevel(s string) (severity, bool) {
	if s = strings.Trim(stripANSI(s), " []<>:"); len(s) > maxLevelWord {
		return severity{}, false
	}
	var buf [maxLevelWord]byte
	word := lowerASCII(buf[:0], s)
	if sev, ok := levelWords[string(word)]; ok {
		return sev, true
	}
	return offsetLevel(string(word))
}

// offsetLevel understands slog's custom levels: a name, a sign and how far it is
// from it. A step of 4 is a level in slog and in OpenTelemetry alike.
func offsetLevel(s string) (severity, bool) {
	i := strings.IndexAny(s, "+-")
	if i < 1 {
		return severity{}, false
	}
	base, ok := levelWords[s[:i]]
	n, isInt := integer(strings.TrimPrefix(s[i:], "+"))
	if !ok || !isInt || n < -100 || n > 100 {
		return severity{}, false
	}
	return severityNumber(min(24, max(1, base.number+int(n))))
}

func lowerASCII(dst []byte, s string) []byte {
	for i := 0; i < len(s); i++ {
		c := s[i]
		if 'A' <= c && c <= 'Z' {
			c |= 0x20
		}
		dst = append(dst, c)
	}
	return dst
}

// syslogSeverity maps syslog's 0–7.
var syslogSeverity = [8]severity{
	{"fatal", 24}, {"fatal", 22}, {"fatal", 21}, {"error", 17}, {"warn", 13}, {"info", 10}, {"info", 9}, {"debug", 5},
}

// levelScale says what a number of a level means; which one is used depends on
// the rest of the record.
type levelScale uint8

const (
	scaleTens   levelScale = iota // pino, bunyan: 30 is info
	scalePython                   // 30 is warning
	scaleSyslog                   // 0 is worst
)

// levelNumber understands a level given as a number.
func levelNumber(n int64, scale levelScale) (severity, bool) {
	switch {
	case n >= 5000 && n <= 50000: // logback
		return logbackLevel(n), true
	case n >= 0 && n <= 7 && scale == scaleSyslog:
		return syslogSeverity[n], true
	case n >= 10 && n <= 60 && scale == scalePython:
		return pythonLevel(n), true
	case n >= 10 && n <= 60:
		return severity{levelNames[n/10-1], int(n/10)*4 - 3}, true
	case n == 0: // slog's and zap's info; nobody else but syslog's writes it
		return severity{"info", 9}, true
	case n >= 1 && n <= 7:
		return syslogSeverity[n], true
	case n == -4: // slog
		return severity{"debug", 5}, true
	case n == 8:
		return severity{"error", 17}, true
	}
	return severity{}, false
}

func logbackLevel(n int64) severity {
	switch {
	case n >= 50000:
		return severity{"fatal", 21}
	case n >= 40000:
		return severity{"error", 17}
	case n >= 30000:
		return severity{"warn", 13}
	case n >= 20000:
		return severity{"info", 9}
	case n >= 10000:
		return severity{"debug", 5}
	}
	return severity{"trace", 1}
}

func pythonLevel(n int64) severity {
	switch {
	case n >= 50:
		return severity{"fatal", 21}
	case n >= 40:
		return severity{"error", 17}
	case n >= 30:
		return severity{"warn", 13}
	case n >= 20:
		return severity{"info", 9}
	}
	return severity{"debug", 5}
}

// stripANSI removes terminal colours; without any it returns s itself.
func stripANSI(s string) string {
	i := strings.IndexByte(s, 0x1b)
	if i < 0 {
		return s
	}
	b := make([]byte, 0, len(s))
	for i >= 0 {
		b = append(b, s[:i]...)
		s = s[i+ansiLen(s[i:]):]
		i = strings.IndexByte(s, 0x1b)
	}
	return string(append(b, s...))
}

// ansiLen returns the length of the escape sequence s starts with.
func ansiLen(s string) int {
	if len(s) < 2 || s[1] != '[' {
		return 1
	}
	for i := 2; i < len(s); i++ {
		if s[i] >= 0x40 && s[i] <= 0x7e {
			return i + 1
		}
	}
	return len(s)
}
