package rules

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Load reads files and directories (*.yaml, *.yml; tests *_test.yaml left out)
// and compiles what is in them. The Set is nil if any diagnostic is an error; err
// is for files that could not be read, none at all, and zero rules.
//
// A directory is not searched below its own level, so that a mounted ConfigMap's
// hidden copies are not read twice. The order is that of the paths given, within a
// directory by name.
func Load(paths []string) (*Set, []Diagnostic, error) {
	files, err := ReadFiles(paths)
	if err != nil {
		return nil, nil, err
	}
	if len(files) == 0 {
		return nil, nil, errors.New("no rule files given")
	}
	set, diags := Parse(files)
	return set, diags, nil
}

// ReadFiles is the reading half of Load; no paths are no files.
func ReadFiles(paths []string) ([]File, error) {
	var files []File
	var errs []error
	seen := map[string]bool{}
	for _, p := range paths {
		names, err := ruleFiles(p)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		for _, name := range names {
			if seen[filepath.Clean(name)] {
				continue
			}
			seen[filepath.Clean(name)] = true
			data, err := os.ReadFile(name)
			if err != nil {
				errs = append(errs, fmt.Errorf("read rules: %w", err))
				continue
			}
			files = append(files, File{Name: name, Data: data})
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return files, nil
}

// ruleFiles are the rule files a path stands for.
func ruleFiles(path string) ([]string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("read rules: %w", err)
	}
	if !info.IsDir() {
		return []string{path}, nil
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return nil, fmt.Errorf("read rules: %w", err)
	}
	var names []string
	for _, e := range entries {
		if isRuleFile(e.Name()) && !e.IsDir() {
			names = append(names, filepath.Join(path, e.Name()))
		}
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("no rule files (*.yaml, *.yml) in %s", path)
	}
	return names, nil
}

func isRuleFile(name string) bool {
	ext := filepath.Ext(name)
	if ext != ".yaml" && ext != ".yml" || strings.HasPrefix(name, ".") {
		return false
	}
	return !IsTestFile(name)
}

// IsTestFile says whether a file holds rule tests, by its name.
func IsTestFile(name string) bool {
	base := strings.TrimSuffix(filepath.Base(name), filepath.Ext(name))
	return strings.HasSuffix(base, "_test")
}

// CountRules counts the rules in files, good or bad, for a report. What cannot be
// read as YAML has none.
func CountRules(files []File) int {
	n := 0
	for _, f := range files {
		n += len(readFile(&report{}, f).rules)
	}
	return n
}

// Parse is Load for content already read.
func Parse(files []File) (*Set, []Diagnostic) { return ParseHeld(files, nil) }

// Held is a rule as an earlier version of a file has it.
type Held struct {
	File File
	ID   string
}

// ParseHeld is Parse with single rules beside the files', of files that are not
// what they were.
func ParseHeld(files []File, held []Held) (*Set, []Diagnostic) {
	rep := &report{}
	var read []*ruleFile
	for _, f := range files {
		read = append(read, readFile(rep, f))
	}
	for _, h := range held {
		f := readFile(rep, h.File)
		f.rules = slices.DeleteFunc(f.rules, func(d *ruleDoc) bool { return d.id != h.ID })
		read = append(read, f)
	}
	checkIDs(read)
	slots := newSlots()
	set := &Set{byID: map[string]*Rule{}}
	for _, f := range read {
		for _, d := range f.rules {
			r := build(d, slots)
			r.Index = len(set.Rules)
			set.Rules = append(set.Rules, r)
			if set.byID[r.ID] == nil {
				set.byID[r.ID] = r
			}
		}
		f.checkDefaults()
	}
	set.AttrPaths = slots.paths
	set.checkReferences(rep)
	if !HasErrors(rep.diags) {
		set.finish(rep)
	}
	diags := sortDiagnostics(rep.diags, files)
	if HasErrors(diags) {
		return nil, diags
	}
	return set, diags
}

// checkReferences checks the ids by which rules name one another.
func (s *Set) checkReferences(rep *report) {
	var ids []string
	for _, r := range s.Rules {
		ids = append(ids, r.ID)
	}
	for _, r := range s.Rules {
		for i, in := range r.InhibitedBy {
			src := r.doc.file.src
			at := src.span(r.inhibitAt[i])
			switch {
			case s.byID[in.Rule] == nil:
				rep.error(finding{src: src, at: at, code: codeRuleID, text: fmt.Sprintf("there is no rule %q", in.Rule), note: didYouMean(in.Rule, ids)})
			case in.Rule == r.ID:
				rep.error(finding{src: src, at: at, code: codeConflict, text: "a rule cannot be inhibited by itself"})
			default:
				s.checkSame(rep, r, i, at)
			}
		}
	}
	s.checkCycles(rep, ids)
}

// checkSame checks that the other rule has the keys that must be the same.
func (s *Set) checkSame(rep *report, r *Rule, i int, at span) {
	other := s.byID[r.InhibitedBy[i].Rule]
	for _, k := range r.InhibitedBy[i].Same {
		if !slices.Contains(other.KeyNames, k) {
			rep.error(finding{
				src: r.doc.file.src, at: at, code: codeInhibitKey, text: fmt.Sprintf("rule %q has no group key %q", other.ID, k),
				note: didYouMean(k, other.KeyNames), help: "its group_by: " + keyList(other.KeyNames),
			})
		}
	}
}
