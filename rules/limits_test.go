package rules

import (
	"fmt"
	"strings"
	"testing"

	"corral/event"
)

// Hostile files end in an error, soon.
func TestHostileFiles(t *testing.T) {
	bomb := "version: 1\nl0: &l0 [x, x, x, x, x, x, x, x, x, x]\n"
	for i := 1; i < 10; i++ {
		bomb += fmt.Sprintf("l%d: &l%d [%s]\n", i, i, strings.Repeat(fmt.Sprintf("*l%d, ", i-1), 9)+fmt.Sprintf("*l%d", i-1))
	}
	for name, tt := range map[string]struct{ text, code string }{
		"alias bomb": {bomb, codeTooBig},
		"deep flow":  {"rules: " + strings.Repeat("[", 5000) + strings.Repeat("]", 5000), codeTooBig},
		"deep open":  {"rules: " + strings.Repeat("{a: ", 100_000), codeYAML},
		"deep block": {"rules:\n" + strings.Repeat("- ", 5000) + "x", codeTooBig},
		"huge":       {strings.Repeat("# comment\n", 1<<20), codeTooBig},
		"loop":       {"rules: &a [*a]", codeTooBig},
		"not utf-8":  {"rules: \xff", codeYAML},
		"null bytes": {"rules: \x00", codeYAML},
		"long expr":  {ruleWith("match: "+strings.Repeat("a && ", 5000)+"a", "event: {}"), codeTooLarge},
		"deep expr":  {ruleWith("match: "+strings.Repeat("(", 3000)+"a"+strings.Repeat(")", 3000), "event: {}"), codeTooLarge},
		"many nots":  {ruleWith("match: "+strings.Repeat("not ", 1900)+"true", "event: {}"), ""},
	} {
		t.Run(name, func(t *testing.T) {
			set, diags := Parse([]File{{"rules.yaml", []byte(tt.text)}})
			if tt.code == "" {
				if set == nil {
					t.Errorf("got %v", diags)
				}
				return
			}
			if set != nil || len(diags) == 0 || diags[0].Code != tt.code {
				t.Errorf("got %.300v, want %s", diags, tt.code)
			}
		})
	}
}

// An expression over data that is out of proportion yields nothing rather than
// taking its time.
func TestNoExpressionGoesOnForLong(t *testing.T) {
	list := make([]any, 9000)
	for i := range list {
		list[i] = i
	}
	ev := &event.Event{Message: strings.Repeat("a", 1<<20)}
	ev.SetAttrs(map[string]any{"list": list, "long": append(list, list...)})
	for _, text := range []string{
		"all(attrs.list, all(attrs.list, all(attrs.list, true)))", "let r = 1..9999; all(r, all(r, # >= 0))", "len(repeat(message, 1000000)) > 0",
		`len(replace(message, "", message)) > 0`, "any(attrs.long, true)", "len(1..100000000) > 0", "len(uniq(attrs.list)) > 0",
		"reduce(1..9999, concat(#acc, attrs.list), []) != nil", "message matches '(a*)*b'", "2 ** 100000 > 1 && false",
	} {
		x := compileTest(t, text, testScope(), wantAny)
		if ok, _ := x.Bool(&Env{Event: ev}); ok {
			t.Errorf("%s holds", text)
		}
	}
}
