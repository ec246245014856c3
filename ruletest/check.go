package ruletest

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"

	"corral/rules"
)

// Check reads test files, and those in directories, without running them. set, if
// any, are the rules beside them. It returns how many files there are, what is
// wrong with them, and whether a file of rules has tests.
func Check(paths []string, set *rules.Set) (n int, diags []rules.Diagnostic, tested func(file string) bool, err error) {
	var covered []string
	s := &suite{sets: map[string]*rules.Set{}}
	for _, path := range paths {
		names, err := testFiles(path)
		if err != nil {
			return n, diags, nil, err
		}
		for _, name := range names {
			n++
			f, err := Load(name)
			if err == nil {
				err = s.meets(f)
			}
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

// meets holds a test file against the rules it is for. Rules that do not load have
// mistakes of their own, which their files are checked for.
func (s *suite) meets(f *File) error {
	set, err := s.load(f.Rules)
	switch _, broken := errors.AsType[Mistakes](err); {
	case broken:
		return nil
	case errors.Is(err, fs.ErrNotExist):
		data, _ := os.ReadFile(f.Path)
		r := newReader(f.Path, data)
		r.failNote(f.at, "the rules it is for are not there: "+strings.Join(f.Rules, ", "), "", "help: `rules: PATH` says which it is for, as seen from this file")
		return r.err()
	case err != nil:
		return err
	}
	return s.checkRules(f, set)
}

// checkRules reports expectations of rules that are nowhere in the files loaded,
// and of keys they do not group by.
func (s *suite) checkRules(f *File, set *rules.Set) error {
	data, err := os.ReadFile(f.Path)
	if err != nil {
		return err
	}
	r := newReader(f.Path, data)
	for _, t := range f.Tests {
		keys, err := s.keyNames(t, set)
		if _, broken := errors.AsType[Mistakes](err); broken {
			continue
		} else if err != nil {
			return err
		}
		ids := slices.Sorted(maps.Keys(keys))
		for _, x := range t.Expect {
			if names, ok := keys[x.Rule]; ok {
				r.checkKey(x, names)
				continue
			}
			if x.ruleAt == nil {
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

// checkKey reports names that are no part of the rule's key: with them the
// expectation could never be met.
func (r *reader) checkKey(x Expect, names []string) {
	if x.keyAt == nil || x.keyAt.Kind != yaml.MappingNode {
		return
	}
	for i := 0; i+1 < len(x.keyAt.Content); i += 2 {
		k := x.keyAt.Content[i]
		if slices.Contains(names, k.Value) {
			continue
		}
		note, help := "", "the rule has no group_by"
		if len(names) > 0 {
			help = "its keys are " + strings.Join(names, ", ")
		}
		if best := rules.Nearest(k.Value, names); best != "" {
			note = fmt.Sprintf("did you mean %q?", best)
		}
		r.failNote(k, fmt.Sprintf("rule %q does not group by %q", x.Rule, k.Value), note, help)
	}
}

// keyNames are the names of the group key of every rule a test may meet, by id.
func (s *suite) keyNames(t *Test, set *rules.Set) (map[string][]string, error) {
	keys := map[string][]string{}
	add := func(set *rules.Set) {
		for _, r := range set.Rules {
			keys[r.ID] = append(keys[r.ID], r.KeyNames...)
		}
	}
	add(set)
	for _, st := range t.Steps {
		if st.Do != "reload" {
			continue
		}
		other, err := s.load(st.Rules)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", st.Line, err)
		}
		add(other)
	}
	return keys, nil
}
