package decode

import (
	"strings"

	"corral/event"
)

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
	if w := head[:wordLen(head)]; len(w) < len(head) && (isLevelWord(w) || head[len(w)] == ':' && spokenLevels[strings.ToLower(w)]) {
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

// spokenLevels are the words that say a level before a colon in any case: "error:
// text" of winston, .NET's console ("fail: Category[0]") and command line tools.
var spokenLevels = map[string]bool{
	"error": true, "warn": true, "warning": true, "info": true, "debug": true, "verbose": true, "fatal": true, "critical": true,
	"fail": true, "crit": true, "trce": true, "dbug": true, "panic": true, "severe": true,
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

// traceError finds what happened in a text that goes on with a stack trace, or that
// is the report of a crash.
func traceError(s string) string {
	crash := crashes(s)
	first, rest, ok := strings.Cut(s, "\n")
	if !ok && !crash {
		return ""
	}
	first = strings.TrimRight(first, "\r")
	if crash {
		return crashError(first, rest)
	}
	if j := strings.Index(s, pyTrace); j >= 0 {
		return errorLine(s[j:])
	}
	if !stackFollows(rest) && !strings.Contains(rest, "\n\tat ") && !strings.Contains(rest, "\n    at ") {
		return ""
	}
	if stackFollows(rest) {
		if strings.Contains(first, "Exception") || strings.Contains(first, "Error") {
			return first
		}
		return ""
	}
	return strings.TrimRight(firstLine(strings.TrimLeft(rest, "\r\n")), "\r")
}

// stackFollows reports whether a text begins with a frame of a stack of Java's,
// .NET's or JavaScript's.
func stackFollows(s string) bool {
	frame := strings.TrimLeft(s, " \t")
	return len(frame) < len(s) && strings.HasPrefix(frame, "at ")
}

// crashError takes what happened out of the head of a crash report; Rust's says it in
// the second line.
func crashError(head, rest string) string {
	switch {
	case strings.HasPrefix(head, "Exception in thread "):
		if _, what, ok := strings.Cut(head[len("Exception in thread "):], `" `); ok {
			return what
		}
	case strings.HasPrefix(head, "thread '") && rest != "":
		return firstLine(rest)
	}
	for _, mark := range [...]string{"panic: ", "fatal error: ", "Unhandled exception. "} {
		if what, ok := strings.CutPrefix(head, mark); ok {
			return what
		}
	}
	return head
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
	if ev.NATS.ErrCode != 0 && ev.Kind == "log" {
		errReason(ev, ev.Error+"\n"+ev.Message)
	}
	if ev.NATS.Reason == "" && ev.Kind == "log" && !permissionFacts(&ev.NATS, ev.Error) {
		permissionFacts(&ev.NATS, ev.Message)
	}
	if ev.NATS.Subject == "" && ev.Kind == "log" {
		ev.NATS.Subject = firstText(subscriptionFact(ev.Error), subscriptionFact(ev.Message))
	}
	if m.have&(1<<fAnySubject|1<<fAnyStream|1<<fAnyConsumer) != 0 {
		m.natsClientFacts(ev)
	}
}

// subscriptionFact finds the subject in what nats.go prints of an asynchronous
// error: `nats: slow consumer, messages dropped on connection [5] for subscription
// on "prices.eu"`, whose quotes a log may have escaped.
func subscriptionFact(s string) string {
	if !strings.HasSuffix(s, `"`) {
		return ""
	}
	subject := strings.TrimLeft(after(s, " for subscription on "), "\\\"")
	return subject[:wordEnd(subject)]
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
