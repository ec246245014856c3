package reload

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"corral/correlate"
	"corral/rules"
)

func ruleText(ids ...string) string {
	s := "version: 1\nrules:\n"
	for _, id := range ids {
		s += fmt.Sprintf("  - id: %s\n    match: level == \"error\"\n    event: {}\n", id)
	}
	return s
}

func put(t *testing.T, dir, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func ids(set *rules.Set) string {
	var out []string
	for _, r := range set.Rules {
		out = append(out, r.ID)
	}
	return strings.Join(out, " ")
}

func TestABrokenFileKeepsItsRules(t *testing.T) {
	dir, state := t.TempDir(), t.TempDir()
	put(t, dir, "a.yaml", ruleText("a1", "a2"))
	put(t, dir, "b.yaml", ruleText("b1"))
	l := &Loader{Paths: []string{dir}, MaxRemoved: 0.2, LastGood: Dir(state)}
	if res, err := l.First(); err != nil || ids(res.Set) != "a1 a2 b1" {
		t.Fatalf("%v %v", res, err)
	}
	put(t, dir, "a.yaml", strings.Replace(ruleText("a1", "a2"), "level", "levle", 1))
	put(t, dir, "b.yaml", ruleText("b1", "b2"))
	res, err := l.Load()
	if err != nil || ids(res.Set) != "a1 a2 b1 b2" || len(res.Stale) != 1 || filepath.Base(res.Stale[0]) != "a.yaml" {
		t.Fatalf("%v %+v", err, res)
	}
	if len(res.Diagnostics) == 0 || res.Diagnostics[0].Line != 4 {
		t.Errorf("the mistake is not told: %v", res.Diagnostics)
	}
	// A restart runs what ran before, too; without that memory it is an error.
	again := &Loader{Paths: []string{dir}, LastGood: Dir(state)}
	if res, err := again.First(); err != nil || ids(res.Set) != "a1 a2 b1 b2" {
		t.Errorf("restart: %v", err)
	}
	fresh := &Loader{Paths: []string{dir}}
	if _, err := fresh.First(); !errors.Is(err, ErrRefused) {
		t.Errorf("first start with a broken file: %v", err)
	}
}

func TestMassRemovalIsRefused(t *testing.T) {
	dir := t.TempDir()
	put(t, dir, "a.yaml", ruleText("a1", "a2", "a3", "a4", "a5"))
	l := &Loader{Paths: []string{dir}, MaxRemoved: 0.2}
	if _, err := l.First(); err != nil {
		t.Fatal(err)
	}
	put(t, dir, "a.yaml", ruleText("a1", "a2", "a3"))
	if _, err := l.Load(); !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "2 of 5 rules would vanish") {
		t.Errorf("two of five: %v", err)
	}
	put(t, dir, "a.yaml", ruleText("a1", "a2", "a3", "a4"))
	if res, err := l.Load(); err != nil || len(res.Set.Rules) != 4 {
		t.Errorf("one of five: %v", err)
	}
	if err := os.Remove(filepath.Join(dir, "a.yaml")); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Load(); !errors.Is(err, ErrRefused) {
		t.Errorf("an empty mount: %v", err)
	}
}

// TestChangedWaitsForRest: a file that is being written is not loaded.
func TestChangedWaitsForRest(t *testing.T) {
	dir := t.TempDir()
	put(t, dir, "a.yaml", ruleText("a1"))
	l := &Loader{Paths: []string{dir}, MaxRemoved: 1}
	if _, err := l.First(); err != nil {
		t.Fatal(err)
	}
	if l.Changed() {
		t.Error("nothing changed")
	}
	put(t, dir, "a.yaml", ruleText("a1", "half"))
	if l.Changed() {
		t.Error("seen once: may be half written")
	}
	put(t, dir, "a.yaml", ruleText("a1", "half", "whole"))
	if l.Changed() {
		t.Error("it has just moved on")
	}
	if !l.Changed() {
		t.Error("at rest, and not told")
	}
	if _, err := l.Load(); err != nil {
		t.Fatal(err)
	}
	first, second := l.Changed(), l.Changed()
	if first || second {
		t.Error("loaded: nothing more to do")
	}
}

// TestAVanishedRuleGoesOnForAWhile: it may only be on its way to another file.
func TestAVanishedRuleGoesOnForAWhile(t *testing.T) {
	dir := t.TempDir()
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	put(t, dir, "a.yaml", ruleText("a1", "a2"))
	put(t, dir, "b.yaml", ruleText("b1"))
	l := &Loader{Paths: []string{dir}, MaxRemoved: 1, RemoveGrace: 2 * time.Minute, Now: func() time.Time { return now }}
	if _, err := l.First(); err != nil {
		t.Fatal(err)
	}
	load := func(want, held string) {
		t.Helper()
		res, err := l.Load()
		if err != nil || ids(res.Set) != want || strings.Join(res.Held, " ") != held {
			t.Errorf("%v: %s, held %v; want %s, held %s", err, ids(res.Set), res.Held, want, held)
		}
	}
	hash := l.set.Rule("a2").LogicHash
	put(t, dir, "a.yaml", ruleText("a1"))
	load("a1 b1 a2", "a2")
	if r := l.set.Rule("a2"); r.LogicHash != hash || filepath.Base(r.File) != "a.yaml" {
		t.Error("the rule that goes on is not what it was")
	}
	now = now.Add(time.Minute)
	put(t, dir, "b.yaml", ruleText("b1", "b2"))
	load("a1 b1 b2 a2", "a2") // another reload does not begin its time anew
	put(t, dir, "b.yaml", ruleText("b1", "b2", "a2"))
	load("a1 b1 b2 a2", "") // it came back in another file
	put(t, dir, "b.yaml", ruleText("b1"))
	load("a1 b1 b2 a2", "b2 a2")
	l.Changed()
	if l.Changed() {
		t.Error("nothing changed, and their time is not over")
	}
	now = now.Add(2 * time.Minute)
	l.Changed()
	if !l.Changed() {
		t.Error("their time is over")
	}
	load("a1 b1", "")
	first, second := l.Changed(), l.Changed()
	if first || second {
		t.Error("nothing is left to do")
	}
}

// TestANewBrokenFileIsLeftOut: it has nothing to fall back to, and the others load
// all the same; after a restart, too.
func TestANewBrokenFileIsLeftOut(t *testing.T) {
	dir, state := t.TempDir(), t.TempDir()
	put(t, dir, "a.yaml", ruleText("a1"))
	l := &Loader{Paths: []string{dir}, MaxRemoved: 0.2, LastGood: Dir(state)}
	if _, err := l.First(); err != nil {
		t.Fatal(err)
	}
	put(t, dir, "a.yaml", ruleText("a1", "a2"))
	put(t, dir, "new.yaml", strings.Replace(ruleText("n1"), "level", "levle", 1))
	check := func(what string, l *Loader, load func() (Result, error)) {
		t.Helper()
		res, err := load()
		if err != nil || ids(res.Set) != "a1 a2" || len(res.LeftOut) != 1 || filepath.Base(res.LeftOut[0]) != "new.yaml" {
			t.Fatalf("%s: %v %+v", what, err, res)
		}
		if len(res.Stale) != 1 {
			t.Errorf("%s: nobody is told: %v", what, res.Stale)
		}
	}
	check("reload", l, l.Load)
	again := &Loader{Paths: []string{dir}, LastGood: Dir(state)}
	check("restart", again, again.First)

	atomic := &Loader{Paths: []string{dir}, LastGood: Dir(state), Atomic: true}
	if _, err := atomic.First(); !errors.Is(err, ErrRefused) || err.Error() != "reload refused: the rules have mistakes: 1 error" {
		t.Errorf("all or nothing: %v", err)
	}
}

// TestADuplicateIsTheNewcomers: the file that had the id keeps it, whatever the
// files are called.
func TestADuplicateIsTheNewcomers(t *testing.T) {
	for _, other := range []string{"a.yaml", "z.yaml"} {
		dir, state := t.TempDir(), t.TempDir()
		put(t, dir, "m.yaml", ruleText("mine"))
		put(t, dir, other, ruleText("theirs"))
		l := &Loader{Paths: []string{dir}, MaxRemoved: 0.2, LastGood: Dir(state)}
		if _, err := l.First(); err != nil {
			t.Fatal(err)
		}
		put(t, dir, "m.yaml", ruleText("mine", "more")) // the owner has changed as well
		put(t, dir, other, ruleText("theirs", "mine"))
		again := &Loader{Paths: []string{dir}, LastGood: Dir(state)}
		for what, load := range map[string]func() (Result, error){"reload": l.Load, "restart": again.First} {
			res, err := load()
			if err != nil {
				t.Fatalf("%s: %v", what, err)
			}
			if r := res.Set.Rule("mine"); filepath.Base(r.File) != "m.yaml" || res.Set.Rule("more") == nil || res.Set.Rule("theirs") == nil {
				t.Errorf("%s with %s: %s, the rule is of %s", what, other, ids(res.Set), r.File)
			}
			if len(res.Stale) != 1 || filepath.Base(res.Stale[0]) != other {
				t.Errorf("%s: %v are stale, want %s", what, res.Stale, other)
			}
		}
	}
}

// TestWhatIsRefusedIsToldOnce: until it changes.
func TestWhatIsRefusedIsToldOnce(t *testing.T) {
	dir := t.TempDir()
	put(t, dir, "a.yaml", ruleText("a1", "a2", "a3"))
	l := &Loader{Paths: []string{dir}, MaxRemoved: 0.2}
	if _, err := l.First(); err != nil {
		t.Fatal(err)
	}
	atRest := func() bool { l.Changed(); return l.Changed() }
	put(t, dir, "a.yaml", ruleText("a1"))
	if !atRest() {
		t.Fatal("the change is not seen")
	}
	if _, err := l.Load(); !errors.Is(err, ErrRefused) {
		t.Fatal(err)
	}
	if atRest() {
		t.Error("it was told already")
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if !atRest() {
		t.Error("the directory is gone, and nobody is told")
	}
	if _, err := l.Load(); !errors.Is(err, ErrRefused) || atRest() {
		t.Errorf("%v", err)
	}
}

// TestAFileThatIsGoneIsForgotten: should it come back broken, what it was long ago
// is not what ran before.
func TestAFileThatIsGoneIsForgotten(t *testing.T) {
	dir, state := t.TempDir(), t.TempDir()
	put(t, dir, "a.yaml", ruleText("a1", "a2", "a3"))
	put(t, dir, "b.yaml", ruleText("b1"))
	l := &Loader{Paths: []string{dir}, MaxRemoved: 1, LastGood: Dir(state)}
	if _, err := l.First(); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, "b.yaml")); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Load(); err != nil {
		t.Fatal(err)
	}
	put(t, dir, "b.yaml", strings.Replace(ruleText("b1"), "level", "levle", 1))
	again := &Loader{Paths: []string{dir}, LastGood: Dir(state)}
	if res, err := again.First(); err != nil || ids(res.Set) != "a1 a2 a3" {
		t.Errorf("%v: %+v", err, res)
	}
}

// TestReport: what a reload did, as people read it.
func TestReport(t *testing.T) {
	dir := t.TempDir()
	a := filepath.Join(dir, "a.yaml")
	count := func(n int) string {
		return fmt.Sprintf("version: 1\nrules:\n  - id: many\n    match: level == \"error\"\n    threshold: {window: 1m, condition: count() >= %d}\n", n)
	}
	put(t, dir, "a.yaml", count(3))
	put(t, dir, "b.yaml", ruleText("b1", "b2"))
	l := &Loader{Paths: []string{dir}, MaxRemoved: 1}
	if _, err := l.First(); err != nil {
		t.Fatal(err)
	}
	l.Took(4)
	report := func(done correlate.Reloaded) string {
		t.Helper()
		res, err := l.Load()
		rep := &Report{By: "SIGHUP", Before: 6, After: 7, Took: 3 * time.Millisecond, Grace: 2 * time.Minute, Result: res, Done: done, Refused: err}
		var b strings.Builder
		if err := rep.WriteText(&b); err != nil {
			t.Fatal(err)
		}
		if _, err := json.Marshal(rep); err != nil {
			t.Fatal(err)
		}
		return strings.ReplaceAll(strings.ReplaceAll(b.String(), dir, "DIR"), res.Content, "HASH")
	}
	put(t, dir, "a.yaml", count(5))
	put(t, dir, "b.yaml", strings.Replace(ruleText("b1", "b2"), "level", "levle", 1))
	got := report(correlate.Reloaded{
		Unchanged: []string{"b1"}, Text: []string{"b2"}, Logic: []string{"many"}, Added: []string{"x", "y"},
		Stay: map[string]int{"many": 9}, Resolved: map[string]int{"many": 3},
	})
	want := `generation 6 → 7 in 3 ms (from HASH by SIGHUP)
  = 1 unchanged, state kept
  ~ 1 text       b2
  ± 1 logic      many                 condition: count() >= 3 → count() >= 5   12 open: 9 stay, 3 resolved
  + 2 new        x
                 y
  - 0
  ! DIR/b.yaml:4:12: error[E102]: unknown name "levle"; keeping generation 4 of this file (2 rules)
`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if err := os.Remove(a); err != nil {
		t.Fatal(err)
	}
	l.MaxRemoved = 0
	want = `reload refused: 1 of 3 rules would vanish, more than the 0 % allowed (--max-removed); generation 6 goes on (by SIGHUP)
  ! DIR/b.yaml:4:12: error[E102]: unknown name "levle"
`
	if got := report(correlate.Reloaded{}); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
