package main

import (
	"archive/tar"
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/klauspost/compress/zstd"
)

// findLogs returns the logs of a fault list's day: *.csv below its directory, else
// what is in the archives beside it that carry the day in their name. cleanup
// removes what was unpacked.
func findLogs(list string) (logs []string, cleanup func(), err error) {
	dir, day := filepath.Dir(list), strings.TrimSuffix(filepath.Base(list), ".json")
	cleanup = func() {}
	if logs, err = csvBelow(dir); err != nil || len(logs) > 0 {
		return logs, cleanup, err
	}
	archives, err := filepath.Glob(filepath.Join(dir, "*"+day+"*.tar.zst"))
	if err != nil || len(archives) == 0 {
		return nil, cleanup, cmp.Or(err, fmt.Errorf("no *.csv and no *%s*.tar.zst in %s", day, dir))
	}
	tmp, err := os.MkdirTemp("", "quality")
	if err != nil {
		return nil, cleanup, err
	}
	cleanup = func() { os.RemoveAll(tmp) }
	for _, a := range archives {
		if err := unpack(a, tmp); err != nil {
			cleanup()
			return nil, func() {}, fmt.Errorf("%s: %w", a, err)
		}
	}
	logs, err = csvBelow(tmp)
	return logs, cleanup, err
}

func csvBelow(dir string) (logs []string, err error) {
	err = filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() && filepath.Ext(path) == ".csv" {
			logs = append(logs, path)
		}
		return err
	})
	return logs, err
}

// maxUnpacked bounds what an archive may grow to.
const maxUnpacked = 4 << 30

// unpack writes the files of an archive into dir, all in one place.
func unpack(archive, dir string) error {
	f, err := os.Open(archive)
	if err != nil {
		return err
	}
	defer f.Close()
	z, err := zstd.NewReader(f, zstd.WithDecoderMaxWindow(1<<27))
	if err != nil {
		return err
	}
	defer z.Close()
	r := tar.NewReader(io.LimitReader(z, maxUnpacked))
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if h.Typeflag != tar.TypeReg {
			continue
		}
		if err := write(filepath.Join(dir, filepath.Base(h.Name)), r); err != nil {
			return err
		}
	}
}

func write(path string, r io.Reader) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	if _, err := io.Copy(f, r); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}
