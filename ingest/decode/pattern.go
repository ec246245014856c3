package decode

import (
	"strings"

	"corral/event"
)

// pattern reads the lines of layouts that begin with a time, or a level and a time,
// and say level, thread and logger before the message, in whatever order: logback,
// log4j, Spring Boot, Kafka, Serilog's, zerolog's and logrus' consoles, and what
// Ruby, PHP, Rust and databases write.
func (d *Decoder) pattern(s string) bool {
	if sev, at, end := logrusHead(s); end > 0 {
		d.logrus(s, sev, at, end)
		return true
	}
	if sev, at := levelFirst(s); at > 0 {
		d.setLevel(sev)
		s = s[at:]
	}
	bracket := strings.HasPrefix(s, "[")
	rest := strings.TrimPrefix(s, "[")
	if st, n := d.m.zones.prefix(s); n > 0 {
		d.m.timeKey = true
		d.ev.Time, d.ev.TimeQuality = st.ns, st.quality
		bracket, rest = false, s[n:]
	} else if l := leadTime(rest); l.n > 0 {
		d.leadTime(&l)
		rest = rest[l.n:]
	} else {
		return false
	}
	if bracket {
		rest = d.restOfBracket(rest)
	}
	if piped(rest) {
		d.pipes(rest[1:])
		return true
	}
	zerolog := zerologLevel(rest)
	d.afterTime(strings.TrimLeft(rest, " \t|:"))
	switch {
	case isObject(d.ev.Message): // what was logged in JSON, with the time or more before it
		d.objectPairs(d.ev.Message)
	case bracket:
		d.kafkaLogger()
	case zerolog:
		d.fieldsAtEnd()
	case d.ev.Level == "":
		d.javaUtilLogging()
	}
	return true
}

// leadTime takes the time a line began with.
func (d *Decoder) leadTime(l *lead) {
	switch {
	case l.noDate: // the envelope's or arrival's
	case l.isEpoch:
		d.m.timeKey = true
		d.ev.Time, d.ev.TimeQuality = l.epoch, event.TimeExact
	default:
		d.civilTime(&l.civil, !l.noYear)
	}
}

// restOfBracket reads what stands beside the time in its brackets and returns what
// is after them: "[2026-11-22T08:34:01Z ERROR my::mod] text".
func (d *Decoder) restOfBracket(s string) string {
	end := strings.IndexByte(firstLine(s), ']')
	if end < 0 {
		return s
	}
	for _, w := range bracketWords(s[:end]) {
		switch {
		case d.ev.Level == "" && levelToken(w):
			sev, _ := levelWord(strings.Trim(w, "[]|: "))
			d.setLevel(sev)
		case w[:1] == "#" && allDigits(w[1:]): // Ruby's process
			d.pairText("pid", w[1:])
		case d.ev.Level != "" && strings.ContainsAny(w, ".:") && isName(w):
			d.ev.Logger = w
		case w != ":" && isName(w):
			d.pairText("thread", w)
		}
	}
	return s[end+1:]
}

// bracketWords divides what stands beside a time in its brackets.
func bracketWords(s string) []string {
	return strings.FieldsFunc(s, func(r rune) bool { return r == ' ' || r == '/' || r == ',' })
}

// levelInBracket reports whether a level stands beside a time in its brackets.
func levelInBracket(s string) bool {
	end := strings.IndexByte(firstLine(s), ']')
	if end < 0 {
		return false
	}
	for _, w := range bracketWords(s[:end]) {
		if levelToken(w) {
			return true
		}
	}
	return false
}

// piped reports whether the fields after the time are divided by bars: NLog's
// "|ERROR|My.Logger|text".
func piped(s string) bool { return len(s) > 1 && s[0] == '|' && s[1] != ' ' }

func (d *Decoder) pipes(s string) {
	for {
		cell, rest, ok := strings.Cut(s, "|")
		switch {
		case !ok:
			d.ev.Message = strings.TrimLeft(s, " ")
			return
		case d.ev.Level == "" && levelToken(cell):
			sev, _ := levelWord(cell)
			d.setLevel(sev)
		case d.ev.Level != "" && d.ev.Logger == "" && isName(strings.TrimSpace(cell)):
			d.ev.Logger = strings.TrimSpace(cell)
		default:
			d.ev.Message = strings.TrimLeft(s, " ")
			return
		}
		s = rest
	}
}

// zerologLevel reports whether a line goes on with a level as zerolog's console
// writes it.
func zerologLevel(s string) bool {
	if len(s) < 5 || s[0] != ' ' || s[4] != ' ' {
		return false
	}
	switch s[1:4] {
	case "TRC", "DBG", "INF", "WRN", "ERR", "FTL", "PNC":
		return true
	}
	return false
}

// fieldsAtEnd takes the key=value pairs off the end of a message.
func (d *Decoder) fieldsAtEnd() {
	if at := pairsAt(d.ev.Message); at >= 0 {
		d.pairs(d.ev.Message[at:])
		d.ev.Message = strings.TrimRight(d.ev.Message[:at], " ")
	}
}

// pairsAt returns where the key=value pairs begin that a text ends in, -1 if it does
// not end in any.
func pairsAt(s string) int {
	line := firstLine(s)
	if len(line) != len(s) {
		return -1
	}
	for at, tries := 0, 0; tries < 16; tries++ {
		eq := strings.IndexByte(line[at:], '=')
		if eq < 0 {
			return -1
		}
		start := strings.LastIndexByte(line[:at+eq], ' ') + 1
		if start >= at && onlyPairs(line[start:]) {
			return start
		}
		at += eq + 1
	}
	return -1
}

func onlyPairs(s string) bool {
	for s != "" {
		_, rest, ok := cutKey(s)
		if !ok {
			return false
		}
		if _, rest, ok = cutValue(rest, nil); !ok {
			return false
		}
		s = strings.TrimLeft(rest, " ")
	}
	return true
}

// javaUtilLogging reads the second line of java.util.logging's two: the level and
// the message; the first one is where it was logged.
func (d *Decoder) javaUtilLogging() {
	where, text, ok := strings.Cut(d.ev.Message, "\n")
	level, rest, isLevel := strings.Cut(text, ": ")
	if !ok || !isLevel || !isLevelWord(level) && level != "CONFIG" {
		return
	}
	sev, _ := levelWord(level)
	d.setLevel(sev)
	d.ev.Logger, d.ev.Message = where[:tokenLen(where)], rest
}

// logrusHead reads the head of a line of logrus' console: "ERRO[0042] text" or
// "INFO[2026-11-22T08:34:01Z] text", with a place in the source behind the bracket.
// at is what stands in it, end where it ends, 0 if s is no such line.
func logrusHead(s string) (sev severity, at string, end int) {
	if len(s) < 8 || s[4] != '[' {
		return sev, "", 0
	}
	switch s[:4] {
	case "TRAC", "DEBU", "INFO", "WARN", "ERRO", "FATA", "PANI":
	default:
		return sev, "", 0
	}
	i := strings.IndexByte(clip(s, 64), ']')
	if i < 6 {
		return sev, "", 0
	}
	if at = s[5:i]; !allDigits(at) && leadTime(at).n != len(at) {
		return sev, "", 0
	}
	sev, _ = levelWord(s[:4])
	return sev, at, i + 1
}

func (d *Decoder) logrus(s string, sev severity, at string, end int) {
	d.setLevel(sev)
	if l := leadTime(at); l.n == len(at) {
		d.leadTime(&l)
	}
	rest := s[end:]
	if rest != "" && rest[0] != ' ' {
		d.pairText("caller", rest[:tokenLen(rest)])
		rest = rest[tokenLen(rest):]
	}
	d.ev.Message = strings.Trim(rest, " ")
	d.fieldsAtEnd()
}

// levelFirst returns the level of a line that has it before the time, and where what
// holds the time begins; 0 if s is no such line.
func levelFirst(s string) (sev severity, at int) {
	n := strings.IndexAny(clip(s, 16), " \t")
	if n < 2 {
		return sev, 0
	}
	w := s[:n]
	for at = n; at < len(s) && (s[at] == ' ' || s[at] == '\t'); at++ {
	}
	if at >= len(s) || s[at] != '[' && s[at]-'0' > 9 {
		return sev, 0
	}
	if len(w) == 2 && w[1] == ',' && strings.IndexByte("DIWEFA", w[0]) >= 0 { // Ruby's
		w = w[:1]
	} else if w[0] == '[' && w[n-1] == ']' {
		w = w[1 : n-1]
	}
	if sev, _ = levelWord(w); sev.level == "" || len(w) > 1 && !isLevelWord(w) {
		return sev, 0
	}
	if l := leadTime(strings.TrimPrefix(s[at:], "[")); l.n == 0 || l.noDate {
		return sev, 0
	}
	return sev, at
}

// kafkaLogger takes the logger off the end of Kafka's first line: "text
// (kafka.server.ReplicaManager)".
func (d *Decoder) kafkaLogger() {
	d.ev.Message = strings.TrimPrefix(d.ev.Message, ", ")
	line := firstLine(d.ev.Message)
	i := strings.LastIndex(line, " (")
	if i < 0 || d.ev.Logger != "" || !strings.HasSuffix(line, ")") {
		return
	}
	name := line[i+2 : len(line)-1]
	if !isName(name) || !strings.Contains(name, ".") {
		return
	}
	d.ev.Logger = name
	if len(line) == len(d.ev.Message) {
		d.ev.Message = line[:i]
	}
}

// afterTime reads what stands between the time and the message.
func (d *Decoder) afterTime(s string) {
	for range 8 {
		w := s[:tokenLen(s)]
		rest := strings.TrimLeft(s[len(w):], " \t")
		switch {
		case w == "" || rest == "" && w != "-":
			d.ev.Message = s
			return
		case w == "-" && d.ev.Level != "" && !bracketAhead(rest):
			d.ev.Message = rest
			return
		case w == "-" || w == "---" || w == "|" || w == ":" || w == "--":
		case d.ev.Level == "" && levelToken(w):
			sev, _ := levelWord(strings.Trim(w, "[]|: "))
			d.setLevel(sev)
		case d.ev.Level == "" && d.channelLevel(w):
		case isLocation(w) && strings.HasPrefix(rest, "> "): // zerolog's caller
			d.pairText("caller", w)
			rest = rest[2:]
		case strings.HasPrefix(rest, "-- ") && levelToken(w): // Ruby says it twice
		case d.ev.Level == "" && levelToken(rest[:tokenLen(rest)]) && (allDigits(w) || strings.IndexByte(w, '@') > 0):
			d.pairText(beforeLevel(w), w) // MySQL's thread, PostgreSQL's user@database
		case isUUID(w):
			d.ev.RequestID = w
		case w[0] == '[' && w[len(w)-1] == ']' || w[0] == '(' && w[len(w)-1] == ')':
			d.bracketed(w[1 : len(w)-1])
		case allDigits(w) && strings.HasPrefix(rest, "--- "):
			d.pairText("pid", w)
		case d.ev.Level != "" && d.ev.Logger == "" && loggerToken(w, rest):
			d.ev.Logger = strings.TrimSuffix(w, ":")
			d.ev.Message = strings.TrimLeft(trimSeparator(rest), " ")
			return
		default:
			d.ev.Message = s
			return
		}
		s = rest
	}
	d.ev.Message = s
}

// bracketAhead reports whether a thread or the like follows.
func bracketAhead(s string) bool { return strings.HasPrefix(s, "[") }

func trimSeparator(s string) string {
	for _, sep := range []string{"- ", ": ", "-- ", "| "} {
		if rest, ok := strings.CutPrefix(s, sep); ok {
			return rest
		}
	}
	return s
}

// tokenLen returns the length of the word or bracketed text s starts with.
func tokenLen(s string) int {
	if s == "" {
		return 0
	}
	if s[0] == '[' {
		if i := strings.IndexByte(firstLine(s), ']'); i > 0 {
			return i + 1
		}
	}
	if i := strings.IndexAny(s, " \t\n"); i >= 0 {
		return i
	}
	return len(s)
}

// channelLevel takes "app.ERROR:", the channel and level of PHP's Monolog.
func (d *Decoder) channelLevel(w string) bool {
	w, ok := strings.CutSuffix(w, ":")
	i := strings.LastIndexByte(w, '.')
	if !ok || i <= 0 || !isLevelWord(w[i+1:]) {
		return false
	}
	sev, _ := levelWord(w[i+1:])
	d.setLevel(sev)
	d.ev.Logger = w[:i]
	return true
}

func beforeLevel(w string) string {
	if allDigits(w) {
		return "thread"
	}
	return "user"
}

func isUUID(s string) bool {
	if len(s) != 36 || s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-' {
		return false
	}
	return isHex(s[:8]) && isHex(s[9:13]) && isHex(s[14:18]) && isHex(s[19:23]) && isHex(s[24:])
}

// levelToken recognises a level between brackets or bare, with a colon or
// without.
func levelToken(w string) bool {
	w = strings.Trim(w, "[]|: ")
	if len(w) < 3 || len(w) > maxLevelWord {
		return false
	}
	_, ok := levelWord(w)
	return ok && isLevelWord(strings.ToUpper(w))
}

// levelAhead reports whether a level stands among the first words of s.
func levelAhead(s string) bool {
	for range 4 {
		s = strings.TrimLeft(s, " -|")
		w := s[:tokenLen(s)]
		if w == "" {
			return false
		}
		if levelToken(w) {
			return true
		}
		s = s[len(w):]
	}
	return false
}

var bare = strings.NewReplacer("[", "", "]", "")

// loggerToken recognises a logger's name: a class or a dotted name, or a word
// that a separator follows.
func loggerToken(w, rest string) bool {
	if strings.Contains(w, ".[") { // Tomcat's: org.apache.….ContainerBase.[Tomcat].[localhost].[/].[dispatcherServlet]
		w = bare.Replace(w)
	}
	if strings.HasPrefix(rest, "- ") || strings.HasPrefix(rest, ": ") || strings.HasPrefix(rest, "| ") || strings.HasSuffix(w, ":") && isName(w[:len(w)-1]) {
		return isName(strings.TrimSuffix(w, ":"))
	}
	return isName(w) && strings.ContainsAny(w, ".#$") && !strings.HasSuffix(w, ".")
}

func isName(s string) bool {
	for i := 0; i < len(s); i++ {
		if c := s[i]; !isWord(c) && c != '.' && c != '#' && c != '$' && c != '-' && c != '/' && c != ':' {
			return false
		}
	}
	return s != "" && s[0]-'0' > 9
}

// bracketed takes what stood in brackets: ids, an app's name with them as Spring
// writes it, else the thread.
func (d *Decoder) bracketed(s string) {
	parts := strings.FieldsFunc(s, func(r rune) bool { return r == ',' || r == '-' || r == ' ' })
	for i, p := range parts {
		if len(p) == 32 && isHex(p) {
			d.ev.TraceID = p
			if i+1 < len(parts) && len(parts[i+1]) == 16 && isHex(parts[i+1]) {
				d.ev.SpanID = parts[i+1]
			}
			if app, _, ok := strings.Cut(s, ","); ok && i > 0 {
				d.pairText("app", app)
			}
			return
		}
	}
	s = strings.TrimSpace(s)
	module, level, ok := strings.Cut(s, ":")
	switch {
	case isLocation(s):
		d.pairText("caller", s)
	case strings.IndexByte(s, '=') > 0 && onlyPairs(s):
		d.pairs(s)
	case ok && d.ev.Level == "" && isName(module) && levelToken(level): // Apache's [core:error]
		sev, _ := levelWord(level)
		d.setLevel(sev)
		d.ev.Logger = module
	case strings.HasPrefix(s, "client "):
		d.ev.HTTP.Client = hostOf(s[len("client "):])
	case strings.HasPrefix(s, "pid "):
		d.pairText("pid", s[len("pid "):][:tokenLen(strings.ReplaceAll(s[len("pid "):], ":", " "))])
	case d.ev.Level != "" && d.ev.Logger == "" && isName(s) && dotted(s):
		d.ev.Logger = s
	default:
		d.pairText("thread", s)
	}
}

// dotted reports whether a name is one of a class or module, not of a thread.
func dotted(s string) bool {
	i := strings.IndexByte(s, '.')
	return strings.Contains(s, "::") || i > 0 && i < len(s)-1 && isWord(s[i+1]) && s[i+1]-'0' > 9
}
