package correlate

import (
	"testing"

	"corral/rules"
)

// TestSequenceFlood: what never completes does not grow, and does not cost the
// match that is far.
func TestSequenceFlood(t *testing.T) {
	limit := func(n int) func(*rules.Rule) {
		return func(r *rules.Rule) { r.Limits.Partials = n }
	}
	for _, x := range []struct {
		name, pattern string
		before, flood string
		after, want   string
		change        func(*rules.Rule)
		begun         int // partial matches, those dropped included
	}{
		{"beginnings", "a b c", "a b", "a", "c", "a b c", day, 5001},
		{"a loop in front", "a{5,} b", "", "a", "", "", day, 5000},
		{"a loop in the middle", "a b+ c", "a", "b", "c", "", day, 1},
		{"an alternation that goes nowhere", "a b c d", "a b c", "a b", "d", "a b c d", day, 5001},
		{"waits for an absence", "a -x<9999", "a", "a", "", "", day, 5001},
		{"all combinations", "a b c d", "a b", "b c", "d", "", contiguity(rules.AnyMatch), 1},
	} {
		t.Run(x.name, func(t *testing.T) {
			r := sequenceRule(t, x.pattern, day, x.change, limit(100))
			b := newSolo(r)
			q := b.m.(*sequence)
			b.run(t, x.before)
			for range 5000 {
				b.run(t, x.flood)
				if len(q.partials) > 100 {
					t.Fatalf("%d partial matches are kept", len(q.partials))
				}
			}
			if got := len(q.partials) + int(b.dropped); got != x.begun {
				t.Errorf("%d are kept and %d were dropped, want %d in all", len(q.partials), b.dropped, x.begun)
			}
			if q.partials[0].begun != 1 {
				t.Errorf("the oldest is gone")
			}
			b.run(t, x.after)
			if x.want != "" {
				expect(t, b.words(), x.want)
			}
		})
	}
}

// run feeds a stream that begins where the last one ended.
func (b *solo) run(t testing.TB, stream string) {
	for _, in := range parseStream(t, stream) {
		b.clock++
		in.ev.Time, in.ev.Pos.Seq, in.selected = b.clock, uint64(b.clock), true
		b.feed(in)
	}
}
