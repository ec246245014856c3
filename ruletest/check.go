package ruletest

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"corral/rules"
)

// Check reads test files, and those in directories, without running them. set, if
// any, are the rules beside them. It returns how many files there are, what is
// wrong with them, and whether a file of rules has tests.
func Check(paths []string, set *rules.Set) (n int, diags []rules.Diagnostic, tested func(file string) bool, err error) {
	var covered []string
	for _, path := range paths {
		names, err := testFiles(path)
		if err != nil {
			return n, diags, nil, err
		}
		for _, name := range names {
			n++
			f, err := Load(name)
			if m, ok := errors.AsType[Mistakes](err); ok {
				diags = append(diags, m...)
			} else if err != nil {
				return n, diags, nil, err
			}
			if f != nil {
				covered = append(covered, f.Rules...)
			}
		}
	}
	if set != nil {
		_, err := Inline(set)
		if m, ok := errors.AsType[Mistakes](err); ok {
			diags = append(diags, m...)
		}
	}
	return n, diags, func(file string) bool { return covers(covered, file) }, nil
}

// covers says whether one of the paths is the file or the directory it is in.
func covers(paths []string, file string) bool {
	file = filepath.Clean(file)
	return slices.ContainsFunc(paths, func(p string) bool {
		p = filepath.Clean(p)
		return p == file || p == filepath.Dir(file)
	})
}

// testFiles are the test files a path stands for: itself, those of its
// directory, or the one beside a file of rules.
func testFiles(path string) ([]string, error) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return nil, err
	case rules.IsTestFile(path):
		return []string{path}, nil
	case info.IsDir():
		names, err := filepath.Glob(filepath.Join(path, "*_test.y*ml"))
		return names, err
	}
	ext := filepath.Ext(path)
	beside := path[:len(path)-len(ext)] + "_test" + ext
	if _, err := os.Stat(beside); err != nil {
		return nil, nil
	}
	return []string{beside}, nil
}

// checkRules reports expectations of rules that are nowhere in the files loaded.
func (s *suite) checkRules(f *File, set *rules.Set) error {
	data, err := os.ReadFile(f.Path)
	if err != nil {
		return err
	}
	r := newReader(f.Path, data)
	for _, t := range f.Tests {
		ids, err := s.ruleIDs(t, set)
		if err != nil {
			return err
		}
		for _, x := range t.Expect {
			if x.ruleAt == nil || slices.Contains(ids, x.Rule) {
				continue
			}
			note := ""
			if best := rules.Nearest(x.Rule, ids); best != "" {
				note = fmt.Sprintf("did you mean %q?", best)
			}
			r.failNote(x.ruleAt, fmt.Sprintf("there is no rule %q in the files under test", x.Rule), note, "")
		}
	}
	return r.err()
}

// ruleIDs are the ids of all rules a test may meet.
func (s *suite) ruleIDs(t *Test, set *rules.Set) ([]string, error) {
	var ids []string
	for _, r := range set.Rules {
		ids = append(ids, r.ID)
	}
	for _, st := range t.Steps {
		if st.Do != "reload" {
			continue
		}
		other, err := s.load(st.Rules)
		if err != nil {
			return nil, err
		}
		for _, r := range other.Rules {
			ids = append(ids, r.ID)
		}
	}
	return ids, nil
}
