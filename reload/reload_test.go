package reload

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

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
	l := &Loader{Paths: []string{dir}, MaxRemoved: 0.2, LastGoodDir: state}
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
	again := &Loader{Paths: []string{dir}, LastGoodDir: state}
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
