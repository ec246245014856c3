package pipeline

import (
	"time"

	"corral/correlate"
)

func (c *Counters) note(t *correlate.Transition) {
	c.Transitions.Add(1)
	c.lag.Store(int64(t.DetectedAt.Sub(t.ChangedAt)))
	switch {
	case t.State == "resolved":
		c.Resolved.Add(1)
	case t.Rev == 1:
		c.Opened.Add(1)
	}
}

// DetectionLag is how long after its event time the last live revision was made.
func (c *Counters) DetectionLag() (time.Duration, bool) {
	ns := c.lag.Load()
	return time.Duration(ns), ns != 0
}
