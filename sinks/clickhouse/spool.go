package clickhouse

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/klauspost/compress/zstd"

	"corral/correlate"
	"corral/internal/dirlock"
	"corral/sinks"
)

// spool keeps writes on disk until ClickHouse takes them. A write is a file of
// its transitions, NDJSON in a zstd frame (which has a checksum), named by its
// write_id. The file is complete or not there: it is written aside, fsynced and
// renamed. `zstd -dc` shows it.
type spool struct {
	dir    string
	limit  int64
	unlock func() error
	enc    *zstd.Encoder
	dec    *zstd.Decoder

	mu      sync.Mutex
	files   []spooled // oldest first
	bytes   int64
	changed chan struct{} // closed, and made anew, when files changes
}

type spooled struct {
	id    uint64
	name  string
	bytes int64
	since time.Time
	fresh bool // it was never sent
}

const (
	spoolSuffix = ".ndjson.zst"
	spoolPart   = 16 << 20  // of one file, unpacked, about
	maxSpooled  = 256 << 20 // more is damage, or a bomb
)

// openSpool takes the directory for itself and finds what is in it.
func openSpool(dir string, limit int64) (*spool, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	unlock, err := dirlock.Lock(dir, "lock")
	if err != nil {
		return nil, err
	}
	s := &spool{dir: dir, limit: limit, unlock: unlock, changed: make(chan struct{})}
	if err := errors.Join(s.codecs(), s.scan()); err != nil {
		_ = unlock()
		return nil, err
	}
	return s, nil
}

func (s *spool) codecs() (err error) {
	if s.enc, err = zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderCRC(true)); err != nil {
		return err
	}
	s.dec, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxSpooled))
	return err
}

func (s *spool) scan() error {
	entries, err := os.ReadDir(s.dir) // by name, so by id
	if err != nil {
		return err
	}
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), spoolSuffix)
		if !ok {
			if strings.HasSuffix(e.Name(), ".tmp") { // a crash in the middle of put: it was never accepted
				_ = os.Remove(filepath.Join(s.dir, e.Name()))
			}
			continue
		}
		id, err := strconv.ParseUint(name, 10, 64)
		if err != nil {
			continue
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		s.files = append(s.files, spooled{id: id, name: e.Name(), bytes: info.Size(), since: info.ModTime()})
		s.bytes += info.Size()
	}
	return nil
}

// put returns when the write is safe on disk. While the spool is full it waits.
// fresh says that it was not sent before.
func (s *spool) put(ctx context.Context, id uint64, ts []*correlate.Transition, fresh bool) error {
	plain, err := encode(ts)
	if err != nil {
		return err
	}
	b := s.enc.EncodeAll(plain, nil)
	if err := s.awaitRoom(ctx, int64(len(b))); err != nil {
		return err
	}
	f := spooled{id, fmt.Sprintf("%020d%s", id, spoolSuffix), int64(len(b)), time.Now(), fresh}
	if err := s.store(f.name, b); err != nil {
		return fmt.Errorf("spool: %w", err)
	}
	s.change(func() {
		s.files = append(s.files, f)
		s.bytes += f.bytes
	})
	return nil
}

func (s *spool) store(name string, b []byte) error {
	tmp := filepath.Join(s.dir, name+".tmp")
	if err := writeSync(tmp, b); err != nil {
		_ = os.Remove(tmp)
		return err
	}
	if err := os.Rename(tmp, filepath.Join(s.dir, name)); err != nil {
		return err
	}
	return syncDir(s.dir)
}

func writeSync(path string, b []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	return errors.Join(err, f.Sync(), f.Close())
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// awaitRoom: one write always has room, or nothing would ever go on.
func (s *spool) awaitRoom(ctx context.Context, n int64) error {
	return s.await(ctx, func() bool { return len(s.files) == 0 || s.bytes+n <= s.limit })
}

// next returns the oldest writes, waiting for one. One that may have been sent
// comes alone: its rows must not be grouped anew. Of the others as many come
// together as make a good insert.
func (s *spool) next(ctx context.Context) (fs []spooled, ok bool) {
	err := s.await(ctx, func() bool {
		fs = goodInsert(s.files)
		return len(fs) > 0
	})
	return fs, err == nil
}

// spoolGroup is compressed, and so a few times as much in rows.
const spoolGroup = 1 << 20

func goodInsert(files []spooled) []spooled {
	n, bytes := 0, int64(0)
	for n < len(files) && files[n].fresh && bytes+files[n].bytes <= spoolGroup {
		bytes += files[n].bytes
		n++
	}
	return slices.Clone(files[:min(len(files), max(n, 1))])
}

// await returns when cond, asked under the lock, is true.
func (s *spool) await(ctx context.Context, cond func() bool) error {
	for ctx.Err() == nil {
		s.mu.Lock()
		met, changed := cond(), s.changed
		s.mu.Unlock()
		if met {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
		}
	}
	return context.Cause(ctx)
}

func (s *spool) change(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
	close(s.changed)
	s.changed = make(chan struct{})
}

// errDamaged: a file is not what was put into it.
var errDamaged = errors.New("damaged")

// load reads a write. One that is damaged is put out of the way, under another
// name, for someone to look at.
func (s *spool) load(f spooled) ([]*correlate.Transition, error) {
	path := filepath.Join(s.dir, f.name)
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	ts, err := s.unpack(b)
	if err != nil {
		err = errors.Join(errDamaged, err, os.Rename(path, path+".corrupt"))
		s.drop(f)
	}
	return ts, err
}

func (s *spool) unpack(b []byte) ([]*correlate.Transition, error) {
	b, err := s.dec.DecodeAll(b, nil)
	if err != nil {
		return nil, err
	}
	ts, err := decode(b)
	if err == nil && len(ts) == 0 {
		err = errors.New("empty") // nothing is never spooled
	}
	return ts, err
}

func encode(ts []*correlate.Transition) ([]byte, error) {
	var b []byte
	for _, t := range ts {
		var err error
		if b, err = sinks.AppendJSON(b, t); err != nil {
			return nil, err
		}
		b = append(b, '\n')
	}
	return b, nil
}

func decode(b []byte) ([]*correlate.Transition, error) {
	var ts []*correlate.Transition
	for line := range bytes.Lines(b) {
		t := new(correlate.Transition)
		if err := json.Unmarshal(line, t); err != nil {
			return nil, err
		}
		ts = append(ts, t)
	}
	return ts, nil
}

// remove forgets a write that ClickHouse has.
func (s *spool) remove(f spooled) error {
	err := os.Remove(filepath.Join(s.dir, f.name))
	s.drop(f)
	return err
}

func (s *spool) drop(f spooled) {
	s.change(func() {
		if i := slices.IndexFunc(s.files, func(x spooled) bool { return x.id == f.id }); i >= 0 {
			s.files = slices.Delete(s.files, i, i+1)
			s.bytes -= f.bytes
		}
	})
}

// left returns the writes that may have been sent, oldest first.
func (s *spool) left() []spooled {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(s.files), func(f spooled) bool { return f.fresh })
}

// refresh notes that nothing of a write was stored.
func (s *spool) refresh(f spooled) {
	s.change(func() {
		for i := range s.files {
			s.files[i].fresh = s.files[i].fresh || s.files[i].id == f.id
		}
	})
}

func (s *spool) empty() bool { return s.size().writes == 0 }

func (s *spool) lastID() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.files) == 0 {
		return 0
	}
	return s.files[len(s.files)-1].id + 1<<22 // and those of its batches
}

type spoolSize struct {
	writes int
	bytes  int64
	age    time.Duration // of the oldest
}

func (s *spool) size() spoolSize {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := spoolSize{writes: len(s.files), bytes: s.bytes}
	if n.writes > 0 {
		n.age = time.Since(s.files[0].since)
	}
	return n
}

// drain waits until the spool is empty, at most for d, and no longer once stuck
// says that nothing is taken.
func (s *spool) drain(d time.Duration, stuck func() bool) {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	poll := time.NewTicker(50 * time.Millisecond)
	defer poll.Stop()
	for !s.empty() && !stuck() {
		select {
		case <-poll.C:
		case <-ctx.Done():
			return
		}
	}
}

func (s *spool) close() error {
	s.dec.Close()
	return s.unlock()
}
