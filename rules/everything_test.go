package rules

import (
	"bytes"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/rogpeppe/go-internal/txtar"

	"corral/event"
	"corral/ingest"
	"corral/ingest/decode"
)

// repository are the directories that hold rules and events.
var repository = []string{"../testdata", "../examples", "../demo", "../rules.example.yaml", "testdata", "pack", "../ingest/decode/testdata"}

// eachFile gives every file of the repository, those inside archives too,
// decompressed.
func eachFile(t *testing.T, f func(name string, data []byte)) {
	t.Helper()
	for _, dir := range repository {
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			data, err := plainFile(path)
			if err != nil {
				return err
			}
			f(path, data)
			if strings.HasSuffix(path, ".txtar") {
				for _, inner := range txtar.Parse(data).Files {
					f(path+"/"+inner.Name, inner.Data)
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

func plainFile(path string) ([]byte, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var r io.Reader
	switch filepath.Ext(path) {
	case ".gz":
		r, err = gzip.NewReader(bytes.NewReader(data))
	case ".zst":
		r, err = zstd.NewReader(bytes.NewReader(data))
	default:
		return data, nil
	}
	if err != nil {
		return data, nil // not what it is called
	}
	if plain, err := io.ReadAll(r); err == nil {
		return plain, nil
	}
	return data, nil
}

// A wrong witness loses incidents: over every rule file of the repository and every
// event of its testdata, the index finds what trying each rule in the VM does.
func TestEveryRuleOnEveryEvent(t *testing.T) {
	sets := map[string]*Set{}
	var logs []ingest.Record
	eachFile(t, func(name string, data []byte) {
		switch ext := filepath.Ext(strings.TrimSuffix(strings.TrimSuffix(name, ".gz"), ".zst")); {
		case ext == ".yaml":
			if set, _ := Parse([]File{{Name: name, Data: data}}); set != nil && !slices.ContainsFunc(set.Rules, keyedByStep) {
				sets[name] = set // others are there to be refused, or are no rules
			}
		case slices.Contains([]string{".log", ".jsonl", ".ndjson", ".json", ".txt"}, ext):
			logs = append(logs, ingest.Record{Data: data, Lines: true, Seq: 1, Reference: 1767618000e9})
		}
	})
	var events, matches, ruleCount int
	for name, set := range sets {
		e, m := everyEvent(t, name, set, logs)
		events, matches, ruleCount = e, matches+m, ruleCount+len(set.Rules)
	}
	if len(sets) < 60 || events < 2000 || matches < 2000 {
		t.Errorf("%d rule files with %d rules, %d events, %d matches: the test says little", len(sets), ruleCount, events, matches)
	}
}

// keyedByStep rules are more than plainMatch knows.
func keyedByStep(r *Rule) bool {
	return slices.ContainsFunc(r.groupBy, func(g groupKey) bool { return g.all == nil })
}

func everyEvent(t *testing.T, name string, set *Set, logs []ingest.Record) (events, matches int) {
	t.Helper()
	plain, m, dec := newPlain(set), set.Matcher(), decode.New(decode.Options{AttrPaths: set.AttrPaths})
	var got []Match
	for i := range logs {
		dec.Decode(logs[i], func(ev *event.Event) {
			events++
			want := plain.match(ev)
			got = slices.DeleteFunc(m.Match(ev, got[:0]), func(m Match) bool { return m.Hops })
			if a, b := show(got), show(want); a != b {
				t.Fatalf("%s on %s\n got\n%s want\n%s", name, ev.Raw, a, b)
			}
			matches += len(want)
		}, func(decode.DeadRecord) {})
	}
	if !reflect.DeepEqual(m.Errors, plain.errors) || !reflect.DeepEqual(m.NoKey, plain.noKey) {
		t.Errorf("%s: errors %v, want %v; no key %v, want %v", name, m.Errors, plain.errors, m.NoKey, plain.noKey)
	}
	return events, matches
}
