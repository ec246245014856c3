package correlate

import (
	"testing"

	"pgregory.net/rapid"
)

func TestChange(t *testing.T) {
	const match = "match: attrs.type == 'x'\n"
	for _, x := range []struct{ name, change, lines, want string }{
		{
			"changed: the first value is none", "{of: attrs.v, detect: changed}",
			"0 x v=1\n 1 x v=1\n 2 x v=2\n 3 x v=1", "x@2, x@3",
		},
		{
			"changed: without the value as if it had not come", "{of: attrs.v, detect: changed}",
			"0 x v=1\n 1 x\n 2 x v=nil\n 3 x v=1\n 4 x v=2", "x@4",
		},
		{
			"changed: a number is what it counts", "{of: attrs.v, detect: changed}",
			"0 x v=3\n 1 x v=3.5\n 2 x v=3.5\n 3 x v=true\n 4 x v=3", "x@1, x@3, x@4",
		},
		{
			"changed: text is not a number", "{of: attrs.v, detect: changed}",
			"0 x v=a\n 1 x v=7\n 2 x v=a", "x@1, x@2",
		},
		{
			"first_seen: the first value is new", "{of: attrs.v, detect: first_seen, memory: 1h}",
			"0 x v=1\n 1 x v=1\n 2 x v=2\n 3 x v=1", "x@0, x@2",
		},
		{
			"first_seen: learnt in silence", "{of: attrs.v, detect: first_seen, memory: 1h, learn: 10s}",
			"0 x v=1\n 9 x v=2\n 10 x v=3\n 11 x v=2", "x@10",
		},
		{
			"first_seen: forgotten after the memory, not at its end", "{of: attrs.v, detect: first_seen, memory: 10s}",
			"0 x v=1\n 10 x v=1\n 15 x v=2\n 20 x v=1\n 31 x v=1", "x@0, x@15, x@31",
		},
		{
			"first_seen: a forgotten key learns anew", "{of: attrs.v, detect: first_seen, memory: 10s, learn: 5s}",
			"0 x v=1\n 11 x v=2\n 15 x v=3\n 16 x v=4", "x@16",
		},
		{
			"flapping: the span is closed", "{of: attrs.v, detect: flapping, changes: 3, within: 10s}",
			"0 x v=1\n 1 x v=2\n 5 x v=1\n 11 x v=2\n 12 x v=1\n 22 x v=2\n 23 x v=1", "x x x@11, x x x@12",
		},
		{
			"flapping: the same value is no change", "{of: attrs.v, detect: flapping, changes: 2, within: 10s}",
			"0 x v=1\n 1 x v=2\n 2 x v=2\n 3 x v=2\n 4 x v=1", "x x@4",
		},
	} {
		t.Run(x.name, func(t *testing.T) {
			r := ruleOf(t, match+"change: "+x.change)
			for _, restart := range []bool{false, true} {
				b := newSolo(r)
				b.restart, b.recount = restart, true
				for _, in := range inputs(t, r, x.lines) {
					b.feed(in)
				}
				expect(t, b.timed(), x.want)
			}
		})
	}
}

func TestFirstSeenIsBounded(t *testing.T) {
	r := ruleOf(t, "match: attrs.type == 'x'\nlimits: {groups: 3}\nchange: {of: attrs.v, detect: first_seen, memory: 1h}")
	b := story(t, r, "0 x v=1\n 1 x v=2\n 2 x v=3\n 3 x v=1\n 4 x v=4\n 5 x v=1\n 6 x v=2")
	expect(t, b.timed(), "x@0, x@1, x@2, x@4, x@6") // 2 was the stalest at 4
	if b.dropped != 2 {
		t.Errorf("%d values were dropped, want 2", b.dropped)
	}
}

func TestChangeFreesKeys(t *testing.T) {
	r := ruleOf(t, "match: attrs.type == 'x'\nchange: {of: attrs.v, detect: first_seen, memory: 10s}")
	b := story(t, r, "0 x v=1\n 1 x v=2")
	b.advance(never)
	if !b.m.idle() {
		t.Error("all values are forgotten, but not the key")
	}
	if b = story(t, r, "0 x"); !b.m.idle() {
		t.Error("an event without the value made state")
	}
}

// TestRecency compares with a list.
func TestRecency(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var r recency
		var list []cell
		for at := range rapid.IntRange(1, 60).Draw(t, "steps") {
			if len(list) > 0 && rapid.IntRange(0, 2).Draw(t, "drop") == 0 {
				if got := r.oldest(); got != list[0].at {
					t.Fatalf("oldest is %d, want %d", got, list[0].at)
				}
				r.drop()
				list = list[1:]
				continue
			}
			h := uint64(rapid.IntRange(0, 9).Draw(t, "hash"))
			want := false
			for i, c := range list {
				if c.hash == h {
					list, want = append(list[:i:i], list[i+1:]...), true
					break
				}
			}
			list = append(list, cell{hash: h, at: int64(at)})
			if got := r.touch(h, int64(at)); got != want {
				t.Fatalf("touch of %d says %v, want %v", h, got, want)
			}
		}
		if r.len() != len(list) {
			t.Fatalf("len is %d, want %d", r.len(), len(list))
		}
	})
}
