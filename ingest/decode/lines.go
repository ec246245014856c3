package decode

import (
	"bytes"
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
	if journalHead(data) {
		d.journal(data, &env)
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
		if len(line) > 0 && line[0] == 0 {
			line = withoutHole(line)
		}
		if len(line) > 0 && line[0] <= ' ' && len(d.groups.list) == 0 {
			line = unindented(line)
		}
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

// unindented takes the white space off before a JSON object.
func unindented(line []byte) []byte {
	if text := bytes.TrimSpace(line); isObject(view(text)) {
		return text
	}
	return line
}

// withoutHole takes off the run of NULs that a file has where it was cut off while its
// writer had it open.
func withoutHole(line []byte) []byte {
	if text := bytes.TrimLeft(line, "\x00"); len(text) > 0 {
		return text
	}
	return line
}

// arrayLine decodes a line that is a JSON array of objects or of Fluent Bit's
// pairs.
func (d *Decoder) arrayLine(s string, env *envelope) bool {
	i := skipSpace(bytesOf(s), 1)
	if i >= len(s) || s[i] != '{' && s[i] != '[' && !lonePair(bytesOf(s)) || s[len(s)-1] != ']' {
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

// textLine takes a line that is not a JSON object.
func (d *Decoder) textLine(line string, env *envelope) {
	if c, ok := criLine(line); ok {
		d.criLine(c, env)
		return
	}
	d.flushUnless(func(g *group) bool { return g.stream == "" })
	d.logical("", line, env)
}
