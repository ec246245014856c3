package pipeline

import (
	"math"
	"sync/atomic"
	"time"

	"corral/correlate"
)

func (c *Counters) note(t *correlate.Transition) {
	c.Transitions.Add(1)
	c.Delay.observe(t.DetectedAt.Sub(t.ChangedAt))
	switch {
	case t.State == "resolved":
		c.Resolved.Add(1)
	case t.Rev == 1:
		c.Opened.Add(1)
	}
}

// DelayBounds are the upper bounds of the buckets of Delays, in seconds.
var DelayBounds = []float64{0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 3600}

// Delays is a histogram of how long after their event time revisions were made:
// the lateness, what a batch of records waits, and how far the worker is behind.
type Delays struct {
	buckets [12]atomic.Uint64 // the last is beyond all bounds
	sum     atomic.Int64
}

func (d *Delays) observe(delay time.Duration) {
	i := 0
	for i < len(DelayBounds) && delay.Seconds() > DelayBounds[i] {
		i++
	}
	d.buckets[i].Add(1)
	// Incidents of year 1 would overflow the sum, those of year 9999 empty it.
	d.sum.Add(int64(max(0, min(delay, 365*24*time.Hour))))
}

// Histogram returns the number of delays, their sum in seconds, and how many were
// at most each bound.
func (d *Delays) Histogram() (count uint64, sum float64, cumulative map[float64]uint64) {
	cumulative = make(map[float64]uint64, len(DelayBounds))
	for i := range d.buckets {
		count += d.buckets[i].Load()
		if i < len(DelayBounds) {
			cumulative[DelayBounds[i]] = count
		}
	}
	return count, float64(d.sum.Load()) / float64(time.Second), cumulative
}

// watermark is that of an engine, false before its first event.
func watermark(e *correlate.Engine) (time.Time, bool) {
	ns := e.Watermark()
	return time.Unix(0, ns), ns != math.MinInt64
}
