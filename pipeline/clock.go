package pipeline

import (
	"sync"
	"time"
)

// steadyClock tells the time by which idle sources move the watermark. A clock
// that is set forward would make everything late that comes until it is set back,
// so only what really passed counts, and what a server that stores messages says.
type steadyClock struct {
	now   func() time.Time
	since func(start, now time.Time) time.Duration // what really passed; nil: as readings of the monotonic clock say

	mu    sync.Mutex
	start time.Time
	ahead int64 // of start and what passed since: that a server's clock is
}

// read returns nanoseconds since the epoch: the wall clock, or what passed since
// the first reading if that is less.
func (c *steadyClock) read() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := c.now()
	return min(t.UnixNano(), c.steady(t))
}

func (c *steadyClock) steady(t time.Time) int64 {
	if c.start.IsZero() {
		c.start = t
	}
	passed := t.Sub(c.start)
	if c.since != nil {
		passed = c.since(c.start, t)
	}
	return c.start.UnixNano() + int64(passed) + c.ahead
}

// observe learns when a server stored a message: it is at least that late.
func (c *steadyClock) observe(stored int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if behind := stored - c.steady(c.now()); behind > 0 {
		c.ahead += behind
	}
}
