package rules

import (
	"strings"
	"testing"
	"time"
)

func TestContext(t *testing.T) {
	set, diags := Parse([]File{{Name: "r.yaml", Data: []byte(`version: 1
defaults: {context: 10m}
rules:
  - {id: own, match: message == "reloaded", context: 15m, event: {}}
  - {id: default, match: message == "deployed", event: {}}
  - {id: parent, from: incidents, match: incident.rule == "own", event: {}}
`)}})
	if set == nil {
		t.Fatal(diags)
	}
	for id, want := range map[string]time.Duration{"own": 15 * time.Minute, "default": 10 * time.Minute, "parent": 0} {
		if got := set.Rule(id).Context; got != want {
			t.Errorf("%s: got %s, want %s", id, got, want)
		}
	}
}

func TestContextMistakes(t *testing.T) {
	for rule, want := range map[string]string{
		`{id: a, match: true, context: 0s, event: {}}`:                                "must be longer than 0",
		`{id: a, match: true, context: true, event: {}}`:                              "`context`",
		`{id: a, from: incidents, match: incident.count > 1, context: 1m, event: {}}`: "`context` is for rules that read events",
	} {
		set, diags := Parse([]File{{Name: "r.yaml", Data: []byte("version: 1\nrules:\n  - " + rule + "\n")}})
		if set != nil || len(diags) == 0 || !strings.Contains(diags[0].String(), want) {
			t.Errorf("%s: got %v, want an error with %q", rule, diags, want)
		}
	}
}
