package pipeline

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// DirStore keeps the last snapshots as files of a directory. A snapshot is
// written beside, synced and renamed, so a crash leaves the old or the new one.
// The notes that follow a snapshot are in a file of its number.
type DirStore struct {
	Dir  string
	Keep int    // how many, default 3
	next uint64 // of Save alone

	mu    sync.Mutex
	notes *os.File // nil: not opened since the last snapshot
	after uint64   // the snapshot that notes follow
	known bool     // after is
}

const (
	snapshotSuffix = ".snapshot"
	notesSuffix    = ".notes"
)

// Save implements Store.
func (d *DirStore) Save(_ context.Context, data []byte) error {
	if d.next == 0 {
		names, err := d.names(snapshotSuffix)
		if err != nil {
			return err
		}
		d.next = 1
		if len(names) > 0 {
			d.next = number(names[0]) + 1
		}
	}
	if err := writeFile(d.file(d.next, snapshotSuffix), data); err != nil {
		return err
	}
	if err := d.turn(d.next); err != nil {
		return err
	}
	d.next++
	return d.prune()
}

// turn lets notes follow snapshot n.
func (d *DirStore) turn(n uint64) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.after, d.known = n, true
	if d.notes == nil {
		return nil
	}
	err := d.notes.Close()
	d.notes = nil
	return err
}

// Note implements Store.
func (d *DirStore) Note(_ context.Context, data []byte) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.notes == nil {
		if err := d.openNotes(); err != nil {
			return err
		}
	}
	_, err := d.notes.Write(FrameNote(data))
	if err == nil {
		err = d.notes.Sync()
	}
	if err != nil { // half of it may be there: the next one begins a line of its own
		err = errors.Join(err, d.notes.Close())
		d.notes = nil
	}
	return err
}

func (d *DirStore) openNotes() error {
	if !d.known {
		names, err := d.names(snapshotSuffix)
		if err != nil {
			return err
		}
		if len(names) > 0 {
			d.after = number(names[0])
		}
		d.known = true
	}
	f, err := os.OpenFile(d.file(d.after, notesSuffix), os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	if _, err := f.Write([]byte{'\n'}); err != nil { // ends a line that a crash has torn
		return errors.Join(err, f.Close())
	}
	d.notes = f
	return syncDir(d.Dir)
}

func (d *DirStore) file(n uint64, suffix string) string {
	return filepath.Join(d.Dir, fmt.Sprintf("%016d%s", n, suffix))
}

// prune removes old snapshots, and notes that none of those kept needs: what was
// noted while a snapshot was written is among those of the one before.
func (d *DirStore) prune() error {
	names, err := d.names(snapshotSuffix)
	if err != nil {
		return err
	}
	keep := d.Keep
	if keep <= 0 {
		keep = 3
	}
	if len(names) <= keep {
		return nil
	}
	old := names[keep:]
	notes, err := d.names(notesSuffix)
	if err != nil {
		return err
	}
	for _, n := range notes {
		if number(n) < number(names[keep]) {
			old = append(old, n)
		}
	}
	for _, name := range old {
		if err := os.Remove(filepath.Join(d.Dir, name)); err != nil {
			return err
		}
	}
	return nil
}

// Load implements Store.
func (d *DirStore) Load(_ context.Context, try func(string, []byte, [][]byte) error) error {
	names, err := d.names(snapshotSuffix)
	if err != nil {
		return err
	}
	if len(names) == 0 {
		return d.loadFirstNotes(try)
	}
	var errs []error
	for _, name := range names {
		path := filepath.Join(d.Dir, name)
		data, err := os.ReadFile(path)
		var notes [][]byte
		if err == nil {
			notes, err = d.notesSince(number(name) - 1)
		}
		if err == nil {
			err = try(path, data, notes)
		}
		if err == nil {
			return nil
		}
		errs = append(errs, fmt.Errorf("%s: %w", path, err))
	}
	return errors.Join(errs...)
}

func (d *DirStore) loadFirstNotes(try func(string, []byte, [][]byte) error) error {
	notes, err := d.notesSince(0)
	switch {
	case err != nil:
		return err
	case len(notes) == 0:
		return ErrNoSnapshot
	}
	return try("", nil, notes)
}

func (d *DirStore) notesSince(n uint64) (notes [][]byte, err error) {
	names, err := d.names(notesSuffix)
	if err != nil {
		return nil, err
	}
	for _, name := range slices.Backward(names) {
		if number(name) < n {
			continue
		}
		text, err := os.ReadFile(filepath.Join(d.Dir, name))
		if err != nil {
			return nil, err
		}
		notes = append(notes, UnframeNotes(text)...)
	}
	return notes, nil
}

// names are the files of a kind, newest first; the directory is made if need be.
func (d *DirStore) names(suffix string) ([]string, error) {
	if err := os.MkdirAll(d.Dir, 0o700); err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(d.Dir)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		if filepath.Ext(e.Name()) == suffix && (number(e.Name()) > 0 || suffix == notesSuffix) {
			names = append(names, e.Name())
		}
	}
	slices.SortFunc(names, func(a, b string) int { return strings.Compare(b, a) })
	return names, nil
}

func number(name string) uint64 {
	n, err := strconv.ParseUint(strings.TrimSuffix(name, filepath.Ext(name)), 10, 64)
	if err != nil {
		return 0
	}
	return n
}

func writeFile(name string, data []byte) error {
	tmp := name + ".tmp"
	f, err := os.OpenFile(tmp, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(tmp, name)
	}
	if err != nil {
		return err
	}
	return syncDir(filepath.Dir(name))
}

func syncDir(name string) error {
	dir, err := os.Open(name)
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Sync()
}
