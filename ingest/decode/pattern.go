package decode

import "strings"

// pattern reads the lines of layouts that begin with a time and say level,
// thread and logger before the message, in whatever order: logback, log4j,
// Spring Boot, Kafka, Serilog's and zerolog's consoles.
func (d *Decoder) pattern(s string) bool {
	if n := levelFirst(s); n > 0 {
		sev, _ := levelWord(s[:wordLen(s)])
		d.setLevel(sev)
		s = s[n:]
	}
	bracket := strings.HasPrefix(s, "[")
	rest := strings.TrimPrefix(s, "[")
	if st, n := d.m.zones.prefix(s); n > 0 {
		d.m.timeKey = true
		d.ev.Time, d.ev.TimeQuality = st.ns, st.quality
		bracket, rest = false, s[n:]
	} else if c, n := isoTime(rest); n > 0 {
		d.civilTime(&c, true)
		rest = rest[n:]
	} else if _, n := clockTime(rest); n > 0 {
		rest = rest[n:]
	} else {
		return false
	}
	if bracket {
		rest = strings.TrimPrefix(rest, "]")
	}
	d.afterTime(strings.TrimLeft(rest, " |:"))
	if bracket {
		d.kafkaLogger()
	}
	return true
}

// levelFirst returns where the date begins in a line that has its level before it,
// 0 if it is none.
func levelFirst(s string) int {
	n := wordLen(s)
	if n == 0 || n >= len(s) || s[n] != ' ' || !isLevelWord(s[:n]) {
		return 0
	}
	for n < len(s) && s[n] == ' ' {
		n++
	}
	if _, dated := isoTime(s[n:]); dated == 0 {
		return 0
	}
	return n
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
		rest := strings.TrimLeft(s[len(w):], " ")
		switch {
		case w == "" || rest == "" && w != "-":
			d.ev.Message = s
			return
		case w == "-" && d.ev.Level != "" && !bracketAhead(rest):
			d.ev.Message = rest
			return
		case w == "-" || w == "---" || w == "|" || w == ":" || w == "--":
		case d.ev.Level == "" && levelToken(w):
			sev, _ := levelWord(strings.TrimSuffix(w, ":"))
			d.setLevel(sev)
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

// levelToken recognises a level between brackets or bare, with a colon or
// without.
func levelToken(w string) bool {
	w = strings.Trim(w, "[]|:")
	if len(w) < 3 {
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
	if isLocation(s) {
		d.pairText("caller", s)
		return
	}
	d.pairText("thread", strings.TrimSpace(s))
}
