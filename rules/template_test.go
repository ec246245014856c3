package rules

import (
	"testing"

	"corral/event"
)

func TestTemplates(t *testing.T) {
	ev := &event.Event{Service: "pay", Time: 1, HTTP: event.HTTP{Status: 503, DurationMS: 0.1 + 0.2}}
	ev.SetAttrs(map[string]any{"n": 1234567.891, "tree": map[string]any{"b": 1.5, "a": []any{"x"}}, "s": "é"})
	for text, want := range map[string]string{
		"plain": "plain", "{{ service }} and {{ http.status }}": "pay and 503", "{{ http.duration_ms }}": "0.3", "{{ attrs.n }}": "1234568",
		"{{ attrs.nothing }}!": "?!", "{{ observed }} {{ has(observed) }}": "? false", "{{ attrs.s > 5 }}": "?", "{{ attrs.tree }}": `{"a":["x"],"b":1.5}`, "{{ time }}": "1970-01-01T00:00:00.000000001Z",
		`{{ "{{" }}`: "{{", `{{ {"a": {"b": 1}}.a.b }}`: "1", "{{ 5m }}": "5m", "{{ has(service) ? upper(service) : '-' }}": "PAY", "a } b {": "a } b {",
		"{{ 1 / 3 }}": "0.333333", "{{ 2 / 1 }}": "2", `{{ "}}" }}`: "}}",
	} {
		r := one(t, "title: "+yamlQuote(text), "match: true", "event: {}")
		if got := r.Title.Render(&Env{Event: ev}); got != want {
			t.Errorf("%s: got %q, want %q", text, got, want)
		}
	}
}

// A text may name the group key; without an event at hand (a timer) it is all
// there is.
func TestTextsReadTheKeyWithoutAnEvent(t *testing.T) {
	r := one(t, `title: "{{ service }} {{ http.status + 1 }} {{ attrs.m }} {{ host }}"`, "match: true", "group_by: [service, http.status, attrs.m]", "event: {}")
	if got := r.Title.Render(&Env{Key: []string{"pay", "503", "m1"}}); got != "pay 504 m1 " {
		t.Errorf("got %q", got)
	}
	r = one(t, `title: "{{ who }}/{{ service }}"`, "match: true", "group_by: {who: attrs.user, service: attrs.svc}", "event: {}")
	if got := r.Title.Render(&Env{Event: &event.Event{Service: "other"}, Key: []string{"u", "mine"}}); got != "u/mine" {
		t.Errorf("a named key must win over a field: got %q", got)
	}
}
