// Package reload keeps a worker's rules up to date with the files they come
// from. A broken file keeps the rules it last had, good files load; an empty
// mount or a mass removal is refused; nothing half written is read.
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
	"time"

	"corral/rules"
	"corral/rules/pack"
)

// Loader reads rule files again and again. Not safe for concurrent use.
type Loader struct {
	Paths []string // files and directories
	// Embedded are files that do not change: packs and built-in rules. A rule of
	// Paths takes the place of its namesake here.
	Embedded []rules.File
	// MaxRemoved is the share of rules, 0 to 1, that may vanish in one reload.
	MaxRemoved float64
	// RemoveGrace is how long a rule that vanished goes on as it was, should it come
	// back, perhaps in another file.
	RemoveGrace time.Duration
	Now         func() time.Time // nil: time.Now
	// LastGoodDir keeps the last good bytes of every file, so that a restart with a
	// broken file runs what ran before. "": only in memory.
	LastGoodDir string

	set      *rules.Set
	lastGood map[string][]byte
	loaded   [sha256.Size]byte // of the content that set came of
	seen     [sha256.Size]byte // of the content at the last poll
	held     []held
}

// held is a rule that vanished and goes on until its time is over.
type held struct {
	rules.Held
	until time.Time
}

// Result says what a load found. Diagnostics are of the files as they are now,
// also of those in Stale.
type Result struct {
	Set         *rules.Set
	Diagnostics []rules.Diagnostic
	Stale       []string // files whose last good content is used instead
	Held        []string // rules that vanished and go on for a while, by id
}

// ErrRefused: the new rules were not taken; the old ones go on.
var ErrRefused = errors.New("reload refused")

func digest(files []rules.File) [sha256.Size]byte {
	h := sha256.New()
	for _, f := range files {
		fmt.Fprintf(h, "%d %s %d\n", len(f.Name), f.Name, len(f.Data))
		h.Write(f.Data)
	}
	return [sha256.Size]byte(h.Sum(nil))
}

// Changed reports whether the files differ from what is loaded and are at rest:
// the same at two polls in a row. Errors of reading count as not at rest.
func (l *Loader) Changed() bool {
	files, err := rules.ReadFiles(l.Paths)
	if err != nil {
		return false
	}
	d := digest(files)
	rest := d == l.seen
	l.seen = d
	return rest && (d != l.loaded || l.overdue())
}

// overdue reports whether the time of a rule that vanished is over.
func (l *Loader) overdue() bool {
	return slices.ContainsFunc(l.held, func(h held) bool { return !l.now().Before(h.until) })
}

func (l *Loader) now() time.Time {
	if l.Now != nil {
		return l.Now()
	}
	return time.Now()
}

// First loads the rules at start: files with mistakes are an error unless their
// last good content is at hand from an earlier run.
func (l *Loader) First() (Result, error) {
	l.lastGood = l.readLastGood()
	return l.load(true)
}

// Load reads the files again. With ErrRefused the caller keeps the rules it has.
func (l *Loader) Load() (Result, error) { return l.load(false) }

func (l *Loader) load(first bool) (Result, error) {
	files, err := rules.ReadFiles(l.Paths)
	if err != nil {
		return Result{}, fmt.Errorf("%w: %w", ErrRefused, err)
	}
	d := digest(files)
	var res Result
	if len(files)+len(l.Embedded) == 0 {
		return res, fmt.Errorf("%w: no rule files in %s", ErrRefused, strings.Join(l.Paths, ", "))
	}
	use := slices.Clone(files)
	res.Set, res.Diagnostics = rules.Parse(slices.Concat(pack.Override(l.Embedded, use), use))
	for res.Set == nil {
		n := l.fallBack(use, &res)
		if n == 0 {
			return res, fmt.Errorf("%w: rules have mistakes", ErrRefused)
		}
		var again []rules.Diagnostic
		if res.Set, again = rules.Parse(slices.Concat(pack.Override(l.Embedded, use), use)); res.Set == nil {
			res.Diagnostics = append(res.Diagnostics, again...)
		}
	}
	if err := l.guard(res.Set); err != nil && !first {
		return res, err
	}
	if !first {
		l.hold(&res, use)
	}
	l.set, l.loaded, l.seen = res.Set, d, d
	l.remember(use)
	return res, l.writeLastGood()
}

// hold lets rules that vanished go on for a while.
func (l *Loader) hold(res *Result, use []rules.File) {
	now := l.now()
	gone := slices.DeleteFunc(slices.Clone(l.held), func(h held) bool {
		return !now.Before(h.until) || !vanished(res.Set, h.ID)
	})
	for _, r := range l.set.Rules {
		known := slices.ContainsFunc(l.held, func(h held) bool { return h.ID == r.ID })
		if data, ok := l.lastGood[r.File]; ok && !known && l.RemoveGrace > 0 && vanished(res.Set, r.ID) {
			gone = append(gone, held{rules.Held{File: rules.File{Name: r.File, Data: data}, ID: r.ID}, now.Add(l.RemoveGrace)})
		}
	}
	l.held = nil
	if len(gone) == 0 {
		return
	}
	olds := make([]rules.Held, len(gone))
	for i := range gone {
		olds[i] = gone[i].Held
	}
	set, _ := rules.ParseHeld(slices.Concat(pack.Override(l.Embedded, use), use), olds)
	if set == nil {
		return // they do not go together with what there is now: they go at once
	}
	res.Set, l.held = set, gone
	for _, h := range gone {
		res.Held = append(res.Held, h.ID)
	}
}

// vanished reports whether a set has a rule neither by its id nor renamed.
func vanished(set *rules.Set, id string) bool {
	return set.Rule(id) == nil && !slices.ContainsFunc(set.Rules, func(r *rules.Rule) bool { return r.RenamedFrom == id })
}

// fallBack replaces files with errors by their last good content and returns how
// many it could.
func (l *Loader) fallBack(use []rules.File, res *Result) int {
	bad := map[string]bool{}
	for _, dg := range res.Diagnostics {
		if dg.Level == "error" && !slices.Contains(res.Stale, dg.File) {
			bad[dg.File] = true
		}
	}
	n := 0
	for i := range use {
		good, ok := l.lastGood[use[i].Name]
		if bad[use[i].Name] && ok && string(good) != string(use[i].Data) {
			use[i].Data = good
			res.Stale = append(res.Stale, use[i].Name)
			n++
		}
	}
	return n
}

// guard refuses a set from which too many rules have vanished: the usual
// accident is an empty mount.
func (l *Loader) guard(set *rules.Set) error {
	if l.set == nil || len(l.set.Rules) == 0 {
		return nil
	}
	gone := 0
	for _, r := range l.set.Rules {
		if vanished(set, r.ID) && !slices.ContainsFunc(l.held, func(h held) bool { return h.ID == r.ID }) {
			gone++
		}
	}
	if share := float64(gone) / float64(len(l.set.Rules)); gone > 1 && share > l.MaxRemoved {
		return fmt.Errorf("%w: %d of %d rules would vanish, more than the %.0f %% allowed", ErrRefused, gone, len(l.set.Rules), 100*l.MaxRemoved)
	}
	return nil
}

func (l *Loader) remember(use []rules.File) {
	l.lastGood = map[string][]byte{}
	for _, f := range use {
		l.lastGood[f.Name] = f.Data
	}
}

// The last good files lie in LastGoodDir under the hex SHA-256 of their name,
// the name being their first line.
func (l *Loader) writeLastGood() error {
	if l.LastGoodDir == "" {
		return nil
	}
	if err := os.MkdirAll(l.LastGoodDir, 0o700); err != nil {
		return fmt.Errorf("keep last good rules: %w", err)
	}
	for _, name := range slices.Sorted(maps.Keys(l.lastGood)) {
		path := filepath.Join(l.LastGoodDir, fmt.Sprintf("%x.yaml", sha256.Sum256([]byte(name))))
		data := append([]byte("# "+name+"\n"), l.lastGood[name]...)
		if old, err := os.ReadFile(path); err == nil && string(old) == string(data) {
			continue
		}
		if err := os.WriteFile(path+".tmp", data, 0o600); err != nil {
			return fmt.Errorf("keep last good rules: %w", err)
		}
		if err := os.Rename(path+".tmp", path); err != nil {
			return fmt.Errorf("keep last good rules: %w", err)
		}
	}
	return nil
}

func (l *Loader) readLastGood() map[string][]byte {
	m := map[string][]byte{}
	if l.LastGoodDir == "" {
		return m
	}
	_ = filepath.WalkDir(l.LastGoodDir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || filepath.Ext(path) != ".yaml" {
			return nil // what is not there cannot help
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return nil
		}
		if first, rest, ok := strings.Cut(string(data), "\n"); ok && strings.HasPrefix(first, "# ") {
			m[first[2:]] = []byte(rest)
		}
		return nil
	})
	return m
}
