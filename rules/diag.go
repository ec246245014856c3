package rules

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/rivo/uniseg"

	"corral/internal/phrase"
)

// Diagnostic is one finding of the checker, with the place it is about.
type Diagnostic struct {
	File    string `json:"file"`
	Line    int    `json:"line"` // 1-based, columns in runes; End exclusive
	Col     int    `json:"col"`
	EndLine int    `json:"end_line"`
	EndCol  int    `json:"end_col"`
	Level   string `json:"level"` // error, warning
	Code    string `json:"code"`  // E103
	Message string `json:"message"`
	Note    string `json:"note,omitempty"` // under the caret: did you mean "status"?
	Help    string `json:"help,omitempty"` // after "= ": fields of http: …
	// Source are the source lines Line…EndLine (and what must stand before them to
	// be read); SourceLine is the number of the first.
	Source     []string `json:"-"`
	SourceLine int      `json:"-"`
}

// IsError tells an error from a warning.
func (d Diagnostic) IsError() bool { return d.Level == levelError }

const (
	levelError   = "error"
	levelWarning = "warning"
)

// String is the first line of a report, without the source.
func (d Diagnostic) String() string {
	return fmt.Sprintf("%s:%d:%d: %s[%s]: %s", d.File, d.Line, d.Col, d.Level, d.Code, d.Message)
}

// HasErrors says whether any of them is an error.
func HasErrors(diags []Diagnostic) bool {
	return slices.ContainsFunc(diags, Diagnostic.IsError)
}

// Sorted puts diagnostics in order by file, line and column, each once.
func Sorted(diags []Diagnostic) []Diagnostic {
	var files []File
	for _, d := range diags {
		if !slices.ContainsFunc(files, func(f File) bool { return f.Name == d.File }) {
			files = append(files, File{Name: d.File})
		}
	}
	slices.SortStableFunc(files, func(a, b File) int { return cmp.Compare(a.Name, b.Name) })
	return sortDiagnostics(diags, files)
}

// sortDiagnostics puts them in reading order and drops what was said twice: a
// mistake in `defaults` is found by each rule that takes it.
func sortDiagnostics(diags []Diagnostic, files []File) []Diagnostic {
	order := map[string]int{}
	for i, f := range files {
		order[f.Name] = i
	}
	slices.SortStableFunc(diags, func(a, b Diagnostic) int {
		return cmp.Or(cmp.Compare(order[a.File], order[b.File]), cmp.Compare(a.Line, b.Line),
			cmp.Compare(a.Col, b.Col), cmp.Compare(a.Code, b.Code), cmp.Compare(a.Message, b.Message))
	})
	return slices.CompactFunc(diags, func(a, b Diagnostic) bool {
		return a.String() == b.String()
	})
}

// TextStyle is how FormatText writes.
type TextStyle struct {
	Width int  // columns of the terminal; 0: unlimited
	Color bool // ANSI colours
}

// FormatText writes the findings for people: place and message, the source with
// the range underlined, a suggestion and help.
func FormatText(w io.Writer, diags []Diagnostic, style TextStyle) error {
	var b strings.Builder
	for i, d := range diags {
		if i > 0 {
			b.WriteByte('\n')
		}
		style.write(&b, d)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (st TextStyle) paint(color, s string) string {
	if !st.Color || s == "" {
		return s
	}
	return "\x1b[" + color + "m" + s + "\x1b[0m"
}

func (st TextStyle) levelColor(d Diagnostic) string {
	if d.IsError() {
		return "1;31"
	}
	return "1;33"
}

func (st TextStyle) write(b *strings.Builder, d Diagnostic) {
	fmt.Fprintf(b, "%s: %s: %s\n", st.paint("1", fmt.Sprintf("%s:%d:%d", d.File, d.Line, d.Col)),
		st.paint(st.levelColor(d), d.Level+"["+d.Code+"]"), d.Message)
	gutter := max(3, len(fmt.Sprint(d.SourceLine+len(d.Source)-1))+1)
	if len(d.Source) > 0 {
		fmt.Fprintf(b, "%*s |\n", gutter, "")
		st.writeSource(b, d, gutter)
	}
	if d.Help != "" {
		fmt.Fprintf(b, "%*s = %s\n", gutter, "", d.Help)
	}
}

// writeSource prints the lines, the last of them underlined.
func (st TextStyle) writeSource(b *strings.Builder, d Diagnostic, gutter int) {
	last := d.SourceLine + len(d.Source) - 1
	for i, text := range d.Source {
		n := d.SourceLine + i
		line := []rune(text)
		if n != last {
			fmt.Fprintf(b, "%s %s\n", st.paint("2", fmt.Sprintf("%*d |", gutter, n)), string(st.cut(line, 0, 0).text))
			continue
		}
		from, to := underline(d, line)
		c := st.cut(line, from, to)
		fmt.Fprintf(b, "%s %s\n", st.paint("2", fmt.Sprintf("%*d |", gutter, n)), string(c.text))
		mark := padding(c.text[:c.from]) + st.paint(st.levelColor(d), strings.Repeat("^", max(1, uniseg.StringWidth(string(c.text[c.from:c.to])))))
		if d.Note != "" {
			mark += " " + d.Note
		}
		fmt.Fprintf(b, "%*s | %s\n", gutter, "", mark)
	}
}

// underline is what of the last source line is meant, as rune indexes.
func underline(d Diagnostic, line []rune) (from, to int) {
	from, to = d.Col-1, d.EndCol-1
	if d.EndLine > d.Line {
		from = max(0, slices.IndexFunc(line, func(r rune) bool { return r != ' ' && r != '\t' }))
	}
	from = min(from, len(line))
	return from, min(max(to, from), len(line))
}

// padding takes as many columns as text, tabs kept.
func padding(text []rune) string {
	var b strings.Builder
	for _, r := range text {
		if r == '\t' {
			b.WriteByte('\t')
			continue
		}
		b.WriteString(strings.Repeat(" ", uniseg.StringWidth(string(r))))
	}
	return b.String()
}

type cutLine struct {
	text     []rune
	from, to int
}

// cut shortens a line to the style's width around [from, to).
func (st TextStyle) cut(line []rune, from, to int) cutLine {
	room := st.Width - 6
	if st.Width <= 0 || room < 20 || len(line) <= room {
		return cutLine{line, from, to}
	}
	start := max(0, min(from-room/4, len(line)-room))
	end := min(start+room, len(line))
	text := slices.Clone(line[start:end])
	if start > 0 {
		text[0] = '…'
	}
	if end < len(line) {
		text[len(text)-1] = '…'
	}
	clip := func(i int) int { return min(max(i-start, 0), len(text)) }
	return cutLine{text, clip(from), clip(to)}
}

// FormatUnix writes one line per finding.
func FormatUnix(w io.Writer, diags []Diagnostic) error {
	for _, d := range diags {
		if _, err := fmt.Fprintln(w, d); err != nil {
			return err
		}
	}
	return nil
}

// FormatJSON writes one JSON object: {"diagnostics": […]}. The form is stable.
func FormatJSON(w io.Writer, diags []Diagnostic) error {
	if diags == nil {
		diags = []Diagnostic{}
	}
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(struct {
		Diagnostics []Diagnostic `json:"diagnostics"`
	}{diags})
}

var githubEscape = strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A")

// FormatGitHub writes workflow commands, which GitHub shows beside the lines.
func FormatGitHub(w io.Writer, diags []Diagnostic) error {
	for _, d := range diags {
		var text strings.Builder
		text.WriteString(d.Message)
		for _, more := range []string{d.Note, d.Help} {
			if more != "" {
				text.WriteString("\n" + more)
			}
		}
		end := ""
		if d.EndLine == d.Line {
			end = fmt.Sprintf(",endColumn=%d", d.EndCol)
		}
		_, err := fmt.Fprintf(w, "::%s file=%s,line=%d,endLine=%d,col=%d%s,title=%s::%s\n", d.Level,
			strings.NewReplacer("%", "%25", ",", "%2C", ":", "%3A").Replace(d.File), d.Line, d.EndLine, d.Col, end, d.Code, githubEscape.Replace(text.String()))
		if err != nil {
			return err
		}
	}
	return nil
}

// Summary is the last line of a report: "4 files, 37 rules: 3 errors, 1 warning."
// and how many files have errors.
func Summary(files, rules int, diags []Diagnostic) string {
	errors, warnings := 0, 0
	bad := map[string]bool{}
	for _, d := range diags {
		if !d.IsError() {
			warnings++
			continue
		}
		errors++
		bad[d.File] = true
	}
	s := fmt.Sprintf("%s, %s: ", phrase.Count(files, "file"), phrase.Count(rules, "rule"))
	switch {
	case errors+warnings == 0:
		s += "no findings."
	case warnings == 0:
		s += phrase.Count(errors, "error") + "."
	case errors == 0:
		s += phrase.Count(warnings, "warning") + "."
	default:
		s += phrase.Count(errors, "error") + ", " + phrase.Count(warnings, "warning") + "."
	}
	if len(bad) > 0 {
		s += "  " + phrase.Count(len(bad), "file") + " unusable."
	}
	return s
}
