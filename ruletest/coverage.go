package ruletest

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"corral/correlate"
	"corral/event"
	"corral/ingest"
	"corral/ingest/decode"
	"corral/rules"
)

// coverage is what a run of tests has seen of the rules: whether each fired, each
// condition true and false, and which edges of an incident's life were taken.
type coverage struct {
	order []*rules.Rule
	seen  map[string]*ruleCoverage
}

type ruleCoverage struct {
	edges  map[string]bool
	values map[string]*[2]bool // what of: text of an operand → seen false, seen true
	texts  []string            // of operands, in order
}

func newCoverage() *coverage { return &coverage{seen: map[string]*ruleCoverage{}} }

// rules adds what is under test.
func (c *coverage) rules(set *rules.Set) {
	for _, r := range set.Rules {
		if c.seen[r.ID] == nil {
			c.order = append(c.order, r)
			c.seen[r.ID] = &ruleCoverage{edges: map[string]bool{}, values: map[string]*[2]bool{}}
		}
	}
}

// add notes the run of a test as written.
func (c *coverage) add(r *runner, got []*correlate.Transition) {
	c.operandsOf(r)
	c.dropped(r)
	for _, t := range got {
		if rc := c.seen[t.RuleID]; rc != nil {
			rc.edges[edge(t)] = true
			if t.Relapses > 0 {
				rc.edges["relapsed"] = true
			}
		}
	}
}

// dropped notes keys whose condition ended before it had held for long enough.
func (c *coverage) dropped(r *runner) {
	pending := map[string]bool{}
	for _, t := range r.engine {
		id := t.Rule.ID + "\x00" + rules.EncodeKey(t.Key)
		if rc := c.seen[t.Rule.ID]; rc != nil && pending[id] && !t.Pending && !t.Open {
			rc.edges["dropped before `for`"] = true
		}
		pending[id] = t.Pending
	}
}

// operandsOf evaluates what every event of the test makes of each rule's
// selections, and what each evaluation made of its conditions.
func (c *coverage) operandsOf(r *runner) {
	dec := decode.New(decode.Options{AttrPaths: r.set.AttrPaths})
	for _, d := range r.test.Steps {
		dec.Decode(ingest.Record{Data: d.Data}, func(ev *event.Event) { c.event(r.set, ev, false) }, func(decode.DeadRecord) {})
	}
	for _, t := range r.test.got {
		c.event(r.set, incidentEvent(t), true)
	}
	for i := range r.traces {
		x := &r.traces[i]
		rc := c.seen[x.rule.ID]
		if rc == nil || len(x.aggs) != len(x.rule.Aggs) {
			continue
		}
		env := &rules.Env{Event: x.event, Aggs: x.aggs, Key: x.values}
		rc.condition("condition", x.rule.Condition(), env)
		if x.rule.Threshold != nil {
			rc.condition("clear", x.rule.Threshold.Clear, env)
		}
	}
}

// event shows an event, or an incident, to the rules that read such.
func (c *coverage) event(set *rules.Set, ev *event.Event, incident bool) {
	env := &rules.Env{Event: ev}
	for _, rule := range set.Rules {
		rc := c.seen[rule.ID]
		if rule.FromIncidents != incident || rule.FromHops || rc == nil {
			continue
		}
		rc.condition("match", rule.Match(), env)
		rc.condition("resolve.when", rule.ResolveWhen, env)
		for _, p := range rule.Parts {
			rc.condition(p.Name, p.Expr, env)
		}
	}
}

// incidentEvent is a revision as rules with `from: incidents` read it.
func incidentEvent(t *correlate.Transition) *event.Event {
	return &event.Event{
		Kind: "incident", Time: t.ChangedAt.UnixNano(), Message: t.Title, Service: cmp.Or(t.Labels["service.name"], t.Key["service"]),
		Incident: &event.Incident{
			ID: t.IncidentID, Rule: t.RuleID, State: t.State, Severity: t.Severity, Cause: t.Cause, Title: t.Title, Rev: t.Rev, Count: t.EventCount,
			Key: t.Key, Labels: t.Labels, StartedAt: t.StartedAt.UnixNano(), OpenedAt: t.OpenedAt.UnixNano(),
		},
	}
}

// condition notes what each operand of && || and ?: came to, and the whole.
func (rc *ruleCoverage) condition(of string, x *rules.Expr, env *rules.Env) {
	if x == nil {
		return
	}
	n := x.Explain(env)
	rc.note(of, n)
	n.Walk(func(n *rules.Node) {
		for _, k := range n.Kids {
			if len(k.Kids) == 0 { // what is put together of others is covered if they are
				rc.note(of, k)
			}
		}
	})
}

func (rc *ruleCoverage) note(of string, n *rules.Node) {
	text := of + ": " + n.Text
	o := rc.values[text]
	if o == nil {
		o = new([2]bool)
		rc.values[text] = o
		rc.texts = append(rc.texts, text)
	}
	o[index(n.Outcome == rules.True)] = true
}

func index(b bool) int {
	if b {
		return 1
	}
	return 0
}

func edge(t *correlate.Transition) string {
	switch kindOf(t) {
	case "open":
		return "opened"
	case "updated":
		return "updated by " + t.Cause
	}
	return "resolved by " + t.Cause
}

func (c *coverage) write(w io.Writer) {
	fired := 0
	for _, r := range c.order {
		if c.seen[r.ID].edges["opened"] {
			fired++
		}
	}
	fmt.Fprintf(w, "\ncoverage: %d of %d rules opened an incident\n", fired, len(c.order))
	for _, r := range c.order {
		c.rule(w, r)
	}
}

func (c *coverage) rule(w io.Writer, r *rules.Rule) {
	rc := c.seen[r.ID]
	edges := slices.Sorted(maps.Keys(rc.edges))
	if len(edges) == 0 {
		edges = []string{"never opened"}
	}
	fmt.Fprintf(w, "  %-32s %s\n", r.ID, strings.Join(edges, ", "))
	for _, text := range rc.texts {
		switch o := rc.values[text]; {
		case !o[0]:
			fmt.Fprintf(w, "      never false: %s\n", text)
		case !o[1]:
			fmt.Fprintf(w, "      never true:  %s\n", text)
		}
	}
}
