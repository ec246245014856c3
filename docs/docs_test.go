// Package docs holds the documentation; its tests keep the examples true.
package docs

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v4"

	"corral/correlate"
	"corral/ingest"
	"corral/ingest/decode"
	"corral/pipeline"
	"corral/rules"
	"corral/ruletest"
)

// block is a fenced block of a Markdown file.
type block struct {
	lang, text string
	line       int
}

func blocks(t *testing.T, path string) []block {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var out []block
	open := false
	for i, l := range strings.Split(string(data), "\n") {
		switch {
		case strings.HasPrefix(l, "```") && !open:
			out = append(out, block{lang: l[3:], line: i + 1})
			open = true
		case strings.HasPrefix(l, "```"):
			open = false
		case open:
			out[len(out)-1].text += l + "\n"
		}
	}
	return out
}

// TestReferenceNamesEverything: no key, word, function or field of the language is
// missing from the reference, nor a key of tests from theirs.
func TestReferenceNamesEverything(t *testing.T) {
	text := string(read(t, "rules.md"))
	for _, name := range schemaNames(t, rules.Schema(), "test", "tests") {
		if !strings.Contains(text, "`"+name) && !strings.Contains(text, name+":") && !strings.Contains(text, name+"`") && !strings.Contains(text, ", "+name+"}") {
			t.Errorf("rules.md does not name %q", name)
		}
	}
	for _, f := range rules.Functions() {
		if !strings.Contains(text, f.Name+"(") {
			t.Errorf("rules.md does not name %s", f.Signature)
		}
	}
	for _, f := range rules.Fields() {
		_, last, dotted := strings.Cut(f.Name, ".")
		if !strings.Contains(text, "`"+f.Name+"`") && !(dotted && strings.Contains(text, "."+last)) {
			t.Errorf("rules.md does not name %s", f.Name)
		}
	}
	text = string(read(t, "testing.md"))
	for _, name := range schemaNames(t, rules.TestSchema()) {
		if !strings.Contains(text, "`"+name) && !strings.Contains(text, name+":") && !strings.Contains(text, "do: "+name) {
			t.Errorf("testing.md does not name %q", name)
		}
	}
}

// schemaNames are all keys and words of a schema, without some definitions.
func schemaNames(t *testing.T, schema []byte, without ...string) []string {
	t.Helper()
	var doc map[string]any
	if err := json.Unmarshal(schema, &doc); err != nil {
		t.Fatal(err)
	}
	for _, name := range without {
		delete(doc["definitions"].(map[string]any), name)
	}
	seen := map[string]bool{}
	var walk func(any)
	walk = func(v any) {
		switch v := v.(type) {
		case []any:
			for _, x := range v {
				walk(x)
			}
		case map[string]any:
			if properties, ok := v["properties"].(map[string]any); ok {
				for name := range properties {
					seen[name] = true
				}
			}
			if words, ok := v["enum"].([]any); ok {
				for _, w := range words {
					seen[fmt.Sprint(w)] = true
				}
			}
			for _, x := range v {
				walk(x)
			}
		}
	}
	walk(doc)
	return slices.Sorted(maps.Keys(seen))
}

// TestRuleReference loads every example of the rule reference, validates it with
// the schema editors use, and makes every rule of it fire with the events below.
func TestRuleReference(t *testing.T) {
	schema := compileSchema(t)
	bs := blocks(t, "rules.md")
	fired := 0
	for i, b := range bs {
		if b.lang != "yaml" {
			continue
		}
		t.Run(fmt.Sprintf("line %d", b.line), func(t *testing.T) {
			if i+1 >= len(bs) || bs[i+1].lang != "json" {
				t.Fatal("no events under the example")
			}
			validate(t, schema, b.text)
			fired += fire(t, b, bs[i+1])
		})
	}
	if n := strings.Count(string(read(t, "rules.md")), "```yaml"); n < 12 || fired < n {
		t.Errorf("%d rules of %d examples fired in the reference", fired, n)
	}
}

func compileSchema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(rules.Schema()))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("corral.json", doc); err != nil {
		t.Fatal(err)
	}
	return c.MustCompile("corral.json")
}

func validate(t *testing.T, schema *jsonschema.Schema, text string) {
	t.Helper()
	var v any
	if err := yaml.Unmarshal([]byte(text), &v); err != nil {
		t.Fatal(err)
	}
	if err := schema.Validate(asJSON(t, v)); err != nil {
		t.Errorf("the schema refuses the example: %v", err)
	}
}

// asJSON is a YAML value as a validator of JSON takes it.
func asJSON(t *testing.T, v any) any {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	inst, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	return inst
}

// fire runs the events and returns how many rules opened an incident.
func fire(t *testing.T, rule, events block) int {
	t.Helper()
	set, diags := rules.Parse([]rules.File{{Name: "rules.md", Data: []byte(rule.text)}})
	if set == nil {
		var b strings.Builder
		_ = rules.FormatText(&b, diags, rules.TextStyle{})
		t.Fatalf("does not load:\n%s", b.String())
	}
	s := pipeline.NewSession(set, time.Second, correlate.Options{}, decode.Options{})
	s.Feed(ingest.Record{Data: []byte(events.text), Seq: 1, Lines: true}, 0)
	s.Finish(s.Counters.MaxEventTime.Load())
	opened := map[string]bool{}
	for _, tr := range s.Transitions {
		opened[tr.RuleID] = true
		if strings.Contains(tr.Title, "?") {
			t.Errorf("title of %s: %q", tr.RuleID, tr.Title)
		}
	}
	for _, r := range set.Rules {
		if !opened[r.ID] {
			t.Errorf("line %d: %s did not fire", rule.line, r.ID)
		}
	}
	if len(s.Dead) > 0 || s.Counters.Late.Load() > 0 {
		t.Errorf("dead letters %v, late %d", s.Dead, s.Counters.Late.Load())
	}
	return len(opened)
}

// TestTestingExample runs the example of testing.md against the rule it is for.
func TestTestingExample(t *testing.T) {
	dir := t.TempDir()
	rule := `rules:
  - id: card-declines
    severity: warning
    match: message == "declined"
    group_by: {merchant: attrs.merchant}
    threshold: {window: 5m, condition: count() >= 3}
`
	write(t, filepath.Join(dir, "payments.yaml"), rule)
	for _, b := range blocks(t, "testing.md") {
		if b.lang == "yaml" {
			write(t, filepath.Join(dir, "payments_test.yaml"), b.text)
		}
	}
	var out strings.Builder
	rep, err := ruletest.Run([]string{dir}, ruletest.Options{}, &out)
	if err != nil || rep.Ran != 1 || rep.Failed != 0 {
		t.Fatalf("%v, %+v\n%s", err, rep, out.String())
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
