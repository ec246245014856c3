package ingest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
)

// FileOptions say how files are cut into pieces. The zero value is good for
// files in which every line is a record.
type FileOptions struct {
	// Cut returns the length of the longest prefix of data that holds whole
	// records only, 0 if there is none; data begins at a record. nil: after the
	// last line. A piece of 8 MiB without a place to cut is cut after a line.
	Cut func(data []byte) int
	// Header reports whether the first line of a file names its columns; it then
	// goes with every further piece. nil: no file has one.
	Header func(line []byte) bool
	Stdin  io.Reader // what "-" reads; nil: os.Stdin
}

// FileStats is how far reading has come.
type FileStats struct {
	Read  int64 // bytes as stored
	Total int64 // bytes as stored of all regular files, when they were named
	Text  int64 // bytes after decompression
	Lines int64
}

// Files reads files, each a partition, plain or compressed as gzip or zstd. It
// is a Source, which reads one after the other, and a Puller. Memory does not
// depend on the size of the files, and few are open at once however many there
// are.
//
// Data that cannot be read does not stop the other files: the partition ends
// after what could be read, and Problems says what was wrong.
type Files struct {
	opts       FileOptions
	files      []*file
	partitions []Partition
	pool       *descriptors
	size       int // of a piece
	total      int64
	count      fileCounts
	ahead      atomic.Int64 // bytes read and not yet asked for

	mu       sync.Mutex
	problems []error
}

type fileCounts struct{ read, text, lines atomic.Int64 }

var (
	_ Source = (*Files)(nil)
	_ Puller = (*Files)(nil)
)

// maxAhead bounds what is read ahead of the consumer, over all files.
const maxAhead = 64 << 20

// NewFiles names what Expand makes of args; nothing is opened yet.
func NewFiles(args []string, opts FileOptions) (*Files, error) {
	paths, err := Expand(args)
	if err != nil {
		return nil, err
	}
	if len(paths) == 0 {
		return nil, errors.New("no files named")
	}
	if opts.Cut == nil {
		opts.Cut = lastLine
	}
	if opts.Stdin == nil {
		opts.Stdin = os.Stdin
	}
	f := &Files{opts: opts, pool: newDescriptors(maxOpen)}
	f.size = min(pieceSize, max(pieceSize/8, maxAhead/len(paths)))
	for _, path := range paths {
		f.add(path)
	}
	return f, nil
}

func (f *Files) add(path string) {
	p := &file{}
	p.fileReader = fileReader{files: f, path: path, index: len(f.files), size: f.size, count: &f.count, problem: f.problem}
	if info, err := os.Stat(path); err == nil && path != Stdin && info.Mode().IsRegular() {
		p.regular = true
		p.changed = info.ModTime().UnixNano()
		f.total += info.Size()
	}
	f.files = append(f.files, p)
	f.partitions = append(f.partitions, Partition{Name: "file:" + path, Replay: p.regular})
}

// Skip makes reading of a file begin at a Mark of an earlier reading of the same
// file. It must come before anything of it is asked for.
func (f *Files) Skip(partition int, m Mark) { f.files[partition].begin = m }

// Partitions are the files, in the order of Expand.
func (f *Files) Partitions() []Partition { return f.partitions }

// Stats may be called at any time, by anyone.
func (f *Files) Stats() FileStats {
	c := &f.count
	return FileStats{Read: c.read.Load(), Total: f.total, Text: c.text.Load(), Lines: c.lines.Load()}
}

// Problems are the data that could not be read so far, each with its file. It
// may be called at any time, by anyone.
func (f *Files) Problems() []error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]error(nil), f.problems...)
}

func (f *Files) problem(path string, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.problems = append(f.problems, fmt.Errorf("read %s: %w", path, err))
}

// Run hands over the files one after the other.
func (f *Files) Run(ctx context.Context, out func(Batch) error) error {
	for i := range f.files {
		if err := f.runOne(ctx, i, out); err != nil {
			return err
		}
	}
	return nil
}

func (f *Files) runOne(ctx context.Context, i int, out func(Batch) error) error {
	for {
		b, err := f.Next(ctx, i)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := out(b); err != nil {
			return err
		}
	}
}

// Head returns the beginning of a file.
func (f *Files) Head(ctx context.Context, partition int) (Batch, error) {
	p := f.files[partition]
	b, err := p.head(ctx)
	if err == nil && len(b.Records) == 0 {
		return Batch{}, io.EOF
	}
	return b, err
}

// Next returns the next piece of a file and has the one after it read
// meanwhile. The only errors are io.EOF and the context's cause.
func (f *Files) Next(ctx context.Context, partition int) (Batch, error) {
	p := f.files[partition]
	b, err := p.peek(ctx)
	if err != nil {
		return Batch{}, err
	}
	p.take(b)
	return b, nil
}

// Close ends reading. It waits for what is being read ahead, but not for pipes
// and standard input. It must not be called while Next is.
func (f *Files) Close() error {
	for _, p := range f.files {
		p.stop()
	}
	return nil
}

// file is one partition and what was read ahead of it.
type file struct {
	fileReader // used by the goroutine of start while coming is set
	regular    bool
	coming     chan Batch // gives one batch
	ready      *Batch
	ended      bool
}

// head peeks. A regular file that nobody has begun to read is closed again, so
// that the heads of thousands can be looked at before the merge begins.
func (p *file) head(ctx context.Context) (Batch, error) {
	if !p.regular || p.ended || p.ready != nil || p.coming != nil || p.text != nil {
		return p.peek(ctx)
	}
	r := fileReader{files: p.files, path: p.path, index: p.index, size: pieceSize / 8, changed: p.changed, begin: p.begin, count: new(fileCounts)}
	defer r.close()
	return r.next(), nil
}

// peek returns the next batch and keeps it.
func (p *file) peek(ctx context.Context) (Batch, error) {
	if p.ended {
		return Batch{}, io.EOF
	}
	if p.ready != nil {
		return *p.ready, nil
	}
	if p.coming == nil {
		p.start()
	}
	select {
	case b := <-p.coming:
		p.coming, p.ready = nil, &b
		return b, nil
	case <-ctx.Done():
		return Batch{}, context.Cause(ctx)
	}
}

// take gives up the batch that peek returned and, memory permitting, has the
// next one read.
func (p *file) take(b Batch) {
	p.ready, p.ended = nil, b.End
	p.files.ahead.Add(-dataSize(b))
	if !p.ended && p.files.ahead.Load() < maxAhead {
		p.start()
	}
}

func (p *file) start() {
	coming := make(chan Batch, 1)
	p.coming = coming
	go func() {
		b := p.next()
		p.files.ahead.Add(dataSize(b))
		coming <- b
	}()
}

func (p *file) stop() {
	p.ended = true
	if p.coming == nil {
		p.close()
	} else if p.regular {
		<-p.coming
		p.coming = nil
		p.close()
	}
}

func dataSize(b Batch) (n int64) {
	for _, r := range b.Records {
		n += int64(len(r.Data))
	}
	return n
}
