package rules

import (
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"corral/event"
)

// An event that fills several steps under different keys makes a match for each.
func TestKeysByStep(t *testing.T) {
	set := mustParse(t, ruleWith("group_by: {ip: {login: attrs.src, alert: attrs.dst}, zone: env}",
		"resolve: {when: message == 'clear'}",
		"temporal: {window: 5m, events: {login: has(attrs.src), alert: has(attrs.dst)}}"))
	m := set.Matcher()
	match := func(message string, attrs map[string]any) string {
		ev := &event.Event{Kind: "log", Env: "prod", Message: message}
		ev.SetAttrs(attrs)
		return show(m.Match(ev, nil))
	}
	for _, tt := range []struct {
		message string
		attrs   map[string]any
		want    string
	}{
		{"", map[string]any{"src": "1"}, "example selected=true resolve=false parts=1 key=[\"1\" \"prod\"]\n"},
		{"", map[string]any{"src": "1", "dst": "1"}, "example selected=true resolve=false parts=11 key=[\"1\" \"prod\"]\n"},
		{"", map[string]any{"src": "1", "dst": "2"}, "example selected=true resolve=false parts=1 key=[\"1\" \"prod\"]\nexample selected=true resolve=false parts=10 key=[\"2\" \"prod\"]\n"},
		{"clear", map[string]any{"src": "1", "dst": "2"}, "example selected=true resolve=true parts=1 key=[\"1\" \"prod\"]\nexample selected=true resolve=true parts=10 key=[\"2\" \"prod\"]\n"},
		{"clear", nil, ""},
		{"", nil, ""},
	} {
		if got := match(tt.message, tt.attrs); got != tt.want {
			t.Errorf("%v: got\n%swant\n%s", tt.attrs, got, tt.want)
		}
	}
	if m.NoKey[0] != 1 {
		t.Errorf("%d events without a key, want the one that would have resolved", m.NoKey[0])
	}
}

func TestGroupKeysAreCanonical(t *testing.T) {
	r := mustParse(t, ruleWith("match: true", "group_by: [attrs.k]", "event: {}"))
	m := r.Matcher()
	for _, tt := range []struct {
		value any
		want  string
	}{{7, "7"}, {7.0, "7"}, {0.1, "0.1"}, {1e6, "1000000"}, {true, "true"}, {false, "false"}, {"x", "x"}, {0, "0"}, {math.Copysign(0, -1), "0"}, {1e-7, "1e-07"}, {[]any{1, "a"}, `[1,"a"]`}, {map[string]any{"b": 1, "a": 2}, `{"a":2,"b":1}`}} {
		ev := &event.Event{}
		ev.SetAttrs(map[string]any{"k": tt.value})
		got := m.Match(ev, nil)
		if len(got) != 1 || DecodeKey(got[0].Key)[0] != tt.want {
			t.Errorf("%v: got %v, want key %q", tt.value, got, tt.want)
		}
	}
	for _, absent := range []any{nil, ""} {
		ev := &event.Event{}
		ev.SetAttrs(map[string]any{"k": absent})
		if got := m.Match(ev, nil); len(got) != 0 {
			t.Errorf("%#v made a key: %v", absent, got)
		}
	}
	if m.NoKey[0] != 2 {
		t.Errorf("NoKey is %d", m.NoKey[0])
	}
}

func TestKeysAreNamedAsWritten(t *testing.T) {
	r := one(t, `title: "{{ attrs.user.id }} {{ attrs['user.id'] }}"`, "match: true", `group_by: ['attrs["user.id"]', lower(service)]`, "event: {}")
	if want := []string{`attrs["user.id"]`, "lower(service)"}; !slices.Equal(r.KeyNames, want) {
		t.Errorf("got %q, want %q", r.KeyNames, want)
	}
	if got := r.Title.Render(&Env{Key: []string{"u1", "pay"}}); got != "u1 u1" {
		t.Errorf("got %q", got)
	}
}

func TestMatchDoesNotAllocateWithoutAMatch(t *testing.T) {
	m := mustParse(t, mixedRules(200)).Matcher()
	ev := &event.Event{Kind: "log", Service: "svc-1", Level: "error", Message: "nothing of interest in here", HTTP: event.HTTP{Path: "/api/v1/thing1", Status: 200}}
	ev.SetAttrs(map[string]any{"user": "nobody"})
	out := make([]Match, 0, 8)
	if n := testing.AllocsPerRun(100, func() { out = m.Match(ev, out[:0]) }); n != 0 || len(out) != 0 {
		t.Errorf("%v allocations, %d matches", n, len(out))
	}
}

func TestKeysReadBack(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		values := rapid.SliceOfN(rapid.String(), 1, 4).Draw(rt, "values")
		if got := DecodeKey(EncodeKey(values)); !slices.Equal(got, values) {
			rt.Errorf("got %q, want %q", got, values)
		}
		other := rapid.SliceOfN(rapid.String(), 1, 4).Draw(rt, "other")
		if (EncodeKey(values) == EncodeKey(other)) != slices.Equal(values, other) {
			rt.Errorf("%q and %q", values, other)
		}
		DecodeKey(rapid.String().Draw(rt, "junk")) // must not panic
	})
}

// Slots that a decoder filled are read in place of the tree.
func TestSlotsAreRead(t *testing.T) {
	set := mustParse(t, ruleWith("match: attrs.a == 1 && attrs.b.c == 2", "event: {}"))
	if !slices.Equal(set.AttrPaths, []string{"a", "b.c"}) {
		t.Fatalf("slots are %v", set.AttrPaths)
	}
	ev := &event.Event{}
	s := ev.Slots(2)
	s[0], s[1] = intValue(1), intValue(2)
	if got := set.Matcher().Match(ev, nil); len(got) != 1 {
		t.Errorf("got %v", got)
	}
}

// A Set serves any number of matchers at the same time.
func TestMatchersRunBesideEachOther(t *testing.T) {
	set := mustParse(t, manyRules(rand.New(rand.NewPCG(5, 5)), 30, slices.Concat(selective, booleanTraps(t))))
	r := rand.New(rand.NewPCG(6, 6))
	events := make([]*event.Event, 200)
	want := make([]string, len(events))
	m := set.Matcher()
	for i := range events {
		events[i] = anyEvent(r)
		want[i] = show(m.Match(events[i], nil))
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			m := set.Matcher()
			for i, ev := range events {
				if got := show(m.Match(ev, nil)); got != want[i] {
					t.Errorf("got %s, want %s", got, want[i])
				}
			}
		})
	}
	wg.Wait()
}
