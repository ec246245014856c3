package reload

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Keeper keeps the content of files, by name, over a restart. What is written
// replaces all that was. Read returns nil if nothing was kept yet.
type Keeper interface {
	Read() (map[string][]byte, error)
	Write(files map[string][]byte) error
}

// Dir is a directory that keeps each file under the hex SHA-256 of its name, the
// name being its first line.
type Dir string

// Write implements Keeper. A file that is gone is forgotten: should it come back
// broken, its rules of then are not what ran before.
func (d Dir) Write(files map[string][]byte) error {
	if err := os.MkdirAll(string(d), 0o700); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		path := filepath.Join(string(d), goodName(name))
		data := append([]byte("# "+name+"\n"), files[name]...)
		if old, err := os.ReadFile(path); err == nil && string(old) == string(data) {
			continue
		}
		if err := os.WriteFile(path+".tmp", data, 0o600); err != nil {
			return err
		}
		if err := os.Rename(path+".tmp", path); err != nil {
			return err
		}
	}
	return d.forget(files)
}

// forget removes what is not of files.
func (d Dir) forget(files map[string][]byte) error {
	have := map[string]bool{}
	for name := range files {
		have[goodName(name)] = true
	}
	entries, err := os.ReadDir(string(d))
	for _, e := range entries {
		if filepath.Ext(e.Name()) == ".yaml" && !have[e.Name()] {
			err = errors.Join(err, os.Remove(filepath.Join(string(d), e.Name())))
		}
	}
	return err
}

func goodName(file string) string { return fmt.Sprintf("%x.yaml", sha256.Sum256([]byte(file))) }

// Read implements Keeper. A file that cannot be read cannot help.
func (d Dir) Read() (map[string][]byte, error) {
	entries, err := os.ReadDir(string(d))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	files := map[string][]byte{}
	for _, e := range entries {
		data, err := os.ReadFile(filepath.Join(string(d), e.Name()))
		if err != nil || filepath.Ext(e.Name()) != ".yaml" {
			continue
		}
		if first, rest, ok := strings.Cut(string(data), "\n"); ok && strings.HasPrefix(first, "# ") {
			files[first[2:]] = []byte(rest)
		}
	}
	return files, nil
}
