package explain

import (
	"fmt"
	"io"
	"strings"

	"corral/event"
	"corral/internal/phrase"
	"corral/rules"
)

// stats say of the events of a key what each operand of the selections made of them.
type stats struct {
	events, matched int
	operands        []operand
	index           map[string]int
	best            *event.Event // the one that was nearest to being selected
	least           float64
}

type operand struct {
	part, text string
	outcomes   [3]int // by rules.Outcome
}

// Look takes any event of the history, in any order: those of the key, between
// From and To, enter the statistics.
func (w *Window) Look(ev *event.Event) {
	if w.Rule.FromIncidents || w.Rule.FromHops || ev.Time < w.From.UnixNano() || ev.Time > w.To.UnixNano() {
		return
	}
	env := &rules.Env{Event: ev}
	if !w.hasKey(env) {
		if w.lacksKey(env) && selected(w.Rule, env) {
			w.nokey++
		}
		return
	}
	w.stats.look(w.Rule, env)
}

// hasKey says whether the event has the key asked for, under any of the names its
// steps have for it.
func (w *Window) hasKey(env *rules.Env) bool {
	for i, name := range w.Rule.KeyNames {
		want, ok := w.Key[name]
		found := !ok
		for _, x := range w.Rule.GroupBy(i) {
			v := x.Value(env)
			found = found || ok && v.Kind != event.Nil && fmt.Sprint(v.Box()) == want
		}
		if !found {
			return false
		}
	}
	return true
}

// lacksKey says whether the event is without one of the rule's keys.
func (w *Window) lacksKey(env *rules.Env) bool {
	for i := range w.Rule.KeyNames {
		there := false
		for _, x := range w.Rule.GroupBy(i) {
			v := x.Value(env)
			there = there || v.Kind != event.Nil && (v.Kind != event.String || v.Str != "")
		}
		if !there {
			return true
		}
	}
	return false
}

// selected says whether the event is one the rule counts.
func selected(r *rules.Rule, env *rules.Env) bool {
	if m := r.Match(); m != nil {
		if ok, _ := m.Bool(env); !ok {
			return false
		}
	}
	if r.Temporal == nil && r.Sequence == nil {
		return true
	}
	for i, p := range r.Parts {
		if r.Sequence != nil && i == r.Sequence.UntilPart {
			continue
		}
		if ok, _ := p.Expr.Bool(env); ok {
			return true
		}
	}
	return false
}

func (s *stats) look(r *rules.Rule, env *rules.Env) {
	if s.index == nil {
		s.index = map[string]int{}
	}
	s.events++
	if selected(r, env) {
		s.matched++
	}
	d := 0.0
	if m := r.Match(); m != nil {
		n := m.Explain(env)
		d = distance(n)
		s.add("match", n)
	}
	if r.Temporal != nil || r.Sequence != nil {
		nearest := missing
		for _, p := range r.Parts {
			n := p.Expr.Explain(env)
			nearest = min(nearest, distance(n))
			s.add(partName(r, p.Name), n)
		}
		d += nearest
	}
	if s.best == nil || d < s.least {
		s.best, s.least = env.Event.Clone(), d
	}
}

// add counts the operands of a selection.
func (s *stats) add(part string, n *rules.Node) {
	if len(n.Kids) > 0 {
		for _, k := range operands(n) {
			s.add(part, k)
		}
		return
	}
	id := part + "\x00" + n.Text
	i, ok := s.index[id]
	if !ok {
		i = len(s.operands)
		s.index[id] = i
		s.operands = append(s.operands, operand{part: part, text: n.Text})
	}
	s.operands[i].outcomes[n.Outcome]++
}

func (s *stats) write(w io.Writer, r *rules.Rule, key map[string]string) {
	if s.events == 0 {
		return
	}
	have := ""
	if len(key) > 0 {
		have = " had" + phrase.Key(key)
	}
	fmt.Fprintf(w, "  %s%s, %d of them met the rule\n", phrase.Count(s.events, "event"), have, s.matched)
	part := "match"
	for _, o := range s.operands {
		indent := "    "
		if o.part != "match" {
			indent += "  "
		}
		if o.part != part {
			part = o.part
			fmt.Fprintf(w, "    %s\n", part)
		}
		fmt.Fprintf(w, "%s%-44s %s\n", indent, clip(o.text, 60), o.counts())
	}
}

func (o operand) counts() string {
	var parts []string
	for i, name := range []string{rules.True: "true", rules.False: "false", rules.Undefined: "undefined"} {
		if o.outcomes[i] > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", o.outcomes[i], name))
		}
	}
	return strings.Join(parts, "  ")
}

// nearest writes the event that came nearest to being selected.
func (s *stats) nearest(w io.Writer, r *rules.Rule, name string) {
	if s.best == nil {
		if !r.FromIncidents && !r.FromHops {
			fmt.Fprintln(w, "  and none of the time had that key at all: is it spelt as the events have it?")
		}
		return
	}
	fmt.Fprintf(w, "  nearest to it was%s\n", name)
	var b strings.Builder
	Event(&b, r, s.best)
	for line := range strings.Lines(b.String()) {
		io.WriteString(w, "    "+line)
	}
}
