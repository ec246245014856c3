package decode

import (
	"cmp"
	"strconv"
	"strings"
	"unicode/utf8"
)

// logfmt reads key=value lines: Go's logfmt, slog's text handler, logrus, and
// Python's repr quotes of structlog.
func (d *Decoder) logfmt(s string) bool {
	d.pairs(s)
	return true
}

// isLogfmt reports whether a line is pairs from its beginning on: two, if one of
// them is of those that loggers write on every line, or three and nothing else.
func isLogfmt(s string) bool {
	s = firstLine(s)
	known, whole, n := false, false, 0
	for n < 8 {
		key, rest, ok := cutKey(s)
		if !ok {
			break
		}
		_, rest, ok = cutValue(rest, nil)
		if !ok {
			break
		}
		n++
		switch key {
		case "level", "lvl", "severity", "msg", "message", "time", "ts", "timestamp", "event", "t", "err", "error", "at":
			known = true
		}
		s = strings.TrimLeft(rest, " \t")
		if s == "" {
			whole = true
			break
		}
	}
	return known && n >= 2 || whole && n >= 3
}

// pairs offers every pair of s. Words that are no pair are left out: they stay
// in Raw.
func (d *Decoder) pairs(s string) {
	for s = strings.TrimLeft(s, " \t\n"); s != ""; s = strings.TrimLeft(s, " \t\n") {
		key, rest, ok := cutKey(s)
		if !ok {
			s = afterWord(s)
			continue
		}
		v, rest, ok := cutValue(rest, &d.m.arena)
		if !ok {
			s = afterWord(s)
			continue
		}
		v.off = d.m.nextOff()
		if key == "event" && s[len("event=")] == '\'' {
			d.m.put(&target{field: fMessage, key: key}, v) // structlog's message, whatever else there is
		}
		d.pair(key, v)
		s = rest
	}
}

func afterWord(s string) string {
	if i := strings.IndexAny(s, " \t\n"); i >= 0 {
		return s[i:]
	}
	return ""
}

// cutKey splits "key=" off.
func cutKey(s string) (key, rest string, ok bool) {
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '=':
			return s[:i], s[i+1:], i > 0
		case !isWord(c) && c != '.' && c != '-' && c != '@' && c != '/' && c != ':':
			return "", s, false
		}
	}
	return "", s, false
}

// cutValue splits a value off: quoted, klog's "<" block, or up to a space. With
// an arena escapes are resolved.
func cutValue(s string, a *arena) (v val, rest string, ok bool) {
	if s == "" {
		return val{kind: kString}, "", true
	}
	switch s[0] {
	case '"', '\'':
		return cutQuoted(s, a)
	case '<':
		if strings.HasPrefix(s, "<\n") {
			return cutBlock(s, a)
		}
	}
	end := strings.IndexAny(s, " \t\n")
	if end < 0 {
		end = len(s)
	}
	return bareValue(s[:end]), s[end:], true
}

// bareValue types an unquoted value.
func bareValue(s string) val {
	switch s {
	case "true":
		return val{s: s, kind: kTrue}
	case "false":
		return val{s: s, kind: kFalse}
	case "null", "nil", "<nil>", "None":
		return val{s: s, kind: kNull}
	}
	if endNumber(bytesOf(s), 0) == len(s) && s != "" {
		return val{s: s, kind: kNumber}
	}
	return val{s: s, kind: kString}
}

func cutQuoted(s string, a *arena) (v val, rest string, ok bool) {
	esc := false
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '\\':
			esc = true
			i++
		case s[0]:
			text, rest := s[1:i], s[i+1:]
			if rest != "" && rest[0] != ' ' && rest[0] != '\t' && rest[0] != '\n' {
				return v, s, false
			}
			if esc && a != nil {
				text = a.unquote(text)
			}
			return val{s: text, kind: kString}, rest, true
		}
	}
	return v, s, false
}

// cutBlock reads klog's multi-line value: "<", lines indented by a tab, " >".
func cutBlock(s string, a *arena) (v val, rest string, ok bool) {
	end := strings.Index(s, "\n >")
	if end < 0 {
		return v, s, false
	}
	text := ""
	if end > 2 {
		text = s[2:end]
	}
	if a != nil {
		text = strings.ReplaceAll("\n"+text, "\n\t", "\n")[1:]
	}
	return val{s: text, kind: kString}, s[end+3:], true
}

// unquote resolves the escapes of Go's, JSON's and Python's quoting.
func (a *arena) unquote(s string) string {
	a.room(len(s) + utf8.UTFMax)
	start := len(a.b)
	for s != "" {
		r, multi, rest, err := strconv.UnquoteChar(s, '"')
		if strings.HasPrefix(s, `\'`) {
			s = s[1:]
		}
		if err != nil {
			a.b = append(a.b, s[0]) // what nobody defines stands as it is
			s = s[1:]
			continue
		}
		if multi || r < utf8.RuneSelf {
			a.b = utf8.AppendRune(a.b, r)
		} else {
			a.b = append(a.b, byte(r))
		}
		s = rest
	}
	return a.since(start)
}

// klogHead returns where the message of a klog line begins:
// "E1122 08:34:01.440092    7898 main.go:33] message"; 0 if it is none.
func klogHead(s string) int {
	if len(s) < 21 || s[8] != ':' || s[11] != ':' {
		return 0
	}
	i := strings.Index(firstLine(s), "] ")
	if i < 0 || !isLocation(s[strings.LastIndexByte(s[:i], ' ')+1:i]) {
		return 0
	}
	return i + 2
}

// withoutYear takes the year out of the head of a line of newer glogs, "E20261122 …",
// which klog writes without; year is 0 where it is not there.
func withoutYear(s string) (year int, clock string) {
	if len(s) > 12 && allDigits(s[1:9]) && s[9] == ' ' {
		return two(s, 1)*100 + two(s, 3), s[4:]
	}
	return 0, s
}

// klog reads klog's and glog's lines.
func (d *Decoder) klog(s string) bool {
	word := clip(s, 1)
	year, s := withoutYear(s)
	n := klogHead(s)
	if n == 0 {
		return false
	}
	c := civil{year: cmp.Or(year, 2000), month: two(s, 1), day: two(s, 3)}
	clock, m := clockTime(s[6:])
	if m == 0 || !c.validDate() {
		return false
	}
	c.hour, c.min, c.sec, c.nano = clock.hour, clock.min, clock.sec, clock.nano
	d.civilTime(&c, year > 0)
	sev, _ := levelWord(word)
	d.setLevel(sev)
	d.pairText("caller", s[strings.LastIndexByte(s[:n-2], ' ')+1:n-2])
	d.klogMessage(s[n:])
	return true
}

// klogMessage reads `"message" key="value"…`; older lines are free text.
func (d *Decoder) klogMessage(s string) {
	if strings.HasPrefix(s, `"`) {
		if v, rest, ok := cutQuoted(s, &d.m.arena); ok {
			d.ev.Message = v.s
			d.pairs(rest)
			return
		}
	}
	d.ev.Message = s
}
