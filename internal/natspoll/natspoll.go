// Package natspoll asks NATS servers what none of them announces: how full
// streams are, which consumers stand still, which replicas lag, who was cut off
// and what it listened to. The answers become records that package decode knows.
//
// It asks over a connection of the system account, on the subjects
// $SYS.REQ.SERVER.PING.* that every server answers. It does no harm: one poll at a
// time, requests one after the other, details only of servers that hold no more
// than a bounded number of streams and consumers, and nothing at all while the
// connection is down.
package natspoll

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/nats-io/nats.go"

	"corral/ingest"
	"corral/ingest/decode"
)

// Config says how often to ask and how much. Only Every is required.
type Config struct {
	Every time.Duration // from the beginning of a poll to the next one's, give or take a tenth
	// Stall ends the wait for further answers this long after the last one, Timeout
	// this long after the request. Default 300 ms and 5 s.
	Stall, Timeout time.Duration
	// Missing is how long a server that has answered before must not answer, while
	// others do, to be told of. Default 20 s.
	Missing time.Duration
	// MaxStreams and MaxConsumers are how many of them a server may hold to be asked
	// about each. Default 2,000 and 10,000.
	MaxStreams, MaxConsumers int
	Tick                     time.Duration // how often an idle batch lets the clock move; default 250 ms
	Log                      *slog.Logger
}

// Source is the poller as a source of one partition, "poll". What it reads cannot
// be read again.
type Source struct {
	nc     *nats.Conn
	cfg    Config
	parts  []ingest.Partition
	seq    uint64
	memory memory
}

var _ ingest.Source = (*Source)(nil)

// New prepares a source; Run asks. nc must be a connection of the system account.
func New(nc *nats.Conn, cfg Config) (*Source, error) {
	if cfg.Every <= 0 {
		return nil, errors.New("the interval of polls must be positive")
	}
	cfg.Stall = cmp.Or(cfg.Stall, 300*time.Millisecond)
	cfg.Timeout = cmp.Or(cfg.Timeout, 5*time.Second)
	cfg.Missing = cmp.Or(cfg.Missing, 20*time.Second)
	cfg.MaxStreams = cmp.Or(cfg.MaxStreams, 2000)
	cfg.MaxConsumers = cmp.Or(cfg.MaxConsumers, 10000)
	cfg.Tick = cmp.Or(cfg.Tick, 250*time.Millisecond)
	cfg.Log = cmp.Or(cfg.Log, slog.Default())
	return &Source{nc: nc, cfg: cfg, parts: []ingest.Partition{{Name: "poll"}}, memory: newMemory()}, nil
}

// Partitions is the one there is.
func (s *Source) Partitions() []ingest.Partition { return s.parts }

// Run polls until ctx is done. Answers are handed over as they come, with the
// time of that moment; between them empty batches let the clock move.
func (s *Source) Run(ctx context.Context, out func(ingest.Batch) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	found := make(chan []sample)
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.poll(ctx, found)
	}()
	defer func() { <-done }()
	defer cancel(nil)
	tick := time.NewTicker(s.cfg.Tick)
	defer tick.Stop()
	for {
		var b ingest.Batch
		select {
		case samples := <-found:
			b.Records = s.records(samples, time.Now())
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		if err := out(b); err != nil {
			return err
		}
	}
}

// poll asks everything again and again. Its goroutine owns the memory.
func (s *Source) poll(ctx context.Context, found chan<- []sample) {
	send := func(samples []sample) {
		if len(samples) == 0 {
			return
		}
		select {
		case found <- samples:
		case <-ctx.Done():
		}
	}
	for wait := s.spread() / 10; ; {
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return
		}
		began := time.Now()
		if s.nc.IsConnected() {
			s.round(ctx, send)
		}
		wait = max(s.cfg.Every/10, s.spread()-time.Since(began))
	}
}

// spread is the interval give or take a tenth, so that workers do not ask all at
// once.
func (s *Source) spread() time.Duration {
	return time.Duration(float64(s.cfg.Every) * (0.9 + rand.Float64()/5))
}

// sample is what a poll saw of one thing. Keys are those of the event.
type sample map[string]any

// records writes samples as decode reads them.
func (s *Source) records(samples []sample, at time.Time) []ingest.Record {
	records := make([]ingest.Record, 0, len(samples))
	for _, x := range samples {
		x["type"] = decode.PollType + x["type"].(string)
		x["timestamp"] = at.UTC().Format(time.RFC3339Nano)
		var b bytes.Buffer
		enc := json.NewEncoder(&b)
		enc.SetEscapeHTML(false) // subjects end in >, and people read them
		if err := enc.Encode(x); err != nil {
			panic(err) // texts, numbers and booleans of our own
		}
		s.seq++
		records = append(records, ingest.Record{Data: bytes.TrimSpace(b.Bytes()), Observed: at.UnixNano(), Seq: s.seq})
	}
	return records
}
