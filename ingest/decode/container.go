package decode

import (
	"strings"
)

// criPart is a line as a Kubernetes runtime writes it.
type criPart struct {
	time, stream, text string
	whole              bool
}

// criLine reads "2019-05-07T19:10:41.655120034+00:00 stderr F text".
func criLine(s string) (p criPart, ok bool) {
	if len(s) < 30 || s[4] != '-' || s[10] != 'T' {
		return p, false
	}
	p.time, s, _ = strings.Cut(s, " ")
	p.stream, s, ok = strings.Cut(s, " ")
	if !ok || p.stream != "stdout" && p.stream != "stderr" {
		return p, false
	}
	tag, text, ok := strings.Cut(s, " ")
	if !ok {
		tag, text = s, ""
	}
	flag, _, _ := strings.Cut(tag, ":")
	if flag != "F" && flag != "P" {
		return p, false
	}
	p.text, p.whole = text, flag == "F"
	return p, true
}

// criLine joins the parts of long lines, stream by stream.
func (d *Decoder) criLine(p criPart, env *envelope) {
	in := *env
	in.depth++
	in.stream = p.stream
	in.time = d.instant(p.time, env.time)
	kind := partLine
	if p.whole {
		kind = wholeLine
	}
	d.streamLine(p.text, kind, &in)
}

// streamLine takes a line, or a part of one, that a runtime wrapped.
func (d *Decoder) streamLine(text string, kind pieceKind, env *envelope) {
	d.flushUnless(func(g *group) bool { return g.stream != "" })
	g := d.groups.find(env.stream)
	if g != nil && (g.piece == partLine || g.piece == maybePart && kind == wholeLine) {
		g.add("", text)
		g.last = d.line
		if g.piece = kind; kind == wholeLine {
			g.recognise(d)
		}
		return
	}
	if (kind == wholeLine || kind == trimmedLine) && strings.HasPrefix(text, "{") {
		if g != nil {
			d.flush(g)
		}
		d.spans.starts(env.stream, text)
		if !d.spans.add(d.line, d.line, env.stream) {
			d.inner(text, env)
		}
		return
	}
	if g != nil && kind != wholeLine {
		d.flush(g)
	}
	d.logical(env.stream, text, env)
	if g = d.groups.find(env.stream); g != nil {
		g.piece = kind
	}
}

// dockerLine takes a line of Docker's json-file driver that js has just read.
func (d *Decoder) dockerLine(env *envelope) bool {
	j := &d.js
	if !j.has(markLog) || !j.has(markStream) || !j.has(markTime) || j.has(markKubernetes) || j.repeat || j.marks[markLog].kind != kString {
		return false
	}
	in := *env
	in.depth++
	in.stream = j.text(markStream, &d.m.arena)
	in.time = d.instant(j.text(markTime, &d.m.arena), env.time)
	d.dockerAttrs(&in)
	text := j.text(markLog, &d.m.arena)
	d.streamLine(strings.TrimRight(text, "\r\n"), dockerKind(text), &in)
	return true
}

// dockerPiece is the size in which Docker cuts long lines.
const dockerPiece = 16 << 10

// dockerKind tells parts of lines from lines. Docker keeps a line's newline, so a
// text without is a part, unless something on the way has trimmed all of them:
// then no text ends in a newline and nothing is joined.
func dockerKind(text string) pieceKind {
	switch {
	case strings.HasSuffix(text, "\n"):
		return wholeLine
	case len(text) >= dockerPiece:
		return partLine
	}
	if end, k := endValue(bytesOf(text), 0, 0); end == len(text) && k == kObject {
		return trimmedLine
	}
	return maybePart
}
