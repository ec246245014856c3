// Package nats publishes incidents on NATS: every revision for machines, and
// those that notify for people, as CloudEvents; and dead letters.
package nats

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"corral/correlate"
	"corral/sinks"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Subject prefixes of the wire format. Nothing else is on a subject but owner,
// rule and fingerprint: who filters on a severity would miss the resolve.
const (
	Incidents   = "incident.v1"
	Alerts      = "alert.v1"
	AlertReplay = "alert-replay.v1" // of batch runs, which must not wake anybody
)

// Options say what is published where. The zero value publishes nothing.
type Options struct {
	Incidents string // subject prefix of every revision, "": none
	Alerts    string // subject prefix of revisions that notify, "": none
	Source    string // CloudEvents source, default "/corral"

	// Ensure creates the streams that are missing. Without it, subjects that no
	// stream holds are published all the same, for whoever listens at the moment.
	Ensure bool
	// Open adds a mirror of the stream of incidents with only the last revision of
	// each fingerprint: what is open now, readable by get-last-by-subject.
	Open     bool
	Replicas int           // of created streams, default 1
	MaxAge   time.Duration // of created streams, default 30 days

	Pending int           // messages on their way at once, default 256
	Timeout time.Duration // for an acknowledgement, default 5 s
	Log     *slog.Logger
}

// Stats count messages since the start.
type Stats struct {
	Published  uint64 // accepted by a stream, or sent where there is none
	Duplicates uint64 // known to the stream already
	Retries    uint64 // messages tried again
	Truncated  uint64 // bodies cut to fit the wire
}

// Sink is idempotent by incident and revision: a stream drops what it has within
// its window for duplicates, and consumers drop revisions up to the last seen.
// The revisions of one incident are stored in order.
type Sink struct {
	opts   Options
	pub    *publisher
	closed atomic.Bool
	cut    atomic.Uint64
}

var _ sinks.Sink = (*Sink)(nil)

// New returns a sink that publishes over the connection of js. With Ensure it
// creates missing streams first, trying until ctx is done while the server is
// not able to.
func New(ctx context.Context, js jetstream.JetStream, opts Options) (*Sink, error) {
	opts.Source = cmp.Or(opts.Source, "/corral")
	opts.Pending = cmp.Or(opts.Pending, 256)
	opts.Timeout = cmp.Or(opts.Timeout, 5*time.Second)
	opts.Log = cmp.Or(opts.Log, slog.New(slog.DiscardHandler))
	var streams []jetstream.StreamConfig
	if opts.Ensure {
		streams = opts.streams()
	}
	pub, err := newPublisher(js, opts.Pending, opts.Timeout, streams, opts.Log)
	if err != nil {
		return nil, err
	}
	if err := pub.ensure(ctx); err != nil {
		return nil, err
	}
	return &Sink{opts: opts, pub: pub}, nil
}

// Write publishes in order and returns when all is stored, or was sent where no
// stream holds it. It tries until ctx is done; only a revision that cannot be
// made small enough is a permanent error.
func (s *Sink) Write(ctx context.Context, ts []*correlate.Transition) error {
	if s.closed.Load() {
		return errors.New("write incidents to NATS: closed")
	}
	msgs := make([]*nats.Msg, 0, 2*len(ts))
	for _, t := range ts {
		var err error
		if msgs, err = s.messages(msgs, t); err != nil {
			return err
		}
	}
	return s.pub.publish(ctx, msgs)
}

// messages appends what has to be published for t.
func (s *Sink) messages(msgs []*nats.Msg, t *correlate.Transition) ([]*nats.Msg, error) {
	notifies := t.Notified && s.opts.Alerts != ""
	if s.opts.Incidents == "" && !notifies {
		return msgs, nil
	}
	body, truncated, err := Body(t, s.opts.Source, s.pub.budget())
	if err != nil {
		return nil, sinks.Permanent(err)
	}
	if truncated {
		s.cut.Add(1)
	}
	if s.opts.Incidents != "" {
		msgs = append(msgs, message(s.opts.Incidents, t, body))
	}
	if notifies {
		msgs = append(msgs, message(s.opts.Alerts, t, body))
	}
	return msgs, nil
}

// Stats may be called at any time, by anyone.
func (s *Sink) Stats() Stats {
	st := s.pub.stats()
	st.Truncated = s.cut.Load()
	return st
}

// Ready returns nil unless messages wait that were not taken when they were tried
// last.
func (s *Sink) Ready() error {
	if why := s.pub.trouble.Load(); why != nil {
		return fmt.Errorf("incidents are not taken: %w", *why)
	}
	return nil
}

// Close ends the sink. Nothing is buffered, and the connection is the caller's.
func (s *Sink) Close() error {
	s.closed.Store(true)
	return nil
}
