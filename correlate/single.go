package correlate

import (
	"corral/event"
)

// single is the machine of an event rule: every Selected event fires.
type single struct{}

func (single) event(c *call, in *input) {
	if in.selected {
		c.fire(firing{start: c.now, count: c.tally.since(c.tally.before), events: []*event.Event{in.ev}})
	}
}

func (single) timer(*call)               {}
func (single) next() int64               { return never }
func (single) content(*call) firing      { return firing{} }
func (single) aggs(*call, []event.Value) {}
func (single) idle() bool                { return true }
func (single) reset(*call)               {}
func (single) encode(*encoder)           {}
func (single) decode(*decoder)           {}
