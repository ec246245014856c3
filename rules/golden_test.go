package rules

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
)

var update = flag.Bool("update", false, "rewrite what the golden files expect")

// Each file of testdata/diagnostics holds rule files, and under `want` what check
// prints about them.
func TestDiagnostics(t *testing.T) {
	names, err := filepath.Glob("testdata/diagnostics/*.txtar")
	if err != nil || len(names) == 0 {
		t.Fatal(names, err)
	}
	for _, name := range names {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txtar"), func(t *testing.T) { golden(t, name) })
	}
}

func golden(t *testing.T, name string) {
	ar, err := txtar.ParseFile(name)
	if err != nil {
		t.Fatal(err)
	}
	files, want := ruleFilesOf(ar)
	var got bytes.Buffer
	_, diags := Parse(files)
	if err := FormatText(&got, diags, TextStyle{}); err != nil {
		t.Fatal(err)
	}
	got.WriteString("\n" + Summary(len(files), CountRules(files), diags) + "\n")
	if *update {
		rewrite(t, name, ar, got.Bytes())
		return
	}
	if got.String() != want {
		t.Errorf("got\n%s\nwant\n%s", got.String(), want)
	}
}

func ruleFilesOf(ar *txtar.Archive) (files []File, want string) {
	for _, f := range ar.Files {
		if f.Name == "want" {
			want = string(f.Data)
			continue
		}
		files = append(files, File{Name: f.Name, Data: f.Data})
	}
	return files, want
}

func rewrite(t *testing.T, name string, ar *txtar.Archive, got []byte) {
	t.Helper()
	kept := ar.Files[:0]
	for _, f := range ar.Files {
		if f.Name != "want" {
			kept = append(kept, f)
		}
	}
	ar.Files = append(kept, txtar.File{Name: "want", Data: got})
	if err := os.WriteFile(name, txtar.Format(ar), 0o644); err != nil {
		t.Fatal(err)
	}
}
