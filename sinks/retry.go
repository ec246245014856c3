package sinks

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"corral/correlate"
)

// RetryOptions say how Retry goes about it.
type RetryOptions struct {
	Name string // of the sink, in dead letters and logs

	// The wait before the nth try is random, up to Min doubled n times, at most Max.
	Min, Max time.Duration // 0: 100 ms and 30 s

	// Dead takes what the sink refuses for good, one transition each. nil: the
	// error is returned.
	Dead func(DeadLetter) error

	OnError func(error)  // for each failed try; may be nil
	Logger  *slog.Logger // nil: silent
}

// Retry tries temporary errors of a sink again until ctx is done. What the sink
// refuses for good is narrowed down to the transitions that are to blame; they
// go to the dead letters, the others are delivered.
func Retry(s Sink, o RetryOptions) Sink {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &retry{s, o, Backoff{Min: o.Min, Max: o.Max}}
}

type retry struct {
	sink Sink
	RetryOptions
	backoff Backoff
}

func (r *retry) Close() error { return r.sink.Close() }

func (r *retry) Write(ctx context.Context, ts []*correlate.Transition) error {
	err := r.untilKnown(ctx, ts)
	switch {
	case !IsPermanent(err) || r.Dead == nil || len(ts) == 0:
		return err
	case len(ts) == 1:
		return r.bury(ts[0], err)
	}
	half := len(ts) / 2 // sinks are idempotent: what was delivered may come again
	if err := r.Write(ctx, ts[:half]); err != nil {
		return err
	}
	return r.Write(ctx, ts[half:])
}

// untilKnown returns nil, a permanent error, or that of ctx.
func (r *retry) untilKnown(ctx context.Context, ts []*correlate.Transition) error {
	for try := 0; ; try++ {
		err := r.sink.Write(ctx, ts)
		if err == nil || IsPermanent(err) {
			return err
		}
		if r.OnError != nil {
			r.OnError(err)
		}
		if ctx.Err() != nil {
			return fmt.Errorf("%w (last: %w)", context.Cause(ctx), err)
		}
		if try == 0 {
			r.Logger.Warn("sink failed, trying again", "sink", r.Name, "err", err)
		}
		if err := r.backoff.Wait(ctx, try); err != nil {
			return err
		}
	}
}

func (r *retry) bury(t *correlate.Transition, cause error) error {
	d, err := Rejected(r.Name, t, cause)
	if err != nil {
		return err
	}
	r.Logger.Error("transition rejected", "sink", r.Name, "incident", t.IncidentID, "rev", t.Rev, "err", cause)
	return r.Dead(d)
}

// Rejected is the dead letter of a transition that a sink refuses for good.
func Rejected(sink string, t *correlate.Transition, cause error) (DeadLetter, error) {
	b, err := AppendJSON(nil, t)
	if err != nil {
		return DeadLetter{}, err
	}
	d := DeadLetter{Reason: "rejected", Error: cause.Error(), Source: "sink:" + sink, Seq: uint64(t.Rev), Time: t.ChangedAt.UTC().Format(time.RFC3339Nano)}
	d.SetRecord(b)
	return d, nil
}

// Backoff waits longer and longer, by a random share ("full jitter"), so that
// many who failed at once do not come back at once. The zero value waits up to
// 100 ms, doubling to 30 s.
type Backoff struct{ Min, Max time.Duration }

// Wait waits before a further try; try counts those that failed before, from 0.
// It returns the cause if ctx is done first.
func (b Backoff) Wait(ctx context.Context, try int) error {
	t := time.NewTimer(rand.N(b.limit(try)) + 1)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (b Backoff) limit(try int) time.Duration {
	low, high := b.Min, b.Max
	if low <= 0 {
		low = 100 * time.Millisecond
	}
	if high <= 0 {
		high = 30 * time.Second
	}
	d := low << min(try, 20)
	if d <= 0 || d > high { // it may have overflowed
		return high
	}
	return d
}
