package decode

import (
	"strings"

	"github.com/leodido/go-syslog/v4"
	"github.com/leodido/go-syslog/v4/rfc5424"
)

// syslogParser reads RFC 5424's structured lines; RFC 3164's, of which every
// daemon has its own idea, are read here.
var newSyslogParser = func() syslog.Machine { return rfc5424.NewParser(rfc5424.WithBestEffort()) }

func recogniseSyslog(s string) format {
	if _, rest, ok := priority(s); ok && len(rest) > 0 {
		return fmtSyslog
	}
	return fmtText
}

// priority reads "<34>".
func priority(s string) (pri int, rest string, ok bool) {
	i := strings.IndexByte(clip(s, 6), '>')
	if i < 2 || s[0] != '<' || !allDigits(s[1:i]) {
		return 0, s, false
	}
	n, _ := integer(s[1:i])
	return int(n), s[i+1:], n <= 191
}

// syslog reads both RFCs' lines, with and without priority, and rsyslog's files.
func (d *Decoder) syslog(s string) bool {
	pri, rest, ok := priority(s)
	if ok {
		d.setLevel(syslogSeverity[pri&7])
		d.pairText("facility", facilityNames[pri>>3])
		if strings.HasPrefix(rest, "1 ") && d.syslog5424(s) {
			return true
		}
	}
	rest, cisco := ciscoHead(rest, ok)
	l := leadTime(rest)
	switch {
	case l.n == 0 && !ok || l.noDate:
		return false
	case l.n > 0:
		l.yearAfter(rest)
		d.leadTime(&l)
		rest = rest[l.n:]
	}
	if i := strings.Index(clip(rest, 24), ": %"); cisco && i >= 0 {
		rest = rest[i+2:]
	}
	d.syslogHost(strings.TrimLeft(rest, " "))
	return true
}

// yearAfter takes a year that stands behind a date of syslog's, as some relays write
// it: "Oct 11 22:14:15 2026".
func (l *lead) yearAfter(s string) {
	if n := l.readZone(s, l.n); l.noYear && n > l.n && strings.HasPrefix(s[n:], ":") {
		l.n = n
		return
	}
	if !l.noYear || len(s) < l.n+6 || s[l.n] != ' ' || s[l.n+5] != ' ' && s[l.n+5] != ':' || !allDigits(s[l.n+1:l.n+5]) {
		return
	}
	c := l.civil
	if c.year = two(s, l.n+1)*100 + two(s, l.n+3); c.year >= 2000 && c.validDate() {
		l.civil, l.noYear = c, false
		l.n += 5
	}
}

// ciscoHead takes off what Cisco's devices write before the time: "123: *Nov 22 …", a
// sequence number and whether the clock is to be trusted. It reports whether that,
// or a time with a zone and a colon, shows that a device of theirs wrote the line.
func ciscoHead(s string, pri bool) (rest string, cisco bool) {
	if !pri {
		return s, false
	}
	i := 0
	for i < len(s) && s[i]-'0' <= 9 {
		i++
	}
	if strings.HasPrefix(s[i:], ": ") {
		s, cisco = s[i+2:], true
	}
	if t := strings.TrimLeft(s, "*."); len(t) < len(s) {
		if l := leadTime(t); l.n > 0 {
			return t, true
		}
	}
	return s, cisco || strings.Contains(clip(s, 64), ": %")
}

// syslogHost reads "host tag[pid]: message"; the host may be missing.
func (d *Decoder) syslogHost(s string) {
	if n := syslogTag(s); n > 0 {
		host, rest, _ := strings.Cut(s, " ")
		if !strings.HasSuffix(host, ":") {
			d.ev.Host = host
			s = rest
		}
		d.syslogBody(s)
		return
	}
	d.syslogMessage(s)
}

// syslogTag returns the length of "host tag[pid]:" or "tag:" at the start of s, 0
// if there is none.
func syslogTag(s string) int {
	line := firstLine(s)
	for words, at := 0, 0; words < 2; words++ {
		i := strings.IndexByte(line[at:], ' ')
		if i < 0 {
			i = len(line) - at
		}
		w := line[at : at+i]
		if strings.HasSuffix(w, ":") && isTag(w[:len(w)-1]) {
			return at + i
		}
		if !isName(strings.ReplaceAll(w, ":", "")) && !looksHost(w) {
			return 0
		}
		if at += i + 1; at >= len(line) {
			return 0
		}
	}
	return 0
}

func looksHost(s string) bool {
	for i := 0; i < len(s); i++ {
		if c := s[i]; !isWord(c) && c != '.' && c != '-' && c != ':' {
			return false
		}
	}
	return s != ""
}

// isTag recognises app and app[pid].
func isTag(s string) bool {
	name, pid, ok := strings.Cut(s, "[")
	if ok && !strings.HasSuffix(pid, "]") {
		return false
	}
	for i := 0; i < len(name); i++ {
		if c := name[i]; !isWord(c) && c != '.' && c != '-' && c != '/' && c != '(' && c != ')' && c != '@' && c != '%' {
			return false
		}
	}
	return name != ""
}

// syslogBody reads "tag[pid]: message".
func (d *Decoder) syslogBody(s string) {
	tag, msg, ok := strings.Cut(s, ": ")
	if !ok {
		d.ev.Message = s
		return
	}
	if mnemonic, ok := strings.CutPrefix(tag, "%"); ok { // Cisco's %FACILITY-SEVERITY-NAME
		d.ev.Logger, d.ev.Message = mnemonic, msg
		return
	}
	name, pid, _ := strings.Cut(tag, "[")
	d.ev.Service = name
	d.pairText("pid", strings.TrimSuffix(pid, "]"))
	d.syslogMessage(msg)
}

// syslogMessage takes the message, which may be a record of a format of its own.
func (d *Decoder) syslogMessage(msg string) {
	msg = strings.TrimPrefix(msg, "@cee:")
	t := strings.TrimSpace(msg)
	if strings.HasPrefix(t, "{") {
		d.objectPairs(t)
		if d.m.has(fMessage) {
			return
		}
	}
	d.ev.Message = msg
	if d.ev.Service == natsService {
		d.natsText(msg)
	} else if f := recognise(t); f != fmtText && f != fmtSyslog {
		d.within(t, f)
	}
}

// within reads a line of another format that a line of syslog carries. What both say
// is what the inner one says, but for the time, if the outer one is the better.
func (d *Decoder) within(s string, f format) {
	outer := d.ev
	if !parsers[f](d, s) {
		d.ev = outer
		return
	}
	ev := &d.ev
	ev.Host, ev.Service = firstText(ev.Host, outer.Host), firstText(outer.Service, ev.Service)
	if outer.Time != 0 && outer.TimeQuality <= ev.TimeQuality {
		ev.Time, ev.TimeQuality = outer.Time, outer.TimeQuality
	}
	if ev.Message == outer.Message { // its own is among the pairs
		ev.Message = ""
	}
}

// syslog5424 reads a structured line. The parser takes six decimals of a second
// at most, some senders write nine.
func (d *Decoder) syslog5424(s string) bool {
	head, msg, _ := strings.Cut(s, "\n")
	if d.sys == nil {
		d.sys = newSyslogParser()
	}
	parsed, _ := d.sys.Parse([]byte(trimNanos(head)))
	m, ok := parsed.(*rfc5424.SyslogMessage)
	if !ok || m == nil || m.Version == 0 {
		return false
	}
	if _, at, ok := strings.Cut(head, " "); ok {
		if c, n := isoTime(at); n > 0 {
			d.civilTime(&c, true)
		}
	}
	d.ev.Host = deref(m.Hostname)
	d.ev.Service = deref(m.Appname)
	d.pairText("pid", deref(m.ProcID))
	d.pairText("msgid", deref(m.MsgID))
	d.structured(m)
	text := strings.TrimPrefix(deref(m.Message), "\ufeff")
	if m.Message == nil && m.StructuredData == nil {
		text = afterHeader(head)
	}
	if msg != "" {
		text += "\n" + msg
	}
	d.syslogMessage(text)
	return true
}

// afterHeader returns what follows the six fields of the header where some senders,
// Heroku's among them, leave the structured data out.
func afterHeader(s string) string {
	for range 6 {
		_, s, _ = strings.Cut(s, " ")
	}
	if s == "-" || strings.HasPrefix(s, "[") {
		return ""
	}
	return s
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// structured offers the parameters of structured data by name; OpenTelemetry's
// element carries the ids.
func (d *Decoder) structured(m *rfc5424.SyslogMessage) {
	if m.StructuredData == nil {
		return
	}
	for _, id := range sortedKeys(*m.StructuredData) {
		params := (*m.StructuredData)[id]
		for _, name := range sortedKeys(params) {
			full := id + "." + name
			if id == "opentelemetry" {
				full = name
			}
			d.pairText(full, params[name])
		}
	}
}

// trimNanos cuts the seconds of an RFC 5424 line to microseconds.
func trimNanos(s string) string {
	i := strings.IndexByte(s, ' ')
	if i < 0 || len(s) < i+21 || s[i+20] != '.' {
		return s
	}
	start := i + 21
	end := start
	for end < len(s) && s[end]-'0' <= 9 {
		end++
	}
	if end-start <= 6 {
		return s
	}
	return s[:start+6] + s[end:]
}

var facilityNames = [...]string{
	"kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp", "ntp", "audit", "alert", "clock",
	"local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7",
}
