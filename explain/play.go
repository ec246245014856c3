package explain

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"corral/correlate"
	"corral/internal/phrase"
	"corral/rules"
)

// play puts the events of one key through the engine again, with the rule as it is
// or with one of its numbers, spans or words changed.
type play struct {
	w    *Window
	work int // events given to engines so far
}

// maxWork bounds what is tried for one answer; beyond it changes are not found.
const maxWork = 5_000_000

func (w *Window) play() *play { return &play{w: w} }

// fires says whether a rule opens an incident of the key between From and To.
func (p *play) fires(r *rules.Rule) bool { return p.run(r, false) }

func (p *play) run(r *rules.Rule, late bool) bool {
	if p.work += len(p.w.kept) + 1; p.work > maxWork {
		return false
	}
	set := p.w.Set.With(r)
	eng, m := correlate.New(set, correlate.Options{}), set.Matcher()
	for _, k := range p.w.kept {
		if k.late && !late {
			continue
		}
		ev := k.ev.Clone()
		ms := slices.DeleteFunc(m.Match(ev, nil), func(x rules.Match) bool {
			return x.Rule.ID != r.ID || !p.w.holds(rules.DecodeKey(x.Key))
		})
		eng.Push(ev, ms)
	}
	fired := false
	eng.Finish(p.w.To.UnixNano(), func(t *correlate.Transition) {
		fired = fired || t.RuleID == r.ID && t.Rev == 1 && t.RotatedFrom == "" && !t.ChangedAt.Before(p.w.From) && p.w.same(t)
	})
	return fired
}

func (w *Window) same(t *correlate.Transition) bool {
	for k, v := range w.Key {
		if t.Key[k] != v {
			return false
		}
	}
	return true
}

// knob is something of the rule that could be otherwise: values from the smallest
// change to the largest, of which the first that fires is told.
type knob struct {
	values []int64
	set    func(r *rules.Rule, v int64)
	say    func(v int64) string
}

// would names each change of one thing by which the rule would have fired. Every
// one was tried.
func (p *play) would() []string {
	var out []string
	for _, k := range p.knobs() {
		if v, ok := p.turn(k); ok {
			out = append(out, k.say(v))
		}
	}
	return append(out, p.inTime()...)
}

// turn finds the smallest change that fires: what a change does, a larger one does.
func (p *play) turn(k knob) (int64, bool) {
	fires := func(v int64) bool {
		r := copyOf(p.w.Rule)
		k.set(r, v)
		return p.fires(r)
	}
	n := len(k.values)
	if n == 0 || !fires(k.values[n-1]) {
		return 0, false
	}
	i, _ := slices.BinarySearchFunc(k.values[:n-1], true, func(v int64, _ bool) int {
		if fires(v) {
			return 0
		}
		return -1
	})
	// The search ends at a value that fires, or at the last one: that there is no
	// smaller one holds where the change is monotone, which spans and counts are.
	for i > 0 && fires(k.values[i-1]) {
		i--
	}
	return k.values[i], true
}

// copyOf is a copy of a rule that may be changed in its numbers.
func copyOf(r *rules.Rule) *rules.Rule {
	c := *r
	if r.Threshold != nil {
		x := *r.Threshold
		c.Threshold = &x
	}
	if r.Absence != nil {
		x := *r.Absence
		c.Absence = &x
	}
	if r.Change != nil {
		x := *r.Change
		c.Change = &x
	}
	if r.Temporal != nil {
		x := *r.Temporal
		c.Temporal = &x
	}
	if r.Sequence != nil {
		x := *r.Sequence
		x.Steps = slices.Clone(x.Steps)
		c.Sequence = &x
	}
	return &c
}

// knobs of the rule, by kind.
func (p *play) knobs() []knob {
	r := p.w.Rule
	var ks []knob
	switch {
	case r.Threshold != nil:
		ks = p.threshold(r.Threshold)
	case r.Temporal != nil:
		ks = []knob{p.longer("window", r.Temporal.Window, func(r *rules.Rule, d time.Duration) { r.Temporal.Window = d })}
	case r.Absence != nil:
		ks = p.absence(r.Absence)
	case r.Change != nil:
		ks = p.change(r.Change)
	case r.Sequence != nil:
		ks = p.sequence(r.Sequence)
	}
	return append(ks, p.envelope()...)
}

// envelope: what keeps an incident from opening though the rule fires.
func (p *play) envelope() []knob {
	r := p.w.Rule
	var ks []knob
	if r.For > 0 {
		ks = append(ks, p.shorter("for", r.For, func(r *rules.Rule, d time.Duration) { r.For = d }))
	}
	if r.Suppress > 0 {
		ks = append(ks, p.shorter("suppress", r.Suppress, func(r *rules.Rule, d time.Duration) { r.Suppress = d }))
	}
	if r.Active != nil {
		ks = append(ks, once("no `active`: it was outside "+r.Active.Text(), func(r *rules.Rule) { r.Active = nil }))
	}
	if r.KeepFiringFor > 0 {
		ks = append(ks, p.shorter("keep_firing_for", r.KeepFiringFor, func(r *rules.Rule, d time.Duration) { r.KeepFiringFor = d }))
	}
	return ks
}

func (p *play) threshold(t *rules.Threshold) []knob {
	switch t.Window {
	case rules.Sliding:
		return []knob{p.longer("window", t.Size, func(r *rules.Rule, d time.Duration) { r.Threshold.Size = d })}
	case rules.Session:
		return []knob{
			p.longer("window.session", t.Size, func(r *rules.Rule, d time.Duration) {
				r.Threshold.Size, r.Threshold.Max = d, max(d, r.Threshold.Max)
			}),
			p.longer("window.max", t.Max, func(r *rules.Rule, d time.Duration) { r.Threshold.Max = d }),
		}
	case rules.Bounded:
		return []knob{p.longer("window.max", t.Max, func(r *rules.Rule, d time.Duration) { r.Threshold.Max = d })}
	case rules.LastN:
		return []knob{
			p.fewer("window.last", t.N, func(r *rules.Rule, n int) { r.Threshold.N = n }),
			p.greater("window.last", t.N, func(r *rules.Rule, n int) { r.Threshold.N = n }),
		}
	}
	return nil
}

func (p *play) absence(a *rules.Absence) []knob {
	ks := []knob{p.greater("min", a.Min, func(r *rules.Rule, n int) { r.Absence.Min = n })}
	if a.Schedule == nil {
		ks = append(ks, p.shorter("every", a.Every, func(r *rules.Rule, d time.Duration) { r.Absence.Every = d }))
	} else if a.Grace > 0 {
		ks = append(ks, p.shorter("grace", a.Grace, func(r *rules.Rule, d time.Duration) { r.Absence.Grace = d }))
	}
	return append(ks, p.longer("remember", a.Remember, func(r *rules.Rule, d time.Duration) {
		r.Absence.Remember, r.Absence.ForgetAfter = d, max(d, r.Absence.ForgetAfter)
	}))
}

func (p *play) change(c *rules.Change) []knob {
	switch c.Detect {
	case rules.FirstSeen:
		return []knob{
			p.shorter("learn", c.Learn, func(r *rules.Rule, d time.Duration) { r.Change.Learn = d }),
			p.shorter("memory", c.Memory, func(r *rules.Rule, d time.Duration) { r.Change.Memory = d }),
		}
	case rules.Flapping:
		return []knob{
			p.fewer("changes", c.Changes, func(r *rules.Rule, n int) { r.Change.Changes = n }),
			p.longer("within", c.Within, func(r *rules.Rule, d time.Duration) { r.Change.Within = d }),
		}
	}
	return nil
}

func (p *play) sequence(s *rules.Sequence) []knob {
	var ks []knob
	if s.Within > 0 {
		ks = append(ks, p.longer("within", s.Within, func(r *rules.Rule, d time.Duration) { r.Sequence.Within = d }))
	}
	if s.Contiguity == rules.Strict {
		ks = append(ks, once("contiguity: relaxed", func(r *rules.Rule) { r.Sequence.Contiguity = rules.Relaxed }))
	}
	if s.UntilPart >= 0 {
		ks = append(ks, once("no `until`: it came and ended what was under way", func(r *rules.Rule) { r.Sequence.UntilPart = -1 }))
	}
	for i, st := range s.Steps {
		ks = append(ks, p.step(i, st)...)
	}
	return ks
}

func (p *play) step(i int, st rules.Step) []knob {
	var ks []knob
	at := "step " + st.Name + ": "
	if st.Within > 0 && !st.Absent {
		ks = append(ks, p.longer(at+"within", st.Within, func(r *rules.Rule, d time.Duration) {
			r.Sequence.Steps[i].Within = d
			if r.Sequence.Within > 0 {
				r.Sequence.Within = max(r.Sequence.Within, d)
			}
		}))
	}
	if st.Within > 0 && st.Absent {
		ks = append(ks, p.shorter(at+"within", st.Within, func(r *rules.Rule, d time.Duration) { r.Sequence.Steps[i].Within = d }))
	}
	if st.Min > 1 {
		ks = append(ks, p.fewer(at+"times", st.Min, func(r *rules.Rule, n int) {
			x := &r.Sequence.Steps[i]
			if x.Max == x.Min {
				x.Max = n
			}
			x.Min = n
		}))
	}
	if st.Where != nil {
		ks = append(ks, once(at+"no `where`", func(r *rules.Rule) { r.Sequence.Steps[i].Where = nil }))
	}
	return ks
}

// once is a change that has no degrees.
func once(text string, set func(*rules.Rule)) knob {
	return knob{values: []int64{1}, set: func(r *rules.Rule, _ int64) { set(r) }, say: func(int64) string { return text }}
}

// longer tries the spans between events, from the shortest that is longer.
func (p *play) longer(name string, now time.Duration, set func(*rules.Rule, time.Duration)) knob {
	return knob{values: p.spans(int64(now)), set: span(set), say: func(v int64) string { return name + ": " + text(v) + "  (is " + text(int64(now)) + ")" }}
}

// shorter tries spans that are shorter: down to nothing, as it is known where
// exactly by trying.
func (p *play) shorter(name string, now time.Duration, set func(*rules.Rule, time.Duration)) knob {
	var values []int64
	for d := int64(now) - 1; d > 0 && len(values) < 48; d /= 2 {
		values = append(values, d)
	}
	k := knob{values: append(values, 1), set: span(set)}
	k.say = func(v int64) string {
		return name + ": " + p.longest(k.set, v, int64(now)) + "  (is " + text(int64(now)) + ")"
	}
	return k
}

// longest is the longest span that fires: low does, high does not.
func (p *play) longest(set func(*rules.Rule, int64), low, high int64) string {
	for range 64 {
		if high-low <= 1 {
			break
		}
		mid := low + (high-low)/2
		r := copyOf(p.w.Rule)
		set(r, mid)
		if p.fires(r) {
			low = mid
		} else {
			high = mid
		}
	}
	if high%1000 == 0 && low%1000 != 0 { // a span between events, not quite reached
		return "less than " + text(high)
	}
	return text(low)
}

func (p *play) fewer(name string, now int, set func(*rules.Rule, int)) knob {
	k := count(name, now, set)
	for n := now - 1; n >= 1 && len(k.values) < 1000; n-- {
		k.values = append(k.values, int64(n))
	}
	return k
}

func (p *play) greater(name string, now int, set func(*rules.Rule, int)) knob {
	k := count(name, now, set)
	for n := now + 1; n <= len(p.w.kept)+1 && len(k.values) < 1000; n++ {
		k.values = append(k.values, int64(n))
	}
	return k
}

func count(name string, now int, set func(*rules.Rule, int)) knob {
	return knob{
		set: func(r *rules.Rule, v int64) { set(r, int(v)) },
		say: func(v int64) string { return fmt.Sprintf("%s: %d  (is %d)", name, v, now) },
	}
}

func span(set func(*rules.Rule, time.Duration)) func(*rules.Rule, int64) {
	return func(r *rules.Rule, v int64) { set(r, time.Duration(v)) }
}

func text(ns int64) string { return rules.FormatDuration(time.Duration(ns)) }

// maxSpans bounds the events whose distances are tried, the last ones.
const maxSpans = 300

// spans are the distances between events of the key that are longer than now.
func (p *play) spans(now int64) []int64 {
	var at []int64
	for _, k := range p.w.kept {
		if k.ev.Time <= p.w.To.UnixNano() && !k.late {
			at = append(at, k.ev.Time)
		}
	}
	slices.Sort(at)
	at = at[max(0, len(at)-maxSpans):]
	var out []int64
	for i, a := range at {
		for _, b := range at[i+1:] {
			if b-a > now {
				out = append(out, b-a)
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// inTime: with the events that came too late.
func (p *play) inTime() []string {
	late := p.w.late()
	if len(late) == 0 || !p.run(p.w.Rule, true) {
		return nil
	}
	first := late[0]
	return []string{fmt.Sprintf("%s that came later than --lateness %s allows, the first of %s (%s)",
		phrase.Count(len(late), "event"), p.w.Lateness, p.w.stamp(first.When()), first.EventID())}
}

// progress says how far the engine came with the key.
func (w *Window) progress(out io.Writer, p *play) {
	switch r := w.Rule; {
	case r.Sequence != nil:
		w.sequenceProgress(out, p)
	case r.Absence != nil:
		w.absenceProgress(out)
	case r.Change != nil:
		w.changeProgress(out)
	case r.Kind == rules.EventKind:
		fmt.Fprintf(out, "  %s met the rule, the last at %s\n", phrase.Count(len(w.kept), "event"), w.last())
	}
}

func (w *Window) last() string {
	if len(w.kept) == 0 {
		return "no time"
	}
	return w.stamp(slices.MaxFunc(w.kept, func(a, b kept) int { return cmp.Compare(a.ev.Time, b.ev.Time) }).ev.When())
}

// sequenceProgress finds the longest beginning of the sequence that was matched.
func (w *Window) sequenceProgress(out io.Writer, p *play) {
	steps := w.Rule.Sequence.Steps
	for n := len(steps) - 1; n >= 1; n-- {
		if steps[n-1].Absent {
			continue
		}
		r := copyOf(w.Rule)
		r.Sequence.Steps = r.Sequence.Steps[:n]
		r.Sequence.EmitOnTimeout = false
		if p.fires(r) {
			fmt.Fprintf(out, "  nearest miss  step %d of %d, %s, was done; then %s\n", n, len(steps), steps[n-1].Name, awaited(steps[n]))
			return
		}
	}
	fmt.Fprintf(out, "  nearest miss  the first step, %s, was not done\n", steps[0].Name)
}

func awaited(s rules.Step) string {
	if s.Absent {
		return s.Name + " came, or the time was not over"
	}
	if s.Min > 1 {
		return fmt.Sprintf("%s did not come %d times", s.Name, s.Min)
	}
	return s.Name + " did not come in time"
}

// absenceProgress names the longest silence.
func (w *Window) absenceProgress(out io.Writer) {
	var at []int64
	for _, k := range w.kept {
		if !k.late && k.ev.Time <= w.To.UnixNano() {
			at = append(at, k.ev.Time)
		}
	}
	slices.Sort(at)
	if len(at) == 0 {
		fmt.Fprintln(out, "  no event of the key came, and it is not among the keys that are expected")
		return
	}
	from, longest := at[len(at)-1], w.To.UnixNano()-at[len(at)-1]
	for i := 1; i < len(at); i++ {
		if d := at[i] - at[i-1]; d > longest && at[i] >= w.From.UnixNano() {
			from, longest = at[i-1], d
		}
	}
	fmt.Fprintf(out, "  nearest miss  nothing came for %s after %s\n", text(longest), w.stamp(time.Unix(0, from)))
}

// changeProgress names the values seen.
func (w *Window) changeProgress(out io.Writer) {
	seen := map[string]bool{}
	var values []string
	for _, k := range w.kept {
		v := value(w.Rule.Args[0].Value(&rules.Env{Event: k.ev}))
		if !seen[v] {
			seen[v] = true
			values = append(values, v)
		}
	}
	more := ""
	if len(values) > 8 {
		values, more = values[:8], ", …"
	}
	fmt.Fprintf(out, "  %s of %s, in %s: %s%s\n", phrase.Count(len(seen), "value"), w.Rule.Args[0].Text(), phrase.Count(len(w.kept), "event"), strings.Join(values, ", "), more)
}
