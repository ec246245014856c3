// Package explain says why a rule did or did not fire: for one event as a tree of
// conditions with the values they met, for a key over a stretch of history by how
// near it came and what would have been enough, for an incident as its timeline. It decides nothing itself: conditions are evaluated by package
// rules, and what would have been is played on the engine.
package explain

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"corral/event"
	"corral/rules"
)

// Event writes how a rule looks at one event: its match, its steps or event types,
// what resolves it, and its group key.
func Event(w io.Writer, r *rules.Rule, ev *event.Event) {
	env := &rules.Env{Event: ev}
	fmt.Fprintf(w, "%s  %s  %s\n", ev.When().Format(time.RFC3339Nano), orDash(ev.Service), clip(ev.Message, 80))
	if r.FromIncidents {
		fmt.Fprintf(w, "  %s reads incidents of other rules, no events\n", r.ID)
		return
	}
	if m := r.Match(); m != nil {
		section(w, "match", m.Explain(env))
	}
	for _, p := range r.Parts {
		section(w, partName(r, p.Name), p.Expr.Explain(env))
	}
	for i, x := range r.Args {
		fmt.Fprintf(w, "  %s: %s\n", argName(r, i), value(x.Value(env)))
	}
	if r.ResolveWhen != nil {
		section(w, "resolve.when", r.ResolveWhen.Explain(env))
	}
	for i, name := range r.KeyNames {
		key(w, r, i, name, env)
	}
	if r.Active != nil && !r.Active.Active(ev.Time) {
		fmt.Fprintf(w, "  active: no, %s is outside %s\n", ev.When().Format("Mon 15:04 UTC"), r.Active.Text())
	}
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// partName says what a selection is for.
func partName(r *rules.Rule, name string) string {
	switch {
	case r.Sequence != nil && name != "until":
		return "step " + name
	case r.Temporal != nil:
		return "event type " + name
	case r.Threshold != nil && !strings.HasPrefix(name, "window."):
		return "count(" + clip(name, 50) + ")"
	}
	return name
}

func argName(r *rules.Rule, i int) string {
	if r.Change != nil {
		return "of " + r.Args[i].Text()
	}
	return "value of " + r.Args[i].Text()
}

func section(w io.Writer, name string, n *rules.Node) {
	fmt.Fprintf(w, "  %s: %s\n", name, verdict(n.Outcome == rules.True))
	tree(w, n, 2)
}

// key writes what the event has of one group key. Without it the event is dropped.
func key(w io.Writer, r *rules.Rule, i int, name string, env *rules.Env) {
	by := r.GroupBy(i)
	for _, step := range slices.Sorted(maps.Keys(by)) {
		v := by[step].Value(env)
		label := name
		if step != "" {
			label += " (" + step + ")"
		}
		if v.Kind == event.Nil || v.Kind == event.String && v.Str == "" {
			fmt.Fprintf(w, "  key %s: %s is absent, so the event is dropped for this rule\n", label, by[step].Text())
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
	text := n.Text
	if len(n.Kids) > 0 && n.Op != "" {
		text = map[string]string{"&&": "all of", "||": "any of", "!": "not", "?:": "if, then, else"}[n.Op]
	}
	line := fmt.Sprintf("%s%-9s %-44s %s", strings.Repeat("  ", depth), n.Outcome, clip(text, 60), note(n))
	fmt.Fprintln(w, strings.TrimRight(line, " "))
	for _, k := range operands(n) {
		tree(w, k, depth+1)
	}
}

// operands are the parts of a condition; a && b && c has three, not two of two.
func operands(n *rules.Node) []*rules.Node {
	if n.Op != "&&" && n.Op != "||" {
		return n.Kids
	}
	var all []*rules.Node
	for _, k := range n.Kids {
		if k.Op == n.Op {
			all = append(all, operands(k)...)
		} else {
			all = append(all, k)
		}
	}
	return all
}

// note is what a condition looked at, and why it did not hold.
func note(n *rules.Node) string {
	if n.Reason != "" {
		return n.Reason
	}
	var saw []string
	for _, r := range n.Reads {
		if r.Absent {
			saw = append(saw, r.Name+" is absent")
		} else {
			saw = append(saw, r.Name+" is "+value(r.Value))
		}
	}
	return strings.Join(saw, ", ")
}

// value is a value as people read it.
func value(v event.Value) string {
	switch v.Kind {
	case event.Nil:
		return "undefined"
	case event.String:
		return fmt.Sprintf("%q", clip(v.Str, 60))
	case event.Float:
		return fmt.Sprintf("%.4g", v.Float)
	}
	return clip(fmt.Sprint(v.Box()), 60)
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
