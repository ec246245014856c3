package sinks

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"corral/correlate"
)

// NDJSON writes every transition as a line of JSON (see AppendJSON). What comes
// again, by incident and revision, is not written again. Safe for concurrent use.
type NDJSON struct {
	mu     sync.Mutex
	w      io.Writer
	file   *os.File // of OpenNDJSON, else nil
	sync   bool
	buf    []byte
	seen   revisions
	closed bool
}

// NewNDJSON writes to w, which stays open: standard output.
func NewNDJSON(w io.Writer) *NDJSON { return &NDJSON{w: w} }

// OpenNDJSON appends to a file. A last line that a crash has torn is removed,
// and revisions that are in the file already are not written again. With fsync,
// what Write accepted survives a power loss.
func OpenNDJSON(path string, fsync bool) (*NDJSON, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	s := &NDJSON{w: f, file: f, sync: fsync}
	if err := s.takeUp(); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return s, nil
}

// seenTail is how much of a file is read for revisions it has.
const seenTail = 64 << 20

// takeUp reads the revisions in the file and puts the position behind its last
// whole line. A device or a pipe has neither.
func (s *NDJSON) takeUp() error {
	info, err := s.file.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return err
	}
	from := max(0, info.Size()-seenTail)
	end := from
	r := bufio.NewReaderSize(io.NewSectionReader(s.file, from, info.Size()-from), 1<<16)
	for first := from > 0; ; first = false {
		line, err := r.ReadBytes('\n')
		if err == io.EOF {
			return s.cutTo(end, line)
		}
		if err != nil {
			return err
		}
		end += int64(len(line))
		if !first { // the first may be half a line
			s.noteLine(line)
		}
	}
}

// cutTo ends the file behind its last whole line; a rest that is one, but for
// the newline, gets it.
func (s *NDJSON) cutTo(end int64, rest []byte) error {
	if len(rest) > 0 && json.Valid(rest) {
		s.noteLine(rest)
		if _, err := s.file.WriteAt([]byte{'\n'}, end+int64(len(rest))); err != nil {
			return err
		}
		end += int64(len(rest)) + 1
	}
	if err := s.file.Truncate(end); err != nil {
		return err
	}
	_, err := s.file.Seek(end, io.SeekStart)
	return err
}

func (s *NDJSON) noteLine(line []byte) {
	var t correlate.Transition
	if json.Unmarshal(line, &t) == nil {
		s.seen.add(&t)
	}
}

// Write writes the transitions with one call of the writer.
func (s *NDJSON) Write(_ context.Context, ts []*correlate.Transition) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return Permanent(errors.New("ndjson: closed"))
	}
	s.buf = s.buf[:0]
	for _, t := range ts {
		if s.seen.has(t) {
			continue
		}
		b, err := AppendJSON(s.buf, t)
		if err != nil {
			return Permanent(fmt.Errorf("encode %s rev %d: %w", t.IncidentID, t.Rev, err))
		}
		s.buf = append(b, '\n')
	}
	if err := s.flush(); err != nil {
		return err
	}
	for _, t := range ts {
		s.seen.add(t)
	}
	return nil
}

// flush writes the buffer; a file that took only a part of it, or may not keep it,
// is put back, so that a retry leaves no torn line behind and none twice.
func (s *NDJSON) flush() error {
	if len(s.buf) == 0 {
		return nil
	}
	n, err := s.w.Write(s.buf)
	if err == nil && s.sync {
		err = s.file.Sync()
	}
	if err != nil && n > 0 && s.file != nil {
		if at, e := s.file.Seek(int64(-n), io.SeekCurrent); e == nil {
			_ = s.file.Truncate(at)
		}
	}
	return err
}

// Close closes the file, if it is the sink's own.
func (s *NDJSON) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	if s.file == nil {
		return nil
	}
	return s.file.Close()
}

// ReadNDJSON reads what NDJSON wrote, each revision once.
func ReadNDJSON(r io.Reader) ([]*correlate.Transition, error) {
	var (
		ts   []*correlate.Transition
		seen revisions
	)
	in := bufio.NewReader(r)
	for n := 1; ; n++ {
		line, err := in.ReadBytes('\n')
		if err != nil && err != io.EOF {
			return ts, err
		}
		if len(bytes.TrimSpace(line)) > 0 {
			t := new(correlate.Transition)
			if err := json.Unmarshal(line, t); err != nil {
				return ts, fmt.Errorf("line %d: %w", n, err)
			}
			if !seen.has(t) {
				seen.add(t)
				ts = append(ts, t)
			}
		}
		if err == io.EOF {
			return ts, nil
		}
	}
}

// revisions remembers the highest revision of the incidents seen last: as the
// revisions of an incident come in order, what is not above it came before.
type revisions struct{ young, old map[episode]int }

type episode struct{ run, id string }

const revisionsKept = 1 << 17 // in each generation

func (r *revisions) has(t *correlate.Transition) bool {
	e := episode{t.RunID, t.IncidentID}
	return t.Rev <= max(r.young[e], r.old[e])
}

func (r *revisions) add(t *correlate.Transition) {
	if r.young == nil || len(r.young) >= revisionsKept {
		r.young, r.old = make(map[episode]int), r.young
	}
	e := episode{t.RunID, t.IncidentID}
	r.young[e] = max(r.young[e], r.old[e], t.Rev)
}
