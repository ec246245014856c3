package decode

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"

	"corral/event"
	"corral/ingest"
)

// slogLines are lines of about 425 bytes as a service writes them with slog.
func slogLines(n int) []byte {
	r := rand.New(rand.NewPCG(1, 2))
	words := strings.Fields("upstream request failed connection reset by peer timeout deadline exceeded retry cache miss query slow token invalid")
	var b bytes.Buffer
	for i := range n {
		var msg []string
		for range 12 {
			msg = append(msg, words[r.IntN(len(words))])
		}
		fmt.Fprintf(&b, `{"time":"2026-03-04T12:34:%02d.%09dZ","level":%q,"msg":%q,"service":"svc-%03d","host":"ip-10-0-3-%d.eu-west-1.compute.internal","trace_id":"%016x%016x","span_id":"%016x","user":"u-%05d","src_ip":"203.0.113.%d","status":%d,"duration_ms":%d.21,"path":"/api/v1/res%d/op","k8s":{"ns":"shop","pod":"p-%d"}}`+"\n",
			i/1000%60, r.IntN(1e9), []string{"DEBUG", "INFO", "WARN", "ERROR"}[r.IntN(4)], strings.Join(msg, " "), r.IntN(200), r.IntN(255),
			r.Uint64(), r.Uint64(), r.Uint64(), r.IntN(5000), r.IntN(255), 200+r.IntN(4)*100, r.IntN(5000), r.IntN(500), r.IntN(999))
	}
	return b.Bytes()
}

func benchmarkLines(b *testing.B, data []byte, attrs ...string) {
	d := New(Options{AttrPaths: attrs, Reference: noon})
	lines := bytes.Count(data, []byte{'\n'})
	n := 0
	emit := func(ev *event.Event) {
		n++
	}
	b.SetBytes(int64(len(data) / lines))
	b.ReportAllocs()
	b.ResetTimer()
	for i := 0; i < b.N; i += lines {
		d.Decode(ingest.Record{Data: data, Lines: true, Seq: 1}, emit, nil)
	}
	if n == 0 || d.Counts().BadTime > n/2 {
		b.Fatalf("%d events, %+v", n, d.Counts())
	}
}

func BenchmarkSlog(b *testing.B)      { benchmarkLines(b, slogLines(1000)) }
func BenchmarkSlogAttrs(b *testing.B) { benchmarkLines(b, slogLines(1000), "user", "k8s.ns", "src_ip") }

// BenchmarkScan reads the same lines without using what is in them: the limit of
// the harness.
func BenchmarkScan(b *testing.B) {
	data := slogLines(1000)
	b.SetBytes(int64(len(data) / 1000))
	for i := 0; i < b.N; i += 1000 {
		for rest := data; len(rest) > 0; {
			end := bytes.IndexByte(rest, '\n')
			if n, _ := endValue(rest[:end], 0, 0); n != end {
				b.Fatal(n)
			}
			rest = rest[end+1:]
		}
	}
}

// repeated makes n lines of a file of testdata.
func repeated(b *testing.B, path string, n int) []byte {
	data, err := readFile(path)
	if err != nil {
		b.Fatal(err)
	}
	var out []byte
	for lines := 0; lines < n; lines += bytes.Count(data, []byte{'\n'}) {
		out = append(out, data...)
	}
	return out
}

func BenchmarkNATSServerLog(b *testing.B) {
	benchmarkLines(b, repeated(b, "testdata/lines/server-log-single.txt.gz", 1000))
}

func BenchmarkLogfmt(b *testing.B) {
	benchmarkLines(b, repeated(b, "testdata/lines/go-slog-text.log", 1000))
}

func BenchmarkAccessLog(b *testing.B) {
	benchmarkLines(b, repeated(b, "testdata/lines/access.log", 1000))
}

func BenchmarkKlog(b *testing.B) { benchmarkLines(b, repeated(b, "testdata/lines/go-klog.log", 1000)) }

func BenchmarkNATSEvents(b *testing.B) {
	benchmarkLines(b, repeated(b, "testdata/lines/nats-advisories.jsonl.zst", 1000))
}

// BenchmarkDocker wraps the lines of BenchmarkSlog as a container runtime does.
func BenchmarkDocker(b *testing.B) {
	var out bytes.Buffer
	for line := range bytes.Lines(slogLines(1000)) {
		fmt.Fprintf(&out, `{"log":%q,"stream":"stdout","time":"2026-03-04T12:34:56.%09dZ"}`+"\n", line, 7)
	}
	benchmarkLines(b, out.Bytes())
}

// BenchmarkFormats decodes the lines of each file of testdata, some thousand times
// over.
func BenchmarkFormats(b *testing.B) {
	files, err := filepath.Glob("testdata/lines/*")
	if err != nil || len(files) == 0 {
		b.Fatal(files, err)
	}
	for _, path := range files {
		if base := filepath.Base(path); strings.HasSuffix(base, ".csv") || base == "jwt-pretty.json" {
			continue // a header comes once; one record
		}
		data := repeated(b, path, 2000)
		b.Run(filepath.Base(path), func(b *testing.B) {
			d := New(Options{Reference: noon})
			events := 0
			b.SetBytes(int64(len(data)))
			b.ReportAllocs()
			for b.Loop() {
				d.Decode(ingest.Record{Data: data, Lines: true, Seq: 1}, func(*event.Event) { events++ }, func(DeadRecord) {})
			}
			if events == 0 {
				b.Fatal("no events")
			}
			b.ReportMetric(float64(b.N)*float64(bytes.Count(data, []byte{'\n'}))/b.Elapsed().Seconds(), "lines/s")
		})
	}
}
