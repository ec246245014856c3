package correlate

import (
	"slices"

	"corral/rules"
)

// traced tells what the call has found.
func (r *ruleState) traced(c *call, k uint32) {
	t := TraceEvent{
		Rule: r.rule, Key: rules.DecodeKey(r.keys.name(k)), At: c.now,
		Aggs: slices.Clone(r.values(c)), True: r.change.fired,
	}
	if !r.change.timer {
		t.Event = r.env.Event
	}
	if ep := r.episode(k); ep != nil {
		t.Pending, t.Open = !ep.open, ep.open
	}
	r.trace(t)
}
