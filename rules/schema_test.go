package rules

import (
	"bytes"
	"encoding/json"
	"slices"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v4"
)

func schema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(Schema()))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("rules.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("rules.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// asJSON reads YAML the way an editor's YAML server hands it to the schema.
func asJSON(t *testing.T, text []byte) any {
	t.Helper()
	var v any
	if err := yaml.Unmarshal(text, &v); err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

func TestSchemaAcceptsWhatLoads(t *testing.T) {
	s := schema(t)
	for _, f := range fixtures(t) {
		if set, _ := Parse([]File{f}); set == nil {
			continue
		}
		if err := s.Validate(asJSON(t, f.Data)); err != nil {
			t.Errorf("%s: %v\n%s", f.Name, err, f.Data)
		}
	}
}

// The schema refuses what has to do with keys, words and forms; what expressions
// mean it cannot know.
func TestSchemaRefusesWrongKeys(t *testing.T) {
	s := schema(t)
	for _, code := range []string{codeType, codeUnknown, codeOtherKind, codeDuration, codeNumber, codeEnum, codeSurprise, codeID, codeTwoKinds, codeNoKind, codeVersion, codeNoRules} {
		p, _ := ExplainCode(code)
		if err := s.Validate(asJSON(t, []byte(p.Wrong))); err == nil {
			t.Errorf("%s: the schema accepts\n%s", code, p.Wrong)
		}
	}
}

// The schema and the reader know the same keys.
func TestSchemaKnowsEveryKey(t *testing.T) {
	top := schemaFile()
	rule := ruleSchema()["properties"].(object)
	same := func(what string, properties any, keys []string) {
		t.Helper()
		var got []string
		for k := range properties.(object) {
			got = append(got, k)
		}
		if !slices.Equal(sorted(got), sorted(keys)) {
			t.Errorf("%s: the schema has %v, the reader %v", what, sorted(got), sorted(keys))
		}
	}
	same("file", top["properties"], fileKeys)
	same("rule", rule, ruleKeys)
	same("defaults", envelopeSchema(), envelopeKeys)
	for kind, keys := range blockKeys {
		if kind != "event" {
			same(kind, rule[kind].(object)["properties"], keys)
		}
	}
	step := rule["sequence"].(object)["properties"].(object)["steps"].(object)["items"].(object)
	same("step", step["properties"], stepKeys)
	var window []string
	for _, shape := range windowSchema()["oneOf"].([]object)[1:] {
		for k := range shape["properties"].(object) {
			window = append(window, k)
		}
	}
	slices.Sort(window)
	if got := slices.Compact(window); !slices.Equal(got, sorted(windowKeys)) {
		t.Errorf("window: the schema has %v", got)
	}
}
