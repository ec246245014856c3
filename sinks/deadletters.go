package sinks

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"maps"
	"os"
	"sync"
	"unicode/utf8"

	"github.com/cespare/xxhash/v2"
)

// SetRecord puts the record into the letter: as text if it is valid UTF-8, else
// as base64, so that nothing of it is changed.
func (d *DeadLetter) SetRecord(record []byte) {
	d.Data, d.Base64 = "", nil
	if utf8.Valid(record) {
		d.Data = string(record)
		return
	}
	d.Base64 = bytes.Clone(record)
}

// Record returns the record byte for byte.
func (d *DeadLetter) Record() []byte {
	if d.Base64 != nil {
		return d.Base64
	}
	return []byte(d.Data)
}

// DeadLetters is a file of dead letters, one line of JSON each. Safe for
// concurrent use, and by several processes.
type DeadLetters struct {
	mu     sync.Mutex
	f      *os.File
	fsync  bool
	counts map[string]uint64
	had    map[uint64]bool // lines of the file's end, by hash: a worker that was killed writes them again
	torn   bool            // the last write left half a line
}

// OpenDeadLetters appends to a file, which is made when it is not there. Letters
// that are among its last 16 MiB are not written again. With fsync, what Write
// accepted survives a power loss.
func OpenDeadLetters(path string, fsync bool) (*DeadLetters, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	d := &DeadLetters{f: f, fsync: fsync, counts: map[string]uint64{}, had: map[uint64]bool{}}
	err = d.endLine()
	if err == nil {
		err = d.readEnd()
	}
	if err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	return d, nil
}

// endLine ends a line that a crash has torn, so that the next one is whole.
func (d *DeadLetters) endLine() error {
	info, err := d.f.Stat()
	if err != nil || !info.Mode().IsRegular() || info.Size() == 0 {
		return err
	}
	var last [1]byte
	if _, err := d.f.ReadAt(last[:], info.Size()-1); err != nil || last[0] == '\n' {
		return err
	}
	_, err = d.f.Write([]byte{'\n'})
	return err
}

// readEnd learns what a life before may have written last.
func (d *DeadLetters) readEnd() error {
	info, err := d.f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return err
	}
	from := max(0, info.Size()-16<<20)
	end, err := io.ReadAll(io.NewSectionReader(d.f, from, info.Size()-from))
	for line := range bytes.Lines(end) {
		d.had[xxhash.Sum64(line)] = true
	}
	return err
}

// Write appends the letters with one call, so that those of several writers do
// not mix. After an error the same letters may be written again: those that are in
// the file are left out.
func (d *DeadLetters) Write(letters ...DeadLetter) error {
	var b, line bytes.Buffer
	enc := json.NewEncoder(&line)
	enc.SetEscapeHTML(false)
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.torn {
		b.WriteByte('\n')
	}
	for i := range letters {
		line.Reset()
		if err := enc.Encode(&letters[i]); err != nil {
			return fmt.Errorf("encode dead letter: %w", err)
		}
		if !d.had[xxhash.Sum64(line.Bytes())] {
			b.Write(line.Bytes())
		}
	}
	if n, err := d.f.Write(b.Bytes()); err != nil {
		d.partly(b.Bytes()[:n])
		return fmt.Errorf("write dead letter: %w", err)
	}
	d.torn = false
	if d.fsync {
		if err := d.f.Sync(); err != nil {
			return fmt.Errorf("write dead letter: %w", err)
		}
	}
	for i := range letters {
		d.counts[letters[i].Reason]++
	}
	return nil
}

// partly remembers what a full disk took of a write. It stays: others may have
// appended to the file since.
func (d *DeadLetters) partly(taken []byte) {
	for line := range bytes.Lines(taken) {
		d.torn = !bytes.HasSuffix(line, []byte("\n"))
		if !d.torn {
			d.had[xxhash.Sum64(line)] = true
		}
	}
}

// Counts returns how many letters were written, by reason.
func (d *DeadLetters) Counts() map[string]uint64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return maps.Clone(d.counts)
}

// Close closes the file. It may be called twice.
func (d *DeadLetters) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.f == nil {
		return nil
	}
	err := d.f.Close()
	d.f = nil
	return err
}

// ReadDeadLetters reads what DeadLetters wrote. A line that is no letter (torn
// by a crash) is an error that names it, and reading goes on behind it.
func ReadDeadLetters(r io.Reader) iter.Seq2[DeadLetter, error] {
	return func(yield func(DeadLetter, error) bool) {
		in := bufio.NewReader(r)
		for n := 1; ; n++ {
			line, err := in.ReadBytes('\n')
			if err != nil && err != io.EOF {
				yield(DeadLetter{}, err)
				return
			}
			if len(bytes.TrimSpace(line)) > 0 && !yield(readDeadLetter(line, n)) || err == io.EOF {
				return
			}
		}
	}
}

func readDeadLetter(line []byte, n int) (d DeadLetter, err error) {
	if err = json.Unmarshal(line, &d); err != nil {
		err = fmt.Errorf("dead letter in line %d: %w", n, err)
	}
	return d, err
}
