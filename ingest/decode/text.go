package decode

import (
	"strings"
	"unicode/utf8"
)

// parsers read the formats of text lines. A parser fills the decoder's event and
// reports whether the text is of its format. The text may have several lines; the
// first one is where the format shows.
var parsers [nFormats]func(*Decoder, string) bool

func init() {
	parsers = [nFormats]func(*Decoder, string) bool{
		fmtNATSServer: (*Decoder).natsServer,
		fmtLogfmt:     (*Decoder).logfmt,
		fmtKlog:       (*Decoder).klog,
		fmtGoLog:      (*Decoder).goLog,
		fmtGRPCLog:    (*Decoder).grpcLog,
		fmtZapConsole: (*Decoder).zapConsole,
		fmtPython:     (*Decoder).python,
		fmtPattern:    (*Decoder).pattern,
		fmtAccess:     (*Decoder).access,
		fmtIngress:    (*Decoder).access,
		fmtEnvoy:      (*Decoder).envoy,
		fmtSyslog:     (*Decoder).syslog,
	}
}

// textEvent decodes a text that is not JSON.
func (d *Decoder) textEvent(s string, env *envelope) { d.textAs(s, auto, env) }

// textAs decodes a text whose format may be known already.
func (d *Decoder) textAs(s string, f format, env *envelope) {
	if c := d.class(env); c.claims {
		d.claims(c, env)
		return
	}
	raw := s
	if strings.IndexByte(s, 0x1b) >= 0 {
		s, f = stripANSI(s), auto
	}
	if d.deadText(s) {
		return
	}
	f = d.choose(s, f)
	d.start()
	if parse := parsers[f]; parse == nil || !parse(d, s) {
		d.start()
		f = fmtText
		d.ev.Message = redact(s)
	}
	d.m.fill(&d.ev)
	d.collectPairs()
	if tellsRequests[f] && d.ev.HTTP.Method == "" {
		requestInText(&d.ev)
	}
	for _, words := range [...]string{s, d.ev.Message} {
		if d.ev.Level == "" {
			d.guessLevel(words)
		}
	}
	if d.ev.Error == "" {
		if d.ev.Error = traceError(d.ev.Message); d.ev.Error == "" && len(s) != len(d.ev.Message) {
			d.ev.Error = traceError(s)
		}
	}
	if d.ev.Level == "" && f == fmtText && d.ev.Error != "" {
		d.setLevel(severity{"error", 17})
	}
	d.finish(redact(raw), f, env)
}

// tellsRequests are the formats that have no place for a request, and servers that
// write one into the text.
var tellsRequests = [nFormats]bool{fmtText: true, fmtGoLog: true, fmtPattern: true, fmtPython: true, fmtSyslog: true}

// choose returns the format to read a text in: the one the options name, the one
// that was found, or what the text looks like.
func (d *Decoder) choose(s string, f format) format {
	switch {
	case d.only == auto && f != auto:
		return f
	case d.only == auto:
		return d.recognise(s)
	case parsers[d.only] != nil:
		return d.only
	}
	return fmtText // JSON was wanted, and this is none
}

// recognise is the function of that name, but for lines that begin with a time in
// the layout of the options.
func (d *Decoder) recognise(s string) format {
	if d.layout != "" {
		if _, n := d.m.zones.prefix(s); n > 0 {
			return fmtPattern
		}
	}
	return recognise(s)
}

// deadText finds bytes that are no text: a NUL, or too much that is not UTF-8,
// says that they are of some format no one here knows.
func (d *Decoder) deadText(s string) bool {
	if d.collect != nil || strings.IndexByte(s, 0) < 0 && (utf8.ValidString(s) || !garbled(s)) {
		return false
	}
	d.kill("undecodable", "binary data", bytesOf(s))
	return true
}

// garbled reports whether a third of the beginning is neither text nor white
// space. Texts in other encodings than UTF-8 have fewer such bytes.
func garbled(s string) bool {
	s = s[:min(len(s), 512)]
	bad := 0
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError && n == 1 || r < ' ' && r != '\t' && r != '\n' && r != '\r' {
			bad++
		}
		i += n
	}
	return bad*3 > len(s)
}

// recognise tells a text's format by how its first line begins; fmtText if it is
// none of those known.
func recognise(s string) format {
	if len(s) < 8 {
		return fmtText
	}
	switch c := s[0]; {
	case c == '[':
		return recogniseBracket(s)
	case c == '<' && s[1]-'0' <= 9:
		return recogniseSyslog(s)
	case c-'0' <= 9:
		return recogniseDigit(s)
	case c == 'I' || c == 'W' || c == 'E' || c == 'F':
		if allDigits(s[1:5]) {
			if _, head := withoutYear(s); head[5] == ' ' && klogHead(head) > 0 {
				return fmtKlog
			}
		}
	}
	return recogniseWord(s)
}

func recogniseBracket(s string) format {
	if natsHead(s).level != "" {
		return fmtNATSServer
	}
	if c, n := isoTime(s[1:]); n > 0 {
		return recogniseBracketed(s, c.zone, n)
	}
	if _, n := commonLogTime(s[1:]); n > 0 && strings.HasPrefix(s[n+1:], `] "`) {
		return fmtAccess
	}
	if l := leadTime(s[1:]); l.n > 0 && len(s) > l.n+1 && (!l.noDate && s[l.n+1] == ']' || levelAhead(s[l.n+1:])) {
		return fmtPattern
	}
	return recognisePrefixed(s)
}

// recogniseBracketed tells lines apart that begin with an ISO time in brackets; n is
// its length.
func recogniseBracketed(s string, zone bool, n int) format {
	switch {
	case len(s) < n+4:
		return fmtText
	case s[n+1] != ']':
		if levelInBracket(s[n+1:]) || strings.HasPrefix(s[n+1:], " #") {
			return fmtPattern
		}
		return fmtText
	case zone && (s[n+3] == '"' || s[n+2] == '"'):
		return fmtEnvoy
	}
	return fmtPattern
}

// recognisePrefixed knows what stands before the time of lines of Go: a prefix of
// the log package, the name of Gin, a level in brackets.
func recognisePrefixed(s string) format {
	if strings.HasPrefix(s, "[GIN] 2") {
		return fmtAccess
	}
	if _, at := levelFirst(s); at > 0 {
		return fmtPattern
	}
	if goPrefix(s) > 0 {
		return fmtGoLog
	}
	return fmtText
}

func recogniseDigit(s string) format {
	if c, n := isoTime(s); n > 0 && n < len(s) {
		return recogniseDated(s, c.zone, n)
	}
	if recogniseAccess(s) == fmtAccess {
		return fmtAccess
	}
	l := leadTime(s)
	switch {
	case l.n == 0 || l.n >= len(s):
		return fmtText
	case l.isEpoch && s[l.n] == '\t':
		return fmtZapConsole
	case l.noDate || l.isEpoch:
		if levelAhead(s[l.n:]) {
			return fmtPattern
		}
		return fmtText
	}
	return fmtPattern
}

// recogniseDated tells formats apart that begin with a date; n is its length.
func recogniseDated(s string, zone bool, n int) format {
	rest := s[n:]
	switch {
	case s[4] == '/' && natsHead(s).level != "":
		return fmtNATSServer
	case s[4] == '/':
		if _, _, ok := grpcLevel(rest); ok {
			return fmtGRPCLog
		}
		return fmtGoLog
	case rest[0] == '\t':
		return fmtZapConsole
	case strings.HasPrefix(rest, " - ") && strings.Count(firstLine(rest), " - ") >= 3:
		return fmtPython
	case zone && s[10] == 'T' && rest[0] == ' ' && syslogTag(rest[1:]) > 0:
		return fmtSyslog
	}
	return fmtPattern
}

func recogniseWord(s string) format {
	if isPythonBasic(s) {
		return fmtPython
	}
	if month(s[:3]) != 0 || weekday(s[:3]) {
		if f := recogniseMonth(s); f != fmtText {
			return f
		}
	}
	if _, _, end := logrusHead(s); end > 0 {
		return fmtPattern
	}
	if f := recognisePrefixed(s); f != fmtText {
		return f
	}
	if isLogfmt(s) {
		return fmtLogfmt
	}
	return recogniseAccess(s)
}

// recogniseMonth is for lines that begin with the name of a month or a day.
func recogniseMonth(s string) format {
	if _, n := monthDayTime(s); n > 0 && n < len(s) && s[n] == ' ' {
		return fmtSyslog
	}
	if l := leadTime(s); l.n > 0 && l.n < len(s) {
		return fmtPattern
	}
	return fmtText
}

// startsEvent reports whether a line begins an event whatever stood before it.
func startsEvent(s string) bool {
	return len(s) > 0 && (s[0] == '{' || s[0] == 0x1b || recognise(s) != fmtText || crashes(s))
}

func firstLine(s string) string {
	if i := strings.IndexByte(s, '\n'); i >= 0 {
		return s[:i]
	}
	return s
}

// civilTime takes a time that stood at a known place.
func (d *Decoder) civilTime(c *civil, dated bool) {
	d.m.timeKey = true
	if dated {
		st := d.m.zones.stampOf(c)
		d.ev.Time, d.ev.TimeQuality = st.ns, st.quality
	} else if st, ok := d.m.zones.withYear(c); ok {
		d.ev.Time, d.ev.TimeQuality = st.ns, st.quality
	}
}

func (d *Decoder) setLevel(sev severity) {
	d.ev.Level, d.ev.SeverityNumber = sev.level, sev.number
}
