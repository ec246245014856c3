// Package language holds rules that use every field of the rule language; its
// tests keep that so.
package language

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"

	"corral/rules"
	"corral/ruletest"
)

// TestEveryVariantPasses runs `corral test` on the directory.
func TestEveryVariantPasses(t *testing.T) {
	var out strings.Builder
	rep, err := ruletest.Run([]string{"."}, ruletest.Options{}, &out)
	if err != nil || rep.Failed > 0 {
		t.Fatalf("%v\n%s", err, out.String())
	}
	if rep.Ran < 36 {
		t.Errorf("only %d tests ran", rep.Ran)
	}
}

// TestEveryKeyIsUsed walks the JSON Schemas beside the files: each property, each
// word of an enumeration and each alternative must be taken somewhere.
func TestEveryKeyIsUsed(t *testing.T) {
	for _, tt := range []struct {
		name   string
		schema []byte
		tests  bool
	}{{"rules", rules.Schema(), false}, {"tests", rules.TestSchema(), true}} {
		w := newWalk(t, tt.schema)
		for _, name := range files(t, tt.tests) {
			w.visit("", w.root, document(t, name))
		}
		for _, missing := range w.missing() {
			t.Errorf("%s: nothing in this directory uses %s", tt.name, missing)
		}
		if len(w.seen) < 30 {
			t.Errorf("%s: the walk saw only %d places", tt.name, len(w.seen))
		}
	}
}

// TestEveryNameIsUsed looks for every aggregate, function and field in the
// expressions and templates of the directory.
func TestEveryNameIsUsed(t *testing.T) {
	w := newWalk(t, rules.Schema())
	for _, name := range files(t, false) {
		w.visit("", w.root, document(t, name))
	}
	text := strings.Join(w.expressions, "\n")
	for _, f := range rules.Functions() {
		if !regexp.MustCompile(`\b` + f.Name + `\(`).MatchString(text) {
			t.Errorf("no expression calls %s", f.Signature)
		}
	}
	for _, f := range rules.Fields() {
		if !regexp.MustCompile(`(^|[^.\w])` + regexp.QuoteMeta(f.Name) + `\b`).MatchString(text) {
			t.Errorf("no expression reads %s", f.Name)
		}
	}
	if set, diags, err := rules.Load([]string{"."}); set == nil || err != nil {
		t.Fatal(err, diags)
	} else if !usesEveryAggregate(set) {
		t.Error("an aggregate is called, but not as one")
	}
}

func usesEveryAggregate(set *rules.Set) bool {
	used := map[rules.AggFn]bool{}
	for _, r := range set.Rules {
		for _, a := range r.Aggs {
			used[a.Fn] = true
		}
	}
	return len(used) == int(rules.Baseline)
}

func files(t *testing.T, tests bool) []string {
	t.Helper()
	names, err := filepath.Glob("*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	names = slices.DeleteFunc(names, func(n string) bool { return rules.IsTestFile(n) != tests })
	if len(names) < 8 {
		t.Fatalf("only %v", names)
	}
	return names
}

// document is a YAML file as an editor hands it to the schema.
func document(t *testing.T, name string) any {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	var v any
	if err := yaml.Unmarshal(data, &v); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return v
}

// walk goes through schema and document side by side and notes what is used.
type walk struct {
	root        map[string]any
	all, seen   map[string]bool
	expressions []string
}

func newWalk(t *testing.T, schema []byte) *walk {
	t.Helper()
	w := &walk{all: map[string]bool{}, seen: map[string]bool{}}
	if err := json.Unmarshal(schema, &w.root); err != nil {
		t.Fatal(err)
	}
	w.list("", w.root, 0)
	return w
}

func (w *walk) missing() []string {
	var out []string
	for _, k := range slices.Sorted(maps.Keys(w.all)) {
		if !w.seen[k] {
			out = append(out, k)
		}
	}
	return out
}

func (w *walk) deref(s map[string]any) map[string]any {
	if to, ok := s["$ref"].(string); ok {
		return w.root["definitions"].(map[string]any)[strings.TrimPrefix(to, "#/definitions/")].(map[string]any)
	}
	return s
}

// list notes every place of the schema that a document may use. `defaults` and
// `tests` of rules have the keys of rules and test files: they count once.
func (w *walk) list(path string, s map[string]any, depth int) {
	s = w.deref(s)
	if depth > 12 {
		return
	}
	for name, p := range asMap(s["properties"]) {
		at := path + "." + name
		w.all[at] = true
		if sub, ok := p.(map[string]any); ok && at != ".defaults" && at != ".rules[].tests" {
			w.list(at, sub, depth+1)
		}
	}
	for _, word := range asList(s["enum"]) {
		w.all[fmt.Sprintf("%s: %v", path, word)] = true
	}
	for i, alt := range alternatives(s) {
		at := fmt.Sprintf("%s (form %d)", path, i+1)
		w.all[at] = true
		w.list(path, alt, depth+1)
	}
	if items := asMap(s["items"]); items != nil {
		w.list(path+"[]", items, depth+1)
	}
	if more := asMap(s["additionalProperties"]); more != nil {
		w.list(path+".*", more, depth+1)
	}
}

func (w *walk) visit(path string, s map[string]any, v any) {
	if s["$ref"] == "#/definitions/expression" {
		w.expressions = append(w.expressions, fmt.Sprint(v))
	}
	s = w.deref(s)
	if text, ok := v.(string); ok && strings.Contains(text, "{{") {
		w.expressions = append(w.expressions, text)
	}
	if s["enum"] != nil {
		w.seen[fmt.Sprintf("%s: %v", path, v)] = true
	}
	for i, alt := range alternatives(s) {
		if w.fits(w.deref(alt), v) {
			w.seen[fmt.Sprintf("%s (form %d)", path, i+1)] = true
			w.visit(path, alt, v)
			break
		}
	}
	for name, x := range asMap(v) {
		if p, ok := asMap(s["properties"])[name].(map[string]any); ok {
			w.seen[path+"."+name] = true
			w.visit(path+"."+name, p, x)
		} else if more := asMap(s["additionalProperties"]); more != nil {
			w.visit(path+".*", more, x)
		}
	}
	for _, x := range asList(v) {
		if items := asMap(s["items"]); items != nil {
			w.visit(path+"[]", items, x)
		}
	}
}

// fits tells which alternative a value takes, by type and required keys.
func (w *walk) fits(s map[string]any, v any) bool {
	for _, k := range asList(s["required"]) {
		if _, ok := asMap(v)[k.(string)]; !ok {
			return false
		}
	}
	if s["enum"] != nil {
		return slices.Contains(asList(s["enum"]), v)
	}
	if p, ok := s["pattern"].(string); ok {
		text, isText := v.(string)
		return isText && regexp.MustCompile(p).MatchString(text)
	}
	types := asList(s["type"]) // none: any
	if s["oneOf"] != nil {
		return slices.ContainsFunc(asList(s["oneOf"]), func(a any) bool { return w.fits(w.deref(asMap(a)), v) })
	}
	if one, ok := s["type"].(string); ok {
		types = []any{one}
	}
	return slices.Contains(types, any(typeOf(v)))
}

func typeOf(v any) string {
	switch v.(type) {
	case map[string]any:
		return "object"
	case []any:
		return "array"
	case string:
		return "string"
	case bool:
		return "boolean"
	case int:
		return "integer"
	}
	return "null"
}

// alternatives are the forms a value may take; the list of kinds and of
// transitions only says that one of the keys must be there.
func alternatives(s map[string]any) []map[string]any {
	var out []map[string]any
	for _, a := range asList(s["oneOf"]) {
		alt := asMap(a)
		if len(alt) == 1 && alt["required"] != nil {
			return nil
		}
		out = append(out, alt)
	}
	return out
}

func asMap(v any) map[string]any { m, _ := v.(map[string]any); return m }

func asList(v any) []any { l, _ := v.([]any); return l }
