package rules

import (
	"slices"
)

// groupKey is one name of group_by with its expression, by step where steps differ.
type groupKey struct {
	all    *Expr // nil: by step
	byName map[string]*Expr
	byPart []*Expr // by part index; nil for parts that are no steps
	order  []*Expr // in the order written: for events that are no step
}

// plan is how the matcher decides about one rule.
type plan struct {
	rule   *Rule
	match  cond // noCond: everything
	parts  []cond
	answer cond   // resolve.when; noCond: none
	steps  uint64 // parts of which one must hold: steps, event types
	always uint64 // parts looked at even if `match` does not hold: until, start, end
	preds  uint64 // parts looked at only for selected events: predicates of count
	strict bool   // every event of the key that `match` holds for concerns the rule
	byStep bool   // keys differ by step
}

func newPlan(r *Rule, t *atomTable) plan {
	p := plan{rule: r, match: t.add(r.match), answer: t.add(r.ResolveWhen)}
	for i := range r.Parts {
		p.parts = append(p.parts, t.add(r.Parts[i].Expr))
		bit := uint64(1) << i
		switch {
		case r.isAlways(i):
			p.always |= bit
		case r.isStep(i):
			p.steps |= bit
		default:
			p.preds |= bit
		}
	}
	p.strict = r.Sequence != nil && r.Sequence.Contiguity == Strict
	p.byStep = slices.ContainsFunc(r.groupBy, func(g groupKey) bool { return g.all == nil })
	return p
}

func (r *Rule) isAlways(part int) bool {
	return r.Sequence != nil && part == r.Sequence.UntilPart ||
		r.Threshold != nil && (part == r.Threshold.StartPart || part == r.Threshold.EndPart)
}

func (r *Rule) isStep(part int) bool {
	switch r.Kind {
	case SequenceKind:
		return part < len(r.Sequence.Steps)
	case TemporalKind:
		return slices.Contains(r.Temporal.Events, part)
	}
	return false
}

// bindKeys gives the keys that differ by step their part indexes.
func (r *Rule) bindKeys() {
	for i := range r.groupBy {
		g := &r.groupBy[i]
		if g.all != nil {
			continue
		}
		g.byPart = make([]*Expr, len(r.Parts))
		for part, p := range r.Parts {
			if r.isStep(part) {
				g.byPart[part] = g.byName[p.Name]
			}
		}
	}
}
