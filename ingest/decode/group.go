package decode

import (
	"strings"
)

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

// pyTrace begins Python's stack trace, which follows the line that logs it.
const pyTrace = "Traceback (most recent call last)"

// crashes reports whether a line is the head of a crash report, which begins an
// event whatever stood before it.
func crashes(s string) bool {
	return s != "" && strings.IndexByte("pfEUt", s[0]) >= 0 && hasAnyPrefix(s, "panic: ", "fatal error: ", "Exception in thread", "Unhandled exception", "thread '")
}

// opensTrace reports whether what follows a line is a stack trace.
func opensTrace(s string) bool {
	return crashes(s) || hasAnyPrefix(s, pyTrace, "goroutine ", "runtime: ", "http: panic serving ")
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
