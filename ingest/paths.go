package ingest

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Stdin is the path that means standard input.
const Stdin = "-"

// Expand turns arguments into the files they stand for: a file is itself, a
// directory all the files in and below it whose names do not begin with a dot, a
// glob what it matches. Arguments keep their order; the files of one are sorted,
// rotated sets oldest first (app.log.2.gz, app.log.1, app.log). A file named
// twice is taken once. Whatever stands for no file is an error, all of them in
// one.
func Expand(args []string) ([]string, error) {
	var paths []string
	var errs []error
	seen := map[string]bool{}
	for _, arg := range args {
		found, err := expand(arg)
		if err != nil {
			errs = append(errs, err)
		}
		for _, path := range found {
			if !seen[path] {
				seen[path] = true
				paths = append(paths, path)
			}
		}
	}
	return paths, errors.Join(errs...)
}

func expand(arg string) ([]string, error) {
	if arg == Stdin {
		return []string{Stdin}, nil
	}
	info, err := os.Stat(arg)
	if err == nil && info.IsDir() {
		return walk(arg)
	}
	if err == nil {
		return []string{filepath.Clean(arg)}, nil
	}
	if !strings.ContainsAny(arg, "*?[") {
		return nil, err // names the file
	}
	return glob(arg)
}

func glob(pattern string) ([]string, error) {
	matches, err := filepath.Glob(pattern)
	if err != nil {
		return nil, fmt.Errorf("glob %s: %w", pattern, err)
	}
	var paths []string
	for _, m := range matches {
		info, err := os.Stat(m)
		if err != nil {
			return nil, err
		}
		if !info.IsDir() {
			paths = append(paths, filepath.Clean(m))
		}
	}
	if len(paths) == 0 {
		return nil, fmt.Errorf("glob %s: no file matches", pattern)
	}
	slices.SortFunc(paths, compareRotated)
	return paths, nil
}

func walk(dir string) ([]string, error) {
	var paths []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if hidden := strings.HasPrefix(d.Name(), ".") && path != dir; hidden {
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		info, err := os.Stat(path) // follows a link to a file; WalkDir does not enter one to a directory
		if err != nil {
			return err
		}
		if info.Mode().IsRegular() {
			paths = append(paths, filepath.Clean(path))
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read directory %s: %w", dir, err)
	}
	if len(paths) == 0 {
		return nil, fmt.Errorf("read directory %s: no files in it", dir)
	}
	slices.SortFunc(paths, compareRotated)
	return paths, nil
}

// rotated finds what a rotated file adds to the live file's name: a number, a
// date, both of them, the compression.
var rotated = regexp.MustCompile(`^(.+?)((?:[.-]\d+(?:[.-]\d+)*)?)(\.(?:gz|zst))?$`)

// compareRotated orders paths by name, and the files of one rotated set by age:
// numbers count up into the past, dates into the future, the live file is last.
func compareRotated(a, b string) int {
	ma, mb := rotated.FindStringSubmatch(a), rotated.FindStringSubmatch(b)
	if ma == nil || mb == nil || ma[1] != mb[1] {
		return cmp.Compare(a, b)
	}
	return cmp.Or(compareSuffix(ma[2], mb[2]), cmp.Compare(a, b))
}

func compareSuffix(a, b string) int {
	if a == "" || b == "" {
		return -cmp.Compare(len(a), len(b))
	}
	na, errA := strconv.Atoi(a[1:])
	nb, errB := strconv.Atoi(b[1:])
	if errA == nil && errB == nil && max(na, nb) < firstDate {
		return cmp.Compare(nb, na)
	}
	return cmp.Compare(a, b)
}

// firstDate is the smallest rotation suffix that is read as a date (19700101),
// not as a counter.
const firstDate = 19700101
