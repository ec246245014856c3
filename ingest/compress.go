package ingest

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync/atomic"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

const (
	// maxWindow is the largest zstd window accepted, what `zstd --long` writes by
	// default: a hostile frame cannot ask for more memory.
	maxWindow = 128 << 20
	// A stream that grew beyond bombSize by more than bombRatio is not a log. gzip
	// cannot exceed 1:1032.
	bombSize  = 1 << 30
	bombRatio = 4096
)

// refused are the first bytes of files that are no logs, or logs in a dress we
// do not know.
var refused = []struct{ magic, is string }{
	{"PK\x03\x04", "a zip archive"},
	{"BZh", "compressed with bzip2"},
	{"\xfd7zXZ\x00", "compressed with xz"},
	{"\x04\x22\x4d\x18", "compressed with lz4"},
	{"\x1f\x9d", "compressed with compress"},
	{"\x7fELF", "a program"},
	{"PAR1", "a Parquet file"},
}

// tarMagic stands at this offset of a tar archive.
const (
	tarMagic  = "ustar"
	tarOffset = 257
)

// decompress returns the text in r: r itself, or what is compressed in it as
// gzip or zstd, known by its first bytes whatever its name.
func decompress(r io.Reader) (io.ReadCloser, error) {
	var in atomic.Int64
	br := bufio.NewReaderSize(&tally{r, &in}, 64<<10)
	head := beginning(br)
	switch {
	case bytes.HasPrefix(head, []byte("\x1f\x8b")):
		return gunzip(br, &in)
	case bytes.HasPrefix(head, []byte("\x28\xb5\x2f\xfd")), isSkippable(head):
		return unzstd(br, &in)
	}
	if err := refuse(head); err != nil {
		return nil, err
	}
	return io.NopCloser(br), nil
}

// beginning looks at what the first read gives. It does not wait for more: the
// stream may be a live one. An error comes again at the read.
func beginning(br *bufio.Reader) []byte {
	_, _ = br.Peek(4)
	head, _ := br.Peek(min(br.Buffered(), tarOffset+len(tarMagic)))
	return head
}

func refuse(head []byte) error {
	for _, k := range refused {
		if bytes.HasPrefix(head, []byte(k.magic)) {
			return fmt.Errorf("is %s; corral reads text, gzip and zstd", k.is)
		}
	}
	if len(head) > tarOffset && strings.HasPrefix(string(head[tarOffset:]), tarMagic) {
		return errors.New("is a tar archive; unpack it, or pipe `tar -xO` into corral")
	}
	return nil
}

// isSkippable reports whether a zstd file begins with a skippable frame, as
// pzstd and the seekable format write them.
func isSkippable(head []byte) bool {
	return len(head) >= 4 && head[0]&0xf0 == 0x50 && string(head[1:4]) == "\x2a\x4d\x18"
}

func gunzip(br *bufio.Reader, in *atomic.Int64) (io.ReadCloser, error) {
	z, err := gzip.NewReader(br)
	if err != nil {
		return nil, err
	}
	return checkTar(&guard{r: z, in: in, close: z.Close})
}

func unzstd(br *bufio.Reader, in *atomic.Int64) (io.ReadCloser, error) {
	z, err := zstd.NewReader(br,
		zstd.WithDecoderConcurrency(1), // in the caller's goroutine: there is one per file
		zstd.WithDecoderLowmem(true),
		zstd.WithDecoderMaxWindow(maxWindow))
	if err != nil {
		return nil, err
	}
	return checkTar(&guard{r: z, in: in, close: func() error { z.Close(); return nil }})
}

func checkTar(g *guard) (io.ReadCloser, error) {
	br := bufio.NewReaderSize(g, 4<<10)
	if err := refuse(beginning(br)); err != nil {
		_ = g.Close()
		return nil, err
	}
	return struct {
		io.Reader
		io.Closer
	}{br, g}, nil
}

// tally counts the bytes read through it.
type tally struct {
	io.Reader
	n *atomic.Int64
}

func (t *tally) Read(p []byte) (int, error) {
	n, err := t.Reader.Read(p)
	t.n.Add(int64(n))
	return n, err
}

// guard ends a stream that expands beyond reason.
type guard struct {
	r     io.Reader
	in    *atomic.Int64
	out   int64
	close func() error
}

func (g *guard) Read(p []byte) (int, error) {
	if g.out > bombSize && g.out/bombRatio > g.in.Load() {
		return 0, fmt.Errorf("decompress: %d bytes became more than %d: stopped, this is no log", g.in.Load(), g.out)
	}
	n, err := g.r.Read(p)
	g.out += int64(n)
	return n, err
}

func (g *guard) Close() error { return g.close() }
