package decode

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.opentelemetry.io/collector/pdata/plog"

	"corral/event"
	"corral/ingest"
)

// testdataFiles gives every file of testdata, whatever it is compressed with.
func testdataFiles(t testing.TB) map[string][]byte {
	all := map[string][]byte{}
	for _, dir := range []string{"lines", "messages"} {
		files, err := filepath.Glob(filepath.Join("testdata", dir, "*"))
		if err != nil || len(files) == 0 {
			t.Fatal(files, err)
		}
		for _, path := range files {
			b, err := readFile(path)
			if err != nil {
				t.Fatal(err)
			}
			all[filepath.Base(path)] = b
		}
	}
	return all
}

// lineEvents decodes a piece of a file and describes its events by position,
// without what depends on the events before it.
func lineEvents(d *Decoder, data []byte, seq uint64) []string {
	var all []string
	d.Decode(ingest.Record{Data: data, Lines: true, Seq: seq, Reference: noon.UnixNano()}, func(ev *event.Event) {
		m := Describe(ev).Map()
		if ev.TimeQuality == event.TimeObserved {
			delete(m, "time")
		}
		m["raw"], m["pos"] = ev.Raw, ev.Pos
		b, _ := json.Marshal(m)
		all = append(all, string(b))
	}, func(dl DeadRecord) {
		all = append(all, dl.Reason+string(dl.Data))
	})
	slices.Sort(all)
	return all
}

// checkCuts decodes data in two pieces, cut where SafeCut says for every prefix
// a reader may hold, and in one.
func checkCuts(t *testing.T, d *Decoder, data []byte, step int) {
	t.Helper()
	whole := lineEvents(d, data, 1)
	seen := map[int]bool{}
	for n := 1; n < len(data); n += step {
		cut := SafeCut(data[:n])
		if cut == 0 || seen[cut] {
			continue
		}
		seen[cut] = true
		if cut > n || data[cut-1] != '\n' {
			t.Fatalf("SafeCut of %d bytes = %d: not after a line", n, cut)
		}
		parts := lineEvents(d, data[:cut], 1)
		parts = append(parts, lineEvents(d, data[cut:], 1+uint64(bytes.Count(data[:cut], []byte{'\n'})))...)
		slices.Sort(parts)
		if !slices.Equal(parts, whole) {
			t.Fatalf("cut at %d (of %d):\n got %s\nwant %s", cut, n, strings.Join(parts, "\n     "), strings.Join(whole, "\n     "))
		}
	}
}

func TestSafeCut(t *testing.T) {
	for name, data := range testdataFiles(t) {
		if HeaderLine(data) {
			continue // its pieces need the header, see TestCSVPieces
		}
		t.Run(name, func(t *testing.T) {
			data = data[:min(len(data), 24<<10)]
			checkCuts(t, New(Options{}), data, max(1, len(data)/40))
		})
	}
}

func FuzzDecode(f *testing.F) {
	for _, b := range testdataFiles(f) {
		f.Add(b[:min(len(b), 1500)], true, "")
		f.Add(b[:min(len(b), 1500)], false, "$SYS.SERVER.X.CLIENT.AUTH.ERR")
		for line := range bytes.Lines(b[:min(len(b), 4000)]) {
			f.Add(line, false, "logs.x")
		}
	}
	var pm plog.ProtoMarshaler
	proto, err := pm.MarshalLogs(otlpLogs())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(proto, false, "otel.logs")
	f.Add([]byte("\x28\xb5\x2f\xfd\x04\x00\x59\x00\x00hello world"), false, "")
	d, pieces := New(Options{AttrPaths: testPaths}), New(Options{})
	f.Fuzz(func(t *testing.T, data []byte, lines bool, subject string) {
		rec := ingest.Record{Data: data, Lines: lines, Seq: 7, Subject: subject, Reference: noon.UnixNano()}
		if !lines {
			rec.Observed = noon.UnixNano()
		}
		events := 0
		d.Decode(rec, func(ev *event.Event) {
			events++
			if ev.Kind == "" || ev.Format == "" || ev.Pos.Seq < 7 {
				t.Fatalf("incomplete: %+v", ev)
			}
			Describe(ev.Clone())
		}, func(dl DeadRecord) {
			events++
			if len(dl.Error) > 200 || dl.Reason == "" {
				t.Fatalf("dead: %+v", dl)
			}
		})
		if events == 0 && strings.TrimSpace(string(data)) != "" && !empty(data) {
			t.Fatalf("%q disappeared", data)
		}
		if lines && !HeaderLine(data) {
			checkCuts(t, pieces, data, 1+len(data)/50)
		}
	})
}

// empty reports whether there is nothing in a record to make an event of.
func empty(data []byte) bool {
	for line := range bytes.Lines(data) {
		if p, ok := criLine(strings.TrimRight(string(line), "\r\n")); ok && strings.TrimSpace(p.text) == "" {
			return true
		}
	}
	if bytes.Contains(data, []byte("esourceLogs")) || bytes.Contains(data, []byte("resource_logs")) {
		return true // exports may have no records
	}
	s := strings.Trim(stripANSI(string(data)), " \t\r\n\x1b\v\f")
	return s == "" || s == "[]" || HeaderLine(data)
}

func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readAll(f, filepath.Ext(path))
}

// FuzzFormat reads texts as formats they need not be of.
func FuzzFormat(f *testing.F) {
	for _, b := range testdataFiles(f) {
		for line := range bytes.Lines(b[:min(len(b), 2000)]) {
			for i := range formatNames {
				f.Add(uint8(i), line)
			}
		}
	}
	var decoders [nFormats]*Decoder
	for i := range decoders {
		decoders[i] = New(Options{Format: formatNames[i], TimeLayout: "%y%m%d %H%M%S"})
	}
	f.Fuzz(func(t *testing.T, format uint8, data []byte) {
		d := decoders[int(format)%len(decoders)]
		for _, lines := range []bool{true, false} {
			d.Decode(ingest.Record{Data: data, Lines: lines, Seq: 1, Reference: noon.UnixNano()}, func(ev *event.Event) {
				if n := len(Describe(ev.Clone()).Map()["format"].(string)); n == 0 {
					t.Fatal("no format")
				}
			}, func(DeadRecord) {})
		}
	})
}
