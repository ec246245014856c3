package rules

import "slices"

// With returns a set in which r, a changed copy of one of its rules, stands for
// that rule: to ask what would be if a number, a span or a word of the rule were
// another. What it selects, its expressions and its id must be as they were.
func (s *Set) With(r *Rule) *Set {
	with := *s
	with.Rules, with.plans, with.byID = slices.Clone(s.Rules), slices.Clone(s.plans), map[string]*Rule{}
	with.Rules[r.Index] = r
	p := &with.plans[r.Index]
	p.rule, p.strict = r, r.Sequence != nil && r.Sequence.Contiguity == Strict
	for _, x := range with.Rules {
		with.byID[x.ID] = x
	}
	return &with
}
