package docs

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v4"

	"corral/rules"
)

// example is a YAML text that stands somewhere in the project.
type example struct {
	where, text string
	tests       bool // a test file
}

// TestSchemaAcceptsEveryExample: every rule file and every test file of the
// project and of its documentation is valid to an editor.
func TestSchemaAcceptsEveryExample(t *testing.T) {
	schemas := map[bool]*jsonschema.Schema{false: compileSchema(t), true: compiled(t, rules.TestSchema())}
	counts := map[bool]int{}
	for _, x := range examples(t) {
		counts[x.tests]++
		if err := schemas[x.tests].Validate(instance(t, x)); err != nil {
			t.Errorf("%s: %v", x.where, err)
		}
	}
	if counts[false] < 100 || counts[true] < 12 {
		t.Errorf("only %d rule files and %d test files were found", counts[false], counts[true])
	}
}

// TestSchemaRefusesMistakes: what an editor is to underline.
func TestSchemaRefusesMistakes(t *testing.T) {
	rule := func(lines string) string { return "rules:\n  - id: a\n    match: true\n    " + lines + "\n" }
	for _, wrong := range []string{
		"rules: []\n", "rule: []\n", "version: 2\nrules: [{id: a, match: true, event: {}}]\n", "rules: [{match: true, event: {}}]\n",
		"rules: [{id: A b, match: true, event: {}}]\n", "rules: [{id: a, event: {}}]\n", "rules: [{id: a, match: true}]\n",
		"lists: {a-b: [1]}\nrules: [{id: a, match: true, event: {}}]\n", "lists: {a: 1}\nrules: [{id: a, match: true, event: {}}]\n",
		"defaults: {id: x}\nrules: [{id: a, match: true, event: {}}]\n",
		rule("event: {window: 5m}"), rule("event: {}\n    thershold: {}"), rule("event: {}\n    threshold: {window: 5m, condition: count() > 1}"),
		rule("for: 5m\n    event: {}"), rule("severity: high\n    event: {}"), rule("severity: []\n    event: {}"), rule("severity: [{when: true}]\n    event: {}"),
		rule("signal: maybe\n    event: {}"), rule("evidence: -1\n    event: {}"), rule("evidence: many\n    event: {}"), rule("limits: {open: 0}\n    event: {}"),
		rule("group_by: service\n    event: {}"), rule("group_by: {a-b: service}\n    event: {}"), rule("refire: sometimes\n    event: {}"),
		rule("keep_firing_for: 5\n    event: {}"), rule("suppress: 5 minutes\n    event: {}"), rule("active: {timezone: UTC}\n    event: {}"),
		rule("inhibited_by: [{same: [a]}]\n    event: {}"), rule("notify: {resolve: true}\n    event: {}"), rule("labels: {a: 1}\n    event: {}"),
		rule("threshold: {window: 5m}"), rule("threshold: {condition: count() > 1}"), rule("threshold: {window: {}, condition: count() > 1}"),
		rule("threshold: {window: {session: 5m}, condition: count() > 1}"), rule("threshold: {window: {last: 0}, condition: count() > 1}"),
		rule("threshold: {window: {tumbling: 5m, last: 3}, condition: count() > 1}"), rule("threshold: {window: {start: a, max: 5m}, condition: count() > 1}"),
		rule("absence: {min: 1}"), rule("absence: {every: {timezone: UTC}}"), rule("absence: {every: 5m, min: 0}"), rule("absence: {every: 5m, expect: jobs}"),
		rule("change: {detect: changed}"), rule("change: {of: a, detect: new}"), rule("change: {of: a, learn: 1h}"), rule("change: {of: a, detect: flapping}"),
		rule("change: {of: a, detect: first_seen, within: 5m}"), rule("temporal: {window: 5m, events: {}}"), rule("temporal: {events: {a: true}}"),
		rule("temporal: {window: 5m, events: {a-b: true}}"), rule("sequence: {steps: []}"), rule("sequence: {within: 5m}"),
		rule("sequence: {within: 5m, steps: [{match: true}]}"), rule("sequence: {within: 5m, steps: [{name: a}]}"),
		rule("sequence: {within: 5m, steps: [{name: a, match: true, times: 0}]}"), rule("sequence: {within: 5m, steps: [{name: a, match: true, absent: true, times: 2}]}"),
		rule("sequence: {within: 5m, skip: all, steps: [{name: a, match: true}]}"), rule("event: {}\n    tests: [{name: x}]"),
		rule("event: {}\n    tests: [{name: x, expect: [], events: [{at: 5}]}]"),
	} {
		if err := compileSchema(t).Validate(instance(t, example{where: wrong, text: wrong})); err == nil {
			t.Errorf("the schema accepts\n%s", wrong)
		}
		if set, _ := rules.Parse([]rules.File{{Name: "r.yaml", Data: []byte(wrong)}}); set != nil && !strings.Contains(wrong, "tests:") {
			t.Errorf("the schema refuses, and corral accepts\n%s", wrong)
		}
	}
	for _, wrong := range []string{
		"tests: []\n", "test: []\n", "tests: [{name: a}]\n", "tests: [{expect: []}]\n", "tests: [{name: a, evnets: [], expect: []}]\n",
		"tests: [{name: a, events: [{do: crash}], expect: []}]\n", "tests: [{name: a, events: [{at: 5s}], expect: []}]\n",
		"tests: [{name: a, events: [{event: {}, file: x}], expect: []}]\n", "tests: [{name: a, expect: [{open: {}}]}]\n",
		"tests: [{name: a, expect: [{rule: r}]}]\n", "tests: [{name: a, expect: [{rule: r, open: {}, resolved: {}}]}]\n",
		"start: yesterday\nlateness: 5\ntests: [{name: a, expect: []}]\n",
	} {
		if err := compiled(t, rules.TestSchema()).Validate(instance(t, example{where: wrong, text: wrong})); err == nil {
			t.Errorf("the schema of tests accepts\n%s", wrong)
		}
	}
}

func compiled(t *testing.T, text []byte) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("schema.json", doc); err != nil {
		t.Fatal(err)
	}
	return c.MustCompile("schema.json")
}

func instance(t *testing.T, x example) any {
	t.Helper()
	var v any
	if err := yaml.Unmarshal([]byte(x.text), &v); err != nil {
		t.Fatalf("%s: %v", x.where, err)
	}
	return asJSON(t, v)
}

// examples are all rule files and test files there are: files, parts of txtar
// archives, fenced blocks of Markdown.
func examples(t *testing.T) []example {
	t.Helper()
	var out []example
	add := func(where string, data []byte) {
		if x, ok := exampleOf(where, string(data)); ok {
			out = append(out, x)
		}
	}
	err := filepath.WalkDir("..", func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if name := d.Name(); name != ".." && (strings.HasPrefix(name, ".") || name == "node_modules" || name == "diagnostics") {
				return filepath.SkipDir
			}
			return nil
		}
		switch filepath.Ext(path) {
		case ".yaml", ".yml":
			add(path, read(t, path))
		case ".txtar":
			for _, f := range txtar.Parse(read(t, path)).Files {
				if ext := filepath.Ext(f.Name); ext == ".yaml" || ext == ".yml" {
					add(path+": "+f.Name, f.Data)
				}
			}
		case ".md":
			for _, b := range blocks(t, path) {
				if b.lang == "yaml" {
					add(path, []byte(b.text))
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// exampleOf tells rule files and test files from other YAML, by what corral makes
// of them: what does not load is an example of a mistake.
func exampleOf(where, text string) (example, bool) {
	var top map[string]any
	if yaml.Unmarshal([]byte(text), &top) != nil {
		return example{}, false
	}
	if _, ok := top["tests"]; ok {
		return example{where: where, text: text, tests: true}, !strings.Contains(where, "script")
	}
	set, _ := rules.Parse([]rules.File{{Name: "rules.yaml", Data: []byte(text)}})
	return example{where: where, text: text}, set != nil
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}
