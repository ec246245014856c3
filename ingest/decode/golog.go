package decode

import (
	"strings"
)

// goLog reads the lines of Go's log package.
func (d *Decoder) goLog(s string) bool {
	if at := goPrefix(s); at > 0 {
		d.goPrefix(s[:at])
		s = s[at:]
	}
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
			d.nginxError(rest)
		}
	}
	if w := rest[:wordLen(rest)]; isLevelWord(w) && d.ev.Level == "" {
		d.slogDefault(w, rest[len(w):])
		return true
	}
	d.body(rest)
	return true
}

// slogDefault reads slog's default handler, which writes through the log package:
// "ERROR+2 text key=value"; some write a colon after the level.
func (d *Decoder) slogDefault(level, rest string) {
	if n := tokenLen(rest); rest != "" && (rest[0] == '+' || rest[0] == '-') && allDigits(rest[1:n]) {
		level += rest[:n]
		rest = rest[n:]
	}
	sev, _ := levelWord(level)
	d.setLevel(sev)
	d.body(strings.TrimLeft(rest, ": "))
	d.fieldsAtEnd()
}

// goPrefix returns where the date begins in a line that the log package wrote a
// prefix before: "api: 2026/11/22 08:34:01 text"; 0 if there is none.
func goPrefix(s string) int {
	i := strings.Index(clip(s, 48), " 20")
	if i < 2 || s[i-1] != ':' && s[i-1] != ']' || strings.IndexByte(s[:i], '=') >= 0 {
		return 0
	}
	if _, n := isoTime(s[i+1:]); n == 0 || s[i+5] != '/' {
		return 0
	}
	return i + 1
}

// goPrefix takes what stands before the date: a level or the name of the logger.
func (d *Decoder) goPrefix(s string) {
	s = strings.Trim(s, "[]: ")
	if sev, ok := levelWord(s); ok && len(s) > 1 {
		d.setLevel(sev)
		return
	}
	d.ev.Logger = s
}

// nginxError takes the request off the end of a line of nginx's error log: ", client:
// 10.0.0.1, server: _, request: "GET /x HTTP/1.1", upstream: "…", host: "…"".
func (d *Decoder) nginxError(s string) {
	_, tail, ok := strings.Cut(firstLine(s), ", client: ")
	if !ok {
		return
	}
	client, tail, _ := strings.Cut(tail, ", ")
	d.ev.HTTP.Client = hostOf(client)
	for _, part := range strings.Split(tail, ", ") {
		name, value, ok := strings.Cut(part, ": ")
		value = strings.Trim(value, `"`)
		switch {
		case !ok || value == "_":
		case name == "request":
			d.request(value)
		case name == "server" || name == "upstream" || name == "referrer":
			d.pairText(name, value)
		case name == "host":
			d.pairText("vhost", value)
		}
	}
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
	l := leadTime(s)
	line := firstLine(s)
	if l.n == 0 || l.n >= len(line) {
		return false
	}
	cells := strings.Split(line[l.n+1:], "\t")
	if len(cells) > 2 && isUUID(cells[0]) { // AWS Lambda's runtime
		d.ev.RequestID = cells[0]
		cells = cells[1:]
	}
	sev, ok := levelWord(cells[0])
	if !ok {
		return false
	}
	d.leadTime(&l)
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
		d.offerMembers(k, o[k])
	}
}

// offerMembers offers what is in an object, and in objects in it, to the named
// fields. The object stays an attribute as it is.
func (d *Decoder) offerMembers(path string, v any) {
	o, _ := v.(map[string]any)
	for _, k := range sortedKeys(o) {
		if t := d.m.target(path + "." + k); t.field != noField {
			t.keep = true
			d.m.put(&t, treeVal(o[k], d.m.nextOff()))
		}
		d.offerMembers(path+"."+k, o[k])
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
			after := cells[i+1:]
			d.ev.Logger = strings.Join(cells[:i], " - ")
			if i == 0 && len(after) > 1 && isName(after[0]) {
				d.ev.Logger, after = after[0], after[1:]
			}
			d.ev.Message = strings.Join(after, " - ")
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
