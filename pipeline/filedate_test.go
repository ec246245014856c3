package pipeline

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"corral/ingest"
	"corral/ingest/decode"
	"corral/rules"
	"corral/sinks"
)

// TestFileDate: when a file was written is no clock of its events where it cannot
// be, and one line of a wrong clock does not make the others late.
func TestFileDate(t *testing.T) {
	set, diags := rules.Parse([]rules.File{{Name: "r.yaml", Data: []byte(`
version: 1
rules:
  - id: three
    match: message == "x"
    threshold: {window: 1d, condition: count() >= 3}
`)}})
	if set == nil {
		t.Fatal(diags)
	}
	three := []string{
		`{"time":"2026-01-05T00:00:00Z","message":"x"}`, `{"time":"2026-01-05T00:00:30Z","message":"x"}`, `{"time":"2026-01-05T23:00:00Z","message":"x"}`,
	}
	wrong := `{"time":"2036-02-07T06:28:16Z","message":"booted"}` // a clock that was never set
	for _, tt := range []struct {
		name, changed string
		lines         []string
	}{
		{"written after them", "2026-01-06T00:00:00Z", three},
		{"a date of long before", "1970-01-01T00:00:01Z", three},
		{"in two files", "1970-01-01T00:00:01Z", append([]string{"-"}, three...)},
		{"a wrong clock first", "2026-01-06T00:00:00Z", append([]string{wrong}, three...)},
		{"a wrong clock in the middle", "2026-01-06T00:00:00Z", []string{three[0], wrong, three[1], three[2]}},
		{"a banner first, and a date of long before", "1980-01-01T00:00:00Z", append([]string{"Welcome to the program"}, three...)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			changed, err := time.Parse(time.RFC3339, tt.changed)
			if err != nil {
				t.Fatal(err)
			}
			var paths []string
			file := func(name string, lines []string) {
				path := filepath.Join(dir, name)
				if err := os.WriteFile(path, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
					t.Fatal(err)
				}
				if err := os.Chtimes(path, changed, changed); err != nil {
					t.Fatal(err)
				}
				paths = append(paths, path)
			}
			if tt.lines[0] == "-" {
				file("a.log", tt.lines[1:2])
				tt.lines = tt.lines[2:]
			}
			file("b.log", tt.lines)
			src, err := ingest.NewFiles(paths, ingest.FileOptions{Cut: decode.SafeCut})
			if err != nil {
				t.Fatal(err)
			}
			defer src.Close()
			sink := &collect{}
			lane := &Lane{Rules: set, Sink: sink}
			b := Batch{
				Lanes: []*Lane{lane}, Source: src, Dead: func(d sinks.DeadLetter) { t.Errorf("dead: %s", d.Record()) },
				Decode: decode.Options{Today: time.Now()}, Lateness: time.Minute, Workers: 2, Now: time.Now,
			}
			if err := b.Run(t.Context()); err != nil {
				t.Fatal(err)
			}
			if len(sink.ts) != 1 || sink.ts[0].OpenedAt.Format(time.RFC3339) != "2026-01-05T23:00:00Z" || sink.ts[0].EventCount != 3 {
				t.Errorf("%d revisions: %+v", len(sink.ts), sink.ts)
			}
		})
	}
}
