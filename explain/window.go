package explain

import (
	"cmp"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"time"

	"corral/correlate"
	"corral/event"
	"corral/internal/phrase"
	"corral/rules"
)

// maxKept bounds the events a Window keeps for playing what would have been.
const maxKept = 50_000

// Window collects what a rule made of one key over a stretch of history, while
// that is reprocessed: give its methods to a pipeline.Lane, and Look every event.
// It is not safe for concurrent use.
type Window struct {
	Set      *rules.Set
	Rule     *rules.Rule
	Key      map[string]string // only keys with these values
	From, To time.Time
	Lateness time.Duration
	// Clock writes instants; nil: RFC 3339. Name says which event one is, for
	// people; nil: nothing.
	Clock func(time.Time) string
	Name  func(*event.Event) string

	points []point
	told   []*correlate.Transition // of the key, up to To
	storm  []*correlate.Transition // of the rule's collapsed incident
	kept   []kept
	more   bool // there were more events than are kept
	stats  stats
	nokey  int
}

// point is one evaluation by the engine.
type point struct {
	at    int64
	event bool
	key   []string
	aggs  []event.Value
	true  bool
}

// kept is an event that met the rule, and how late it came if it was too late.
type kept struct {
	ev   *event.Event
	late bool
}

// Trace is the engine's Options.Trace.
func (w *Window) Trace(t correlate.TraceEvent) {
	if t.Rule.ID != w.Rule.ID || !w.holds(t.Key) {
		return
	}
	w.points = append(w.points, point{at: t.At, event: t.Event != nil, key: slices.Clone(t.Key), aggs: slices.Clone(t.Aggs), true: t.True})
	if w.Rule.FromIncidents && t.Event != nil {
		w.keep(t.Event, false)
	}
}

// Watch is the lane's: events that met a rule, late ones too.
func (w *Window) Watch(ev *event.Event, ms []rules.Match, late bool) {
	for i := range ms {
		if m := &ms[i]; m.Rule.ID == w.Rule.ID && w.holds(rules.DecodeKey(m.Key)) {
			w.keep(ev, late)
			return
		}
	}
}

func (w *Window) keep(ev *event.Event, late bool) {
	if len(w.kept) == maxKept {
		w.more = true
		return
	}
	w.kept = append(w.kept, kept{ev.Clone(), late})
}

func (w *Window) holds(key []string) bool {
	for i, name := range w.Rule.KeyNames {
		if want, ok := w.Key[name]; ok && i < len(key) && key[i] != want {
			return false
		}
	}
	return true
}

// Transition takes what the engine said.
func (w *Window) Transition(t *correlate.Transition) {
	if t.RuleID != w.Rule.ID {
		return
	}
	if t.Collapsed && len(w.Key) > 0 {
		w.storm = append(w.storm, t)
		return
	}
	for k, v := range w.Key {
		if t.Key[k] != v {
			return
		}
	}
	w.told = append(w.told, t)
}

// Write says whether and why the rule fired between From and To, or what came
// nearest to it and what would have made it fire.
func (w *Window) Write(out io.Writer) {
	who := w.Rule.ID + phrase.Key(w.Key)
	span := fmt.Sprintf("between %s and %s UTC", w.From.UTC().Format("2006-01-02 15:04:05"), w.To.UTC().Format("2006-01-02 15:04:05"))
	if here := w.within(w.told); len(here) > 0 {
		fmt.Fprintf(out, "%s: fired %s\n", who, span)
		w.fired(out, here)
	} else if open := w.open(); open != nil {
		fmt.Fprintf(out, "%s: nothing new %s\n", who, span)
		fmt.Fprintf(out, "  its incident %s was open since %s: what came in between belongs to it\n", open.IncidentID, w.stamp(open.OpenedAt))
		w.fired(out, []*correlate.Transition{open})
	} else {
		fmt.Fprintf(out, "%s: did not fire %s\n", who, span)
		w.why(out)
	}
	w.stats.write(out, w.Rule, w.Key)
	if w.nokey > 0 {
		fmt.Fprintf(out, "  %s matched but had no %s, and so were dropped\n", phrase.Count(w.nokey, "event"), strings.Join(w.Rule.KeyNames, ", "))
	}
	fmt.Fprintf(out, "  rule %s:%d, hash %s\n", w.Rule.File, w.Rule.Line, w.Rule.LogicHash)
}

func (w *Window) within(ts []*correlate.Transition) []*correlate.Transition {
	var here []*correlate.Transition
	for _, t := range ts {
		if !t.ChangedAt.Before(w.From) && !t.ChangedAt.After(w.To) {
			here = append(here, t)
		}
	}
	return here
}

// open is the last revision of an incident of the key that was open all the time.
func (w *Window) open() *correlate.Transition {
	var last *correlate.Transition
	for _, t := range w.told {
		if t.ChangedAt.Before(w.From) {
			last = t
		}
	}
	if last == nil || last.State == "resolved" {
		return nil
	}
	return last
}

// fired writes revisions, and under an opening what its condition saw.
func (w *Window) fired(out io.Writer, ts []*correlate.Transition) {
	for _, t := range ts {
		fmt.Fprintf(out, "  %s  rev %d  %s\n", w.stamp(t.ChangedAt), t.Rev, said(t))
		if t.Rev == 1 {
			w.saw(out, t.OpenedAt.Add(-w.Rule.For).UnixNano())
		}
	}
}

// saw writes the condition as it was at an instant.
func (w *Window) saw(out io.Writer, at int64) {
	cond := w.Rule.Condition()
	if cond == nil {
		return
	}
	for i := len(w.points) - 1; i >= 0; i-- {
		if p := &w.points[i]; p.at == at {
			tree(out, cond.Explain(p.env()), 2)
			return
		}
	}
}

func (p *point) env() *rules.Env { return &rules.Env{Aggs: p.aggs, Key: p.key} }

// Fires says whether the rule, given the events of the key alone, opens an incident
// between From and To.
func (w *Window) Fires() bool { return w.play().fires(w.Rule) }

// Met says whether any event met the rule for this key.
func (w *Window) Met() bool { return len(w.kept) > 0 }

// Why writes what came nearest to firing, and what would have been enough.
func (w *Window) Why(out io.Writer) { w.why(out) }

func (w *Window) why(out io.Writer) {
	p := w.play()
	if n := len(w.late()); n > 0 {
		fmt.Fprintf(out, "  %s came too late to count (lateness %s)\n", phrase.Count(n, "event"), w.Lateness)
	}
	switch {
	case len(w.kept) == 0 && w.Rule.Absence == nil:
		fmt.Fprintln(out, "  no event met the rule for this key")
		w.stats.nearest(out, w.Rule, w.name())
		return
	case w.stormed(out):
		return
	}
	best := w.nearest()
	if best != nil {
		fmt.Fprintf(out, "  nearest miss  %s%s\n", w.stamp(time.Unix(0, best.at)), w.held(best))
		tree(out, w.Rule.Condition().Explain(best.env()), 2)
	}
	w.progress(out, p)
	var would []string
	if best != nil {
		would = append(would, changes(w.Rule.Condition().Explain(best.env()))...)
	}
	if w.more {
		fmt.Fprintf(out, "  (more than %d events met the rule: what would have fired is not tried)\n", maxKept)
	} else {
		would = append(would, p.would()...)
	}
	if at, far := w.elsewhere(); far && best == nil && len(would) == 0 && w.Rule.Absence == nil {
		fmt.Fprintf(out, "  no event met the rule for this key then; the nearest in time was at %s\n", w.stamp(at))
		return
	}
	if len(would) == 0 {
		fmt.Fprintln(out, "  no single change of a number or a span would have fired")
		return
	}
	fmt.Fprintln(out, "  would have fired with any of")
	for _, s := range would {
		fmt.Fprintln(out, "      "+s)
	}
}

// elsewhere finds, if no event met the rule between From and To, the one nearest to
// that in time.
func (w *Window) elsewhere() (at time.Time, far bool) {
	least := time.Duration(math.MaxInt64)
	for _, k := range w.kept {
		t := time.Unix(0, k.ev.Time).UTC()
		d := max(w.From.Sub(t), t.Sub(w.To))
		if d <= 0 {
			return at, false
		}
		if d < least {
			at, least = t, d
		}
	}
	return at, len(w.kept) > 0
}

// name says which event was nearest.
func (w *Window) name() string {
	if w.Name == nil || w.stats.best == nil {
		return ""
	}
	return " " + w.Name(w.stats.best)
}

// held says of an evaluation whose condition was true why that was not enough.
func (w *Window) held(p *point) string {
	if ok, _ := w.Rule.Condition().Bool(p.env()); !ok {
		return ""
	}
	if w.Rule.For > 0 {
		return ", when the condition held, but not for " + rules.FormatDuration(w.Rule.For) + " (`for`)"
	}
	return ", when the condition held"
}

// stormed: the key was one of many, and is counted in the rule's collapsed incident.
func (w *Window) stormed(out io.Writer) bool {
	here := w.within(w.storm)
	if len(here) == 0 || !w.play().fires(w.Rule) {
		return false
	}
	t := here[len(here)-1]
	fmt.Fprintf(out, "  limits.open (%d) was reached: the key is counted in the collapsed incident %s (%s)\n", w.Rule.Limits.Open, t.IncidentID, phrase.Count(t.DistinctKeys, "key"))
	return true
}

// nearest is the evaluation whose condition was nearest to holding.
func (w *Window) nearest() *point {
	cond := w.Rule.Condition()
	if cond == nil {
		return nil
	}
	var best *point
	least := 0.0
	for i := range w.points {
		p := &w.points[i]
		if p.at < w.From.UnixNano() || p.at > w.To.UnixNano() || len(p.aggs) != len(w.Rule.Aggs) {
			continue
		}
		if d := distance(cond.Explain(p.env())); best == nil || d < least {
			best, least = p, d
		}
	}
	return best
}

func (w *Window) stamp(t time.Time) string {
	if w.Clock != nil {
		return w.Clock(t)
	}
	return t.UTC().Format("2006-01-02T15:04:05.999999999Z07:00")
}

// said is a transition in words.
func said(t *correlate.Transition) string {
	words := []string{t.State + " (" + t.Cause + ")", phrase.Count(t.EventCount, "event"), t.IncidentID}
	switch {
	case t.Suppressed:
		words = append(words, "not notified: "+strings.Join(t.SuppressedBy, ", "))
	case t.Notified:
		words = append(words, "notified: "+t.NotifyReason)
	default:
		words = append(words, "not notified")
	}
	return strings.Join(words, "  ")
}

// late are the events that came too late, the least late first.
func (w *Window) late() []*event.Event {
	var evs []*event.Event
	for _, k := range w.kept {
		if k.late {
			evs = append(evs, k.ev)
		}
	}
	slices.SortStableFunc(evs, func(a, b *event.Event) int { return cmp.Compare(b.Time, a.Time) })
	return evs
}
