package decode

import (
	"strings"
	"unicode/utf8"
)

// arena holds texts that are not views on the record: unescaped strings, joined
// lines. It is emptied per record; growing it leaves earlier texts in place.
type arena struct{ b []byte }

const arenaBlock = 16 << 10

func (a *arena) reset() { a.b = a.b[:0] }

// room makes sure that n bytes fit without moving what is there.
func (a *arena) room(n int) {
	if cap(a.b)-len(a.b) < n {
		a.b = make([]byte, 0, max(n, arenaBlock))
	}
}

// since returns what was appended from start on as text.
func (a *arena) since(start int) string { return view(a.b[start:]) }

// join puts texts together.
func (a *arena) join(texts ...string) string {
	n := 0
	for _, t := range texts {
		n += len(t)
	}
	a.room(n)
	start := len(a.b)
	for _, t := range texts {
		a.b = append(a.b, t...)
	}
	return a.since(start)
}

// unescape returns the text of a valid JSON string's bytes, as encoding/json
// does: what is not UTF-8, and lone surrogates, become U+FFFD.
func (a *arena) unescape(s string) string {
	a.room(3 * len(s)) // one invalid byte becomes three
	start := len(a.b)
	a.b = appendUnescaped(a.b, s)
	return a.since(start)
}

func appendUnescaped(dst []byte, s string) []byte {
	for s != "" {
		run := strings.IndexByte(s, '\\')
		if run < 0 {
			run = len(s)
		}
		dst = appendValid(dst, s[:run])
		if s = s[run:]; s != "" {
			var n int
			dst, n = appendEscape(dst, s)
			s = s[n:]
		}
	}
	return dst
}

// appendValid appends s with U+FFFD for each byte that is not UTF-8.
func appendValid(dst []byte, s string) []byte {
	if utf8.ValidString(s) {
		return append(dst, s...)
	}
	for _, r := range s {
		dst = utf8.AppendRune(dst, r)
	}
	return dst
}

// appendEscape appends what the escape at the start of s stands for.
func appendEscape(dst []byte, s string) ([]byte, int) {
	switch s[1] {
	case 'b':
		return append(dst, '\b'), 2
	case 'f':
		return append(dst, '\f'), 2
	case 'n':
		return append(dst, '\n'), 2
	case 'r':
		return append(dst, '\r'), 2
	case 't':
		return append(dst, '\t'), 2
	case 'u':
		return appendUnicode(dst, s)
	}
	return append(dst, s[1]), 2
}

// appendUnicode appends the rune of a \uXXXX escape, or of a pair of them.
func appendUnicode(dst []byte, s string) ([]byte, int) {
	r, _ := hex4(bytesOf(s[2:6]))
	if r < 0xd800 || r > 0xdfff {
		return utf8.AppendRune(dst, r), 6
	}
	if r < 0xdc00 && len(s) >= 12 && s[6] == '\\' && s[7] == 'u' {
		if low, _ := hex4(bytesOf(s[8:12])); low >= 0xdc00 && low <= 0xdfff {
			return utf8.AppendRune(dst, (r-0xd800)<<10|(low-0xdc00)+0x10000), 12
		}
	}
	return utf8.AppendRune(dst, utf8.RuneError), 6
}
