package history

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"corral/correlate"
	"corral/event"
	"corral/rules"
)

// peaks follows, for the rules that differ, how near to its condition each side
// came while the other side had an incident. It takes the evaluations of both
// sides as they are made and puts them in order at the end of every batch, when
// both have come to the same instant. What no incident is about is forgotten: it
// holds the latest evaluation of each key with state.
type peaks struct {
	want    [2]map[string]string // rules that are followed: their id at the head
	evals   []eval
	changes []edge
	latest  [2]map[string]eval
	open    map[string][]*Near // incidents that are open, by rule and key
	gauges  map[*rules.Rule]gauge
}

// eval is an evaluation of one side's rule for a key.
type eval struct {
	side    int
	id      string // rule and key
	at      int64
	aggs    []event.Value
	true    bool
	pending bool
	rule    *rules.Rule
}

// edge is an incident opening or resolving.
type edge struct {
	id, incident string
	at           int64
	open         bool
	near         *Near
}

// Near is how near each side came to its condition while an incident was open.
type Near struct {
	incident string
	Sides    [2]Reach
}

// Reach is the evaluation of one side that came nearest.
type Reach struct {
	Seen  bool // it was evaluated at all
	True  bool // its condition was true at some instant
	since int64
	Held  time.Duration // longest time it was true and waiting for `for`
	Aggs  []event.Value
	rule  *rules.Rule
	score float64
}

func newPeaks() *peaks {
	return &peaks{latest: [2]map[string]eval{{}, {}}, open: map[string][]*Near{}, gauges: map[*rules.Rule]gauge{}}
}

// trace is a lane's correlate.Options.Trace.
func (p *peaks) trace(side int, t correlate.TraceEvent) {
	name := p.want[side][t.Rule.ID]
	if name == "" || t.Rule.Condition() == nil {
		return
	}
	p.evals = append(p.evals, eval{
		side: side, id: ruleKey(name, t.Rule.KeyNames, t.Key), at: t.At, aggs: slices.Clone(t.Aggs), true: t.True, pending: t.Pending, rule: t.Rule,
	})
}

func ruleKey(rule string, names, values []string) string {
	key := make(map[string]string, len(names))
	for i, n := range names {
		if i < len(values) {
			key[n] = values[i]
		}
	}
	return identity(rule, key)
}

// transition tells that an incident opened or resolved; near is that incident's.
func (p *peaks) transition(side int, t *correlate.Transition, near *Near) {
	if t.Rev == 1 || t.State == "resolved" {
		p.changes = append(p.changes, edge{identity(p.want[side][t.RuleID], t.Key), t.IncidentID, t.ChangedAt.UnixNano(), t.State == "open", near})
	}
}

// settle takes in what both sides did up to the same instant: openings before
// evaluations of that instant, resolutions after.
func (p *peaks) settle() {
	slices.SortStableFunc(p.evals, func(a, b eval) int { return int(min(1, max(-1, a.at-b.at))) })
	slices.SortStableFunc(p.changes, func(a, b edge) int { return int(min(1, max(-1, a.at-b.at))) })
	i := 0
	for _, e := range p.evals {
		for i < len(p.changes) && (p.changes[i].at < e.at || p.changes[i].at == e.at && p.changes[i].open) {
			p.edge(p.changes[i])
			i++
		}
		p.eval(e)
	}
	for ; i < len(p.changes); i++ {
		p.edge(p.changes[i])
	}
	p.evals, p.changes = p.evals[:0], p.changes[:0]
}

func (p *peaks) edge(c edge) {
	if !c.open {
		p.open[c.id] = slices.DeleteFunc(p.open[c.id], func(n *Near) bool { return n.incident == c.incident })
		if len(p.open[c.id]) == 0 {
			delete(p.open, c.id)
		}
		return
	}
	c.near.incident = c.incident
	p.open[c.id] = append(p.open[c.id], c.near)
	for side := range p.latest {
		if e, ok := p.latest[side][c.id]; ok {
			p.fold(&c.near.Sides[side], e)
		}
	}
}

func (p *peaks) eval(e eval) {
	if nothing(e.aggs) {
		delete(p.latest[e.side], e.id)
	} else {
		p.latest[e.side][e.id] = e
	}
	for _, n := range p.open[e.id] {
		p.fold(&n.Sides[e.side], e)
	}
}

// nothing reports whether a key has no state worth remembering.
func nothing(aggs []event.Value) bool {
	return !slices.ContainsFunc(aggs, func(v event.Value) bool {
		return v.Kind != event.Nil && !(v.Kind == event.Int && v.Int == 0)
	})
}

func (p *peaks) fold(r *Reach, e eval) {
	g, ok := p.gauges[e.rule]
	if !ok {
		g = gaugeOf(e.rule)
		p.gauges[e.rule] = g
	}
	if e.pending && r.since == 0 {
		r.since = e.at
	}
	if r.since != 0 {
		r.Held = max(r.Held, time.Duration(e.at-r.since))
	}
	if !e.pending {
		r.since = 0
	}
	r.True = r.True || e.true || e.pending
	if s := g.score(e.aggs); !r.Seen || s > r.score {
		r.score, r.Aggs = s, e.aggs
	}
	r.Seen, r.rule = true, e.rule
}

// gauge reads from a condition of the form `aggregate op number` how near the
// aggregate came; from another, the first aggregate.
type gauge struct {
	agg   int
	op    string
	limit float64
	plain bool // the condition has that form
}

var comparison = regexp.MustCompile(`^(.*[^<>=! ]) *(>=|>|<=|<) *(-?[0-9.]+)$`)

func gaugeOf(r *rules.Rule) gauge {
	g := gauge{agg: -1}
	if len(r.Aggs) > 0 {
		g.agg = 0
	}
	cond := r.Condition()
	if cond == nil {
		return g
	}
	m := comparison.FindStringSubmatch(exprText(cond))
	if m == nil {
		return g
	}
	i := slices.IndexFunc(r.Aggs, func(a rules.Agg) bool { return squeeze(a.Text) == squeeze(m[1]) })
	limit, err := strconv.ParseFloat(m[3], 64)
	if i < 0 || err != nil {
		return g
	}
	return gauge{i, m[2], limit, true}
}

func squeeze(s string) string { return strings.ReplaceAll(s, " ", "") }

func (g gauge) score(aggs []event.Value) float64 {
	v, ok := number(aggs, g.agg)
	if !ok {
		return 0
	}
	if strings.HasPrefix(g.op, "<") {
		return -v
	}
	return v
}

func number(aggs []event.Value, i int) (float64, bool) {
	if i < 0 || i >= len(aggs) {
		return 0, false
	}
	switch v := aggs[i]; v.Kind {
	case event.Int:
		return float64(v.Int), true
	case event.Float:
		return v.Float, true
	}
	return 0, false
}

// text is how near it came: "7 of 10"; with another kind of condition every
// aggregate: "count() 7, distinct(user) 2".
func (r *Reach) text() string {
	g := gaugeOf(r.rule)
	if v, ok := number(r.Aggs, g.agg); ok && g.plain {
		of := "of"
		if strings.HasPrefix(g.op, "<") {
			of = "where less than"
			if g.op == "<=" {
				of = "where at most"
			}
		}
		return fmt.Sprintf("%s %s %s", digits(v), of, digits(g.limit))
	}
	var parts []string
	for i, a := range r.rule.Aggs {
		if v, ok := number(r.Aggs, i); ok {
			parts = append(parts, a.Text+" "+digits(v))
		}
	}
	return strings.Join(parts, ", ")
}

// digits writes a number with at most four digits behind the point.
func digits(v float64) string {
	s := strconv.FormatFloat(v, 'f', 4, 64)
	return strings.TrimRight(strings.TrimRight(s, "0"), ".")
}
