package demo

import (
	"context"
	"slices"
	"sync"

	"corral/correlate"
)

// recorder keeps every transition and lets others wait for some.
type recorder struct {
	mu   sync.Mutex
	all  []*correlate.Transition
	more chan struct{} // closed when all grows
}

func newRecorder() *recorder { return &recorder{more: make(chan struct{})} }

func (r *recorder) add(t *correlate.Transition) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all = append(r.all, t)
	close(r.more)
	r.more = make(chan struct{})
}

func (r *recorder) len() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.all)
}

// since returns the transitions from the n-th on.
func (r *recorder) since(n int) []*correlate.Transition {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.all[n:])
}

// wait returns when the transitions from the n-th on are what ok wants, or ctx is
// done.
func (r *recorder) wait(ctx context.Context, n int, ok func([]*correlate.Transition) bool) bool {
	for {
		r.mu.Lock()
		more := r.more
		r.mu.Unlock()
		if ok(r.since(n)) {
			return true
		}
		select {
		case <-more:
		case <-ctx.Done():
			return false
		}
	}
}
