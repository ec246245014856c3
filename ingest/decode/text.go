package decode

import (
	"strings"
	"unicode/utf8"

	"corral/event"
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
	if d.ev.Level == "" {
		d.guessLevel(s)
	}
	if d.ev.Error == "" {
		d.ev.Error = traceError(s)
	}
	d.finish(redact(raw), f, env)
}

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
		if allDigits(s[1:5]) && s[5] == ' ' && klogHead(s) > 0 {
			return fmtKlog
		}
	}
	return recogniseWord(s)
}

func recogniseBracket(s string) format {
	if natsHead(s).level != "" {
		return fmtNATSServer
	}
	c, n := isoTime(s[1:])
	if n == 0 || len(s) < n+4 || s[n+1] != ']' {
		return fmtText
	}
	if c.zone && (s[n+3] == '"' || s[n+2] == '"') {
		return fmtEnvoy
	}
	return fmtPattern
}

func recogniseDigit(s string) format {
	if c, n := isoTime(s); n > 0 && n < len(s) {
		return recogniseDated(s, c.zone, n)
	}
	if _, n := clockTime(s); n > 0 && n < len(s) && s[n] == ' ' {
		if levelAhead(s[n:]) {
			return fmtPattern
		}
		return fmtText
	}
	return recogniseAccess(s)
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
	if _, n := monthDayTime(s); n > 0 && n < len(s) && s[n] == ' ' {
		return fmtSyslog
	}
	if isLogfmt(s) {
		return fmtLogfmt
	}
	return recogniseAccess(s)
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

// goLog reads the lines of Go's log package.
func (d *Decoder) goLog(s string) bool {
	c, n := isoTime(s)
	if n == 0 {
		return false
	}
	d.civilTime(&c, true)
	d.body(strings.TrimLeft(s[n:], " "))
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
	if n == 0 {
		return false
	}
	line := firstLine(s)
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

// guessLevel looks for a level in a text that has none at a known place: as its
// first word, or in brackets or after "level=" near the beginning.
func (d *Decoder) guessLevel(s string) {
	head := clip(firstLine(s), 120)
	if opensTrace(head) {
		d.setLevel(severity{"error", 17})
		if strings.HasPrefix(head, "panic: ") || strings.HasPrefix(head, "fatal error: ") {
			d.setLevel(severity{"fatal", 21})
		}
		return
	}
	if w := head[:wordLen(head)]; isLevelWord(w) && len(w) < len(head) {
		sev, _ := levelWord(w)
		d.setLevel(sev)
		return
	}
	for _, mark := range []string{"[", "level=", "severity=", `"level":`, `"severity":`} {
		if i := strings.Index(head, mark); i >= 0 {
			w := strings.TrimLeft(head[i+len(mark):], `" `)
			if n := wordLen(w); isLevelWord(w[:n]) || mark != "[" && n > 2 {
				if sev, ok := levelWord(w[:n]); ok {
					d.setLevel(sev)
					return
				}
			}
		}
	}
}

// isLevelWord is strict: a level written in capitals.
func isLevelWord(w string) bool {
	if len(w) < 3 || len(w) > 11 {
		return false
	}
	for i := 0; i < len(w); i++ {
		if w[i]-'A' > 'Z'-'A' {
			return false
		}
	}
	_, ok := levelWord(w)
	return ok && w != "LOG" && w != "ALL" && w != "HTTP" && w != "DEFAULT" && w != "CONFIG" && w != "NOTE" && w != "SUCCESS"
}

// traceError finds what happened in a text that goes on with a stack trace.
func traceError(s string) string {
	i := strings.IndexByte(s, '\n')
	if i < 0 {
		return ""
	}
	if j := strings.Index(s, "Traceback (most recent call last)"); j >= 0 {
		return errorLine(s[j:])
	}
	if !strings.Contains(s[i:], "\n\tat ") && !strings.Contains(s[i:], "\n    at ") {
		return ""
	}
	if second := firstLine(s[i+1:]); !strings.HasPrefix(strings.TrimLeft(second, " \t"), "at ") {
		return second
	}
	return ""
}

// textFacts finds facts that services write into their messages.
func textFacts(ev *event.Event, m *mapper) {
	if ev.TraceID == "" && ev.Message != "" {
		trace, span := textIDs(ev.Message)
		if trace != "" {
			ev.TraceID = m.traceID(trace)
			if ev.SpanID == "" {
				ev.SpanID = m.hexID(span, 16)
			}
		}
	}
	if ev.RPC.Code == "" {
		if code, ok := rpcError(ev.Error); ok {
			ev.RPC.Code = code
		} else if code, ok := rpcError(ev.Message); ok {
			ev.RPC.Code = code
		}
	}
	if ev.NATS.ErrCode == 0 && ev.Kind == "log" {
		if ev.NATS.ErrCode = natsErrCode(ev.Error); ev.NATS.ErrCode == 0 {
			ev.NATS.ErrCode = natsErrCode(ev.Message)
		}
	}
	if ev.NATS.Reason == "" && ev.Kind == "log" && !permissionFacts(&ev.NATS, ev.Error) {
		permissionFacts(&ev.NATS, ev.Message)
	}
	if m.have&(1<<fAnySubject|1<<fAnyStream|1<<fAnyConsumer) != 0 {
		m.natsClientFacts(ev)
	}
}

// permissionFacts finds what a NATS client was not allowed to do:
// `Permissions Violation for Publish to "orders.new"`. Clients of all languages
// pass the server's words on, whose quotes a log may have escaped.
func permissionFacts(n *event.NATS, s string) bool {
	const mark = "ermissions Violation for "
	if strings.IndexByte(s, 'V') < 0 {
		return false
	}
	i := strings.Index(s, mark)
	if i < 0 {
		return false
	}
	n.Reason = "Permissions Violation"
	if _, subject, ok := strings.Cut(s[i+len(mark):], " to "); ok && n.Subject == "" {
		subject = strings.TrimLeft(subject, "\\\"'")
		n.Subject = subject[:wordEnd(subject)]
	}
	return true
}

// wordEnd is where a subject in a text ends.
func wordEnd(s string) int {
	if i := strings.IndexAny(s, "\\\"' ,;"); i >= 0 {
		return i
	}
	return len(s)
}

// redact removes the tokens that NATS servers put into connection events and
// traces: a bearer JWT is a usable secret.
func redact(s string) string {
	const mark = `"jwt":"`
	i := strings.Index(s, mark)
	if i < 0 {
		return s
	}
	var b strings.Builder
	for ; i >= 0; i = strings.Index(s, mark) {
		b.WriteString(s[:i+len(mark)])
		s = s[i+len(mark):]
		if end := strings.IndexByte(s, '"'); end >= 0 {
			s = s[end:]
		} else {
			s = ""
		}
	}
	return b.String() + s
}
