// Package explain says why a rule did or did not fire: for one event as a tree of
// conditions with the values they met, for a key over a stretch of history as its
// nearest miss and the smallest change that would have fired.
package explain

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"corral/correlate"
	"corral/event"
	"corral/rules"
)

// Event writes how a rule looks at one event: its match, its steps or event types,
// what resolves it, and its group key.
func Event(w io.Writer, r *rules.Rule, ev *event.Event) {
	env := &rules.Env{Event: ev}
	fmt.Fprintf(w, "%s %s %s\n", ev.When().Format(time.RFC3339Nano), ev.Service, clip(ev.Message, 80))
	matches := true
	if m := r.Match(); m != nil {
		n := m.Explain(env)
		matches = n.Outcome == rules.True
		fmt.Fprintf(w, "  match: %s\n", verdict(matches))
		tree(w, n, 2)
	}
	for _, p := range r.Parts {
		n := p.Expr.Explain(env)
		fmt.Fprintf(w, "  %s: %s\n", p.Name, verdict(n.Outcome == rules.True))
		tree(w, n, 2)
	}
	if r.ResolveWhen != nil {
		n := r.ResolveWhen.Explain(env)
		fmt.Fprintf(w, "  resolve.when: %s\n", verdict(n.Outcome == rules.True))
		tree(w, n, 2)
	}
	for i, name := range r.KeyNames {
		key(w, r, i, name, env)
	}
}

func key(w io.Writer, r *rules.Rule, i int, name string, env *rules.Env) {
	for step, x := range r.GroupBy(i) {
		v := x.Value(env)
		label := name
		if step != "" {
			label += " (" + step + ")"
		}
		if v.Kind == event.Nil || v.Kind == event.String && v.Str == "" {
			fmt.Fprintf(w, "  key %s: absent, so the event is dropped for this rule\n", label)
			continue
		}
		fmt.Fprintf(w, "  key %s: %v\n", label, v.Box())
	}
}

func verdict(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

// tree writes a condition and what each part of it came to.
func tree(w io.Writer, n *rules.Node, depth int) {
	var saw []string
	for _, r := range n.Reads {
		if r.Absent {
			saw = append(saw, r.Name+" is absent")
		} else {
			saw = append(saw, fmt.Sprintf("%s = %v", r.Name, quoted(r.Value)))
		}
	}
	note := n.Reason
	if note == "" {
		note = strings.Join(saw, ", ")
	}
	text := n.Text
	if len(n.Kids) > 0 && n.Op != "" {
		text = map[string]string{"&&": "all of", "||": "any of", "!": "not", "?:": "if"}[n.Op]
	}
	fmt.Fprintf(w, "%s%-9s %-44s %s\n", strings.Repeat("  ", depth), n.Outcome, clip(text, 60), note)
	for _, k := range n.Kids {
		tree(w, k, depth+1)
	}
}

func quoted(v event.Value) any {
	if v.Kind == event.String {
		return fmt.Sprintf("%q", clip(v.Str, 60))
	}
	return v.Box()
}

func clip(s string, n int) string {
	r := []rune(strings.Map(func(c rune) rune {
		if c < ' ' || c == 0x7f {
			return ' '
		}
		return c
	}, s))
	if len(r) <= n {
		return string(r)
	}
	return string(r[:n-1]) + "…"
}

// Window collects what a rule made of one key over a stretch of history.
type Window struct {
	Rule     *rules.Rule
	Key      map[string]string // only keys with these values
	From, To time.Time
	points   []point
	fired    []*correlate.Transition
}

type point struct {
	at    int64
	event bool
	aggs  []event.Value
	true  bool
}

// Trace is the engine's Options.Trace.
func (w *Window) Trace(t correlate.TraceEvent) {
	if t.Rule.ID != w.Rule.ID || !w.holds(t.Key) {
		return
	}
	w.points = append(w.points, point{at: t.At, event: t.Event != nil, aggs: slices.Clone(t.Aggs), true: t.True})
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
	for k, v := range w.Key {
		if t.Key[k] != v {
			return
		}
	}
	w.fired = append(w.fired, t)
}

// Write says whether and why the rule fired between From and To, or what came
// nearest to it.
func (w *Window) Write(out io.Writer) {
	span := w.From.UTC().Format("2006-01-02 15:04:05") + " and " + w.To.UTC().Format("2006-01-02 15:04:05") + " UTC"
	n := 0
	for _, t := range w.fired {
		if t.ChangedAt.Before(w.From) || t.ChangedAt.After(w.To) {
			continue
		}
		if n++; n == 1 {
			fmt.Fprintf(out, "%s fired between %s\n", w.Rule.ID, span)
		}
		fmt.Fprintf(out, "  %s  rev %d  %s, %s  %d events  %s\n", t.ChangedAt.Format(time.RFC3339Nano), t.Rev, t.State, t.Cause, t.EventCount, t.IncidentID)
	}
	if n > 0 {
		return
	}
	fmt.Fprintf(out, "%s did not fire between %s\n", w.Rule.ID, span)
	w.miss(out)
}

// miss says what came nearest: the evaluation with the highest value of the
// rule's first aggregate.
func (w *Window) miss(out io.Writer) {
	var best *point
	for i := range w.points {
		p := &w.points[i]
		if p.at < w.From.UnixNano() || p.at > w.To.UnixNano() {
			continue
		}
		if best == nil || lead(p) > lead(best) {
			best = p
		}
	}
	if best == nil {
		fmt.Fprintln(out, "  no event met the rule for this key in that time; `corral explain --rule "+w.Rule.ID+" --event FILE` shows what one lacks")
		return
	}
	var parts []string
	for i, a := range w.Rule.Aggs {
		if i < len(best.aggs) && best.aggs[i].Kind != event.Nil {
			parts = append(parts, fmt.Sprintf("%s = %v", a.Text, best.aggs[i].Box()))
		}
	}
	fmt.Fprintf(out, "  nearest miss  %s  %s\n", time.Unix(0, best.at).UTC().Format(time.RFC3339Nano), strings.Join(parts, ", "))
	if cond := condition(w.Rule); cond != nil {
		fmt.Fprintf(out, "  condition     %s\n", cond.Text())
		tree(out, cond.Explain(&rules.Env{Aggs: best.aggs}), 1)
	}
	w.change(out, best)
}

func lead(p *point) float64 {
	if len(p.aggs) == 0 {
		return 0
	}
	switch v := p.aggs[0]; v.Kind {
	case event.Int:
		return float64(v.Int)
	case event.Float:
		return v.Float
	}
	return -1
}

func condition(r *rules.Rule) *rules.Expr {
	switch {
	case r.Threshold != nil:
		return r.Threshold.Condition
	case r.Temporal != nil:
		return r.Temporal.Condition
	}
	return nil
}

// change names the smallest change of the rule that would have fired, where the
// condition is one count against a number.
func (w *Window) change(out io.Writer, best *point) {
	th := w.Rule.Threshold
	if th == nil || len(w.Rule.Aggs) == 0 {
		return
	}
	a := w.Rule.Aggs[0]
	need, ok := atLeast(th.Condition.Text(), a.Text)
	if !ok || lead(best) <= 0 {
		return
	}
	fmt.Fprintf(out, "  would have fired with  %s >= %g", a.Text, lead(best))
	if span, ok := w.span(int(need)); ok && a.Fn == rules.Count && a.Part < 0 && th.Window == rules.Sliding {
		fmt.Fprintf(out, ",  or a window of %s", rules.FormatDuration(span))
	}
	fmt.Fprintln(out)
}

// atLeast reads `agg >= n`.
func atLeast(cond, agg string) (n float64, ok bool) {
	rest, ok := strings.CutPrefix(strings.TrimSpace(cond), agg)
	if !ok {
		return 0, false
	}
	rest, ok = strings.CutPrefix(strings.TrimSpace(rest), ">=")
	if !ok {
		return 0, false
	}
	_, err := fmt.Sscanf(strings.TrimSpace(rest), "%g", &n)
	return n, err == nil && n >= 1
}

// span is the shortest time in which n events of the key came.
func (w *Window) span(n int) (time.Duration, bool) {
	var at []int64
	for _, p := range w.points {
		if p.event && p.at <= w.To.UnixNano() {
			at = append(at, p.at)
		}
	}
	best := int64(-1)
	for i := n - 1; i < len(at); i++ {
		if d := at[i] - at[i-n+1]; best < 0 || d < best {
			best = d
		}
	}
	return time.Duration(best), best >= 0
}
