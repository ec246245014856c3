package correlate

import (
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"corral/event"
	"corral/rules"

	"pgregory.net/rapid"
)

// The tests of sequences write a pattern as its steps:
//
//	a  b{2,3}  c+  d?  e*   once, two or three times, one or more, optional, both
//	a+!                     greedy
//	-x                      absent
//	b<5                     within 5 s of the step before
//
// and a stream as its events, a second apart unless @ says when: "a c b1 b2@7",
// with the value of attrs.v behind a =.
// The letters of an event are the steps it may fill, so ab is both an a and a b.

// sequenceRule makes a rule of a pattern; letters are parts by their place in the
// alphabet, so step 0 need not have part 0.
func sequenceRule(tb rapid.TB, pattern string, change ...func(*rules.Rule)) *rules.Rule {
	s := &rules.Sequence{UntilPart: -1}
	for _, word := range strings.Fields(pattern) {
		s.Steps = append(s.Steps, parseStep(tb, word))
	}
	r := &rules.Rule{Kind: rules.SequenceKind, Sequence: s, Evidence: 100, Limits: rules.Limits{Partials: 1000}}
	for _, f := range change {
		f(r)
	}
	return r
}

func parseStep(tb rapid.TB, word string) rules.Step {
	s := rules.Step{Min: 1, Max: 1}
	word, s.Absent = strings.CutPrefix(word, "-")
	word, within, _ := strings.Cut(word, "<")
	s.Within = seconds(tb, within)
	word, s.Greedy = strings.CutSuffix(word, "!")
	s.Name, s.Part = word[:1], int(word[0]-'a')
	switch times := word[1:]; {
	case times == "":
	case times == "?":
		s.Optional = true
	case times == "+":
		s.Max = 0
	case times == "*":
		s.Max, s.Optional = 0, true
	default:
		times, s.Optional = strings.CutSuffix(times, "?")
		from, to, ok := strings.Cut(strings.Trim(times, "{}"), ",")
		s.Min, _ = strconv.Atoi(from)
		if s.Max = s.Min; ok {
			s.Max, _ = strconv.Atoi(to)
		}
	}
	return s
}

func seconds(tb rapid.TB, s string) time.Duration {
	if s == "" {
		return 0
	}
	n, err := strconv.Atoi(s)
	if err != nil {
		tb.Fatalf("bad number of seconds %q", s)
	}
	return time.Duration(n) * time.Second
}

func within(n int) func(*rules.Rule) {
	return func(r *rules.Rule) { r.Sequence.Within = time.Duration(n) * time.Second }
}

func contiguity(c rules.Contiguity) func(*rules.Rule) {
	return func(r *rules.Rule) { r.Sequence.Contiguity = c }
}

func skip(s rules.Skip) func(*rules.Rule) {
	return func(r *rules.Rule) { r.Sequence.Skip = s }
}

func until(letter byte) func(*rules.Rule) {
	return func(r *rules.Rule) { r.Sequence.UntilPart = int(letter - 'a') }
}

func timeouts(r *rules.Rule) { r.Sequence.EmitOnTimeout = true }

// parseStream makes inputs of a stream's notation. The message of an event is its
// name.
func parseStream(tb rapid.TB, stream string) (ins []*input) {
	at := time.Duration(0)
	for i, word := range strings.Fields(stream) {
		word, value, _ := strings.Cut(word, "=")
		name, when, ok := strings.Cut(word, "@")
		if ok {
			at = seconds(tb, when)
		}
		ev := &event.Event{Time: int64(at), Message: name, Pos: event.Pos{Seq: uint64(i)}}
		ev.SetAttrs(map[string]any{"v": scalar(value)})
		in := &input{ev: ev}
		for _, c := range name {
			if c >= 'a' && c <= 'z' {
				in.parts |= 1 << (c - 'a')
			}
		}
		ins = append(ins, in)
		at += time.Second
	}
	return ins
}

// findMatches runs a stream through a rule and ends it far later.
func findMatches(tb rapid.TB, r *rules.Rule, stream string) []string {
	return newSolo(r).find(tb, stream)
}

// findRestarted is findMatches with a restart before every event and timer.
func findRestarted(tb rapid.TB, r *rules.Rule, stream string) []string {
	b := newSolo(r)
	b.restart = true
	return b.find(tb, stream)
}

func (b *solo) find(tb rapid.TB, stream string) []string {
	b.recount = true
	for _, in := range parseStream(tb, stream) {
		in.selected = in.parts != 0
		b.feed(in)
	}
	b.advance(never)
	if !b.m.idle() {
		tb.Errorf("state is left behind when all has run out")
	}
	return b.words()
}

// checkMatches compares what a rule finds; want separates matches by commas.
func checkMatches(t *testing.T, r *rules.Rule, stream, want string) {
	t.Helper()
	got := findMatches(t, r, stream)
	wants := []string{}
	for w := range strings.SplitSeq(want, ",") {
		if w = strings.TrimSpace(w); w != "" {
			wants = append(wants, w)
		}
	}
	if !slices.Equal(sorted(got), sorted(wants)) {
		t.Errorf("on %q\n got %q\nwant %q", stream, got, wants)
	}
}

func sorted(s []string) []string {
	s = slices.Clone(s)
	slices.Sort(s)
	return s
}

// day bounds the patterns of the tables that are not about time.
var day = within(86400)

func TestContiguity(t *testing.T) {
	for _, x := range []struct {
		name, pattern, stream string
		strict, relaxed, any  string
	}{
		{
			"a stranger in between", "a b", "a x b1 b2",
			"", "a b1", "a b1, a b2",
		},
		{
			"a loop with strangers", "a b+ c", "a b1 x b2 y b3 c",
			"", "a b1 c, a b1 b2 c, a b1 b2 b3 c",
			"a b1 c, a b2 c, a b3 c, a b1 b2 c, a b1 b3 c, a b2 b3 c, a b1 b2 b3 c",
		},
		{
			"a loop undisturbed", "a b+ c", "a b1 b2 b3 c",
			"a b1 b2 b3 c", "a b1 c, a b1 b2 c, a b1 b2 b3 c",
			"a b1 c, a b2 c, a b3 c, a b1 b2 c, a b1 b3 c, a b2 b3 c, a b1 b2 b3 c",
		},
		{
			"a loop broken once", "c a+ b", "c a1 a2 x a3 b",
			"", "c a1 b, c a1 a2 b, c a1 a2 a3 b",
			"c a1 b, c a2 b, c a3 b, c a1 a2 b, c a1 a3 b, c a2 a3 b, c a1 a2 a3 b",
		},
		{
			"a loop at the beginning", "a+ b", "a1 x a2 b",
			"a2 b", "a1 b, a1 a2 b, a2 b", "a1 b, a1 a2 b, a2 b",
		},
		{
			"every beginning counts", "a b", "a1 a2 b",
			"a2 b", "a1 b, a2 b", "a1 b, a2 b",
		},
		{
			"three times", "a{3}", "a1 a2 x a3 a4 a5",
			"a3 a4 a5", "a1 a2 a3, a2 a3 a4, a3 a4 a5",
			"a1 a2 a3, a1 a2 a4, a1 a2 a5, a1 a3 a4, a1 a3 a5, a1 a4 a5, a2 a3 a4, a2 a3 a5, a2 a4 a5, a3 a4 a5",
		},
	} {
		t.Run(x.name, func(t *testing.T) {
			for c, want := range map[rules.Contiguity]string{rules.Strict: x.strict, rules.Relaxed: x.relaxed, rules.AnyMatch: x.any} {
				checkMatches(t, sequenceRule(t, x.pattern, contiguity(c), skip(rules.NoSkip), day), x.stream, want)
			}
		})
	}
}

func TestQuantifiers(t *testing.T) {
	for _, x := range []struct{ name, pattern, stream, want string }{
		{"exactly two", "a b{2} c", "a b1 b2 b3 c", "a b1 b2 c"},
		{"too few", "a b{3} c", "a b1 b2 c", ""},
		{"from two to three", "a b{2,3} c", "a b1 b2 b3 b4 c", "a b1 b2 c, a b1 b2 b3 c"},
		{"optional there", "a b? c", "a b c", "a b c, a c"},
		{"optional not there", "a b? c", "a c", "a c"},
		{"optional loop", "a b* c", "a b1 b2 c", "a c, a b1 c, a b1 b2 c"},
		{"optional twice", "a b? c? d", "a b c d", "a d, a b d, a c d, a b c d"},
		{"optional first", "a? b", "a b", "a b, b"},
		{"two at a time, or not", "a b{2} d", "a b1 d b2 d", "a b1 b2 d"},
		{"loop at the end tells of each", "a b+", "a b1 b2 b3", "a b1, a b1 b2, a b1 b2 b3"},
		{"optional at the end tells at once", "a b?", "a b", "a, a b"},
		{"greedy takes all", "c a+! d", "c a1 a2 a3 d", "c a1 a2 a3 d"},
		{"greedy loop, none there", "c a*! d", "c x d", "c d"},
		{"greedy loop, strangers", "c a*! d", "c x a1 y a2 z d", "c a1 a2 d"},
		{"not greedy, the same", "c a+ d", "c a1 a2 a3 d", "c a1 d, c a1 a2 d, c a1 a2 a3 d"},
		{"greedy before an optional one", "c a*! d? e", "c a1 a2 d e", "c a1 a2 d e, c a1 a2 e"},
		{"greedy keeps what fits both", "a+! b", "a1 ab2 b3", "a1 ab2 b3, ab2 b3"},
		{"not greedy, it fits both", "a+ b", "a1 ab2 b3", "a1 ab2, a1 ab2 b3, ab2 b3"},
		{"greedy up to its maximum", "a{1,2}! b", "a1 a2 a3 b", "a1 a2 b, a2 a3 b, a3 b"},
		{"greedy at the end has nothing to leave for", "a b+!", "a b1 b2", "a b1, a b1 b2"},
		{"the same part twice", "a a", "a1 a2 a3", "a1 a2, a2 a3"},
	} {
		t.Run(x.name, func(t *testing.T) {
			checkMatches(t, sequenceRule(t, x.pattern, skip(rules.NoSkip), day), x.stream, x.want)
		})
	}
}

func TestSkip(t *testing.T) {
	for _, x := range []struct {
		name, pattern, stream string
		c                     rules.Contiguity
		none, next, pastLast  string
	}{
		{
			"a loop in front", "b+ c", "b1 b2 b3 c", rules.Strict,
			"b1 b2 b3 c, b2 b3 c, b3 c", "b1 b2 b3 c, b2 b3 c, b3 c", "b1 b2 b3 c",
		},
		{
			"a greedy loop in front", "b+! c", "b1 b2 b3 c", rules.Relaxed,
			"b1 b2 b3 c, b2 b3 c, b3 c", "b1 b2 b3 c, b2 b3 c, b3 c", "b1 b2 b3 c",
		},
		{
			"a loop behind", "a b+", "a b1 b2 b3", rules.Relaxed,
			"a b1, a b1 b2, a b1 b2 b3", "a b1", "a b1",
		},
		{
			"overlapping triples", "a{3}", "a1 a2 a3 a4 a5 a6", rules.Relaxed,
			"a1 a2 a3, a2 a3 a4, a3 a4 a5, a4 a5 a6", "a1 a2 a3, a2 a3 a4, a3 a4 a5, a4 a5 a6", "a1 a2 a3, a4 a5 a6",
		},
		{
			"any, two beginnings", "a b", "a1 b1 a2 b2", rules.AnyMatch,
			"a1 b1, a1 b2, a2 b2", "a1 b1, a2 b2", "a1 b1, a2 b2",
		},
		{
			"doubles of all", "a b c d", "a1 a2 b1 b2 c1 c2 d1 d2", rules.Relaxed,
			"a1 b1 c1 d1, a2 b1 c1 d1", "a1 b1 c1 d1, a2 b1 c1 d1", "a1 b1 c1 d1",
		},
		{
			"doubles of all, any", "a b c d", "a1 a2 b1 c1 d1", rules.AnyMatch,
			"a1 b1 c1 d1, a2 b1 c1 d1", "a1 b1 c1 d1, a2 b1 c1 d1", "a1 b1 c1 d1",
		},
		{
			"only the second begins well", "a b", "a1 x a2 b2", rules.Strict,
			"a2 b2", "a2 b2", "a2 b2",
		},
		{
			"what fits many steps", "a b c+! d", "a ab abc1 abc2 abc3 d", rules.Relaxed,
			"a ab abc1 abc2 abc3 d, ab abc1 abc2 abc3 d, abc1 abc2 abc3 d",
			"a ab abc1 abc2 abc3 d, ab abc1 abc2 abc3 d, abc1 abc2 abc3 d",
			"a ab abc1 abc2 abc3 d",
		},
		{
			"a greedy step that traps the first to reach it", "a b b{2}?! c", "a b1 b2 c", rules.AnyMatch,
			"a b2 c", "a b2 c", "a b2 c",
		},
		{
			"the end of one may not begin the next", "a a", "a1 a2 a3 a4", rules.Relaxed,
			"a1 a2, a2 a3, a3 a4", "a1 a2, a2 a3, a3 a4", "a1 a2, a3 a4",
		},
	} {
		t.Run(x.name, func(t *testing.T) {
			for s, want := range map[rules.Skip]string{rules.NoSkip: x.none, rules.Next: x.next, rules.PastLast: x.pastLast} {
				checkMatches(t, sequenceRule(t, x.pattern, contiguity(x.c), skip(s), day), x.stream, want)
			}
		})
	}
}

func TestSequenceTime(t *testing.T) {
	for _, x := range []struct {
		name, pattern string
		change        func(*rules.Rule)
		stream, want  string
	}{
		{"the whole span is closed", "a b", within(10), "a1@0 b1@10 a2@20 b2@31", "a1 b1"},
		{"a step's span is closed", "a b<5 c", within(100), "a1@0 b1@5 c1@9 a2@20 b2@26 c2@27", "a1 b1 c1"},
		{"a step's span runs from the step before", "a b<5 c<5", within(100), "a@0 b@5 c@10", "a b c"},
		{"each event of a step is within", "a b{2}<5", within(100), "a1@0 b1@4 b2@5 a2@20 b3@24 b4@26", "a1 b1 b2"},
		{"a first step's span runs from its first event", "a{3}<4 b", within(100), "a1@0 a2@2 a3@4 b1@9", "a1 a2 a3 b1"},
		{"a first step too slow", "a{3}<4 b", within(100), "a1@0 a2@2 a3@5 b1@9", ""},
		{"a later beginning is in time", "a b", within(10), "a1@0 a2@8 b@12", "a2 b"},
		{"equal times follow position", "a b", within(10), "b0@5 a@5 b1@5", "a b1"},
		{"a loop stops taking", "a b+<5 c", within(100), "a@0 b1@3 b2@6 c@50", "a b1 c"},
	} {
		t.Run(x.name, func(t *testing.T) {
			checkMatches(t, sequenceRule(t, x.pattern, x.change), x.stream, x.want)
		})
	}
}

func TestAbsentSteps(t *testing.T) {
	for _, x := range []struct {
		name, pattern string
		change        func(*rules.Rule)
		stream, want  string
	}{
		{"last, none came", "a -x<5", within(100), "a@0", "a@5"},
		{"last, at the deadline cancels", "a -x<5", within(100), "a@0 x@5", ""},
		{"last, after the deadline is too late", "a -x<5", within(100), "a@0 x@6", "a@5"},
		{"last, the whole within bounds it", "a -x", within(7), "a@0 y@3", "a@7"},
		{"last, at the whole deadline cancels", "a -x", within(7), "a@0 x@7", ""},
		{"last, its own within may outlast the whole", "a b -x<5", within(6), "a@0 b@6", "a b@11"},
		{"last, measured from the last event", "a b -x<5", within(100), "a@0 x@1 b@6", "a b@11"},
		{"last, one answer for two", "a -x<5", within(100), "a1@0 a2@2 x@4", ""},
		{"last, the second begins while the first waits", "a -x<5", within(100), "a1@0 a2@2", "a1@5, a2@7"},
		{"last, the second begins before the first has all", "a b -x<5", within(100), "a1@0 a2@1 b@2", "a1 b@7"},
		{"last, after the answer", "a -x<5", within(100), "a1@0 x@3 a2@4", "a2@9"},
		{"last, a loop waits from its minimum", "a{2,9} -x<5", within(100), "a1@0 a2@1 a3@2 a4@3 a5@4", "a1 a2@6, a3 a4@8"},
		{"last, a greedy loop waits from its last", "a+!<30 -x<5", within(100), "a1@0 a2@4 a3@8", "a1 a2 a3@13"},
		{"last, two of them", "a -x<5 -y<8", within(100), "a1@0 y1@6 a2@20 x2@27 a3@40 x3@44", "a2@28"},
		{"last, strict lets others pass", "a b -x<5", contiguity(rules.Strict), "a@0 b@1 c@2", "a b@6"},
		{"middle", "a -x b", within(100), "a1 b1 a2 x b2", "a1 b1"},
		{"middle, the kill is for those before", "a -x b", within(100), "a1 x a2 b", "a2 b"},
		{"middle, only between the two", "a{2} -x b", within(100), "a1 x a2 b", "a1 a2 b"},
		{"middle, both at once kills", "a -x b", within(100), "a xb", ""},
		{"middle, for its own within", "a -x<5 b", within(100), "a1@0 x1@6 b1@7 a2@20 x2@25 b2@26", "a1 b1"},
		{"middle, past an optional step", "a b? -x c", within(100), "a x b c", "a b c"},
		{"first, nothing before", "-x<5 a", within(100), "a@0", "a"},
		{"first, at the edge blocks", "-x<5 a", within(100), "x@0 a1@5 a2@6", "a2"},
		{"first, behind does not matter", "-x<5 a b", within(100), "a@0 x@1 b@2", "a b"},
		{"first, the event itself is not before", "-x<5 a", within(100), "xa1@0 xa2@5 xa3@11", "xa1, xa3"},
		{"first, equal time but before", "-x<5 a", within(100), "x@3 a@3", ""},
		{"first, equal time but behind", "-x<5 a", within(100), "a@3 x@3", "a"},
		{"first, the whole within looks back", "-x a", within(4), "x@0 a1@4 a2@5", "a2"},
		{"first and last", "-w<5 a -x<5", within(100), "w@0 a1@1 a2@10 a3@30 x@31", "a2@15"},
		{"until cancels", "a b", until('u'), "a u b", ""},
		{"until may begin", "a b", until('a'), "a1 a2 b", "a2 b"},
		{"until ends a wait", "a -x<5", until('u'), "a1@0 u@5 a2@10", "a2@15"},
	} {
		t.Run(x.name, func(t *testing.T) {
			r := sequenceRule(t, x.pattern, day, x.change)
			checkMatches(t, r, x.stream, x.want)
		})
	}
}

func TestTimeouts(t *testing.T) {
	for _, x := range []struct {
		name, pattern string
		change        func(*rules.Rule)
		stream, want  string
	}{
		{"not finished in time", "a b", within(10), "a@0", "(a)@10"},
		{"finished at the deadline", "a b", within(10), "a@0 b@10", "a b"},
		{"finished too late", "a b", within(10), "a@0 b@11", "(a)@10"},
		{"by the step's own time", "a b<3", within(10), "a@0", "(a)@3"},
		{"each beginning for itself", "a b", within(10), "a1@0 a2@2", "(a1)@10, (a2)@12"},
		{"a match ends the others", "a b", within(10), "a1@0 a2@2 b@3", "a1 b"},
		{"killed is not late", "a -x b", within(10), "a@0 x@1", ""},
		{"cancelled is not late", "a b", func(r *rules.Rule) { within(10)(r); until('u')(r) }, "a@0 u@1", ""},
		{"as far as it came", "a b c", within(10), "a@0 b@1 a2@5", "(a b)@10, (a2)@15"},
		{"a branch goes on", "a b?<3 c<8", within(10), "a@0", "(a)@8"},
		{"one of two branches matched", "a b+", func(r *rules.Rule) { within(10)(r); skip(rules.NoSkip)(r) }, "a@0 b1@1 b2@2", "a b1, a b1 b2"},
		{"what a match ends is not late", "a{2} -x", within(5), "a1@0 a2@0", "a1 a2@5"},
		{"a match at a deadline ends the others", "a{3} -x", within(10), "a1@0 a2@1 a3@2", "a1 a2 a3@10"},
		{"an absence is no timeout", "a -x<5", within(10), "a1@0 x@2", ""},
	} {
		t.Run(x.name, func(t *testing.T) {
			checkMatches(t, sequenceRule(t, x.pattern, x.change, timeouts), x.stream, x.want)
		})
	}
}

// TestSequenceKeeps: of many events a match keeps what evidence shows, and all of
// them only if something reads them.
func TestSequenceKeeps(t *testing.T) {
	const steps = `
sequence:
  within: 1h
  steps:
    - {name: a, match: attrs.type == "a", times: {min: 2}}
    - {name: b, match: attrs.type == "b"}
`
	const lines = "0 a\n1 a\n2 a\n3 a\n4 a\n5 a\n6 a\n7 a\n8 b"
	for _, x := range []struct {
		envelope   string
		a, b, kept int
	}{
		{"evidence: 0", 1, 1, 2},
		{"evidence: 1", 1, 1, 2},
		{"evidence: 4", 3, 1, 4},
		{"evidence: 5", 4, 1, 5},
		{"summary: '{{ len(a.all) }} times'", 8, 1, 9},
		{"severity: [{when: len(a.all) > 5, is: critical}, {is: info}]", 8, 1, 9},
	} {
		b := story(t, ruleOf(t, x.envelope+steps), lines)
		if len(b.heard) != 1 {
			t.Fatalf("%s: %d matches", x.envelope, len(b.heard))
		}
		f := b.heard[0].f
		if len(f.steps[0]) != x.a || len(f.steps[1]) != x.b || len(f.events) != x.kept {
			t.Errorf("%s: %d, %d and %d events, want %d, %d and %d", x.envelope,
				len(f.steps[0]), len(f.steps[1]), len(f.events), x.a, x.b, x.kept)
		}
		if f.events[0].Time != 0 || f.steps[1][0].Message != "b" {
			t.Errorf("%s: the first event of a step is not there", x.envelope)
		}
	}
}
