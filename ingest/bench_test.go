package ingest

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// BenchmarkFiles reads a file to its end as a source, and with nothing but the
// decompressor, in turns so that what else the machine does meets both.
// source/raw is the price of whole lines, counted.
func BenchmarkFiles(b *testing.B) {
	text := lines(200_000)
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	_, _ = w.Write(text)
	_ = w.Close()
	z, err := zstd.NewWriter(nil)
	if err != nil {
		b.Fatal(err)
	}
	for _, kind := range []struct {
		name string
		data []byte
		open func(io.Reader) (io.Reader, error)
	}{
		{"a.log", text, func(r io.Reader) (io.Reader, error) { return r, nil }},
		{"a.log.gz", packed.Bytes(), func(r io.Reader) (io.Reader, error) { return gzip.NewReader(r) }},
		{"a.log.zst", z.EncodeAll(text, nil), func(r io.Reader) (io.Reader, error) {
			return zstd.NewReader(r, zstd.WithDecoderConcurrency(1))
		}},
	} {
		path := filepath.Join(b.TempDir(), kind.name)
		if err := os.WriteFile(path, kind.data, 0o600); err != nil {
			b.Fatal(err)
		}
		raw := func() { readRaw(b, path, kind.open, len(text)) }
		b.Run(kind.name, func(b *testing.B) {
			inTurns(b, len(text), raw, func() { readFiles(b, path, FileOptions{}) })
		})
		if kind.name != "a.log" {
			continue
		}
		b.Run("stdin", func(b *testing.B) {
			inTurns(b, len(text), raw, func() { readFiles(b, Stdin, FileOptions{Stdin: bytes.NewReader(text)}) })
		})
	}
}

// inTurns reports the rates of two readers of so many bytes, and their ratio.
func inTurns(b *testing.B, size int, raw, source func()) {
	var took [2]time.Duration
	n := 0
	for b.Loop() {
		for i, read := range []func(){raw, source} {
			begin := time.Now()
			read()
			took[i] += time.Since(begin)
		}
		n++
	}
	b.ReportMetric(float64(n)*float64(size)/1e6/took[0].Seconds(), "raw-MB/s")
	b.ReportMetric(float64(n)*float64(size)/1e6/took[1].Seconds(), "source-MB/s")
	b.ReportMetric(float64(took[0])/float64(took[1]), "source/raw")
}

func readRaw(b *testing.B, path string, open func(io.Reader) (io.Reader, error), size int) {
	f, err := os.Open(path)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	r, err := open(f)
	if err != nil {
		b.Fatal(err)
	}
	buf := make([]byte, 1<<20)
	n := 0
	for {
		k, err := r.Read(buf)
		n += k
		if err == io.EOF {
			break
		}
		if err != nil {
			b.Fatal(err)
		}
	}
	if c, ok := r.(*zstd.Decoder); ok {
		c.Close()
	}
	if n != size {
		b.Fatalf("%d bytes of %d", n, size)
	}
}

func readFiles(b *testing.B, path string, o FileOptions) {
	f, err := NewFiles([]string{path}, o)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	if err := f.Run(b.Context(), func(Batch) error { return nil }); err != nil {
		b.Fatal(err)
	}
}
