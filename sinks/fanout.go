package sinks

import (
	"context"
	"errors"
	"sync"

	"corral/correlate"
)

// Fanout gives every transition to every sink, at the same time, and waits for
// all: Write returns nil when each has accepted, so one that is slow holds the
// next batch back and none runs ahead. An error does not keep the others from
// being served; the errors are joined. Writing the same batch again serves only
// those that have not accepted it.
//
// A sink that fails for a while is wrapped in Retry.
func Fanout(to ...Sink) Sink { return &fanout{sinks: to, accepted: make([]bool, len(to))} }

type fanout struct {
	sinks    []Sink
	batch    *correlate.Transition // first of the batch that accepted is about
	size     int
	accepted []bool
}

func (f *fanout) Write(ctx context.Context, ts []*correlate.Transition) error {
	if len(ts) == 0 {
		return nil
	}
	if f.batch != ts[0] || f.size != len(ts) {
		f.batch, f.size = ts[0], len(ts)
		clear(f.accepted)
	}
	errs := make([]error, len(f.sinks))
	var wg sync.WaitGroup
	for i, s := range f.sinks {
		if f.accepted[i] {
			continue
		}
		wg.Go(func() {
			errs[i] = s.Write(ctx, ts)
			f.accepted[i] = errs[i] == nil
		})
	}
	wg.Wait()
	err := errors.Join(errs...)
	if err == nil {
		f.batch = nil
	}
	if IsPermanent(err) && !allPermanent(errs) {
		return temporary{err} // some will take it when it comes again
	}
	return err
}

// temporary hides that one of several errors is permanent.
type temporary struct{ err error }

func (t temporary) Error() string { return t.err.Error() }

func allPermanent(errs []error) bool {
	for _, err := range errs {
		if err != nil && !IsPermanent(err) {
			return false
		}
	}
	return true
}

// Close closes all, the last first.
func (f *fanout) Close() error { return closeAll(f.sinks) }

// Sequence gives transitions to one sink after the other, and to none before
// those in front of it have accepted: no alert goes out for what the database
// never got. After an error the same batch starts again at the first.
func Sequence(to ...Sink) Sink { return sequence(to) }

type sequence []Sink

func (q sequence) Write(ctx context.Context, ts []*correlate.Transition) error {
	for _, s := range q {
		if err := s.Write(ctx, ts); err != nil {
			return err
		}
	}
	return nil
}

// Close closes all, the last first.
func (q sequence) Close() error { return closeAll(q) }

func closeAll(sinks []Sink) error {
	errs := make([]error, len(sinks))
	for i := range sinks {
		errs[i] = sinks[len(sinks)-1-i].Close()
	}
	return errors.Join(errs...)
}
