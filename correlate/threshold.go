package correlate

import "corral/rules"

// newThreshold returns the maker of a threshold rule's machines.
func newThreshold(r *rules.Rule) func() machine {
	p := newWindowPlan(r)
	if p.fixed {
		return func() machine { return newSplit(p) }
	}
	return func() machine { return newSliding(p) }
}
