package correlate

import (
	"testing"

	"corral/event"
	"corral/rules"
)

// BenchmarkMachine gives one machine of a kind an endless stream, a millisecond
// between events.
func BenchmarkMachine(b *testing.B) {
	for _, x := range []struct {
		name, stream string
		rule         func(b *testing.B) *rules.Rule
	}{
		{"pair", "a b", sequenceOf("a b")},
		{"pair/unanswered", "a", sequenceOf("a b")},
		{"pair/strangers", "a x x x x x x b", sequenceOf("a b")},
		{"absence/answered", "a b", sequenceOf("a -b<5")},
		{"absence/unanswered", "a", sequenceOf("a -b<5")},
		{"loop/short", "a a a a b", sequenceOf("a{3,} b")},
		{"loop/flood", "a", sequenceOf("a{5,} b")},
		{"steps/four", "a b c d", sequenceOf("a b c d")},
		{"where", "a=1 b=2 b=1 c=1", yamlRule(`
match: attrs.v > 0
sequence:
  within: 1m
  steps:
    - {name: a, match: attrs.v == 1}
    - {name: b, match: attrs.v == 1, where: attrs.v == a.attrs.v}
    - {name: c, match: attrs.v == 1, where: attrs.v == b.attrs.v}
`)},
		{"temporal", "a b a c", yamlRule(`
match: attrs.v > 0
temporal:
  window: 1s
  events: {a: attrs.v == 1, b: attrs.v == 2, c: attrs.v == 3}
  condition: a >= 1000 && b > 0 && c > 0
`)},
		{"temporal/close", "a b a c", yamlRule(`
match: attrs.v > 0
temporal:
  window: 1s
  events: {a: attrs.v == 1, b: attrs.v == 2, c: attrs.v == 3}
  condition: a >= 1000 && b > 0 && c == 0
`)},
		{"changed", "a=1 a=1 a=2 a=2", yamlRule("match: attrs.v > 0\nchange: {of: attrs.v, detect: changed}")},
		{"first_seen", "a=1 a=2 a=3 a=4", yamlRule("match: attrs.v > 0\nchange: {of: attrs.v, detect: first_seen, memory: 1h}")},
	} {
		b.Run(x.name, func(b *testing.B) { benchmark(b, newSolo(x.rule(b)), parseStream(b, x.stream)) })
	}
}

func sequenceOf(pattern string) func(*testing.B) *rules.Rule {
	return func(b *testing.B) *rules.Rule {
		return sequenceRule(b, pattern, within(60), func(r *rules.Rule) { r.Evidence, r.Limits.Partials = 6, 100 })
	}
}

func yamlRule(text string) func(*testing.B) *rules.Rule {
	return func(b *testing.B) *rules.Rule { return ruleOf(b, text) }
}

// benchmark feeds ins over and over, with later times.
func benchmark(b *testing.B, s *solo, ins []*input) {
	b.ReportAllocs()
	evs := make([]event.Event, 1<<10)
	args := make([][]event.Value, len(ins))
	for i, in := range ins {
		args[i] = []event.Value{in.ev.Slot(0, "v")}
	}
	for i := 0; b.Loop(); i++ {
		of := ins[i%len(ins)]
		ev := &evs[i%len(evs)]
		*ev = *of.ev
		ev.Time = int64(i) * 1e6
		s.feed(&input{ev: ev, selected: true, parts: of.parts, args: args[i%len(ins)]})
		s.heard = s.heard[:0]
		s.releases = s.releases[:0]
	}
}
