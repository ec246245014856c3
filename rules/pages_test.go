package rules

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// Every code that the package can report has a page, and the page's examples have
// the mistake and do not have it.
func TestEveryCodeHasAPage(t *testing.T) {
	text, err := os.ReadFile("codes.go")
	if err != nil {
		t.Fatal(err)
	}
	codes := regexp.MustCompile(`"([EW]\d{3})"`).FindAllStringSubmatch(string(text), -1)
	if len(codes) != len(Codes()) {
		t.Errorf("%d codes, %d pages", len(codes), len(Codes()))
	}
	for _, c := range codes {
		p, ok := ExplainCode(strings.ToLower(c[1]))
		if !ok || p.Title == "" || p.Meaning == "" {
			t.Errorf("%s has no page", c[1])
		}
	}
}

func TestPagesShowWhatTheySay(t *testing.T) {
	for _, code := range Codes() {
		p, _ := ExplainCode(code)
		if p.Wrong == "" || code == codeTestFile { // not of rule files: package ruletest shows it
			continue
		}
		t.Run(code, func(t *testing.T) {
			if got := found(p.Wrong); !slices.Contains(got, code) {
				t.Errorf("the wrong example gives %v", got)
			}
			if got := found(p.Right); slices.Contains(got, code) || slices.ContainsFunc(got, func(c string) bool { return c[0] == 'E' }) {
				t.Errorf("the right example gives %v", got)
			}
		})
	}
}

// found are the codes of all findings in a file, lint included.
func found(text string) []string {
	set, diags := Parse([]File{{"example.yaml", []byte(text)}})
	if set != nil {
		diags = append(diags, set.Lint(nil)...)
	}
	var codes []string
	for _, d := range diags {
		codes = append(codes, d.Code)
	}
	return codes
}

// Codes that are declared are used: a page for what cannot happen misleads.
func TestEveryCodeIsReported(t *testing.T) {
	names := regexp.MustCompile(`(?m)^\s(code\w+)\s+=`)
	decl, err := os.ReadFile("codes.go")
	if err != nil {
		t.Fatal(err)
	}
	var source strings.Builder
	files, _ := filepath.Glob("*.go")
	for _, f := range files {
		if f == "codes.go" || f == "pages.go" || strings.HasSuffix(f, "_test.go") {
			continue
		}
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		source.Write(b)
	}
	for _, m := range names.FindAllStringSubmatch(string(decl), -1) {
		if !regexp.MustCompile(`\b` + m[1] + `\b`).MatchString(source.String()) {
			t.Errorf("%s is never reported", m[1])
		}
	}
}
