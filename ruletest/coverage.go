package ruletest

import (
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
	evaluated bool
	holds     [2]bool // false, true
	edges     map[string]bool
	values    map[string]*[2]bool // text of an operand → seen false, seen true
	texts     []string            // of operands, in order
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
	for i := range r.traces {
		x := &r.traces[i]
		rc := c.seen[x.rule.ID]
		if rc == nil {
			continue
		}
		rc.evaluated = true
		rc.holds[index(x.holds)] = true
	}
	c.operandsOf(r)
	for _, t := range got {
		if rc := c.seen[t.RuleID]; rc != nil {
			rc.edges[edge(t)] = true
			if t.Relapses > 0 {
				rc.edges["relapsed"] = true
			}
		}
	}
}

// operandsOf evaluates what every event of the test makes of each rule's match,
// and what each evaluation made of its condition.
func (c *coverage) operandsOf(r *runner) {
	dec := decode.New(decode.Options{AttrPaths: r.set.AttrPaths})
	for _, d := range r.test.Steps {
		dec.Decode(ingest.Record{Data: d.Data}, func(ev *event.Event) {
			for _, rule := range r.set.Rules {
				if m := rule.Match(); m != nil {
					c.seen[rule.ID].operands(m.Explain(&rules.Env{Event: ev}))
				}
			}
		}, func(decode.DeadRecord) {})
	}
	for i := range r.traces {
		x := &r.traces[i]
		rc, cond := c.seen[x.rule.ID], conditionOf(x.rule)
		if rc != nil && cond != nil && len(x.aggs) == len(x.rule.Aggs) {
			rc.operands(cond.Explain(&rules.Env{Event: x.event, Aggs: x.aggs}))
		}
	}
}

// operands notes each operand of && || and ?: as it was this time.
func (rc *ruleCoverage) operands(n *rules.Node) {
	n.Walk(func(n *rules.Node) {
		for _, k := range n.Kids {
			o := rc.values[k.Text]
			if o == nil {
				o = new([2]bool)
				rc.values[k.Text] = o
				rc.texts = append(rc.texts, k.Text)
			}
			o[index(k.Outcome == rules.True)] = true
		}
	})
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
	if cond := condition(r); cond != "" && rc.evaluated && rc.holds[0] != rc.holds[1] {
		which := "false"
		if !rc.holds[1] {
			which = "true"
		}
		fmt.Fprintf(w, "      never %s: condition %s\n", which, cond)
	}
}
