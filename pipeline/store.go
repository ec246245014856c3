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
)

// DirStore keeps the last snapshots as files of a directory. A snapshot is
// written beside, synced and renamed, so a crash leaves the old or the new one.
type DirStore struct {
	Dir  string
	Keep int // how many, default 3
	next uint64
}

const snapshotSuffix = ".snapshot"

// Save implements Store.
func (d *DirStore) Save(_ context.Context, data []byte) error {
	if d.next == 0 {
		names, err := d.names()
		if err != nil {
			return err
		}
		d.next = 1
		if len(names) > 0 {
			d.next = number(names[0]) + 1
		}
	}
	name := filepath.Join(d.Dir, fmt.Sprintf("%016d%s", d.next, snapshotSuffix))
	if err := writeFile(name, data); err != nil {
		return err
	}
	d.next++
	return d.prune()
}

func (d *DirStore) prune() error {
	names, err := d.names()
	if err != nil {
		return err
	}
	keep := d.Keep
	if keep <= 0 {
		keep = 3
	}
	for _, old := range names[min(keep, len(names)):] {
		if err := os.Remove(filepath.Join(d.Dir, old)); err != nil {
			return err
		}
	}
	return nil
}

// Load implements Store.
func (d *DirStore) Load(_ context.Context, try func(string, []byte) error) error {
	names, err := d.names()
	if err != nil {
		return err
	}
	var errs []error
	for _, name := range names {
		path := filepath.Join(d.Dir, name)
		data, err := os.ReadFile(path)
		if err == nil {
			err = try(path, data)
		}
		if err == nil {
			return nil
		}
		errs = append(errs, fmt.Errorf("%s: %w", path, err))
	}
	if len(errs) > 0 {
		return errors.Join(errs...)
	}
	return ErrNoSnapshot
}

// names are the snapshots, newest first; the directory is made if need be.
func (d *DirStore) names() ([]string, error) {
	if err := os.MkdirAll(d.Dir, 0o700); err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(d.Dir)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), snapshotSuffix) && number(e.Name()) > 0 {
			names = append(names, e.Name())
		}
	}
	slices.SortFunc(names, func(a, b string) int { return strings.Compare(b, a) })
	return names, nil
}

func number(name string) uint64 {
	n, err := strconv.ParseUint(strings.TrimSuffix(name, snapshotSuffix), 10, 64)
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
	dir, err := os.Open(filepath.Dir(name))
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Sync()
}
