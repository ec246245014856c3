package decode

import (
	"bytes"
	"strings"
)

const (
	maxLine    = 1 << 20   // longer lines of text are cut
	maxJoined  = 256 << 10 // of a multi-line event
	maxPieces  = 4096      // lines of a multi-line event
	maxMessage = 8 << 20   // decompressed
)

// lines decodes a run of whole lines.
func (d *Decoder) lines(data []byte) {
	d.groups.reset()
	env := envelope{}
	if h := d.csvHeader(data); h != nil {
		d.csvLines(data, h, &env)
		return
	}
	for at := 0; at < len(data); {
		end := bytes.IndexByte(data[at:], '\n')
		if end < 0 {
			end = len(data) - at
		}
		next := at + end + 1
		if len(d.groups.list) == 0 {
			d.m.arena.reset()
		}
		line := trimCR(data[at : at+end])
		switch {
		case len(line) > 0 && line[0] == '[' && d.arrayLine(view(line), &env):
		case len(line) > 0 && line[0] == '{':
			if n := d.objectLine(data, at, line, &env); n > 0 {
				d.line += uint64(n)
				at += lineOffset(data[at:], n)
				d.sub = 0
				continue
			}
		default:
			d.textLine(view(line), &env)
		}
		at = next
		d.line++
		d.sub = 0
	}
	last := d.line
	d.spans.openAt(last, &d.groups)
	d.flushAll()
	d.line = last
}

// arrayLine decodes a line that is a JSON array of objects or of Fluent Bit's
// pairs.
func (d *Decoder) arrayLine(s string, env *envelope) bool {
	i := skipSpace(bytesOf(s), 1)
	if i >= len(s) || s[i] != '{' && s[i] != '[' || s[len(s)-1] != ']' {
		return false
	}
	if end, _ := endValue(bytesOf(s), 0, 0); end != len(s) {
		return false
	}
	d.flushAll()
	return d.spans.add(d.line, d.line, "") || d.array(s, env)
}

// lineOffset returns where line n of data begins.
func lineOffset(data []byte, n int) int {
	at := 0
	for ; n > 0; n-- {
		i := bytes.IndexByte(data[at:], '\n')
		if i < 0 {
			return len(data)
		}
		at += i + 1
	}
	return at
}

func trimCR(b []byte) []byte {
	if n := len(b); n > 0 && b[n-1] == '\r' {
		return b[:n-1]
	}
	return b
}

// objectLine decodes the line at data[at:] that begins like a JSON object. It
// returns how many lines the object has if more than one.
func (d *Decoder) objectLine(data []byte, at int, line []byte, env *envelope) int {
	d.start()
	if d.js.whole(line) {
		d.wholeLine(view(line), env)
		return 0
	}
	if n := spannedObject(data[at:]); n > 0 {
		d.flushAll()
		lines := bytes.Count(data[at:at+n], []byte{'\n'}) + 1
		if !d.spans.add(d.line, d.line+uint64(lines)-1, "") {
			d.object(view(bytes.TrimSpace(data[at:at+n])), env)
		}
		return lines
	}
	d.textLine(view(line), env)
	return 0
}

// wholeLine goes on with a line that js has read.
func (d *Decoder) wholeLine(line string, env *envelope) {
	switch {
	case d.dockerLine(env):
	case d.spans != nil:
		d.flushAll()
		d.spans.add(d.line, d.line, "")
	case len(d.groups.list) == 0:
		d.scanned(line, line, env)
	default:
		d.flushAll() // which uses js for other texts
		d.object(line, env)
	}
}

// spannedObject returns the length of a JSON object that is written over several
// lines and is alone on its last one; 0 if data does not start with one.
func spannedObject(data []byte) int {
	i := bytes.IndexByte(data, '\n')
	if i < 0 || len(bytes.TrimRight(data[:i], " \r\t")) > 1 && !bytes.HasSuffix(bytes.TrimRight(data[:i], " \r\t"), []byte{','}) {
		return 0
	}
	end := endObject(data[:min(len(data), maxLine)], 1, 1)
	if end < 0 {
		return 0
	}
	for end < len(data) && data[end] != '\n' {
		if data[end] > ' ' {
			return 0
		}
		end++
	}
	return end
}

// groups are texts that may go on in the next line, one for each stream of a
// container log, else one.
type groups struct {
	list []*group
	free []*group
}

// group is an event that is being put together of lines.
type group struct {
	stream string
	env    envelope
	line   uint64 // it begins in
	last   uint64 // it has got to
	n      int    // lines so far
	text   string // of a single line, or of lines that follow each other in data
	buf    []byte // of several lines that do not
	format format // of its first line
	rigid  bool   // begins in a way after which every line that does not is its
	piece  pieceKind
	time   int64 // the envelope's, of the last line
}

// pieceKind says whether the last line of a group is only the first part of one.
type pieceKind uint8

const (
	wholeLine   pieceKind = iota
	partLine              // it is
	maybePart             // it is if a part with an end follows
	trimmedLine           // it is not, though it has no end
)

func (g *groups) reset() {
	g.free = append(g.free, g.list...)
	g.list = g.list[:0]
}

func (g *groups) find(stream string) *group {
	for _, x := range g.list {
		if x.stream == stream {
			return x
		}
	}
	return nil
}

func (d *Decoder) open(stream, text string, env *envelope) {
	g := &d.groups
	var x *group
	if n := len(g.free); n > 0 {
		x, g.free = g.free[n-1], g.free[:n-1]
	} else {
		x = new(group)
	}
	*x = group{stream: stream, env: *env, line: d.line, last: d.line, n: 1, text: text, buf: x.buf[:0], time: env.time}
	x.recognise(d)
	g.list = append(g.list, x)
}

func (g *groups) close(x *group) {
	for i, y := range g.list {
		if x == y {
			g.list = append(g.list[:i], g.list[i+1:]...)
			g.free = append(g.free, x)
			return
		}
	}
}

// add appends a line.
func (g *group) add(sep, line string) {
	if len(g.buf) == 0 {
		g.buf = append(g.buf, g.text...)
	}
	g.buf = append(append(g.buf, sep...), line...)
	g.text = view(g.buf)
	g.n++
}

// recognise looks at the first line once it is whole.
func (g *group) recognise(d *Decoder) {
	g.format = d.recognise(stripANSI(firstLine(g.text)))
	g.rigid = multiline[g.format] || opensTrace(g.text)
}

// multiline are the formats whose messages may go on in further lines.
var multiline = [nFormats]bool{
	fmtNATSServer: true, fmtKlog: true, fmtGoLog: true, fmtGRPCLog: true, fmtZapConsole: true, fmtPython: true, fmtPattern: true,
}

// full reports whether the event is as long as one may get.
func (g *group) full() bool { return len(g.text) > maxJoined || g.n > maxPieces }

// textLine takes a line that is not a JSON object.
func (d *Decoder) textLine(line string, env *envelope) {
	if c, ok := criLine(line); ok {
		d.criLine(c, env)
		return
	}
	d.flushUnless(func(g *group) bool { return g.stream == "" })
	d.logical("", line, env)
}

// flushUnless ends the events of other kinds of streams: lines that a container
// runtime wrapped and lines as they are do not go on in each other.
func (d *Decoder) flushUnless(keep func(*group) bool) {
	for i := 0; i < len(d.groups.list); {
		if g := d.groups.list[i]; !keep(g) {
			d.flush(g)
			continue
		}
		i++
	}
}

// logical takes a whole line of a stream: it goes on the stream's event or begins
// a new one.
func (d *Decoder) logical(stream, line string, env *envelope) {
	g := d.groups.find(stream)
	if g != nil && !g.full() && d.goesOn(g, line, env.time) {
		g.add("\n", line)
		g.time, g.last = env.time, d.line
		return
	}
	if g != nil {
		d.flush(g)
	}
	if strings.TrimSpace(line) == "" {
		return
	}
	d.spans.starts(stream, line)
	d.open(stream, line, env)
}

// sameWrite is how far apart the lines of one event may be written, where the
// container runtime tells.
const sameWrite = second / 10

// goesOn reports whether line belongs to the event that began before it. at is
// the time of the line's envelope, 0 if it has none.
func (d *Decoder) goesOn(g *group, line string, at int64) bool {
	switch {
	case line == "":
		return g.rigid
	case looksContinued(line):
		return true
	case !g.rigid || at != 0 && at-g.time > sameWrite:
		return false
	}
	return !startsEvent(line) && d.recognise(line) == fmtText
}

// flush decodes a group's text.
func (d *Decoder) flush(g *group) {
	d.groups.close(g)
	if d.spans.add(g.line, g.last, g.stream) {
		return
	}
	line, sub := d.line, d.sub
	d.line, d.sub = g.line, 0
	text := strings.TrimRight(g.text, "\r\n\t ")
	if len(text) > maxLine {
		text = clip(text, maxLine)
		d.counts.Cut++
	}
	d.group(text, g)
	d.line, d.sub = line, sub
}

func (d *Decoder) group(text string, g *group) {
	if strings.HasPrefix(text, "{") && d.object(text, &g.env) {
		return
	}
	d.textAs(text, g.format, &g.env)
}

func (d *Decoder) flushAll() {
	for len(d.groups.list) > 0 {
		d.flush(d.groups.list[0])
	}
}

// criPart is a line as a Kubernetes runtime writes it.
type criPart struct {
	time, stream, text string
	whole              bool
}

// criLine reads "2019-05-07T18:57:51.904275088+00:00 stderr F text".
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

// pyTrace begins Python's stack trace, which follows the line that logs it.
const pyTrace = "Traceback (most recent call last)"

// crashes reports whether a line is the head of a crash report, which begins an
// event whatever stood before it.
func crashes(s string) bool {
	return hasAnyPrefix(s, "panic: ", "fatal error: ", "Exception in thread", "Unhandled exception", "thread '")
}

// opensTrace reports whether what follows a line is a stack trace.
func opensTrace(s string) bool {
	return crashes(s) || hasAnyPrefix(s, pyTrace, "goroutine ", "runtime: ")
}

func hasAnyPrefix(s string, prefixes ...string) bool {
	for _, p := range prefixes {
		if strings.HasPrefix(s, p) {
			return true
		}
	}
	return false
}

// looksContinued reports whether a line cannot be the beginning of an event.
func looksContinued(s string) bool {
	return s[0] == ' ' || s[0] == '\t' || hasAnyPrefix(s, "Caused by: ", "Suppressed: ", "... ", "}", ")", "During handling of the above", "The above exception was")
}
