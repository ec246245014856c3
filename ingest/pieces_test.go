package ingest

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
)

// piece is what pieces.next returned.
type piece struct {
	data string
	line uint64
}

func cutAll(t *testing.T, p *pieces) []piece {
	t.Helper()
	var got []piece
	for {
		data, line, err := p.next()
		if err != nil {
			if !errors.Is(err, io.EOF) {
				t.Fatalf("next: %v", err)
			}
			return got
		}
		got = append(got, piece{string(data), line})
	}
}

func TestPiecesEndAtLines(t *testing.T) {
	tests := []struct {
		name, in string
		want     []piece
	}{
		{"empty", "", nil},
		{"one line", "a\n", []piece{{"a\n", 1}}},
		{"no newline at the end", "aaa\nb", []piece{{"aaa\n", 1}, {"b", 2}}},
		{"empty lines count", "\n\nx\ny\n", []piece{{"\n\nx\n", 1}, {"y\n", 4}}},
		{"a line longer than a piece", "a\nbbbbbbbbbb\nc\n", []piece{{"a\n", 1}, {"bbbbbbbbbb\nc\n", 2}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := &pieces{r: strings.NewReader(tt.in), cut: lastLine, size: 4, max: 32}
			got := cutAll(t, p)
			if !slices.Equal(got, tt.want) {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
		})
	}
}

// TestPiecesOfAPipe: what was handed over stays as it is, though what comes next is
// read into the same buffer; a buffer for each read would be a thousand.
func TestPiecesOfAPipe(t *testing.T) {
	in := strings.Repeat("a line\nanother, longer line\n\n", 1000)
	var got [][]byte
	allocs := testing.AllocsPerRun(1, func() {
		got = got[:0]
		p := &pieces{r: &slow{strings.NewReader(in)}, cut: lastLine, size: 4 << 10, max: 1 << 20, eager: true}
		for data, _, err := p.next(); err == nil; data, _, err = p.next() {
			got = append(got, data)
		}
	})
	if whole := bytes.Join(got, nil); string(whole) != in {
		t.Errorf("%d bytes of %d came through, or others", len(whole), len(in))
	}
	if len(got) < 1000 || allocs > 50 {
		t.Errorf("%d pieces with %v allocations", len(got), allocs)
	}
}

// slow gives a few bytes at a time.
type slow struct{ r io.Reader }

func (s *slow) Read(b []byte) (int, error) { return s.r.Read(b[:min(17, len(b))]) }

func TestPiecesKeepTheBeginningOfATooLongLine(t *testing.T) {
	in := "a\n" + strings.Repeat("x", 100) + "\nb\n" + strings.Repeat("y", 50)
	p := &pieces{r: iotest.OneByteReader(strings.NewReader(in)), cut: lastLine, size: 8, max: 16}
	got := cutAll(t, p)
	want := []piece{{"a\n", 1}, {strings.Repeat("x", 16), 2}, {"b\n", 3}, {strings.Repeat("y", 16), 4}}
	if !slices.Equal(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	const report = "line 2 is longer than 16 bytes: 85 bytes of it were left out\nline 4 is longer than 16 bytes: 34 bytes of it were left out"
	if err := errors.Join(p.long...); err.Error() != report {
		t.Errorf("reported %q, want %q", err, report)
	}
}

func TestPiecesAskWhereToCut(t *testing.T) {
	records := func(data []byte) int { return bytes.LastIndexByte(data, ';') + 1 }
	p := &pieces{r: iotest.OneByteReader(strings.NewReader("a\nb\n;c\nd\ne\nf\n;g\n")), cut: records, size: 6, eager: true, max: 64}
	got := cutAll(t, p)
	want := []piece{{"a\nb\n;", 1}, {"c\nd\ne\nf\n;", 3}, {"g\n", 7}}
	if !slices.Equal(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestPiecesHandOverBeforeAnError(t *testing.T) {
	p := &pieces{
		r:   io.MultiReader(strings.NewReader("a\nb\nhal"), iotest.ErrReader(io.ErrUnexpectedEOF)),
		cut: lastLine, size: 64, max: 64,
	}
	data, _, err := p.next()
	if err != nil || string(data) != "a\nb\nhal" {
		t.Fatalf("got %q, %v", data, err)
	}
	if !p.ended() {
		t.Error("not ended after the error")
	}
	if _, _, err := p.next(); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("got %v, want the reader's error", err)
	}
}

// Pieces together are the stream, each begins on the line it names, and none is
// larger than the limit.
func FuzzPieces(f *testing.F) {
	f.Add([]byte("a\nbb\n\nccc"), 4, 32)
	f.Add([]byte(strings.Repeat("x", 40)+"\ny\n"), 4, 16)
	f.Fuzz(func(t *testing.T, in []byte, size, limit int) {
		size = 1 + abs(size)%64
		limit = size + abs(limit)%64
		p := &pieces{r: iotest.HalfReader(bytes.NewReader(in)), cut: lastLine, size: size, max: limit}
		var all []byte
		for _, pc := range cutAll(t, p) {
			if len(pc.data) > limit {
				t.Fatalf("piece of %d bytes, limit %d", len(pc.data), limit)
			}
			if len(p.long) == 0 {
				if line := uint64(bytes.Count(all, newline)) + 1; pc.line != line {
					t.Fatalf("piece says line %d, is at %d", pc.line, line)
				}
			}
			all = append(all, pc.data...)
		}
		if len(p.long) == 0 && !bytes.Equal(all, in) {
			t.Fatalf("got %q, want %q", all, in)
		}
		if lines := bytes.Count(in, newline); p.lines != uint64(lines) && p.lines != uint64(lines)+1 {
			t.Fatalf("counted %d lines of %d", p.lines, lines)
		}
	})
}

func abs(n int) int { return max(n, -(n + 1)) }
