package correlate

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"corral/event"
	"corral/rules"

	"pgregory.net/rapid"
)

// brute finds every match of a sequence by trying every choice of events, and
// then applies skip. It shares nothing with the automaton but the rule.
type brute struct {
	rule  *rules.Sequence
	ins   []*input
	found []bruteMatch
}

// bruteMatch is one choice of events.
type bruteMatch struct {
	events []int // positions in the stream
	at     int64 // when it is known
	timer  bool  // … by a deadline, not at an event
}

func (m bruteMatch) first() int { return m.events[0] }
func (m bruteMatch) last() int  { return m.events[len(m.events)-1] }

// moment orders matches by when they are known; at one instant deadlines follow
// events.
func (m bruteMatch) compare(o bruteMatch) int {
	c := cmp.Or(cmp.Compare(m.at, o.at), cmp.Compare(b2i(m.timer), b2i(o.timer)))
	if c == 0 && !m.timer {
		c = cmp.Compare(m.last(), o.last())
	}
	return c
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

// choice is a match being tried: the events so far, the step of the last one, how
// many are in that step, and the last event of the step before.
type choice struct {
	events  []int
	steps   []int // of the events
	step, n int
	before  int
}

func (b *brute) time(i int) int64 { return b.ins[i].ev.Time }

// fits: event i may be one of a step, after those of c.
func (b *brute) fits(c choice, i, step int) bool {
	s := b.rule.Steps[step]
	if b.ins[i].parts&(1<<s.Part) == 0 {
		return false
	}
	if s.Where == nil {
		return true
	}
	steps := make([][]*event.Event, len(b.rule.Steps))
	for j, e := range c.events {
		steps[c.steps[j]] = append(steps[c.steps[j]], b.ins[e].ev)
	}
	ok, failed := s.Where.Bool(&rules.Env{Event: b.ins[i].ev, Steps: steps})
	return ok && !failed
}

func (b *brute) isUntil(i int) bool {
	return b.rule.UntilPart >= 0 && b.ins[i].parts&(1<<b.rule.UntilPart) != 0
}

// all finds every match.
func (b *brute) all() []bruteMatch {
	for i := range b.ins {
		for _, k := range b.targets(choice{step: -1}) {
			if b.fits(choice{}, i, k) && !b.blocked(i, k) {
				b.extend(choice{events: []int{i}, steps: []int{k}, step: k, n: 1, before: i})
				if b.rule.Steps[k].Greedy {
					break
				}
			}
		}
	}
	return b.found
}

// blocked: a leading absence was broken in its time before event i.
func (b *brute) blocked(i, step int) bool {
	for k := range step {
		s := b.rule.Steps[k]
		if !s.Absent {
			continue
		}
		span := spanOf(s.Within)
		if b.rule.Within > 0 {
			span = min(span, int64(b.rule.Within))
		}
		for j := range i {
			if b.fits(choice{}, j, k) && b.time(i)-b.time(j) <= span {
				return true
			}
		}
	}
	return false
}

func spanOf(d time.Duration) int64 {
	if d == 0 {
		return math.MaxInt64
	}
	return int64(d)
}

// targets are the steps the next event may fill, nearest first.
func (b *brute) targets(c choice) (steps []int) {
	s := b.rule.Steps
	if c.step >= 0 {
		if s[c.step].Max == 0 || c.n < s[c.step].Max {
			steps = append(steps, c.step)
		}
		if c.n < max(s[c.step].Min, 1) {
			return steps
		}
	}
	for k := c.step + 1; k < len(s); k++ {
		if s[k].Absent {
			continue
		}
		steps = append(steps, k)
		if !s[k].Optional {
			break
		}
	}
	return steps
}

// may: event i may be the next one of c, filling step k.
func (b *brute) may(c choice, i, k int) bool {
	last := c.events[len(c.events)-1]
	if i <= last || !b.fits(c, i, k) || b.late(c, i, k) {
		return false
	}
	for j := last + 1; j <= i; j++ {
		if b.isUntil(j) || b.kills(c, j, k) {
			return false
		}
	}
	return true
}

func (b *brute) late(c choice, i, k int) bool {
	from := c.events[len(c.events)-1]
	if k == c.step {
		from = c.before
	}
	return b.time(i)-b.time(c.events[0]) > spanOf(b.rule.Within) || b.time(i)-b.time(from) > spanOf(b.rule.Steps[k].Within)
}

// kills: event j, after the last of c, breaks an absence between it and step k.
func (b *brute) kills(c choice, j, k int) bool {
	for a := c.step + 1; a < k; a++ {
		s := b.rule.Steps[a]
		if s.Absent && b.fits(c, j, a) && b.time(j)-b.time(c.events[len(c.events)-1]) <= spanOf(s.Within) {
			return true
		}
	}
	return false
}

// extend tries every way to go on with c, and whether it is a match.
func (b *brute) extend(c choice) {
	b.end(c)
	last := c.events[len(c.events)-1]
	for _, k := range b.targets(c) {
		for i := last + 1; i < len(b.ins); i++ {
			if !b.may(c, i, k) || b.greedyTakes(c, i, k) {
				continue
			}
			if b.rule.Contiguity == rules.Strict && i > last+1 {
				break
			}
			b.extend(b.with(c, i, k))
			if b.rule.Contiguity != rules.AnyMatch {
				break
			}
		}
	}
}

func (b *brute) with(c choice, i, k int) choice {
	n := choice{
		events: append(slices.Clone(c.events), i), steps: append(slices.Clone(c.steps), k),
		step: k, n: c.n + 1, before: c.before,
	}
	if k != c.step {
		n.n, n.before = 1, c.events[len(c.events)-1]
	}
	return n
}

// greedyTakes: a greedy step nearer than k could have taken an event up to i.
func (b *brute) greedyTakes(c choice, i, k int) bool {
	last := c.events[len(c.events)-1]
	for _, g := range b.targets(c) {
		if g >= k || !b.rule.Steps[g].Greedy {
			continue
		}
		for j := last + 1; j <= i; j++ {
			if b.may(c, j, g) && !b.skipped(c, j) {
				return true
			}
		}
	}
	return false
}

// skipped: under strict nothing is taken after an event that was not.
func (b *brute) skipped(c choice, j int) bool {
	return b.rule.Contiguity == rules.Strict && j > c.events[len(c.events)-1]+1
}

// end notes c if it is a match.
func (b *brute) end(c choice) {
	s := b.rule.Steps
	if c.n < max(s[c.step].Min, 1) {
		return
	}
	for k := c.step + 1; k < len(s); k++ {
		if !s[k].Absent && !s[k].Optional {
			return
		}
	}
	last := b.time(c.events[len(c.events)-1])
	due, waits := last, false
	for a := c.step + 1; a < len(s); a++ {
		switch {
		case !s[a].Absent:
		case s[a].Within > 0:
			due, waits = max(due, last+int64(s[a].Within)), true
		default:
			due, waits = max(due, b.time(c.events[0])+int64(b.rule.Within)), true
		}
	}
	if !waits {
		b.found = append(b.found, bruteMatch{events: c.events, at: last})
		return
	}
	for j := c.events[len(c.events)-1] + 1; j < len(b.ins) && b.time(j) <= due; j++ {
		if b.isUntil(j) || b.kills(c, j, len(s)) || b.greedyTakes(c, j, len(s)) {
			return
		}
	}
	b.found = append(b.found, bruteMatch{events: c.events, at: due, timer: true})
}

// moments puts the matches in the order they are known, those of one moment in
// one list.
func (b *brute) moments() (moments [][]bruteMatch) {
	slices.SortStableFunc(b.found, bruteMatch.compare)
	for i, m := range b.found {
		if i == 0 || b.found[i-1].compare(m) != 0 {
			moments = append(moments, nil)
		}
		last := len(moments) - 1
		moments[last] = append(moments[last], m)
	}
	return moments
}

// explains says that what was told are the matches that skip lets through, each
// one of those that could have been told in its place: they are known at one
// moment and begin with one event.
func (b *brute) explains(told []string) bool {
	over := map[int]bool{} // events whose matches are over
	gone := -1             // … and all up to this one
	for _, moment := range b.moments() {
		by, firsts := b.byFirst(moment)
		for _, f := range firsts {
			for range b.count(by[f]) {
				if f <= gone || over[f] {
					break
				}
				i, m := b.pick(told, by[f])
				if i < 0 {
					return false
				}
				told = slices.Delete(slices.Clone(told), i, i+1)
				over[f] = b.rule.Skip == rules.Next
				if b.rule.Skip == rules.PastLast {
					gone = m.last()
				}
			}
		}
	}
	return len(told) == 0
}

// count is how many of the matches of one moment and beginning are told.
func (b *brute) count(ms []bruteMatch) int {
	if b.rule.Skip == rules.NoSkip {
		return len(ms)
	}
	return 1
}

func (b *brute) byFirst(moment []bruteMatch) (by map[int][]bruteMatch, firsts []int) {
	by = map[int][]bruteMatch{}
	for _, m := range moment {
		by[m.first()] = append(by[m.first()], m)
		firsts = append(firsts, m.first())
	}
	slices.Sort(firsts)
	return by, slices.Compact(firsts)
}

// pick finds one of the matches in what was told.
func (b *brute) pick(told []string, ms []bruteMatch) (int, bruteMatch) {
	for _, m := range ms {
		if i := slices.Index(told, b.words(m)); i >= 0 {
			return i, m
		}
	}
	return -1, bruteMatch{}
}

func (b *brute) words(m bruteMatch) string {
	var names []string
	for _, i := range m.events {
		names = append(names, b.ins[i].ev.Message)
	}
	s := strings.Join(names, " ")
	if m.timer {
		s += fmt.Sprintf("@%v", time.Duration(m.at).Seconds())
	}
	return s
}

// drawSequence draws a rule over the letters a to d, with u for until.
func drawSequence(t *rapid.T) *rules.Rule {
	s := &rules.Sequence{UntilPart: -1}
	n := rapid.IntRange(1, 4).Draw(t, "steps")
	filled := false
	for i := range n {
		st := rules.Step{Part: rapid.IntRange(0, 3).Draw(t, "part"), Min: 1, Max: 1}
		st.Absent = rapid.IntRange(0, 3).Draw(t, "absent") == 0 && (filled || i < n-1)
		st.Within = time.Duration(rapid.SampledFrom([]int{0, 0, 0, 1, 2, 4}).Draw(t, "within")) * time.Second
		if !st.Absent {
			filled = true
			st.Optional = rapid.IntRange(0, 4).Draw(t, "optional") == 0
			st.Greedy = rapid.IntRange(0, 3).Draw(t, "greedy") == 0
			switch rapid.IntRange(0, 4).Draw(t, "times") {
			case 0:
				st.Max = 0
			case 1:
				st.Min, st.Max = 2, 2
			case 2:
				st.Min, st.Max = 1, 2
			}
		}
		st.Name = "s" + strconv.Itoa(i)
		s.Steps = append(s.Steps, st)
	}
	if !filled {
		s.Steps[0].Absent = false
	}
	if rapid.IntRange(0, 9).Draw(t, "wheres") == 0 {
		drawWheres(t, s.Steps)
	}
	s.Within = time.Duration(rapid.IntRange(2, 8).Draw(t, "whole")) * time.Second
	s.Contiguity = rules.Contiguity(rapid.IntRange(0, 2).Draw(t, "contiguity"))
	s.Skip = rules.Skip(rapid.IntRange(0, 2).Draw(t, "skip"))
	s.EmitOnTimeout = rapid.Bool().Draw(t, "timeouts")
	if rapid.IntRange(0, 5).Draw(t, "until") == 0 {
		s.UntilPart = 'u' - 'a'
	}
	return &rules.Rule{Kind: rules.SequenceKind, Sequence: s, Evidence: 100, Limits: rules.Limits{Partials: 100000}}
}

// drawWheres gives some steps a condition on those before.
func drawWheres(t *rapid.T, steps []rules.Step) {
	text := "match: true\nsequence:\n  within: 1h\n  steps:\n"
	for i, st := range steps {
		where := "true"
		if i > 0 {
			before := steps[rapid.IntRange(0, i-1).Draw(t, "where reads")].Name
			where = strings.ReplaceAll(rapid.SampledFrom([]string{
				"true", "attrs.v == B.attrs.v", "attrs.v == B.attrs.v", "attrs.v != B.attrs.v",
				"len(B.all) >= 2", "len(B.all) == 1", "any(B.all, .attrs.v == 2)",
			}).Draw(t, "where"), "B", before)
		}
		text += fmt.Sprintf("    - {name: %s, match: attrs.v == %d, where: '%s'}\n", st.Name, i, where)
	}
	for i, st := range ruleOf(t, text).Sequence.Steps {
		steps[i].Where = st.Where
	}
}

func drawStream(t *rapid.T) string {
	var words []string
	at := 0
	for i := range rapid.IntRange(1, 8).Draw(t, "events") {
		name := rapid.SampledFrom([]string{"a", "a", "b", "b", "c", "d", "ab", "bc", "acd", "u", "x"}).Draw(t, "event")
		at += rapid.SampledFrom([]int{0, 1, 1, 1, 2, 3}).Draw(t, "gap")
		words = append(words, fmt.Sprintf("%s%d@%d=%d", name, i+1, at, rapid.IntRange(1, 2).Draw(t, "value")))
	}
	return strings.Join(words, " ")
}

// patternOf writes a rule as the tests do, for messages.
func patternOf(s *rules.Sequence) string {
	var words []string
	for _, st := range s.Steps {
		w := string(rune('a' + st.Part))
		if st.Absent {
			w = "-" + w
		}
		w += fmt.Sprintf("{%d,%d}", st.Min, st.Max)
		if st.Optional {
			w += "?"
		}
		if st.Greedy {
			w += "!"
		}
		if st.Within > 0 {
			w += fmt.Sprintf("<%v", st.Within.Seconds())
		}
		if st.Where != nil {
			w += "[" + st.Where.Text() + "]"
		}
		words = append(words, w)
	}
	return fmt.Sprintf("%s within %v contiguity %d skip %d until %d timeouts %v",
		strings.Join(words, " "), s.Within, s.Contiguity, s.Skip, s.UntilPart, s.EmitOnTimeout)
}

// TestSequenceBrute compares the automaton with trying everything.
func TestSequenceBrute(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := drawSequence(t)
		stream := drawStream(t)
		all := findMatches(t, r, stream)
		if got := findRestarted(t, r, stream); !slices.Equal(got, all) {
			t.Fatalf("%s\non %s\n got %q\nwant %q, as without snapshots", patternOf(r.Sequence), stream, got, all)
		}
		got := slices.DeleteFunc(all, func(s string) bool { return s[0] == '(' })
		b := &brute{rule: r.Sequence, ins: parseStream(t, stream)}
		b.all()
		if !b.explains(got) {
			t.Fatalf("%s\non %s\n got %q\nwant by moment %v", patternOf(r.Sequence), stream, got, b.describe())
		}
	})
}

func (b *brute) describe() (moments [][]string) {
	for _, moment := range b.moments() {
		var words []string
		for _, m := range moment {
			words = append(words, b.words(m))
		}
		moments = append(moments, words)
	}
	return moments
}
