package sinks

import (
	"fmt"
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
