package decode

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"corral/event"
	"corral/ingest"
)

var update = flag.Bool("update", false, "rewrite the golden files")

var noon = time.Date(2026, 11, 22, 23, 0, 0, 0, time.UTC)

// TestGolden decodes every file of testdata: those in lines as files are read,
// those in messages as NATS messages.
func TestGolden(t *testing.T) {
	for _, dir := range []string{"lines", "messages"} {
		files, err := filepath.Glob(filepath.Join("testdata", dir, "*"))
		if err != nil || len(files) == 0 {
			t.Fatal(files, err)
		}
		for _, path := range files {
			t.Run(filepath.Base(path), func(t *testing.T) {
				rec := ingest.Record{Data: readTestdata(t, path), Lines: dir == "lines", Seq: 1}
				if rec.Lines {
					rec.Reference = noon.UnixNano()
				} else {
					rec.Observed, rec.Subject = noon.UnixNano(), "logs.test"
				}
				checkGolden(t, filepath.Join("testdata", "golden", filepath.Base(path)), decoded(rec, brief(path)))
			})
		}
	}
}

// TestDocumented makes sure that docs/formats.md names every shape there is a
// golden for, and no other.
func TestDocumented(t *testing.T) {
	doc, err := os.ReadFile("../../docs/formats.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(doc), "| what writes it |")
	table, _, _ = strings.Cut(table, "\n\n")
	files, err := filepath.Glob("testdata/golden/*")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	stems := map[string]bool{}
	for _, path := range files {
		stem, _, _ := strings.Cut(filepath.Base(path), ".")
		stems[stem] = true
		if strings.HasPrefix(stem, "server-log-") {
			stem = "server-log-…"
		}
		if stem != "text" && !strings.Contains(table, "`"+stem+"`") {
			t.Errorf("the table does not name %s", stem)
		}
	}
	for line := range strings.Lines(table) {
		cells := strings.Split(strings.TrimSpace(line), "|")
		if len(cells) < 5 {
			continue
		}
		for i, name := range strings.Split(cells[len(cells)-2], "`") {
			if i%2 == 1 && !strings.HasPrefix(name, "Test") && name != "server-log-…" && !stems[name] {
				t.Errorf("the table names %q, which is not there", name)
			}
		}
	}
}

// brief leaves out the attributes where they would fill pages.
func brief(path string) bool {
	return strings.Contains(path, "ndjson.zst") || strings.Contains(path, "nats-advisories")
}

func readTestdata(t *testing.T, path string) []byte {
	t.Helper()
	b, err := readFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func readAll(f io.Reader, ext string) ([]byte, error) {
	var err error
	switch ext {
	case ".gz":
		f, err = gzip.NewReader(f)
	case ".zst":
		f, err = zstd.NewReader(f)
	}
	if err != nil {
		return nil, err
	}
	return io.ReadAll(f)
}

// decoded describes the events of a record, one a line.
func decoded(rec ingest.Record, brief bool) []byte {
	var b bytes.Buffer
	d := New(Options{})
	d.Decode(rec, func(ev *event.Event) {
		m := Describe(ev).Map()
		if brief {
			delete(m, "attrs")
		}
		line, err := json.Marshal(m)
		if err != nil {
			line = []byte(err.Error())
		}
		fmt.Fprintf(&b, "%d.%d %s\n", ev.Pos.Seq, ev.Pos.Sub, line)
	}, func(dl DeadRecord) {
		fmt.Fprintf(&b, "%d.%d dead %s: %s: %.200q\n", dl.Seq, dl.Sub, dl.Reason, dl.Error, dl.Data)
	})
	c := *d.Counts()
	fmt.Fprintf(&b, "counts: bad time %d, no time %d, no zone %d, cut %d, undecodable %d, formats %v\n", c.BadTime, c.NoTime, c.NoZone, c.Cut, c.Undecodable, c.Formats())
	return b.Bytes()
}

func checkGolden(t *testing.T, path string, got []byte) {
	t.Helper()
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	g, w := strings.Split(string(got), "\n"), strings.Split(string(want), "\n")
	for i := range min(len(g), len(w)) {
		if g[i] != w[i] {
			t.Fatalf("%s:%d\n got %s\nwant %s", path, i+1, g[i], w[i])
		}
	}
	if len(g) != len(w) {
		t.Fatalf("%s: got %d lines, want %d", path, len(g), len(w))
	}
}
