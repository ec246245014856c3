package rules

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/rogpeppe/go-internal/txtar"
	"go.yaml.in/yaml/v4"
)

// fixtures are all rule files of testdata and all examples of the pages.
func fixtures(t testing.TB) []File {
	t.Helper()
	names, err := filepath.Glob("testdata/diagnostics/*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	var files []File
	for _, name := range names {
		ar, err := txtar.ParseFile(name)
		if err != nil {
			t.Fatal(err)
		}
		more, _ := ruleFilesOf(ar)
		files = append(files, more...)
	}
	for _, code := range Codes() {
		p, _ := ExplainCode(code)
		files = append(files, File{code + "-wrong.yaml", []byte(p.Wrong)}, File{code + "-right.yaml", []byte(p.Right)})
	}
	whole, err := os.ReadFile("testdata/every-field.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return append(files, File{"every-field.yaml", whole})
}

// checkPlaces says whether every finding lies inside its file and can be shown.
func checkPlaces(t testing.TB, f File, diags []Diagnostic) {
	t.Helper()
	src := newSource(f.Name, f.Data)
	for _, d := range diags {
		from, to := pos{d.Line, d.Col}, pos{d.EndLine, d.EndCol}
		if src.clamp(from) != from || src.clamp(to) != to || to.line < from.line || to.line == from.line && to.col < from.col {
			t.Errorf("%v…%v lies outside the file: %v\n%q", from, to, d, f.Data)
		}
		if d.Code == "" || d.Message == "" || !bytes.ContainsRune(f.Data, '§') && strings.Contains(d.Message, "§") || strings.Contains(d.Message, "lowered") {
			t.Errorf("odd finding %+v", d)
		}
	}
	if err := FormatText(&bytes.Buffer{}, diags, TextStyle{Width: 60, Color: true}); err != nil {
		t.Error(err)
	}
}

// checkScalars holds the map from value to source against the source.
func checkScalars(t testing.TB, f File) {
	t.Helper()
	var docs []*yaml.Node
	if !utf8.Valid(f.Data) || loadYAML(f.Data, &docs) != nil || len(docs) == 0 {
		return
	}
	src := newSource(f.Name, f.Data)
	var walk func(*yaml.Node, int)
	walk = func(n *yaml.Node, depth int) {
		if n.Kind == yaml.ScalarNode {
			checkScalar(t, src, n)
		}
		for _, c := range n.Content {
			if depth < 50 {
				walk(c, depth+1)
			}
		}
	}
	walk(docs[0], 0)
}

func checkScalar(t testing.TB, src *source, n *yaml.Node) {
	t.Helper()
	value := []rune(n.Value)
	m := src.scalar(n)
	if len(m.at) != len(value) {
		t.Fatalf("%s:%d: %d runes, %d places", src.name, n.Line, len(value), len(m.at))
	}
	for i, at := range m.at {
		line := src.line(at.line)
		if at.col < 1 || at.col > len(line)+1 {
			t.Fatalf("%s:%d: rune %d of %q at %d:%d, outside the line", src.name, n.Line, i, n.Value, at.line, at.col)
		}
		if at.col == len(line)+1 || at.end != at.col+1 || value[i] == ' ' || value[i] == '\n' || value[i] == '\t' {
			continue // a fold, an escape, a blank
		}
		if got := line[at.col-1]; got != value[i] {
			t.Fatalf("%s:%d: rune %d of %q is %q, the source at %d:%d has %q\n%s", src.name, n.Line, i, n.Value, value[i], at.line, at.col, got, string(line))
		}
	}
}

func TestScalarsAreMappedRuneByRune(t *testing.T) {
	for _, f := range fixtures(t) {
		checkScalars(t, f)
	}
}

// One byte at a time is changed, taken out or put in: whatever is found must lie
// inside the file.
func TestFindingsLieInsideTheFile(t *testing.T) {
	step := 1
	if testing.Short() {
		step = 7
	}
	n := 0
	for _, f := range fixtures(t) {
		_, diags := Parse([]File{f})
		checkPlaces(t, f, diags)
		if len(f.Data) > 600 {
			n += flip(t, f, 149*step)
			continue
		}
		n += flip(t, f, 13*step)
	}
	t.Logf("%d damaged files", n)
}

func flip(t *testing.T, f File, step int) int {
	t.Helper()
	n := 0
	for i := 0; i < len(f.Data); i += step {
		for _, b := range []byte{f.Data[i] ^ 1, f.Data[i] ^ 0x20, '"', '\n'} {
			data := bytes.Clone(f.Data)
			data[i] = b
			_, diags := Parse([]File{{f.Name, data}})
			checkPlaces(t, File{f.Name, data}, diags)
			n++
		}
		data := append(bytes.Clone(f.Data[:i]), f.Data[i+1:]...)
		_, diags := Parse([]File{{f.Name, data}})
		checkPlaces(t, File{f.Name, data}, diags)
		n++
	}
	return n
}

func FuzzParse(f *testing.F) {
	for _, file := range fixtures(f) {
		f.Add(file.Data)
	}
	f.Add([]byte("rules:\n   &-idJh:, ma32tJh: t}}\n"))                    // a colon in an anchor
	f.Add([]byte(">\nit\n \n\n:v::K\t\n\n"))                               // a line of spaces in a folded text
	f.Add([]byte("\xfe\xff\x00r\x00u\x00l\x00e\x00s\x00:\x00 \x00[\x00]")) // UTF-16
	f.Fuzz(func(t *testing.T, data []byte) {
		file := File{"rules.yaml", data}
		checkScalars(t, file)
		set, diags := Parse([]File{file})
		checkPlaces(t, file, diags)
		if (set == nil) != HasErrors(diags) {
			t.Fatal("a set with errors, or none without")
		}
		if set != nil {
			checkPlaces(t, file, set.Lint(nil))
			set.Matcher().Match(fuzzEvent, nil)
		}
	})
}

// Line ends of another system and a byte order mark move nothing.
func TestPlacesDoNotDependOnLineEnds(t *testing.T) {
	for _, f := range fixtures(t) {
		_, want := Parse([]File{f})
		for name, data := range map[string][]byte{
			"CRLF": bytes.ReplaceAll(f.Data, []byte("\n"), []byte("\r\n")), "BOM": append([]byte("\ufeff"), f.Data...),
		} {
			file := File{f.Name, data}
			checkScalars(t, file)
			_, got := Parse([]File{file})
			if show := lines(got); show != lines(want) {
				t.Errorf("%s with %s: got\n%swant\n%s", f.Name, name, show, lines(want))
			}
		}
	}
}

func lines(diags []Diagnostic) string {
	var b bytes.Buffer
	_ = FormatUnix(&b, diags)
	return b.String()
}
