package decode

import (
	"encoding/binary"
	"math/bits"
	"unsafe"
)

// maxDepth is how deep JSON may nest; deeper is not taken for JSON.
const maxDepth = 64

// kind is the type of a value as it stands in a record.
type kind uint8

const (
	kNull kind = iota
	kFalse
	kTrue
	kNumber
	kString
	kObject
	kArray
)

// val is a value as it stands in a record: a view, not yet converted. A string
// is without its quotes.
type val struct {
	s    string
	off  int32 // where the value starts in its record; tells equal values apart
	kind kind
	esc  bool // a JSON string that is not its own text: see text
}

// text returns a string value's text as encoding/json would give it. Escaped
// strings are written to the arena, which lives as long as the record's events.
func (v val) text(a *arena) string {
	if !v.esc {
		return v.s
	}
	return a.unescape(v.s)
}

// view returns b as a string without copying. Records are not changed after they
// were handed over, so a view is safe for as long as the record is.
func view(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// bytesOf is the inverse of view: the result must not be written to.
func bytesOf(s string) []byte { return unsafe.Slice(unsafe.StringData(s), len(s)) }

const (
	ones  = 0x0101010101010101
	highs = 0x8080808080808080
)

// endString finds the end of the JSON string whose first byte after the opening
// quote is b[i]. It returns the index of the closing quote, or -1 if the string
// is not valid JSON, and whether text differs from bytes: escapes, or bytes that
// are not ASCII and so perhaps not UTF-8.
//
// Eight bytes at a time: a byte that is a quote, a backslash or a control
// character sets the high bit of its lane in m. Lanes above the first set one may
// be wrong because of borrows, the first one never is.
func endString(b []byte, i int) (end int, esc bool) {
	var high uint64
	for uint(i)+8 <= uint(len(b)) {
		v := binary.LittleEndian.Uint64(b[i : i+8])
		q, s := v^('"'*ones), v^('\\'*ones)
		m := ((q-ones)&^q | (s-ones)&^s | (v-0x20*ones)&^v) & highs
		if m == 0 {
			high |= v
			i += 8
			continue
		}
		bit := uint(bits.TrailingZeros64(m)) &^ 7
		high |= v & (1<<bit - 1)
		i += int(bit >> 3)
		if byte(v>>bit) == '"' {
			return i, high&highs != 0
		}
		return endSpecial(b, i)
	}
	return endShort(b, i, high)
}

// endShort goes on where fewer than eight bytes are left.
func endShort(b []byte, i int, high uint64) (end int, esc bool) {
	for ; i < len(b); i++ {
		switch c := b[i]; {
		case c == '"':
			return i, high&highs != 0
		case c == '\\' || c < 0x20:
			return endSpecial(b, i)
		default:
			high |= uint64(c)
		}
	}
	return -1, false
}

// endSpecial goes on where a backslash or a control character stands.
func endSpecial(b []byte, i int) (end int, esc bool) {
	if b[i] == '\\' {
		return endEscaped(b, i)
	}
	return -1, false
}

// endEscaped goes on where endString met a backslash.
func endEscaped(b []byte, i int) (end int, esc bool) {
	for i < len(b) {
		switch c := b[i]; {
		case c == '"':
			return i, true
		case c < 0x20:
			return -1, true
		case c != '\\':
			i++
			continue
		}
		n := escapeLen(b[i:])
		if n == 0 {
			return -1, true
		}
		i += n
	}
	return -1, true
}

// escapeLen returns the length of the escape b starts with, 0 if it is none.
func escapeLen(b []byte) int {
	if len(b) < 2 {
		return 0
	}
	switch b[1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 2
	case 'u':
		if _, ok := hex4(b[2:]); ok {
			return 6
		}
	}
	return 0
}

func hex4(b []byte) (rune, bool) {
	if len(b) < 4 {
		return 0, false
	}
	var r rune
	for _, c := range b[:4] {
		switch {
		case '0' <= c && c <= '9':
			c -= '0'
		case 'a' <= c && c <= 'f':
			c -= 'a' - 10
		case 'A' <= c && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	return r, true
}

func skipSpace(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\n' || b[i] == '\t' || b[i] == '\r') {
		i++
	}
	return i
}

// endNumber returns the index after the JSON number at b[i], -1 if it is none.
func endNumber(b []byte, i int) int {
	if i < len(b) && b[i] == '-' {
		i++
	}
	switch {
	case i >= len(b):
		return -1
	case b[i] == '0':
		i++
	default:
		if i = endDigits(b, i); i < 0 {
			return -1
		}
	}
	if i < len(b) && b[i] == '.' {
		if i = endDigits(b, i+1); i < 0 {
			return -1
		}
	}
	if i < len(b) && b[i]|0x20 == 'e' {
		i++
		if i < len(b) && (b[i] == '+' || b[i] == '-') {
			i++
		}
		return endDigits(b, i)
	}
	return i
}

// endDigits skips at least one digit; -1 if there is none.
func endDigits(b []byte, i int) int {
	start := i
	for i < len(b) && b[i]-'0' <= 9 {
		i++
	}
	if i == start {
		return -1
	}
	return i
}

// endValue returns the index after the JSON value at b[i] and its kind, -1 if
// there is no valid one.
func endValue(b []byte, i, depth int) (end int, k kind) {
	if i >= len(b) {
		return -1, kNull
	}
	switch b[i] {
	case '"':
		if end, _ = endString(b, i+1); end < 0 {
			return -1, kString
		}
		return end + 1, kString
	case '{':
		return endObject(b, i+1, depth+1), kObject
	case '[':
		return endArray(b, i+1, depth+1), kArray
	case 't':
		return endLiteral(b, i, "true"), kTrue
	case 'f':
		return endLiteral(b, i, "false"), kFalse
	case 'n':
		return endLiteral(b, i, "null"), kNull
	}
	return endNumber(b, i), kNumber
}

// ValueLen returns the length of the JSON value that b begins with, -1 if there is
// no valid one: what it takes to check a record and use nothing of it.
func ValueLen(b []byte) int {
	end, _ := endValue(b, 0, 0)
	return end
}

func endLiteral(b []byte, i int, word string) int {
	if len(b)-i < len(word) || string(b[i:i+len(word)]) != word {
		return -1
	}
	return i + len(word)
}

// endObject skips the object whose first byte after the brace is b[i].
func endObject(b []byte, i, depth int) int {
	if depth > maxDepth {
		return -1
	}
	i = skipSpace(b, i)
	if i < len(b) && b[i] == '}' {
		return i + 1
	}
	for i < len(b) && b[i] == '"' {
		if i, _ = endString(b, i+1); i < 0 {
			return -1
		}
		i = skipSpace(b, i+1)
		if i >= len(b) || b[i] != ':' {
			return -1
		}
		if i, _ = endValue(b, skipSpace(b, i+1), depth); i < 0 {
			return -1
		}
		i = skipSpace(b, i)
		if i >= len(b) {
			return -1
		}
		if b[i] == '}' {
			return i + 1
		}
		if b[i] != ',' {
			return -1
		}
		i = skipSpace(b, i+1)
	}
	return -1
}

// endArray skips the array whose first byte after the bracket is b[i].
func endArray(b []byte, i, depth int) int {
	if depth > maxDepth {
		return -1
	}
	i = skipSpace(b, i)
	if i < len(b) && b[i] == ']' {
		return i + 1
	}
	for i < len(b) {
		if i, _ = endValue(b, i, depth); i < 0 {
			return -1
		}
		i = skipSpace(b, i)
		if i >= len(b) {
			return -1
		}
		if b[i] == ']' {
			return i + 1
		}
		if b[i] != ',' {
			return -1
		}
		i = skipSpace(b, i+1)
	}
	return -1
}
