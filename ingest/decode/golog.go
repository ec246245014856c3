package decode

import (
	"strings"
)

// goLog reads the lines of Go's log package.
func (d *Decoder) goLog(s string) bool {
	c, n := isoTime(s)
	if n == 0 {
		return false
	}
	d.civilTime(&c, true)
	rest := strings.TrimLeft(s[n:], " ")
	if w, after, ok := strings.Cut(rest, "] "); ok && strings.HasPrefix(w, "[") { // nginx's error log
		if sev, ok := levelWord(w[1:]); ok {
			d.setLevel(sev)
			rest = after
		}
	}
	d.body(rest)
	return true
}

// body takes the message of a line; a source location before it is an attribute.
func (d *Decoder) body(s string) {
	if i := strings.Index(firstLine(s), ": "); i > 0 && isLocation(s[:i]) {
		d.pairText("caller", s[:i])
		s = s[i+2:]
	}
	d.ev.Message = s
}

// isLocation recognises file.go:20.
func isLocation(s string) bool {
	i := strings.LastIndexByte(s, ':')
	return i > 0 && allDigits(s[i+1:]) && strings.IndexByte(s[:i], '.') > 0 && strings.IndexByte(s, ' ') < 0
}

// grpcLog reads the lines of grpc-go's logger.
func (d *Decoder) grpcLog(s string) bool {
	c, n := isoTime(s)
	sev, rest, ok := grpcLevel(s[n:])
	if n == 0 || !ok {
		return false
	}
	d.civilTime(&c, true)
	d.setLevel(sev)
	if i := strings.IndexByte(rest, ']'); strings.HasPrefix(rest, "[") && i > 0 {
		d.ev.Logger = rest[1:i]
	}
	d.ev.Message = rest
	return true
}

// grpcLevel reads " WARNING: ".
func grpcLevel(s string) (sev severity, rest string, ok bool) {
	s = strings.TrimLeft(s, " ")
	for _, w := range []string{"INFO: ", "WARNING: ", "ERROR: ", "FATAL: "} {
		if strings.HasPrefix(s, w) {
			sev, _ = levelWord(w[:len(w)-2])
			return sev, s[len(w):], true
		}
	}
	return sev, s, false
}

// zapConsole reads zap's development encoder: time, level, logger, caller,
// message, fields, separated by tabs; the stack follows in further lines.
func (d *Decoder) zapConsole(s string) bool {
	c, n := isoTime(s)
	line := firstLine(s)
	if n == 0 || n == len(line) {
		return false
	}
	cells := strings.Split(line[n+1:], "\t")
	sev, ok := levelWord(cells[0])
	if !ok {
		return false
	}
	d.civilTime(&c, true)
	d.setLevel(sev)
	cells = cells[1:]
	if len(cells) > 1 && strings.HasPrefix(cells[len(cells)-1], "{") {
		d.objectPairs(cells[len(cells)-1])
		cells = cells[:len(cells)-1]
	}
	for len(cells) > 1 {
		if isLocation(cells[0]) {
			d.pairText("caller", cells[0])
		} else {
			d.ev.Logger = cells[0]
		}
		cells = cells[1:]
	}
	if len(cells) == 1 {
		d.ev.Message = cells[0]
	}
	if len(s) > len(line) {
		d.pairText("stacktrace", s[len(line)+1:])
	}
	return true
}

// objectPairs offers the members of a JSON object that a text line ends in.
func (d *Decoder) objectPairs(s string) {
	if end, k := endValue(bytesOf(s), 0, 0); end != len(s) || k != kObject {
		return
	}
	o, _ := tree(s, nil).(map[string]any)
	for _, k := range sortedKeys(o) {
		d.pair(k, treeVal(o[k], d.m.nextOff()))
	}
}

// python reads "time - logger - LEVEL - message" and "LEVEL:logger:message".
func (d *Decoder) python(s string) bool {
	if isPythonBasic(s) {
		parts := strings.SplitN(s, ":", 3)
		sev, _ := levelWord(parts[0])
		d.setLevel(sev)
		d.ev.Logger, d.ev.Message = parts[1], parts[2]
		return true
	}
	c, n := isoTime(s)
	if n == 0 {
		return false
	}
	d.civilTime(&c, true)
	cells := strings.SplitN(strings.TrimPrefix(s[n:], " - "), " - ", 4)
	for i, cell := range cells[:len(cells)-1] {
		if sev, ok := levelWord(cell); ok {
			d.setLevel(sev)
			d.ev.Logger = strings.Join(cells[:i], " - ")
			d.ev.Message = strings.Join(cells[i+1:], " - ")
			return true
		}
	}
	return false
}

func isPythonBasic(s string) bool {
	for _, w := range []string{"DEBUG:", "INFO:", "WARNING:", "ERROR:", "CRITICAL:"} {
		if rest, ok := strings.CutPrefix(s, w); ok {
			i := strings.IndexAny(rest, ": \n")
			return i > 0 && rest[i] == ':'
		}
	}
	return false
}
