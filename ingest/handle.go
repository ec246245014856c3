package ingest

import (
	"container/list"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
)

// maxOpen is how many regular files are kept open at once, well below the usual
// limit of a process.
const maxOpen = 256

// descriptors closes the least recently read files when too many are open.
// Their handles open them again where they were.
type descriptors struct {
	mu    sync.Mutex
	freed sync.Cond  // a file was closed or became idle
	open  *list.List // of *handle that are open and idle, most recently read first
	n     int        // regular files open, idle or not
	max   int
}

func newDescriptors(most int) *descriptors {
	d := &descriptors{open: list.New(), max: most}
	d.freed.L = &d.mu
	return d
}

// handle reads a file from its beginning. A regular file may be closed and
// opened again between two reads; anything else (a pipe, a device) is opened
// once.
type handle struct {
	path  string
	pool  *descriptors
	read  *atomic.Int64 // bytes, for progress
	file  *os.File
	idle  *list.Element // nil: closed or being read
	first os.FileInfo   // of the first time it was opened
	off   int64
}

func (h *handle) Read(p []byte) (int, error) {
	if err := h.acquire(); err != nil {
		return 0, err
	}
	n, err := h.readAt(p)
	h.off += int64(n)
	h.read.Add(int64(n))
	h.release()
	return n, err
}

func (h *handle) readAt(p []byte) (int, error) {
	if !h.first.Mode().IsRegular() {
		return h.file.Read(p)
	}
	n, err := h.file.ReadAt(p, h.off)
	if n > 0 {
		return n, nil // the next read says why it was short
	}
	return n, err
}

// acquire takes the file out of the idle list, so that nobody closes it, and
// opens it if it is closed.
func (h *handle) acquire() error {
	h.pool.mu.Lock()
	defer h.pool.mu.Unlock()
	if h.idle != nil {
		h.pool.open.Remove(h.idle)
		h.idle = nil
	}
	if h.file != nil {
		return nil
	}
	h.pool.makeRoom()
	return h.reopen()
}

func (h *handle) reopen() error {
	f, err := os.Open(h.path)
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err != nil {
		_ = f.Close()
		return err
	}
	if h.first != nil && !os.SameFile(h.first, info) {
		_ = f.Close()
		return fmt.Errorf("read %s: replaced by another file after %d bytes", h.path, h.off)
	}
	h.file, h.first = f, info
	if info.Mode().IsRegular() {
		h.pool.n++
	}
	return nil
}

// release makes a regular file available for closing.
func (h *handle) release() {
	if !h.first.Mode().IsRegular() {
		return
	}
	h.pool.mu.Lock()
	defer h.pool.mu.Unlock()
	if h.file != nil {
		h.idle = h.pool.open.PushFront(h)
		h.pool.freed.Signal()
	}
}

func (h *handle) Close() error {
	h.pool.mu.Lock()
	defer h.pool.mu.Unlock()
	return h.close()
}

func (h *handle) close() error {
	if h.idle != nil {
		h.pool.open.Remove(h.idle)
		h.idle = nil
	}
	if h.file == nil {
		return nil
	}
	f := h.file
	h.file = nil
	if h.first.Mode().IsRegular() {
		h.pool.n--
		h.pool.freed.Signal()
	}
	return f.Close()
}

// makeRoom closes idle files until one more may be opened, and waits where all
// are being read at this moment: each of them becomes idle or is closed.
func (d *descriptors) makeRoom() {
	for d.n >= d.max {
		if d.open.Len() == 0 {
			d.freed.Wait()
			continue
		}
		_ = d.open.Back().Value.(*handle).close() // opened for reading: nothing can be lost
	}
}

var _ io.ReadCloser = (*handle)(nil)
