package jetstream

import (
	"context"
	"math/rand/v2"
	"time"
)

const (
	minBackoff = 50 * time.Millisecond
	maxBackoff = 5 * time.Second
)

// backoff waits longer each time, with full jitter, so that many workers do not
// come back at once.
type backoff struct{ next time.Duration }

func newBackoff() *backoff { return &backoff{next: minBackoff} }

func (b *backoff) reset() { b.next = minBackoff }

// duration returns how long to wait and prepares the next, longer one.
func (b *backoff) duration() time.Duration {
	d := b.next/2 + rand.N(b.next)
	b.next = min(2*b.next, maxBackoff)
	return d
}

// wait returns the context's cause if that is done first.
func (b *backoff) wait(ctx context.Context) error {
	t := time.NewTimer(b.duration())
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
