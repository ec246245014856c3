package rules

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// hash fills in the three hashes of a compiled rule. They are made of what was
// compiled, so the layout of the file, comments, the order of keys, defaults and
// aliases do not enter.
func (r *Rule) hash() {
	aggs := r.namesOfAggs()
	logic, selects, text := &canon{aggs: aggs}, &canon{aggs: aggs}, &canon{aggs: aggs}
	r.hashSelect(selects)
	logic.b.WriteString(selects.b.String())
	r.hashLogic(logic)
	r.hashText(text)
	r.SelectHash, r.LogicHash, r.TextHash = selects.sum(), logic.sum(), text.sum()
}

// namesOfAggs replaces the number of an aggregate by what it is: numbers depend on
// what else the rule asks for.
func (r *Rule) namesOfAggs() *strings.Replacer {
	var pairs []string
	for i := len(r.Aggs) - 1; i >= 0; i-- { // agg:12 before agg:1
		pairs = append(pairs, aggIdent(i, AnyField).name, r.nameOfAgg(&r.Aggs[i]))
	}
	return strings.NewReplacer(pairs...)
}

func (r *Rule) nameOfAgg(a *Agg) string {
	arg, part, of := "", "", ""
	if a.Arg >= 0 {
		arg = r.Args[a.Arg].canon
	}
	if a.Part >= 0 {
		part = r.Parts[a.Part].Expr.canon
	}
	if a.Fn == Previous || a.Fn == Baseline {
		of = r.nameOfAgg(&r.Aggs[a.Of])
	}
	return fmt.Sprintf("%d(%q %q %v %q %d %d)", a.Fn, arg, part, a.Q, of, int64(a.Offset), a.N)
}

// canon is a canonical text being written: name=value lines, values quoted.
type canon struct {
	b    strings.Builder
	aggs *strings.Replacer // says of each aggregate, where an expression has its number, what it is
}

func (c *canon) put(name string, v any) {
	switch x := v.(type) {
	case *Expr:
		v = ""
		if x != nil {
			v = c.aggs.Replace(x.canon)
		}
	case *Template:
		v = c.aggs.Replace(x.canonical())
	}
	if d, ok := v.(time.Duration); ok {
		v = int64(d)
	}
	fmt.Fprintf(&c.b, "%s=%q\n", name, fmt.Sprint(v))
}

// sum is 128 bits in hex.
func (c *canon) sum() string {
	h := sha256.Sum256([]byte(c.b.String()))
	return hex.EncodeToString(h[:16])
}

// hashSelect covers what the rule's state is made of, without the numbers.
func (r *Rule) hashSelect(c *canon) {
	c.put("kind", r.Kind)
	c.put("incidents", r.FromIncidents)
	if r.FromHops {
		c.put("hops", true)
	}
	c.put("match", r.match)
	for i, g := range r.groupBy {
		c.put("key", r.KeyNames[i])
		c.put("by", g.all)
		for _, name := range slices.Sorted(maps.Keys(g.byName)) {
			c.put("by."+name, g.byName[name])
		}
	}
	r.hashKept(c)
	switch {
	case r.Threshold != nil:
		c.put("window", r.Threshold.Window)
		c.put("zone", r.Threshold.Location)
	case r.Change != nil:
		c.put("detect", r.Change.Detect)
	case r.Sequence != nil:
		for _, s := range r.Sequence.Steps {
			c.put("step", fmt.Sprint(s.Name, s.Part, s.Min, s.Max, s.Optional, s.Greedy, s.Absent))
			c.put("where", s.Where)
		}
		c.put("order", fmt.Sprint(r.Sequence.UntilPart, r.Sequence.Contiguity, r.Sequence.Skip))
	}
}

// hashKept covers what is kept of events by number. What a condition, a severity or
// a title asks of a window is not of it: aggregates may come and go. That ends
// where some look back, at values that were worked out when their window ended.
func (r *Rule) hashKept(c *canon) {
	fixed := !slices.ContainsFunc(r.Aggs, func(a Agg) bool { return a.Fn == Previous || a.Fn == Baseline })
	for i, p := range r.Parts {
		if fixed && slices.ContainsFunc(r.Aggs, func(a Agg) bool { return a.Part == i && a.Text != p.Name }) {
			continue // the predicate of a count
		}
		c.put("part", p.Name)
		c.put("is", p.Expr)
	}
	if fixed && r.Change == nil {
		return
	}
	for _, a := range r.Args {
		c.put("arg", a)
	}
	for _, a := range r.Aggs {
		c.put("agg", fmt.Sprint(a.Fn, a.Arg, a.Part, a.Q, a.Of, int64(a.Offset), a.N))
	}
}

// hashLogic covers what decides beyond the selection.
func (r *Rule) hashLogic(c *canon) {
	for _, d := range []struct {
		name string
		span time.Duration
	}{
		{"for", r.For}, {"keep", r.KeepFiringFor}, {"max", r.ResolveMax}, {"suppress", r.Suppress}, {"update", r.UpdateEvery},
	} {
		c.put(d.name, d.span)
	}
	c.put("resolve", r.ResolveWhen)
	c.put("refire", r.Refire)
	c.put("limits", fmt.Sprint(r.Limits))
	c.put("evidence", r.Evidence)
	c.put("signal", r.Signal)
	c.put("notify", r.NotifyResolved)
	if r.Context > 0 {
		c.put("context", r.Context)
	}
	for _, in := range r.InhibitedBy {
		c.put("inhibited", fmt.Sprintf("%q%q", in.Rule, in.Same))
	}
	for _, s := range r.Severity {
		c.put("severity", s.Is)
		c.put("when", s.When)
	}
	if r.Active != nil {
		c.put("active", r.Active.text+" "+r.Active.loc.String())
	}
	r.hashBlock(c)
}

func (r *Rule) hashBlock(c *canon) {
	switch {
	case r.Threshold != nil:
		t := r.Threshold
		c.put("size", t.Size)
		c.put("longest", t.Max)
		c.put("n", t.N)
		c.put("condition", t.Condition)
		c.put("clear", t.Clear)
	case r.Absence != nil:
		a := r.Absence
		c.put("every", a.Every)
		if a.Schedule != nil {
			c.put("schedule", a.Schedule.text+" "+a.Schedule.loc.String())
		}
		c.put("absence", fmt.Sprint(int64(a.Grace), a.Min, int64(a.Remember), int64(a.ForgetAfter)))
		c.put("expect", fmt.Sprintf("%q", a.Expect))
	case r.Change != nil:
		c.put("change", fmt.Sprint(int64(r.Change.Memory), int64(r.Change.Learn), r.Change.Changes, int64(r.Change.Within)))
	case r.Temporal != nil:
		c.put("window", r.Temporal.Window)
		c.put("condition", r.Temporal.Condition)
	case r.Sequence != nil:
		c.put("within", r.Sequence.Within)
		c.put("emit", r.Sequence.EmitOnTimeout)
		for _, s := range r.Sequence.Steps {
			c.put("step.within", s.Within)
		}
	}
}

// hashText covers what is only said about an incident.
func (r *Rule) hashText(c *canon) {
	c.put("title", r.Title)
	c.put("summary", r.Summary)
	c.put("owner", r.Owner)
	c.put("runbook", r.Runbook)
	for _, name := range slices.Sorted(maps.Keys(r.Labels)) {
		c.put("label."+name, r.Labels[name])
	}
}
