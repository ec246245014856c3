package explain

import (
	"fmt"
	"io"

	"corral/event"
	"corral/rules"
)

// Miss says how far an event is from a rule's match, 0 if it meets it; some of the
// match must hold, or it is no miss but another matter.
func Miss(r *rules.Rule, ev *event.Event) (far float64, near bool) {
	m := r.Match()
	if m == nil || r.FromIncidents || r.FromHops {
		return 0, false
	}
	n := m.Explain(&rules.Env{Event: ev})
	if n.Outcome == rules.True {
		return 0, false
	}
	for _, o := range operands(n) {
		near = near || o.Outcome == rules.True
	}
	return distance(n), near && len(n.Kids) > 0
}

// WriteMiss writes what an event made of each operand of a rule's match.
func WriteMiss(w io.Writer, r *rules.Rule, ev *event.Event) {
	for _, o := range operands(r.Match().Explain(&rules.Env{Event: ev})) {
		why := ""
		if o.Outcome != rules.True {
			why = "   " + note(o)
		}
		fmt.Fprintf(w, "  %-32s %s%s\n", clip(o.Text, 60), o.Outcome, why)
	}
}
