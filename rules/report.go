package rules

import (
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
)

// report collects the diagnostics of a load.
type report struct {
	diags []Diagnostic
}

// finding is a diagnostic being made; its zero place is the start of the file.
type finding struct {
	src  *source
	at   span
	key  *yaml.Node // line to show before, where a scalar starts on the next
	code string
	text string
	note string
	help string
}

func (r *report) error(f finding)   { r.add(levelError, f) }
func (r *report) warning(f finding) { r.add(levelWarning, f) }

const maxExcerpt = 6 // source lines shown

func (r *report) add(level string, f finding) {
	from, to := f.src.clamp(f.at.from), f.src.clamp(f.at.to)
	if to.line < from.line || to.line == from.line && to.col <= from.col {
		to = pos{from.line, min(from.col+1, len(f.src.line(from.line))+1)}
	}
	first := from.line
	if f.key != nil && f.key.Line < first && first-f.key.Line <= 2 {
		first = f.key.Line
	}
	first = max(first, to.line-maxExcerpt+1)
	r.diags = append(r.diags, Diagnostic{
		File: f.src.name, Line: from.line, Col: from.col, EndLine: to.line, EndCol: to.col,
		Level: level, Code: f.code, Message: f.text, Note: f.note, Help: f.help,
		Source: f.src.excerpt(first, to.line), SourceLine: first,
	})
}

// NewDiagnostic is an error in a file that another package reads, as FormatText
// shows them: the place is that of a YAML node.
func NewDiagnostic(f File, n *yaml.Node, text, note, help string) Diagnostic {
	rep, src := &report{}, newSource(f.Name, f.Data)
	at := src.span(n)
	if n.Kind != yaml.ScalarNode && n.Kind != yaml.AliasNode {
		at = span{pos{n.Line, n.Column}, pos{n.Line, n.Column + 1}}
	}
	rep.error(finding{src: src, at: at, code: codeTestFile, text: text, note: note, help: help})
	return rep.diags[0]
}

// ParseYAML reads the one YAML document of a file with the care that rule files
// get; nil if it cannot be read, which the diagnostics say.
func ParseYAML(f File) (*yaml.Node, []Diagnostic) {
	rep := &report{}
	n := rep.document(newSource(f.Name, f.Data), f.Data)
	return n, rep.diags
}

// didYouMean is the note for a misspelt name; "" if nothing is near.
func didYouMean(name string, known []string) string {
	if s := Nearest(name, known); s != "" {
		return fmt.Sprintf("did you mean %q?", s)
	}
	return ""
}

// Nearest returns the known name with the fewest edits from name, if they are few
// for its length; "" if none.
func Nearest(name string, known []string) string {
	best, limit := "", max(1, (len([]rune(name))+1)/3)+1
	for _, k := range known {
		d := edits(strings.ToLower(name), strings.ToLower(k))
		if d < limit && d < len([]rune(name)) && k != name {
			best, limit = k, d
		}
	}
	return best
}

// edits is the number of insertions, deletions, replacements and swaps of
// neighbours between a and b.
func edits(a, b string) int {
	x, y := []rune(a), []rune(b)
	var before, prev []int
	row := make([]int, len(y)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(x); i++ {
		before, prev, row = prev, row, make([]int, len(y)+1)
		row[0] = i
		for j := 1; j <= len(y); j++ {
			cost := 1
			if x[i-1] == y[j-1] {
				cost = 0
			}
			row[j] = min(prev[j]+1, row[j-1]+1, prev[j-1]+cost)
			if i > 1 && j > 1 && x[i-1] == y[j-2] && x[i-2] == y[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
	}
	return row[len(y)]
}

// listing is "a, b, c", cut when it is long.
func listing(names []string) string {
	const most = 12
	if len(names) > most {
		return strings.Join(names[:most], ", ") + ", …"
	}
	return strings.Join(names, ", ")
}

func sorted(names []string) []string {
	s := slices.Clone(names)
	slices.Sort(s)
	return s
}
