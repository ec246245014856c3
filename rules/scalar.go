package rules

import (
	"go.yaml.in/yaml/v4"
)

// runeAt is where one rune of a scalar's value stands in the file: columns
// [col, end) of line, more than one for an escape.
type runeAt struct{ line, col, end int }

// textMap says where each rune of a scalar's value stands.
type textMap struct {
	start pos // of the scalar
	at    []runeAt
}

// span returns the place of runes [from, to) of the value.
func (m *textMap) span(from, to int) span {
	if len(m.at) == 0 {
		return span{m.start, pos{m.start.line, m.start.col + 1}}
	}
	from = min(max(from, 0), len(m.at)-1)
	to = min(max(to, from+1), len(m.at))
	a, b := m.at[from], m.at[to-1]
	return span{pos{a.line, a.col}, pos{b.line, b.end}}
}

// scalar re-reads a scalar from the source, because the YAML reader tells only
// where it starts: folding, escapes and indentation move what follows.
func (s *source) scalar(n *yaml.Node) *textMap {
	r := &scalarReader{src: s, line: n.Line, col: n.Column, value: []rune(n.Value)}
	r.skipProperties(n.Anchor)
	m := &textMap{start: pos{r.line, r.col}}
	switch {
	case n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0:
		r.block(n.Style&yaml.FoldedStyle != 0)
	case n.Style&yaml.DoubleQuotedStyle != 0:
		r.col++
		r.flow('"')
	case n.Style&yaml.SingleQuotedStyle != 0:
		r.col++
		r.flow('\'')
	default:
		r.flow(0)
	}
	for len(r.at) < len(r.value) { // cannot happen, and must not be worse than imprecise
		r.at = append(r.at, runeAt{m.start.line, m.start.col, m.start.col + 1})
	}
	m.at = r.at
	return m
}

// scalarReader walks the source beside the value it became.
type scalarReader struct {
	src       *source
	line, col int
	value     []rune
	at        []runeAt
}

func (r *scalarReader) peek() rune {
	l := r.src.line(r.line)
	if r.col > len(l) {
		return '\n'
	}
	return l[r.col-1]
}

func (r *scalarReader) eof() bool { return r.line > len(r.src.lines) }

// skipProperties passes a tag and an anchor before the scalar.
func (r *scalarReader) skipProperties(anchor string) {
	for !r.eof() {
		switch {
		case r.peek() == '&' && anchor != "":
			r.col += 1 + len([]rune(anchor))
		case r.peek() == '!':
			for p := r.peek(); p != ' ' && p != '\t' && p != '\n'; p = r.peek() {
				r.col++
			}
		default:
			return
		}
		r.skipBlank()
	}
}

func (r *scalarReader) skipBlank() {
	for !r.eof() {
		switch r.peek() {
		case ' ', '\t':
			r.col++
		case '#', '\n':
			r.line, r.col = r.line+1, 1
		default:
			return
		}
	}
}

// put says that the next rune of the value is the n columns from here.
func (r *scalarReader) put(n int) {
	r.at = append(r.at, runeAt{r.line, r.col, r.col + n})
	r.col += n
}

// flow reads a plain or quoted scalar.
func (r *scalarReader) flow(quote rune) {
	for len(r.at) < len(r.value) && !r.eof() {
		switch c := r.peek(); {
		case r.atFold():
			r.fold()
		case quote == '\'' && c == '\'':
			r.put(2)
		case quote == '"' && c == '\\':
			r.escape()
		default:
			r.put(1)
		}
	}
}

// atFold says that nothing but blanks stand before the end of the line.
func (r *scalarReader) atFold() bool {
	l := r.src.line(r.line)
	for i := r.col - 1; i < len(l); i++ {
		if l[i] != ' ' && l[i] != '\t' {
			return false
		}
	}
	return true
}

// fold passes a line break: one becomes a space, n become n−1 newlines.
func (r *scalarReader) fold() {
	at := runeAt{r.line, r.col, r.col + 1}
	breaks := 0
	for !r.eof() && r.atFold() {
		r.line, r.col = r.line+1, 1
		breaks++
	}
	for !r.eof() && (r.peek() == ' ' || r.peek() == '\t') {
		r.col++
	}
	for range max(breaks-1, 1) {
		if len(r.at) < len(r.value) {
			r.at = append(r.at, at)
		}
	}
}

// escape passes one escape of a double-quoted scalar.
func (r *scalarReader) escape() {
	l := r.src.line(r.line)
	if r.col >= len(l) { // the line goes on in the next, without a space
		r.line, r.col = r.line+1, 1
		for !r.eof() && (r.peek() == ' ' || r.peek() == '\t') {
			r.col++
		}
		return
	}
	switch l[r.col] {
	case 'x':
		r.put(4)
	case 'u':
		r.put(6)
	case 'U':
		r.put(10)
	default:
		r.put(2)
	}
}

// block reads a literal or folded scalar.
func (r *scalarReader) block(folded bool) {
	r.line++ // past the header
	indent := r.blockIndent()
	lead := true
	for len(r.at) < len(r.value) && !r.eof() {
		l := r.src.line(r.line)
		r.col = min(indent, len(l)) + 1
		for r.col <= len(l) && len(r.at) < len(r.value) {
			lead = false
			r.put(1)
		}
		r.blockBreak(folded && !lead, indent)
		r.line++
	}
}

// blockBreak maps what the end of this line became: in a literal always a
// newline, in a folded one all newlines or the one space up to the next text.
func (r *scalarReader) blockBreak(folded bool, indent int) {
	at := runeAt{r.line, r.col, r.col + 1}
	if !folded {
		if len(r.at) < len(r.value) {
			r.at = append(r.at, at)
		}
		return
	}
	for len(r.at) < len(r.value) && r.value[len(r.at)] == '\n' {
		r.at = append(r.at, at)
		folded = false
	}
	if folded && len(r.at) < len(r.value) {
		r.at = append(r.at, at)
	}
	// Blank lines are in the newlines already; one longer than the indentation is
	// text of spaces.
	for r.line < len(r.src.lines) && blank(r.src.line(r.line+1)) && len(r.src.line(r.line+1)) <= indent {
		r.line++
	}
}

func blank(l []rune) bool {
	for _, c := range l {
		if c != ' ' {
			return false
		}
	}
	return true
}

// blockIndent is the indentation cut from each line: that of the first line with
// text, less what is left of it in the value.
func (r *scalarReader) blockIndent() int {
	for n := r.line; n <= len(r.src.lines); n++ {
		if l := r.src.line(n); !blank(l) {
			return leading(l) - r.valueIndent()
		}
	}
	return 0
}

func (r *scalarReader) valueIndent() int {
	i := 0
	for i < len(r.value) && r.value[i] == '\n' {
		i++
	}
	return leading(r.value[i:])
}

func leading(l []rune) int {
	n := 0
	for n < len(l) && l[n] == ' ' {
		n++
	}
	return n
}
