// Package reload keeps a worker's rules up to date with the files they come
// from. A broken file keeps the rules it last had, good files load; an empty
// mount or a mass removal is refused; nothing half written is read.
package reload

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"

	"corral/internal/phrase"
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
	// LastGood keeps the last good bytes of every file, so that a restart with a
	// broken file runs what ran before. nil: only in memory.
	LastGood Keeper
	// Atomic refuses everything while any file has mistakes, instead of using the
	// last good content of that file alone.
	Atomic bool

	set      *rules.Set
	lastGood map[string][]byte
	since    map[string]uint64 // by file: the generation that brought its last good content
	loaded   [sha256.Size]byte // of the content that set came of
	seen     [sha256.Size]byte // of the content at the last poll
	refused  [sha256.Size]byte // of the content that was not taken
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
	Stale       []string // files with mistakes: their last good content is used instead
	LeftOut     []string // those of Stale that never were good: nothing of them is used
	Held        []string // rules that vanished and go on for a while, by id
	Content     string   // the first digits of the files' hash
	// NotKept is why LastGood could not keep what was loaded: it runs all the same.
	NotKept error

	was   *rules.Set        // before
	since map[string]uint64 // of Stale, what generation their last good content is of
}

// ErrRefused says that the new rules were not taken; the old ones go on.
var ErrRefused = errors.New("reload refused")

// Refusal is an ErrRefused with its cause, which is what its Unwrap returns.
type Refusal struct{ Cause error }

func (r Refusal) Error() string { return ErrRefused.Error() + ": " + r.Cause.Error() }

// Is makes every Refusal an ErrRefused.
func (r Refusal) Is(err error) bool { return err == ErrRefused }

func (r Refusal) Unwrap() error { return r.Cause }

func digest(files []rules.File, err error) [sha256.Size]byte {
	h := sha256.New()
	if err != nil {
		fmt.Fprintln(h, err)
	}
	for _, f := range files {
		fmt.Fprintf(h, "%d %s %d\n", len(f.Name), f.Name, len(f.Data))
		h.Write(f.Data)
	}
	return [sha256.Size]byte(h.Sum(nil))
}

// Changed reports whether the files differ from what is loaded, and from what was
// refused, and are at rest: the same at two polls in a row.
func (l *Loader) Changed() bool {
	d := digest(l.read())
	rest := d == l.seen
	l.seen = d
	return rest && (d != l.loaded && d != l.refused || l.overdue())
}

// read reads the files; what cannot be read stands for itself, so that it is told
// once, as other mistakes are.
func (l *Loader) read() ([]rules.File, error) { return rules.ReadFiles(l.Paths) }

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
	if l.LastGood != nil {
		var err error
		if l.lastGood, err = l.LastGood.Read(); err != nil {
			return Result{}, fmt.Errorf("read last good rules: %w", err)
		}
	}
	return l.load(true)
}

// Load reads the files again. With ErrRefused the caller keeps the rules it has.
func (l *Loader) Load() (Result, error) { return l.load(false) }

func (l *Loader) load(first bool) (Result, error) {
	files, err := l.read()
	d := digest(files, err)
	if err != nil {
		return l.refuse(d, Result{}, err)
	}
	if len(files)+len(l.Embedded) == 0 {
		return l.refuse(d, Result{}, fmt.Errorf("no rule files in %s", strings.Join(l.Paths, ", ")))
	}
	// At the very first start nothing is known that could be used instead.
	use, res, err := l.usable(files, l.Atomic || first && len(l.lastGood) == 0)
	res.Content, res.was, res.since = fmt.Sprintf("%x", d[:4])[:7], l.set, l.since
	if err == nil && !first {
		err = l.guard(res.Set)
	}
	if err != nil {
		return l.refuse(d, res, err)
	}
	if !first {
		l.hold(&res, use)
	}
	l.set, l.loaded, l.seen, l.refused = res.Set, d, d, [sha256.Size]byte{}
	l.remember(use)
	if l.LastGood != nil {
		res.NotKept = l.LastGood.Write(l.lastGood)
	}
	return res, nil
}

func (l *Loader) refuse(d [sha256.Size]byte, res Result, err error) (Result, error) {
	l.refused = d
	return res, Refusal{err}
}

// usable compiles the files, those with mistakes replaced by what they last were;
// one that is new, and wrong, is left out. strict: mistakes are an error.
func (l *Loader) usable(files []rules.File, strict bool) ([]rules.File, Result, error) {
	use, res := slices.Clone(files), Result{}
	for {
		set, diags := rules.Parse(slices.Concat(pack.Override(l.Embedded, use), l.ownersFirst(use)))
		for _, d := range diags {
			if !slices.ContainsFunc(res.Diagnostics, func(x rules.Diagnostic) bool { return x.String() == d.String() }) {
				res.Diagnostics = append(res.Diagnostics, d)
			}
		}
		if set != nil {
			res.Set = set
			return use, res, nil
		}
		var progress bool
		if !strict {
			use, progress = l.fallBack(use, diags, &res)
		}
		if !progress || len(use)+len(l.Embedded) == 0 {
			n := len(slices.DeleteFunc(slices.Clone(res.Diagnostics), func(d rules.Diagnostic) bool { return !d.IsError() }))
			return use, res, fmt.Errorf("the rules have mistakes: %s", phrase.Count(n, "error"))
		}
	}
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

// fallBack replaces files with errors by their last good content, or leaves them
// out if they have none. It says whether there is anything it could do.
func (l *Loader) fallBack(use []rules.File, diags []rules.Diagnostic, res *Result) (rest []rules.File, progress bool) {
	for _, f := range use {
		wrong := slices.ContainsFunc(diags, func(d rules.Diagnostic) bool { return d.IsError() && d.File == f.Name })
		good, ok := l.lastGood[f.Name]
		if !wrong || ok && string(good) == string(f.Data) {
			rest = append(rest, f)
			continue
		}
		progress = true
		res.Stale = append(res.Stale, f.Name)
		if !ok {
			res.LeftOut = append(res.LeftOut, f.Name)
			continue
		}
		rest = append(rest, rules.File{Name: f.Name, Data: good})
	}
	return rest, progress
}

// ownersFirst orders files so that an id that stands in several is taken as that
// of the file that had it last; the others are wrong.
func (l *Loader) ownersFirst(files []rules.File) []rules.File {
	had := l.owners()
	in := map[string]int{} // id → files it stands in
	for _, f := range files {
		for _, id := range ruleIDs(f) {
			in[id]++
		}
	}
	first, rest := []rules.File{}, []rules.File{}
	for _, f := range files {
		owns := slices.ContainsFunc(ruleIDs(f), func(id string) bool { return in[id] > 1 && had[id] == f.Name })
		if owns {
			first = append(first, f)
			continue
		}
		rest = append(rest, f)
	}
	return append(first, rest...)
}

// owners are the files that had each rule last.
func (l *Loader) owners() map[string]string {
	had := map[string]string{}
	if l.set == nil { // a start
		for _, name := range slices.Sorted(maps.Keys(l.lastGood)) {
			for _, id := range ruleIDs(rules.File{Name: name, Data: l.lastGood[name]}) {
				had[id] = name
			}
		}
		return had
	}
	for _, r := range l.set.Rules {
		had[r.ID] = r.File
	}
	return had
}

// ruleIDs are the ids that stand in a file, whatever else is in it.
func ruleIDs(f rules.File) (ids []string) {
	root, _ := rules.ParseYAML(f)
	for _, r := range items(value(root, "rules")) {
		if id := value(r, "id"); id != nil {
			ids = append(ids, id.Value)
		}
	}
	return ids
}

func value(n *yaml.Node, key string) *yaml.Node {
	if n == nil || n.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return n.Content[i+1]
		}
	}
	return nil
}

func items(n *yaml.Node) []*yaml.Node {
	if n == nil || n.Kind != yaml.SequenceNode {
		return nil
	}
	return n.Content
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
	if share := float64(gone) / float64(len(l.set.Rules)); (gone > 1 || l.MaxRemoved == 0) && share > l.MaxRemoved {
		return fmt.Errorf("%d of %d rules would vanish, more than the %.0f %% allowed (--max-removed)", gone, len(l.set.Rules), 100*l.MaxRemoved)
	}
	return nil
}

func (l *Loader) remember(use []rules.File) {
	was, since := l.lastGood, l.since
	l.lastGood, l.since = map[string][]byte{}, map[string]uint64{}
	for _, f := range use {
		l.lastGood[f.Name] = f.Data
		if gen := since[f.Name]; gen > 0 && string(was[f.Name]) == string(f.Data) {
			l.since[f.Name] = gen
		}
	}
}

// Took notes the generation in which what was loaded took effect.
func (l *Loader) Took(gen uint64) {
	for name := range l.lastGood {
		if l.since[name] == 0 {
			l.since[name] = gen
		}
	}
}
