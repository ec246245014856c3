// Package jetstream reads NATS: durable consumers of JetStream streams, bounded
// replays of them, and core subscriptions.
package jetstream

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"corral/ingest"

	"github.com/nats-io/nats.go/jetstream"
)

// The settings of a durable consumer.
//
// Throughput is at most MaxAckPending messages per interval between two
// acknowledgements, for about 100 bytes of the server's memory each. AckWait
// only passes while the sinks are down for longer than that: what a worker that
// died left unacknowledged is asked for at once by the next one. Messages are
// never given up: MaxDeliver is unlimited.
const (
	DefaultAckWait       = 10 * time.Minute
	DefaultMaxAckPending = 200_000
	DefaultPull          = 4096
	DefaultTick          = time.Second
)

// Config says what a Source reads. Only Streams is required.
type Config struct {
	Streams []string
	// Filter restricts every stream to these subjects, with wildcards.
	Filter []string
	// Durable names the consumer in every stream. Two workers must not share one.
	// "": derived from Streams, Filter and Worker.
	Durable string
	// Worker tells apart workers that read the same streams for different ends,
	// where Durable is derived.
	Worker string
	// New makes a consumer that does not exist yet begin with what comes from now
	// on, Since with what was stored since then. Default: the whole stream.
	New   bool
	Since time.Time

	AckWait       time.Duration
	MaxAckPending int
	Pull          int           // messages asked for at once
	Tick          time.Duration // how often an idle partition says so, at least 100 ms
	Log           *slog.Logger
}

func (c *Config) setDefaults() {
	c.AckWait = cmp.Or(c.AckWait, DefaultAckWait)
	c.MaxAckPending = cmp.Or(c.MaxAckPending, DefaultMaxAckPending)
	c.Pull = cmp.Or(c.Pull, DefaultPull)
	c.Tick = cmp.Or(c.Tick, DefaultTick)
	c.Log = cmp.Or(c.Log, slog.Default())
	c.Durable = c.DurableName()
}

// DurableName is the consumer's name in each stream: Durable, or one that the
// same configuration always gets.
func (c *Config) DurableName() string {
	if c.Durable != "" {
		return c.Durable
	}
	h := sha256.New()
	for _, list := range [][]string{c.Streams, c.Filter, {c.Worker}} {
		fmt.Fprintf(h, "%q\n", list)
	}
	return "corral-" + hex.EncodeToString(h.Sum(nil)[:6])
}

func (c *Config) consumer() jetstream.ConsumerConfig {
	config := jetstream.ConsumerConfig{
		Durable:       c.Durable,
		Description:   "corral: correlates what it reads into incidents",
		DeliverPolicy: jetstream.DeliverAllPolicy,
		AckPolicy:     jetstream.AckAllPolicy,
		AckWait:       c.AckWait,
		MaxDeliver:    -1,
		MaxAckPending: c.MaxAckPending,
	}
	switch {
	case c.New:
		config.DeliverPolicy = jetstream.DeliverNewPolicy
	case !c.Since.IsZero():
		config.DeliverPolicy, config.OptStartTime = jetstream.DeliverByStartTimePolicy, &c.Since
	}
	filter(&config, c.Filter)
	return config
}

func filter(config *jetstream.ConsumerConfig, subjects []string) {
	if len(subjects) == 1 {
		config.FilterSubject = subjects[0]
		return
	}
	config.FilterSubjects = subjects
}

// Source reads streams through durable pull consumers, one partition each.
//
// Every message comes once and in stream order, also over reconnects, restarts
// of servers and consumers that were deleted. What was not acknowledged comes
// again in the next process, unless Resume says that it is known there.
type Source struct {
	durable string
	parts   []ingest.Partition
	readers []*reader

	acking   sync.WaitGroup
	stopAcks context.CancelFunc
}

var _ ingest.Source = (*Source)(nil)

// New prepares a source; the server is first asked by Run. Close it.
func New(js jetstream.JetStream, cfg Config) (*Source, error) {
	if len(cfg.Streams) == 0 {
		return nil, errors.New("no streams named")
	}
	cfg.setDefaults()
	ctx, cancel := context.WithCancel(context.Background())
	s := &Source{durable: cfg.Durable, stopAcks: cancel}
	for _, stream := range cfg.Streams {
		r := newReader(js, &cfg, stream, len(s.readers))
		s.parts = append(s.parts, ingest.Partition{Name: "stream:" + stream, Replay: true})
		s.readers = append(s.readers, r)
		s.acking.Go(func() { r.acks.run(ctx) })
	}
	return s, nil
}

func newReader(js jetstream.JetStream, cfg *Config, stream string, partition int) *reader {
	log := cfg.Log.With("stream", stream)
	stats := new(counters)
	acks := newAcks(js.Conn(), log)
	return &reader{
		nc: js.Conn(), partition: partition, acks: acks, whole: len(cfg.Filter) == 0, tick: cfg.Tick, pull: cfg.Pull,
		prefix: apiPrefix(js), stream: stream, log: log, stats: stats,
		consumer: &durable{api: js, stream: stream, config: cfg.consumer(), acks: acks, log: log, stats: stats},
	}
}

func apiPrefix(js jetstream.JetStream) string {
	opts := js.Options()
	if opts.Domain != "" {
		return "$JS." + opts.Domain + ".API"
	}
	return strings.TrimSuffix(cmp.Or(opts.APIPrefix, jetstream.DefaultAPIPrefix), ".")
}

// Partitions are the streams, in the order they were named.
func (s *Source) Partitions() []ingest.Partition { return s.parts }

// Durable is the name of the consumers, the same in each stream.
func (s *Source) Durable() string { return s.durable }

// Resume says up to which sequence the messages of each partition, by its name,
// are known from a snapshot: they are not read again. It must be called before
// Run.
//
// A stream that was deleted and made again since, as its Origin tells, is read from
// its beginning: its sequences mean other messages.
func (s *Source) Resume(known map[string]ingest.Position) {
	for i, r := range s.readers {
		if p, ok := known[s.parts[i].Name]; ok {
			r.resume(p)
		}
	}
}

func (r *reader) resume(p ingest.Position) {
	r.stats.last.Store(p.Seq)
	r.acks.rewound(p.Seq)
	d := r.consumer.(*durable)
	d.known = true
	if made, err := time.Parse(time.RFC3339Nano, p.Origin); err == nil {
		d.before = made
	}
}

// Run reads until ctx is done. It returns another error than the context's
// cause only when nothing can help: a stream that does not exist at the start,
// a consumer of that name of another kind, a closed connection.
func (s *Source) Run(ctx context.Context, out func(ingest.Batch) error) error {
	return runAll(ctx, s.readers, out)
}

// runner reads one partition.
type runner interface {
	run(ctx context.Context, emit emitFunc) error
}

// emitFunc hands a batch over; it blocks.
type emitFunc func(context.Context, ingest.Batch) error

// runAll reads partitions at once and hands their batches to out, one at a time.
func runAll[R runner](ctx context.Context, partitions []R, out func(ingest.Batch) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	batches := make(chan ingest.Batch)
	emit := func(ctx context.Context, b ingest.Batch) error {
		select {
		case batches <- b:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	var wg sync.WaitGroup
	for _, r := range partitions {
		wg.Go(func() {
			if err := r.run(ctx, emit); err != nil {
				cancel(err)
			}
		})
	}
	go func() { wg.Wait(); close(batches) }()
	for b := range batches {
		if err := out(b); err != nil {
			cancel(err)
			break
		}
	}
	wg.Wait()
	return context.Cause(ctx)
}

// Stats may be called at any time, by anyone: one for each partition.
func (s *Source) Stats() []Stats {
	return statsOf(s.parts, s.readers)
}

func statsOf(parts []ingest.Partition, readers []*reader) []Stats {
	all := make([]Stats, len(readers))
	for i, r := range readers {
		all[i] = r.stats.stats(parts[i].Name)
		if r.acks != nil {
			all[i].Unsafe = r.acks.unsafe()
		}
	}
	return all
}

// Close waits until the server confirmed what was acknowledged, at most as long
// as ctx allows, and stops. Batches must not be released any more.
func (s *Source) Close(ctx context.Context) error {
	var errs []error
	for i, r := range s.readers {
		if err := r.acks.settle(ctx); err != nil {
			errs = append(errs, fmt.Errorf("acknowledge %s: %w", s.parts[i].Name, err))
		}
	}
	s.stopAcks()
	s.acking.Wait()
	return errors.Join(errs...)
}
