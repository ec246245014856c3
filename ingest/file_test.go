package ingest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

func write(t *testing.T, path string, data []byte) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func gz(t *testing.T, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func zst(t *testing.T, data []byte) []byte {
	t.Helper()
	w, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	return w.EncodeAll(data, nil)
}

// lines returns n log lines, each telling its number.
func lines(n int) []byte {
	var b bytes.Buffer
	for i := range n {
		fmt.Fprintf(&b, `{"n":%d,"msg":"line %d of a log that is long enough to need several pieces"}`+"\n", i+1, i+1)
	}
	return b.Bytes()
}

func newFiles(t *testing.T, opts FileOptions, args ...string) *Files {
	t.Helper()
	f, err := NewFiles(args, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f
}

// readAll pulls one partition to its end and checks the order of its lines.
func readAll(t *testing.T, f *Files, partition int) []byte {
	t.Helper()
	var all []byte
	for {
		b, err := f.Next(t.Context(), partition)
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range b.Records {
			if line := uint64(bytes.Count(all, newline)) + 1; r.Seq != line || !r.Lines || b.Partition != partition {
				t.Fatalf("record: line %d, lines %v, partition %d; want line %d of partition %d", r.Seq, r.Lines, b.Partition, line, partition)
			}
			all = append(all, r.Data...)
		}
	}
}

func TestFilesReadEveryForm(t *testing.T) {
	text := lines(20_000)
	half := len(text) / 2
	half += bytes.IndexByte(text[half:], '\n') + 1
	tests := []struct {
		name string
		data []byte
	}{
		{"a.log", text},
		{"a.log.gz", gz(t, text)},
		{"a.log.zst", zst(t, text)},
		{"two-members.gz", append(gz(t, text[:half]), gz(t, text[half:])...)},
		{"two-frames.zst", append(zst(t, text[:half]), zst(t, text[half:])...)},
		{"skippable.zst", append([]byte("\x50\x2a\x4d\x18\x02\x00\x00\x00hi"), zst(t, text)...)},
		{"gzip-by-another-name.log", gz(t, text)},
		{"mark.log", append([]byte("\xef\xbb\xbf"), text...)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := newFiles(t, FileOptions{}, write(t, filepath.Join(t.TempDir(), tt.name), tt.data))
			if head, err := f.Head(t.Context(), 0); err != nil || time.Since(time.Unix(0, head.Records[0].Reference)) > time.Hour {
				t.Errorf("head %+v, %v: want the file's time", head, err)
			}
			if got := readAll(t, f, 0); !bytes.Equal(got, text) {
				t.Errorf("got %d bytes, want %d", len(got), len(text))
			}
			if errs := f.Problems(); len(errs) != 0 {
				t.Errorf("problems: %v", errs)
			}
			st := f.Stats()
			if st.Read != int64(len(tt.data)) || st.Total != st.Read || st.Text != int64(len(text)) || st.Lines != 20_000 {
				t.Errorf("stats %+v: want read and total %d, text %d, lines 20000", st, len(tt.data), len(text))
			}
		})
	}
}

func TestFilesKeepWhatATruncatedFileHolds(t *testing.T) {
	text := lines(20_000)
	for name, data := range map[string][]byte{"a.gz": gz(t, text), "a.zst": zst(t, text)} {
		t.Run(name, func(t *testing.T) {
			path := write(t, filepath.Join(t.TempDir(), name), data[:len(data)*3/4])
			f := newFiles(t, FileOptions{}, path)
			got := readAll(t, f, 0)
			if len(got) == 0 || !bytes.HasPrefix(text, got) {
				t.Errorf("got %d bytes, want a beginning of the text", len(got))
			}
			errs := f.Problems()
			if len(errs) != 1 || !errors.Is(errs[0], io.ErrUnexpectedEOF) || !strings.HasPrefix(errs[0].Error(), "read "+path+": truncated after line ") {
				t.Errorf("problems: %v", errs)
			}
		})
	}
}

func TestFilesReportDamageAndGoOn(t *testing.T) {
	dir := t.TempDir()
	damaged := gz(t, lines(1000))
	copy(damaged[len(damaged)/2:], "garbage garbage garbage")
	write(t, filepath.Join(dir, "1-damaged.gz"), damaged)
	write(t, filepath.Join(dir, "2-archive.zip"), []byte("PK\x03\x04rest"))
	write(t, filepath.Join(dir, "3-archive.tar.gz"), gz(t, append(make([]byte, 257), "ustar\x00"...)))
	write(t, filepath.Join(dir, "4-empty.log"), nil)
	write(t, filepath.Join(dir, "5-good.log"), lines(3))
	f := newFiles(t, FileOptions{}, dir)
	var got []string
	var ends int
	err := f.Run(t.Context(), func(b Batch) error {
		for _, r := range b.Records {
			got = append(got, f.Partitions()[b.Partition].Name)
			_ = r
		}
		if b.End {
			ends++
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if last := got[len(got)-1]; last != "file:"+filepath.Join(dir, "5-good.log") || ends != 5 {
		t.Errorf("last record from %s, %d partitions ended, want 5", last, ends)
	}
	var names []string
	for _, err := range f.Problems() {
		name, why, _ := strings.Cut(strings.TrimPrefix(err.Error(), "read "+dir+"/"), ": ")
		names = append(names, name)
		t.Log(name, why)
	}
	if want := []string{"1-damaged.gz", "2-archive.zip", "3-archive.tar.gz"}; !slices.Equal(names, want) {
		t.Errorf("problems with %v, want %v", names, want)
	}
}

func TestFilesRefuseAWindowNoLogNeeds(t *testing.T) {
	const window = (28 - 10) << 3 // 256 MiB, as RFC 8878 writes it
	frame := []byte{0x28, 0xb5, 0x2f, 0xfd, 0x00, window, 0x01, 0x00, 0x00}
	f := newFiles(t, FileOptions{}, write(t, filepath.Join(t.TempDir(), "a.zst"), frame))
	if got := readAll(t, f, 0); len(got) != 0 {
		t.Errorf("got %d bytes", len(got))
	}
	if errs := f.Problems(); len(errs) != 1 || !errors.Is(errs[0], zstd.ErrWindowSizeExceeded) {
		t.Errorf("problems: %v", errs)
	}
}

func TestGuardStopsAtABomb(t *testing.T) {
	var in atomic.Int64
	in.Store(1000)
	g := &guard{r: bytes.NewReader(make([]byte, 100)), in: &in, out: bombSize - 50}
	buf := make([]byte, 60)
	if n, err := g.Read(buf); n != 60 || err != nil {
		t.Fatalf("got %d, %v before the limit", n, err)
	}
	_, err := g.Read(buf)
	if err == nil || !strings.Contains(err.Error(), "this is no log") {
		t.Errorf("got %v beyond the limit", err)
	}
	in.Store(bombSize / bombRatio)
	if n, err := g.Read(buf); n != 40 || err != nil {
		t.Errorf("got %d, %v for a stream of a usual ratio", n, err)
	}
}

func TestFilesPassTheHeaderOn(t *testing.T) {
	csv := append([]byte("Timestamp,Node,Log\r\n"), lines(20_000)...)
	f := newFiles(t, FileOptions{Header: func(line []byte) bool { return bytes.HasPrefix(line, []byte("Timestamp,")) }},
		write(t, filepath.Join(t.TempDir(), "a.csv"), csv))
	for n := 0; ; n++ {
		b, err := f.Next(t.Context(), 0)
		if err != nil {
			break
		}
		want := "Timestamp,Node,Log"
		if n == 0 {
			want = ""
		}
		for _, r := range b.Records {
			if string(r.Header) != want {
				t.Errorf("piece %d: header %q, want %q", n, r.Header, want)
			}
		}
	}
}

func TestFilesHeadMovesNothing(t *testing.T) {
	dir := t.TempDir()
	text := lines(20_000)
	f := newFiles(t, FileOptions{}, write(t, filepath.Join(dir, "a.log"), text), write(t, filepath.Join(dir, "b.log"), nil))
	for range 2 {
		b, err := f.Head(t.Context(), 0)
		if err != nil || b.Records[0].Seq != 1 || !bytes.HasPrefix(text, b.Records[0].Data) {
			t.Fatalf("head: %v", err)
		}
		if n := f.pool.n; n != 0 {
			t.Errorf("%d files open after Head, want none", n)
		}
	}
	if _, err := f.Head(t.Context(), 1); !errors.Is(err, io.EOF) {
		t.Errorf("head of an empty file: %v, want EOF", err)
	}
	if got := readAll(t, f, 0); !bytes.Equal(got, text) {
		t.Errorf("got %d bytes after Head, want %d", len(got), len(text))
	}
	if st := f.Stats(); st.Lines != 20_000 {
		t.Errorf("counted %d lines, want 20000", st.Lines)
	}
}

// Files taken in turns, far more than may be open, compressed and not.
func TestFilesFewOpenAtOnce(t *testing.T) {
	const n = 40
	dir := t.TempDir()
	want := make([][]byte, n)
	var args []string
	for i := range n {
		want[i] = bytes.ReplaceAll(lines(2000), []byte("line"), fmt.Appendf(nil, "file%d", i))
		data, name := want[i], fmt.Sprintf("%02d.log", i)
		if i%2 == 1 {
			data, name = gz(t, want[i]), name+".gz"
		}
		args = append(args, write(t, filepath.Join(dir, name), data))
	}
	f := newFiles(t, FileOptions{}, args...)
	f.pool.max = 4
	for _, p := range f.files {
		p.size = 4 << 10
	}
	got := make([][]byte, n)
	for open := n; open > 0; {
		for i := range n {
			b, err := f.Next(t.Context(), i)
			if err != nil {
				continue
			}
			for _, r := range b.Records {
				got[i] = append(got[i], r.Data...)
			}
			if b.End {
				open--
			}
		}
	}
	for i := range n {
		if !bytes.Equal(got[i], want[i]) {
			t.Errorf("file %d: got %d bytes, want %d", i, len(got[i]), len(want[i]))
		}
	}
	if f.pool.n != 0 {
		t.Errorf("%d files still open", f.pool.n)
	}
}

// Many readers at once do not open more files than may be open.
func TestFilesWaitForADescriptor(t *testing.T) {
	const n = 50
	dir := t.TempDir()
	var args []string
	for i := range n {
		args = append(args, write(t, filepath.Join(dir, fmt.Sprintf("%02d.log", i)), lines(500)))
	}
	f := newFiles(t, FileOptions{}, args...)
	f.pool.max = 3
	var wg sync.WaitGroup
	for i := range n {
		f.files[i].size = 1 << 10
		wg.Go(func() {
			for {
				if _, err := f.Next(t.Context(), i); err != nil {
					return
				}
				f.pool.mu.Lock()
				open := f.pool.n
				f.pool.mu.Unlock()
				if open > 3 {
					t.Errorf("%d files open", open)
				}
			}
		})
	}
	wg.Wait()
	if st := f.Stats(); st.Lines != n*500 || len(f.Problems()) != 0 {
		t.Errorf("%d lines, problems %v", st.Lines, f.Problems())
	}
}

func TestFilesNoticeAReplacedFile(t *testing.T) {
	dir := t.TempDir()
	path := write(t, filepath.Join(dir, "a.log"), lines(20_000))
	f := newFiles(t, FileOptions{}, path, write(t, filepath.Join(dir, "b.log"), lines(1)))
	f.pool.max = 1
	h := &handle{path: path, pool: f.pool, read: &f.count.read}
	buf := make([]byte, 100)
	if _, err := h.Read(buf); err != nil {
		t.Fatal(err)
	}
	readAll(t, f, 1) // needs the only descriptor
	if err := os.Rename(write(t, filepath.Join(dir, "new"), lines(5)), path); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Read(buf); err == nil || !strings.Contains(err.Error(), "replaced by another file") {
		t.Errorf("got %v", err)
	}
}

func TestStdinIsHandedOverAsItComes(t *testing.T) {
	r, w := io.Pipe()
	f := newFiles(t, FileOptions{Stdin: r}, "-")
	if p := f.Partitions()[0]; p.Name != "file:-" || p.Replay {
		t.Errorf("partition %+v", p)
	}
	for _, line := range []string{"first\n", "second\n"} {
		go func() { _, _ = w.Write([]byte(line)) }()
		b, err := f.Next(t.Context(), 0)
		if err != nil || string(b.Records[0].Data) != line {
			t.Fatalf("got %v, %v; want %q", b, err, line)
		}
	}
	_ = w.Close()
	if b, err := f.Next(t.Context(), 0); err != nil || !b.End {
		t.Errorf("got %+v, %v; want the end", b, err)
	}
}

func TestNextGivesUpWithTheContext(t *testing.T) {
	r, w := io.Pipe()
	defer w.Close()
	f := newFiles(t, FileOptions{Stdin: r}, "-")
	why := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(why)
	if _, err := f.Next(ctx, 0); !errors.Is(err, why) {
		t.Errorf("got %v, want the cause", err)
	}
}

func TestExpand(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{
		"app.log", "app.log.1", "app.log.2.gz", "app.log.10.gz", "db.log-20260101", "db.log-20251231.zst", "db.log",
		"sub/x.log", ".hidden", ".git/config",
	} {
		write(t, filepath.Join(dir, name), nil)
	}
	in := func(names ...string) (paths []string) {
		for _, n := range names {
			paths = append(paths, filepath.Join(dir, n))
		}
		return paths
	}
	tests := []struct {
		name string
		args []string
		want []string
		err  string
	}{
		{"a directory", in(""), in("app.log.10.gz", "app.log.2.gz", "app.log.1", "app.log", "db.log-20251231.zst", "db.log-20260101", "db.log", "sub/x.log"), ""},
		{"a glob", in("*.gz"), in("app.log.10.gz", "app.log.2.gz"), ""},
		{"as named, each once", in("db.log", "app.log", "./db.log"), in("db.log", "app.log"), ""},
		{"stdin", []string{"-"}, []string{"-"}, ""},
		{"all mistakes", in("none", "*.none"), nil, "stat DIR/none: no such file or directory\nglob DIR/*.none: no file matches"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := Expand(tt.args)
			if !slices.Equal(got, tt.want) {
				t.Errorf("got %v, want %v", got, tt.want)
			}
			var text string
			if err != nil {
				text = strings.ReplaceAll(err.Error(), dir, "DIR")
			}
			if text != tt.err {
				t.Errorf("got error %q, want %q", text, tt.err)
			}
		})
	}
	empty := filepath.Join(dir, "empty")
	if err := os.Mkdir(empty, 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := Expand([]string{empty}); err == nil {
		t.Error("an empty directory is no error")
	}
}

// TestFilesSkip goes on at every mark of a file, plain and compressed: what comes
// is what would have come.
func TestFilesSkip(t *testing.T) {
	var text strings.Builder
	text.WriteString("\xef\xbb\xbftime,level,msg\n")
	for i := range 40_000 {
		fmt.Fprintf(&text, "2026-01-01T00:00:00Z,info,line %d\n", i)
	}
	dir := t.TempDir()
	plain, packed := filepath.Join(dir, "a.csv"), filepath.Join(dir, "b.csv.gz")
	var z bytes.Buffer
	w := gzip.NewWriter(&z)
	_, _ = w.Write([]byte(text.String()))
	_ = w.Close()
	for name, data := range map[string][]byte{plain: []byte(text.String()), packed: z.Bytes()} {
		if err := os.WriteFile(name, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	header := func(line []byte) bool { return bytes.HasPrefix(line, []byte("time,")) }
	read := func(name string, from Mark) (text string, first uint64, marks []Mark) {
		f, err := NewFiles([]string{name}, FileOptions{Header: header})
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		f.Skip(0, from)
		for {
			b, err := f.Next(t.Context(), 0)
			if errors.Is(err, io.EOF) {
				return text, first, marks
			}
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range b.Records {
				if first == 0 {
					first = r.Seq
				}
				if r.Seq > 1 && string(r.Header) != "time,level,msg" {
					t.Fatalf("line %d comes without the header: %q", r.Seq, r.Header)
				}
				text += string(r.Data)
			}
			marks = append(marks, b.Mark)
			if bad := f.Problems(); len(bad) > 0 {
				t.Fatal(bad)
			}
		}
	}
	for _, name := range []string{plain, packed} {
		whole, _, marks := read(name, Mark{})
		if len(marks) < 4 {
			t.Fatalf("%s: only %d pieces", name, len(marks))
		}
		for _, m := range marks[:len(marks)-1] {
			rest, first, _ := read(name, m)
			if want := whole[m.Offset-3:]; rest != want || first != m.Line+1 { // 3: the byte order mark
				t.Errorf("%s from %+v: line %d, %d bytes, want %d", name, m, first, len(rest), len(want))
			}
		}
	}
}
