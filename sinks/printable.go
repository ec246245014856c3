package sinks

import (
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Printable returns s fit for a terminal: control characters (ANSI escapes
// begin with one), line separators, characters that turn the direction of text
// and bytes that are not UTF-8 come out as escapes. Other text is unchanged.
func Printable(s string) string {
	i := strings.IndexFunc(s, harmful)
	if i < 0 {
		return s // IndexFunc sees invalid bytes as RuneError, which is harmful
	}
	var b strings.Builder
	b.WriteString(s[:i])
	for s = s[i:]; s != ""; {
		r, n := utf8.DecodeRuneInString(s)
		writeSafe(&b, r, n, s[0])
		s = s[n:]
	}
	return b.String()
}

func harmful(r rune) bool {
	return r == utf8.RuneError || unicode.IsControl(r) || unicode.In(r, unicode.Bidi_Control, unicode.Zl, unicode.Zp)
}

func writeSafe(b *strings.Builder, r rune, n int, first byte) {
	switch {
	case r == utf8.RuneError && n == 1:
		fmt.Fprintf(b, `\x%02x`, first)
	case r == utf8.RuneError || !harmful(r):
		b.WriteRune(r)
	case r == '\n':
		b.WriteString(`\n`)
	case r == '\t':
		b.WriteString(`\t`)
	case r == '\r':
		b.WriteString(`\r`)
	case r < 0x80:
		fmt.Fprintf(b, `\x%02x`, r)
	default:
		fmt.Fprintf(b, `\u%04x`, r)
	}
}

// PrintableWriter makes what is written through it fit for a terminal, as Printable
// does, but for the ends of lines and tabs. What is written must not be coloured.
func PrintableWriter(w io.Writer) io.Writer { return &printableWriter{w: w} }

type printableWriter struct {
	w    io.Writer
	rest []byte // of a character whose other bytes are still to come
}

func (p *printableWriter) Write(b []byte) (int, error) {
	text := append(p.rest, b...)
	end := len(text)
	for end > 0 && len(text)-end < utf8.UTFMax && !utf8.RuneStart(text[end-1]) {
		end--
	}
	if end > 0 && !utf8.FullRune(text[end-1:]) {
		end--
	} else {
		end = len(text)
	}
	var out strings.Builder
	for i, line := range strings.Split(string(text[:end]), "\n") {
		if i > 0 {
			out.WriteByte('\n')
		}
		for j, cell := range strings.Split(line, "\t") {
			if j > 0 {
				out.WriteByte('\t')
			}
			out.WriteString(Printable(cell))
		}
	}
	p.rest = append([]byte(nil), text[end:]...)
	_, err := io.WriteString(p.w, out.String())
	return len(b), err
}
