package rules

import (
	"bytes"
	"testing"
)

func TestFormats(t *testing.T) {
	_, diags := Parse([]File{{"r.yaml", []byte("version: 1\nrules:\n  - {id: a, match: http.stauts > 1, event: {}}\n")}})
	for _, tt := range []struct {
		name  string
		write func(*bytes.Buffer) error
		want  string
	}{
		{"unix", func(b *bytes.Buffer) error { return FormatUnix(b, diags) }, "r.yaml:3:25: error[E103]: unknown field \"stauts\" of http\n"},
		{"github", func(b *bytes.Buffer) error { return FormatGitHub(b, diags) }, "::error file=r.yaml,line=3,endLine=3,col=25,endColumn=31,title=E103::unknown field \"stauts\" of http%0Adid you mean \"status\"?%0Afields of http: method, route, path, status, duration_ms, client\n"},
		{"narrow", func(b *bytes.Buffer) error { return FormatText(b, diags, TextStyle{Width: 36}) }, "r.yaml:3:25: error[E103]: unknown field \"stauts\" of http\n    |\n  3 | …: http.stauts > 1, event: {}}\n    |         ^^^^^^ did you mean \"status\"?\n    = fields of http: method, route, path, status, duration_ms, client\n"},
		{"json", func(b *bytes.Buffer) error { return FormatJSON(b, diags) }, `{
  "diagnostics": [
    {
      "file": "r.yaml",
      "line": 3,
      "col": 25,
      "end_line": 3,
      "end_col": 31,
      "level": "error",
      "code": "E103",
      "message": "unknown field \"stauts\" of http",
      "note": "did you mean \"status\"?",
      "help": "fields of http: method, route, path, status, duration_ms, client"
    }
  ]
}
`},
	} {
		var b bytes.Buffer
		if err := tt.write(&b); err != nil || b.String() != tt.want {
			t.Errorf("%s: %v, got\n%s\nwant\n%s", tt.name, err, b.String(), tt.want)
		}
	}
}

func TestSummary(t *testing.T) {
	e, w := Diagnostic{File: "a", Level: "error"}, Diagnostic{File: "b", Level: "warning"}
	for want, diags := range map[string][]Diagnostic{
		"4 files, 37 rules: no findings.":                           nil,
		"4 files, 37 rules: 1 error.  1 file unusable.":             {e},
		"4 files, 37 rules: 2 errors, 1 warning.  1 file unusable.": {e, e, w},
		"4 files, 37 rules: 1 warning.":                             {w},
	} {
		if got := Summary(4, 37, diags); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
