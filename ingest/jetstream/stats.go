package jetstream

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Stats tell how one partition does.
type Stats struct {
	Partition   string
	Received    uint64    // messages handed over
	Redelivered uint64    // messages that came again and were dropped
	Dropped     uint64    // core subscriptions: lost because the reader was too slow
	Missing     uint64    // removed from the stream before they were read
	Gaps        uint64    // times that deliveries were lost on the way and asked for again; core: disconnects
	Rewinds     uint64    // times that the consumer was rewound, for that or at the start
	Pending     int64     // messages not read yet, as far as known
	Unsafe      uint64    // batches handed over and not released yet
	Seq         uint64    // of the last message handed over
	LastTime    time.Time // when that was stored, zero if none was read
	Contested   bool      // somebody else takes deliveries: two workers share a durable
}

// counters are what Stats is made of. One goroutine writes them.
type counters struct {
	received, redelivered, dropped, missing, gaps, rewinds, audits atomic.Uint64
	pending                                                        atomic.Int64
	last                                                           atomic.Uint64
	lastTime                                                       atomic.Int64

	mu   sync.Mutex
	lost []time.Time // when deliveries were lost last
}

// Faults lose deliveries now and then. More than that in a row is somebody who
// reads too.
const (
	tooManyGaps = 6
	gapsWithin  = time.Minute
)

// robbed notes a gap and reports whether there are too many now, and were not
// before.
func (c *counters) robbed(now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	before := c.tooMany(now)
	c.lost = append(c.lost, now)
	return !before && c.tooMany(now)
}

func (c *counters) contested(now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.tooMany(now)
}

func (c *counters) tooMany(now time.Time) bool {
	c.lost = slices.DeleteFunc(c.lost, func(t time.Time) bool { return now.Sub(t) > gapsWithin })
	return len(c.lost) >= tooManyGaps
}

func (c *counters) stats(partition string) Stats {
	s := Stats{
		Partition: partition, Contested: c.contested(time.Now()), Received: c.received.Load(), Redelivered: c.redelivered.Load(), Dropped: c.dropped.Load(),
		Missing: c.missing.Load(), Gaps: c.gaps.Load(), Rewinds: c.rewinds.Load(), Pending: c.pending.Load(), Seq: c.last.Load(),
	}
	if ns := c.lastTime.Load(); ns > 0 {
		s.LastTime = time.Unix(0, ns)
	}
	return s
}
