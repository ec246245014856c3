package ingest

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
)

// fileReader reads one file from beginning to end, opening it when first asked.
type fileReader struct {
	files   *Files
	path    string
	index   int   // of the partition
	size    int   // of a piece
	changed int64 // when the file was, nanoseconds since the epoch; 0: unknown
	count   *fileCounts
	problem func(path string, err error) // nil: nobody wants to know

	begin  Mark      // where reading begins
	text   io.Closer // the decompressor
	raw    io.Closer // the file
	pieces pieces
	header []byte
	lines  uint64 // counted in count
}

var byteOrderMark = []byte("\xef\xbb\xbf")

// next returns the next piece as a batch; the last one has End set.
func (r *fileReader) next() Batch {
	b := Batch{Partition: r.index, Pending: -1}
	if err := r.open(); err != nil {
		return r.end(b, err)
	}
	data, first, err := r.pieces.next()
	if first == 1 {
		data = bytes.TrimPrefix(data, byteOrderMark)
	}
	if len(data) > 0 {
		b.Records = []Record{{Data: data, Input: r.path, Seq: first, Lines: true, Header: r.header, Reference: r.changed}}
	}
	if first == 1 {
		r.keepHeader(data)
	}
	r.tally(data)
	b.Mark = Mark{r.pieces.offset, r.pieces.lines}
	if r.pieces.ended() {
		err = r.pieces.err
	}
	if err != nil {
		return r.end(b, err)
	}
	return b
}

func (r *fileReader) open() error {
	if r.text != nil {
		return nil
	}
	raw := r.source()
	text, err := decompress(raw)
	if err != nil {
		return errors.Join(err, raw.Close())
	}
	r.raw, r.text = raw, text
	r.pieces = pieces{r: text, cut: r.files.opts.Cut, size: r.size, max: maxPiece, eager: r.path == Stdin}
	return r.skip()
}

// skip goes on at begin. The first line is read all the same: it may name the
// columns.
func (r *fileReader) skip() error {
	if r.begin == (Mark{}) {
		return nil
	}
	br := bufio.NewReaderSize(r.pieces.r, 64<<10)
	first, err := br.ReadSlice('\n')
	if err != nil && !errors.Is(err, bufio.ErrBufferFull) || len(first) == 0 {
		return fmt.Errorf("go on at byte %d: %w", r.begin.Offset, err)
	}
	r.keepHeader(bytes.TrimPrefix(bytes.Clone(first), byteOrderMark))
	last := first[len(first)-1]
	if rest := r.begin.Offset - int64(len(first)); rest > 0 {
		if _, err = io.CopyN(io.Discard, br, rest-1); err == nil {
			last, err = br.ReadByte()
		}
		if err != nil {
			return fmt.Errorf("go on at byte %d: %w", r.begin.Offset, err)
		}
	}
	r.pieces.r, r.pieces.offset, r.pieces.lines = br, r.begin.Offset, r.begin.Line
	r.pieces.inLine = last != '\n' // of a line that was too long
	r.lines = r.begin.Line
	return nil
}

func (r *fileReader) source() io.ReadCloser {
	if r.path == Stdin {
		return io.NopCloser(&tally{r.files.opts.Stdin, &r.count.read})
	}
	return &handle{path: r.path, pool: r.files.pool, read: &r.count.read}
}

// keepHeader remembers the first line, if it names columns, for the pieces
// after the first.
func (r *fileReader) keepHeader(data []byte) {
	line, _, _ := bytes.Cut(data, newline)
	line = bytes.TrimSuffix(line, []byte{'\r'})
	if h := r.files.opts.Header; h != nil && h(line) {
		r.header = line
	}
}

func (r *fileReader) tally(data []byte) {
	r.count.text.Add(int64(len(data)))
	r.count.lines.Add(int64(r.pieces.lines - r.lines))
	r.lines = r.pieces.lines
}

// end closes the file and reports why it ended, unless that is its proper end.
func (r *fileReader) end(b Batch, err error) Batch {
	b.End, b.Pending = true, 0
	for _, long := range r.pieces.long {
		r.report(long)
	}
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF):
		r.report(fmt.Errorf("truncated after line %d: %w", r.lines, err))
	case !errors.Is(err, io.EOF):
		r.report(err)
	}
	r.close()
	return b
}

func (r *fileReader) report(err error) {
	if r.problem != nil {
		r.problem(r.path, err)
	}
}

func (r *fileReader) close() {
	if r.text == nil {
		return
	}
	_ = r.text.Close() // opened for reading: nothing can be lost
	_ = r.raw.Close()
	r.text, r.raw, r.pieces = nil, nil, pieces{} // their buffers are large, and files many
}
