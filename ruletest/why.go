package ruletest

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"corral/correlate"
	"corral/event"
	"corral/explain"
	"corral/ingest"
	"corral/ingest/decode"
	"corral/internal/phrase"
	"corral/rules"
)

// traced is an evaluation as it was, kept for explanations.
type traced struct {
	rule   *rules.Rule
	key    map[string]string
	values []string // of the key
	at     time.Time
	event  *event.Event
	aggs   []event.Value
	holds  bool
	open   bool
}

func (r *runner) record(t correlate.TraceEvent) {
	t.Aggs = slices.Clone(t.Aggs)
	r.engine = append(r.engine, t)
	x := traced{rule: t.Rule, values: slices.Clone(t.Key), key: map[string]string{}, at: time.Unix(0, t.At).UTC(), event: t.Event, aggs: slices.Clone(t.Aggs), holds: t.True, open: t.Open}
	for i, name := range t.Rule.KeyNames {
		if i < len(t.Key) {
			x.key[name] = t.Key[i]
		}
	}
	r.traces = append(r.traces, x)
}

// why says in a few words what the engine saw of the rule and key a difference
// is about.
func (r *runner) why(d difference) string {
	id, key := "", map[string]string(nil)
	switch {
	case d.want != nil:
		id, key = d.want.Rule, d.want.Key
	default:
		id, key = d.got.RuleID, d.got.Key
	}
	rule := r.set.Rule(id)
	if rule == nil {
		return fmt.Sprintf("there is no rule %s in the files under test", id)
	}
	until := r.test.Start.Add(d.at)
	if d.got == nil && d.want.Kind == "open" {
		return id + phrase.Key(key) + ": " + r.silent(rule, key, until)
	}
	if d.got != nil && len(rule.Aggs) == 0 {
		return r.rests(d.got)
	}
	last, best := r.nearest(rule, key, until)
	if last == nil {
		return fmt.Sprintf("no event met %s%s by then", id, phrase.Key(key))
	}
	s := fmt.Sprintf("%s%s: %s", id, phrase.Key(last.key), r.state(rule, last))
	if best != last {
		s += fmt.Sprintf("\nnearest before: %s", r.state(rule, best))
	}
	return s
}

// rests says what a revision rests on.
func (r *runner) rests(t *correlate.Transition) string {
	s := fmt.Sprintf("%s%s: it began at %s, its last event of %d at %s", t.RuleID, phrase.Key(t.Key),
		offset(t.StartedAt.Sub(r.test.Start)), t.EventCount, offset(t.LastEventAt.Sub(r.test.Start)))
	if t.EventCount == 0 {
		s = fmt.Sprintf("%s%s: nothing has come since %s", t.RuleID, phrase.Key(t.Key), offset(t.StartedAt.Sub(r.test.Start)))
	}
	for _, st := range t.Steps {
		s += fmt.Sprintf("\n%s at %s", st.Name, offset(st.At.Sub(r.test.Start)))
	}
	return s
}

// nearest returns the last evaluation at or before until, and the one with the
// highest value of the rule's first aggregate.
func (r *runner) nearest(rule *rules.Rule, key map[string]string, until time.Time) (last, best *traced) {
	for i := range r.traces {
		x := &r.traces[i]
		if x.rule.ID != rule.ID || x.at.After(until) || !holdsKey(x.key, key) {
			continue
		}
		last = x
		if best == nil || first(x) >= first(best) {
			best = x
		}
	}
	return last, best
}

func first(x *traced) float64 {
	if len(x.aggs) == 0 {
		return 0
	}
	switch v := x.aggs[0]; v.Kind {
	case event.Int:
		return float64(v.Int)
	case event.Float:
		return v.Float
	}
	return 0
}

func holdsKey(have, want map[string]string) bool {
	for k, v := range want {
		if have[k] != v {
			return false
		}
	}
	return true
}

func (r *runner) state(rule *rules.Rule, x *traced) string {
	var parts []string
	for i, a := range rule.Aggs {
		if i < len(x.aggs) {
			parts = append(parts, fmt.Sprintf("%s %v", a.Text, shown(x.aggs[i])))
		}
	}
	if len(parts) == 0 {
		parts = []string{"evaluated"}
	}
	verdict := "false"
	if x.holds {
		verdict = "true"
	}
	s := fmt.Sprintf("%s at %s", strings.Join(parts, ", "), offset(x.at.Sub(r.test.Start)))
	if c := condition(rule); c != "" {
		s += fmt.Sprintf(", condition %s is %s", c, verdict)
	}
	if x.open {
		s += ", incident open"
	}
	return s
}

func shown(v event.Value) any {
	if v.Kind == event.Nil {
		return "undefined"
	}
	return v.Box()
}

func condition(r *rules.Rule) string {
	if c := r.Condition(); c != nil {
		return c.Text()
	}
	return ""
}

// silent says why a rule did not open an incident by then: what package explain
// makes of the events of the test.
func (r *runner) silent(rule *rules.Rule, key map[string]string, until time.Time) string {
	w := &explain.Window{
		Set: r.set, Rule: rule, Key: key, From: r.test.Start.Add(-time.Hour), To: r.test.Start.Add(r.test.storyEnd()), Lateness: r.test.Late,
		Clock: func(t time.Time) string { return "at " + offset(t.Sub(r.test.Start)) },
		Name:  func(ev *event.Event) string { return fmt.Sprintf("the event of line %d", ev.Pos.Seq) },
	}
	for _, t := range r.engine {
		w.Trace(t)
	}
	r.show(w)
	if w.Fires() { // but not by then
		w.To = until
	}
	var b strings.Builder
	w.Why(&b)
	text := strings.TrimSpace(strings.ReplaceAll(b.String(), "\n  ", "\n"))
	if w.Met() {
		text += r.misses(rule, key, until)
	}
	return text
}

// shownMisses is how many events that nearly met a rule are shown.
const shownMisses = 2

// misses are the events by then that nearly met the rule: perhaps one of them was
// meant to.
func (r *runner) misses(rule *rules.Rule, key map[string]string, until time.Time) string {
	type miss struct {
		n, line int
		far     float64
		ev      *event.Event
	}
	var all []miss
	dec := decode.New(decode.Options{AttrPaths: r.set.AttrPaths})
	for n, d := range r.records() {
		if r.test.Start.Add(d.At).After(until) {
			continue
		}
		dec.Decode(ingest.Record{Data: d.Data}, func(ev *event.Event) {
			if far, near := explain.Miss(rule, ev); near && ofKey(rule, key, ev) {
				all = append(all, miss{n + 1, d.Line, far, ev.Clone()})
			}
		}, func(decode.DeadRecord) {})
	}
	slices.SortStableFunc(all, func(a, b miss) int { return cmp.Compare(a.far, b.far) })
	var b strings.Builder
	for _, m := range all[:min(len(all), shownMisses)] {
		fmt.Fprintf(&b, "\nevent #%d (%s:%d) did not match\n", m.n, r.file, m.line)
		explain.WriteMiss(&b, rule, m.ev)
	}
	if n := len(all) - shownMisses; n > 0 {
		fmt.Fprintf(&b, "and %s more", phrase.Count(n, "event"))
	}
	return strings.TrimRight(b.String(), "\n")
}

// records are the deliveries that bring something, in the order they come.
func (r *runner) records() []delivery {
	return slices.DeleteFunc(r.arrivals(), func(d delivery) bool { return d.Do != "" })
}

// ofKey says whether an event is of the key, as far as it has one.
func ofKey(rule *rules.Rule, key map[string]string, ev *event.Event) bool {
	for i, name := range rule.KeyNames {
		want, asked := key[name]
		by := rule.GroupBy(i)[""]
		if !asked || by == nil {
			continue
		}
		if v := by.Value(&rules.Env{Event: ev}); v.Kind != event.Nil && fmt.Sprint(v.Box()) != want {
			return false
		}
	}
	return true
}

// show gives a window the events of the test, as they came.
func (r *runner) show(w *explain.Window) {
	dec, m := decode.New(decode.Options{AttrPaths: r.set.AttrPaths}), r.set.Matcher()
	newest := int64(math.MinInt64)
	for _, d := range r.arrivals() {
		if d.Do != "" {
			continue
		}
		// The sequence number is the line of the step: what a window is told of is named by it.
		rec := ingest.Record{Data: d.Data, Seq: uint64(d.Line), Observed: r.test.Start.Add(d.Arrives - d.Shift).UnixNano()}
		dec.Decode(rec, func(ev *event.Event) {
			ev.Time += int64(d.Shift)
			newest = max(newest, ev.Time)
			w.Look(ev)
			w.Watch(ev, m.Match(ev, nil), ev.Time < newest-int64(r.test.Late))
		}, func(decode.DeadRecord) {})
	}
}
