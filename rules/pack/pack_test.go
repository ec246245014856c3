package pack

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"corral/rules"
	"corral/ruletest"
)

func load(t *testing.T, files []rules.File) *rules.Set {
	t.Helper()
	set, diags := rules.Parse(files)
	if set == nil {
		t.Fatalf("the pack does not load: %v", diags)
	}
	return set
}

func files(t *testing.T) []rules.File {
	t.Helper()
	files, err := Files("nats")
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func TestPackTests(t *testing.T) {
	var out bytes.Buffer
	rep, err := ruletest.Run([]string{"nats"}, ruletest.Options{}, &out)
	if err != nil || rep.Failed > 0 || rep.Ran == 0 {
		t.Fatalf("%d of %d tests failed: %v\n%s", rep.Failed, rep.Ran, err, out.String())
	}
}

// Whoever is called at night needs to know what to do, and each rule must have
// opened in a test.
func TestEveryRuleIsCompleteAndTested(t *testing.T) {
	var tests []byte
	err := filepath.WalkDir("nats", func(path string, _ fs.DirEntry, err error) error {
		if err == nil && rules.IsTestFile(path) && strings.HasSuffix(path, ".yaml") {
			data, err := os.ReadFile(path)
			tests = append(tests, data...)
			return err
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range load(t, files(t)).Rules {
		if r.Runbook == "" || r.Owner != "nats" {
			t.Errorf("%s: runbook %q, owner %q", r.ID, r.Runbook, r.Owner)
		}
		if strings.Contains(r.Runbook, "{{") {
			t.Errorf("%s: a runbook is no template: %q", r.ID, r.Runbook)
		}
		if opened := regexp.MustCompile(`rule: ` + r.ID + `,.* open: `); !opened.Match(tests) {
			t.Errorf("%s opens in no test", r.ID)
		}
	}
}

func TestOverride(t *testing.T) {
	user := []rules.File{{Name: "mine.yaml", Data: []byte(`version: 1
rules:
  - id: nats-stale-clients
    match: nats.reason == "Stale Connection"
    group_by: [nats.host]
    event: {}
`)}}
	set := load(t, append(Override(files(t), user), user...))
	if got := set.Rule("nats-stale-clients").File; got != "mine.yaml" {
		t.Errorf("the rule is of %s, want mine.yaml", got)
	}
	all := load(t, files(t))
	if len(set.Rules) != len(all.Rules) {
		t.Errorf("got %d rules, want as many as the pack has: %d", len(set.Rules), len(all.Rules))
	}
	if a, b := all.Rule("js-disk-failure"), set.Rule("js-disk-failure"); a.File != b.File || a.Line != b.Line {
		t.Errorf("another rule has moved: from %s:%d to %s:%d", a.File, a.Line, b.File, b.Line)
	}
}

func TestOverrideAllAndNothing(t *testing.T) {
	if got := Override(files(t), files(t)); len(got) != 0 {
		t.Errorf("every rule overridden: got %d files, want none", len(got))
	}
	for _, text := range []string{"", "{", "rules: 7", "rules: [7]", "version: 1\nrules: []\n"} {
		got := Override(files(t), []rules.File{{Name: "mine.yaml", Data: []byte(text)}})
		if len(got) != len(files(t)) {
			t.Errorf("overridden by %q: got %d files, want %d", text, len(got), len(files(t)))
		}
	}
}

func TestFilesOfNoPack(t *testing.T) {
	for _, name := range []string{"kafka", "", ".", "nats/testdata", "../pack"} {
		_, err := Files(name)
		if want := `there is no pack "` + name + `": there is nats`; err == nil || err.Error() != want {
			t.Errorf("Files(%q): got %v, want %s", name, err, want)
		}
	}
}

// What is printed of a rule is a file that loads and takes the rule's place.
func TestText(t *testing.T) {
	all := load(t, files(t))
	for _, r := range all.Rules {
		text, err := Text("nats", []string{r.ID})
		if err != nil {
			t.Fatal(err)
		}
		mine := []rules.File{{Name: "mine.yaml", Data: text}}
		set := load(t, append(Override(files(t), mine), mine...))
		if got := set.Rule(r.ID); got.File != "mine.yaml" || got.LogicHash != r.LogicHash || got.TextHash != r.TextHash || len(set.Rules) != len(all.Rules) {
			t.Errorf("%s printed, loaded in its place: file %s, %d rules\n%s", r.ID, got.File, len(set.Rules), text)
		}
	}
	for _, ids := range [][]string{{"nats-nothing"}, {"js-stream-full", "nats-auth-failure"}} {
		if text, err := Text("nats", ids); err == nil {
			t.Errorf("Text of %q: got\n%s, want an error", ids, text)
		}
	}
}
