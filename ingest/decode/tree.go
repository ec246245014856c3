package decode

import (
	"strconv"
	"strings"
)

// tree decodes valid JSON as encoding/json would decode it into an any, but for
// numbers: those without fraction and exponent that fit are int, those beyond
// float64 stay text. taken, if not nil, tells which values to leave out, by their
// offset in data.
func tree(data string, taken *offsets) any {
	t := treeReader{data: data, b: bytesOf(data), taken: taken}
	v, _ := t.value(skipSpace(t.b, 0))
	return v
}

// offsets is a small set of value positions.
type offsets []int32

func (o *offsets) has(i int) bool {
	if o == nil {
		return false
	}
	for _, x := range *o {
		if int(x) == i {
			return true
		}
	}
	return false
}

// treeReader reads JSON that was found valid before.
type treeReader struct {
	data  string
	b     []byte
	taken *offsets
	attrs int // values given so far: bounded by maxAttrs
}

// maxAttrs bounds the attributes of one event.
const maxAttrs = 512

func (t *treeReader) value(i int) (any, int) {
	switch t.b[i] {
	case '"':
		return t.text(i + 1)
	case '{':
		return t.object(i + 1)
	case '[':
		return t.array(i + 1)
	case 't':
		return true, i + 4
	case 'f':
		return false, i + 5
	case 'n':
		return nil, i + 4
	}
	end := endNumber(t.b, i)
	return number(t.data[i:end]), end
}

// text returns a copy: a tree may outlive the record.
func (t *treeReader) text(i int) (string, int) {
	end, esc := endString(t.b, i)
	if esc {
		return string(appendUnescaped(nil, t.data[i:end])), end + 1
	}
	return strings.Clone(t.data[i:end]), end + 1
}

func (t *treeReader) object(i int) (any, int) {
	m := map[string]any{}
	removed := false
	for {
		i = skipSpace(t.b, i)
		if t.b[i] == '}' {
			break
		}
		if t.b[i] == ',' {
			i++
			continue
		}
		var name string
		name, i = t.text(i + 1)
		i = skipSpace(t.b, skipSpace(t.b, i)+1)
		at := i
		var v any
		v, i = t.value(i)
		if t.taken.has(at) || v == emptied {
			removed = true
			delete(m, name) // of two equal keys the last one counts
			continue
		}
		if t.attrs++; t.attrs <= maxAttrs || m[name] != nil {
			m[name] = v
		}
	}
	if removed && len(m) == 0 {
		return emptied, i + 1
	}
	return m, i + 1
}

// emptied stands for an object of which everything was taken.
var emptied any = new(struct{ _ byte })

func (t *treeReader) array(i int) (any, int) {
	l := []any{}
	for {
		i = skipSpace(t.b, i)
		if t.b[i] == ']' {
			return l, i + 1
		}
		if t.b[i] == ',' {
			i++
			continue
		}
		var v any
		if v, i = t.value(i); v != emptied {
			l = append(l, v)
		}
	}
}

// number gives a JSON number the type the rule language promises.
func number(s string) any {
	if n, ok := integer(s); ok {
		return int(n)
	}
	if f, err := strconv.ParseFloat(s, 64); err == nil {
		return f
	}
	return strings.Clone(s)
}

// integer parses a JSON number without fraction and exponent that fits int64.
func integer(s string) (int64, bool) {
	if len(s) > 18 {
		n, err := strconv.ParseInt(s, 10, 64)
		return n, err == nil
	}
	neg := len(s) > 0 && s[0] == '-'
	digits := s
	if neg {
		digits = s[1:]
	}
	var n int64
	for i := 0; i < len(digits); i++ {
		c := digits[i] - '0'
		if c > 9 {
			return 0, false
		}
		n = n*10 + int64(c)
	}
	if neg {
		n = -n
	}
	return n, len(digits) > 0
}
