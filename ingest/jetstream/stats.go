package jetstream

import (
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
}

// counters are what Stats is made of. One goroutine writes them.
type counters struct {
	received, redelivered, dropped, missing, gaps, rewinds, audits atomic.Uint64
	pending                                                        atomic.Int64
	last                                                           atomic.Uint64
	lastTime                                                       atomic.Int64
}

func (c *counters) stats(partition string) Stats {
	s := Stats{
		Partition: partition, Received: c.received.Load(), Redelivered: c.redelivered.Load(), Dropped: c.dropped.Load(),
		Missing: c.missing.Load(), Gaps: c.gaps.Load(), Rewinds: c.rewinds.Load(), Pending: c.pending.Load(), Seq: c.last.Load(),
	}
	if ns := c.lastTime.Load(); ns > 0 {
		s.LastTime = time.Unix(0, ns)
	}
	return s
}
