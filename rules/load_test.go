package rules

import (
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"
)

func TestRuleKeepsItsText(t *testing.T) {
	set := mustParse(t, "version: 1\nrules:\n  - id: a\n    match: true # why\n    event: {}\n  # about b\n\n  - {id: b, match: true, event: {}}\n")
	if got := set.Rules[0].Text; got != "  - id: a\n    match: true # why\n    event: {}\n" && got != "id: a\n    match: true # why\n    event: {}\n" {
		t.Errorf("a is %q", got)
	}
	if got := set.Rules[1].Text; !strings.Contains(got, "id: b") || strings.Contains(got, "id: a") {
		t.Errorf("b is %q", got)
	}
	if set.Rules[0].Line != 3 || set.Rules[1].Line != 8 {
		t.Errorf("lines %d, %d", set.Rules[0].Line, set.Rules[1].Line)
	}
}

func TestLoadReadsFilesAndDirectories(t *testing.T) {
	dir := t.TempDir()
	rule := func(id string) []byte {
		return []byte("version: 1\nrules: [{id: " + id + ", match: true, event: {}}]\n")
	}
	for name, data := range map[string][]byte{
		"b.yaml": rule("b"), "a.yml": rule("a"), "c_test.yaml": []byte("not a rule file"), "notes.txt": []byte("x"), ".hidden.yaml": []byte("x"),
		"sub/d.yaml": rule("d"), "empty/notes.txt": []byte("x"),
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	set, diags, err := Load([]string{dir, filepath.Join(dir, "sub", "d.yaml"), filepath.Join(dir, "b.yaml")})
	if err != nil || set == nil {
		t.Fatal(err, diags)
	}
	var ids []string
	for i, r := range set.Rules {
		ids = append(ids, r.ID)
		if r.Index != i || set.Rule(r.ID) != r {
			t.Errorf("%s: index %d", r.ID, r.Index)
		}
	}
	if !slices.Equal(ids, []string{"a", "b", "d"}) {
		t.Errorf("got %v", ids)
	}
	for path, want := range map[string]string{
		filepath.Join(dir, "nowhere"): "no such file or directory", filepath.Join(dir, "empty"): "no rule files (*.yaml, *.yml) in",
	} {
		if _, _, err := Load([]string{path}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", path, err, want)
		}
	}
	if _, _, err := Load(nil); err == nil {
		t.Error("no paths must be an error")
	}
}

// A rule's inline tests stay YAML, with their places.
func TestInlineTestsAreKept(t *testing.T) {
	r := everyField(t).Rule("every-envelope")
	if r.Tests == nil || r.Tests.Kind != yaml.SequenceNode || r.Tests.Line == 0 {
		t.Errorf("tests are %+v", r.Tests)
	}
}

// The order of files, and of rules in them, is the order of everything that
// follows; two loads of the same bytes are equal.
func TestLoadIsDeterministic(t *testing.T) {
	files := fixtures(t)
	_, first := Parse(files)
	for range 3 {
		if _, again := Parse(files); !reflect.DeepEqual(first, again) {
			t.Fatal("two runs differ")
		}
	}
	a, b := everyField(t), everyField(t)
	if !slices.Equal(a.AttrPaths, b.AttrPaths) {
		t.Errorf("slots differ: %v, %v", a.AttrPaths, b.AttrPaths)
	}
	for i := range a.Rules {
		if a.Rules[i].LogicHash != b.Rules[i].LogicHash || a.Rules[i].TextHash != b.Rules[i].TextHash {
			t.Errorf("%s: hashes differ", a.Rules[i].ID)
		}
	}
}

// A default that every rule of the file replaces is checked as well: the next rule
// would take it. It is a mistake only if it is one for each of them.
func TestDefaultsThatNoRuleTakes(t *testing.T) {
	text := func(defaults string) []File {
		return []File{{Name: "r.yaml", Data: []byte(`version: 1
defaults: {` + defaults + `}
rules:
  - {id: a, match: true, severity: info, title: x, group_by: [service], suppress: 1m, event: {}}
  - {id: b, match: true, severity: info, title: x, group_by: [host], suppress: 1m, threshold: {window: 5m, condition: count() > 1}}
`)}}
	}
	for defaults, want := range map[string]string{
		"severity: hihg":         "`severity` cannot be \"hihg\"",
		"suppress: -5m":          "`suppress` must not be negative",
		"title: '{{ servic }}'":  `unknown name "servic"`,
		"group_by: [service, 5]": "",
		"title: '{{ count() }}'": "",
	} {
		set, found := Parse(text(defaults))
		switch {
		case want == "" && set == nil:
			t.Errorf("%s: %v", defaults, found)
		case want != "" && (len(found) != 1 || found[0].Message != want || found[0].Line != 2):
			t.Errorf("%s: got %v, want %s", defaults, found, want)
		}
	}
}
