package rules

import (
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"
)

// pos is a place in a file: 1-based, columns in runes.
type pos struct{ line, col int }

// span is a stretch of a file, end exclusive.
type span struct{ from, to pos }

// source is a rule file's text by lines.
type source struct {
	name  string
	lines [][]rune // without their ends
}

func newSource(name string, data []byte) *source {
	text := strings.TrimPrefix(string(data), "\ufeff")
	s := &source{name: name}
	for _, l := range splitLines(text) {
		s.lines = append(s.lines, []rune(l))
	}
	return s
}

// splitLines cuts at what YAML's scanner takes for a line end.
func splitLines(text string) []string {
	var lines []string
	for {
		i := strings.IndexAny(text, "\n\r\u0085\u2028\u2029")
		if i < 0 {
			return append(lines, text)
		}
		lines = append(lines, text[:i])
		switch {
		case strings.HasPrefix(text[i:], "\r\n"):
			i += 2
		case text[i] == '\n' || text[i] == '\r':
			i++
		case text[i] == 0xc2:
			i += 2
		default:
			i += 3
		}
		text = text[i:]
	}
}

// line returns line n without its end; "" if there is none.
func (s *source) line(n int) []rune {
	if n < 1 || n > len(s.lines) {
		return nil
	}
	return s.lines[n-1]
}

// clamp moves p into the file.
func (s *source) clamp(p pos) pos {
	p.line = min(max(p.line, 1), len(s.lines))
	p.col = min(max(p.col, 1), len(s.line(p.line))+1)
	return p
}

// span returns a scalar's or a collection's place: the scalar's text, the first
// line of a collection.
func (s *source) span(n *yaml.Node) span {
	from := pos{n.Line, n.Column}
	if n.Kind == yaml.AliasNode {
		return span{from, pos{n.Line, n.Column + len([]rune(n.Value)) + 1}}
	}
	if n.Kind != yaml.ScalarNode {
		return span{from, pos{n.Line, n.Column + 1}}
	}
	m := s.scalar(n)
	if len(m.at) == 0 {
		return span{from, pos{n.Line, n.Column + 1}}
	}
	if quoted := n.Style & (yaml.SingleQuotedStyle | yaml.DoubleQuotedStyle); quoted != 0 {
		end := m.at[len(m.at)-1]
		return span{from, pos{end.line, end.end + 1}}
	}
	return m.span(0, len(m.at))
}

// excerpt returns lines from…to as text, for a diagnostic.
func (s *source) excerpt(from, to int) []string {
	var lines []string
	for n := from; n <= to && n <= len(s.lines); n++ {
		lines = append(lines, string(s.line(n)))
	}
	return lines
}

func (p pos) String() string { return strconv.Itoa(p.line) + ":" + strconv.Itoa(p.col) }
