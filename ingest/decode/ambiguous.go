package decode

import (
	"strings"

	"corral/event"
)

// fillAmbiguous uses keys that mean what they seem to only in company.
func (m *mapper) fillAmbiguous(ev *event.Event) {
	if m.has(fAnyMethod) {
		m.anyMethod(ev)
	}
	if m.has(fAnyRoute) && ev.HTTP.Route == "" && ev.HTTP.Method != "" {
		ev.HTTP.Route = m.vals[fAnyRoute].text(&m.arena)
	}
	if m.has(fRequestLine) && ev.HTTP.Method == "" {
		m.requestLine(ev)
	}
	if m.has(fAnyStatus) {
		m.anyStatus(ev, fAnyStatus)
	}
	if m.has(fAnyCode) {
		m.anyStatus(ev, fAnyCode)
	}
	web := ev.HTTP.Method != "" || ev.HTTP.Status != 0 || ev.HTTP.Route != ""
	if m.has(fAnyPath) && web && ev.HTTP.Path == "" {
		ev.HTTP.Path = urlPath(m.vals[fAnyPath].text(&m.arena))
	}
	if m.has(fAnyDuration) {
		m.anyDuration(ev, web)
	}
	if m.has(fStack) && ev.Error == "" {
		ev.Error = stackError(m.vals[fStack].text(&m.arena))
	}
}

func (m *mapper) anyMethod(ev *event.Event) {
	s := m.vals[fAnyMethod].text(&m.arena)
	switch {
	case fullMethod(s):
		m.fillRPCMethod(ev, s)
	case ev.HTTP.Method == "":
		ev.HTTP.Method, _ = httpVerb(s)
	}
}

// requestLine reads "GET /path HTTP/1.1".
func (m *mapper) requestLine(ev *event.Event) {
	method, rest, ok := strings.Cut(m.vals[fRequestLine].text(&m.arena), " ")
	if !ok {
		return
	}
	ev.HTTP.Method, _ = httpVerb(method)
	path, _, _ := strings.Cut(rest, " ")
	ev.HTTP.Path = firstText(ev.HTTP.Path, urlPath(path))
}

func (m *mapper) anyStatus(ev *event.Event, f field) {
	s := m.vals[f].text(&m.arena)
	if n, ok := statusNumber(s); ok {
		if ev.HTTP.Status == 0 && f == fAnyStatus {
			ev.HTTP.Status = int(n)
		}
		return
	}
	rpc := ev.RPC.System != "" || ev.RPC.Service != "" || ev.RPC.Method != ""
	if ev.RPC.Code == "" && (rpc || unmistakable(s)) {
		ev.RPC.Code, _ = grpcCode(s)
	}
}

func (m *mapper) anyDuration(ev *event.Event, web bool) {
	switch {
	case ev.RPC.Method != "" || ev.RPC.Service != "" || ev.RPC.System != "":
		if ev.RPC.DurationMS == 0 {
			ev.RPC.DurationMS = m.millis(fAnyDuration)
		}
	case web && ev.HTTP.DurationMS == 0:
		ev.HTTP.DurationMS = m.millis(fAnyDuration)
	}
}

// httpVerb returns a request method in capitals, and whether it is one of HTTP's;
// others stay as they are, and "-" is none.
func httpVerb(s string) (string, bool) {
	for _, verb := range httpVerbs {
		if len(s) == len(verb) && (s == verb || strings.EqualFold(s, verb)) {
			return verb, true
		}
	}
	return dash(s), false
}

var httpVerbs = [...]string{"GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "CONNECT", "TRACE"}

// fullMethod reports whether s is gRPC's /package.Service/Method.
func fullMethod(s string) bool {
	if len(s) < 4 || s[0] != '/' {
		return false
	}
	i := strings.IndexByte(s[1:], '/') + 1
	return i > 1 && i < len(s)-1 && strings.IndexByte(s[i+1:], '/') < 0 && strings.IndexByte(s[:i], '.') > 0
}
