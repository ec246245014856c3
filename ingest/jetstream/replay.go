package jetstream

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"corral/ingest"

	"github.com/nats-io/nats.go/jetstream"
)

// ReplayConfig says what a Replay reads: of every stream the messages from From
// to To, both included. Only Streams is required.
type ReplayConfig struct {
	Streams []string
	Filter  []string
	// FromSeq or From, the instant of storing, is where reading begins; neither:
	// the beginning of the stream.
	FromSeq uint64
	From    time.Time
	// ToSeq and To bound the end; in any case it is at the last message the stream
	// held when it was first asked.
	ToSeq uint64
	To    time.Time
	// Resume goes on with streams where an earlier Replay had come to; it overrides
	// FromSeq, From and ToSeq.
	Resume map[string]Span
	Pull   int
	Log    *slog.Logger
}

// Span is what is left of a stream: what comes after After, up to Until. 0: from
// the beginning; to the end.
type Span struct {
	After uint64 `json:"after"`
	Until uint64 `json:"until"`
}

// Replay reads a range of streams once, without leaving a trace at the server.
// It is a Source and a Puller; use it as one of them.
type Replay struct {
	parts   []ingest.Partition
	readers []*reader
	ends    []*atomic.Uint64 // last sequence that is read of each, 0: not known yet
	pulls   []*pulled

	ctx    context.Context // of the goroutines that read for Next
	cancel context.CancelCauseFunc
	wg     sync.WaitGroup
}

var (
	_ ingest.Source = (*Replay)(nil)
	_ ingest.Puller = (*Replay)(nil)
)

// pulled is a partition read for Next. All but batches and err is the caller's.
type pulled struct {
	begin   sync.Once
	batches chan ingest.Batch // closed at the end
	err     error             // why, to be read after that
	ready   *ingest.Batch
}

// NewReplay prepares a replay; the server is first asked when it is read. Close
// it.
func NewReplay(js jetstream.JetStream, cfg ReplayConfig) (*Replay, error) {
	if len(cfg.Streams) == 0 {
		return nil, errors.New("no streams named")
	}
	cfg.Log = cmp.Or(cfg.Log, slog.Default())
	p := &Replay{}
	p.ctx, p.cancel = context.WithCancelCause(context.Background())
	for i, stream := range cfg.Streams {
		p.parts = append(p.parts, ingest.Partition{Name: "stream:" + stream, Replay: true})
		end := new(atomic.Uint64)
		p.ends = append(p.ends, end)
		p.readers = append(p.readers, newReplayReader(js, &cfg, stream, i, end))
		p.pulls = append(p.pulls, &pulled{batches: make(chan ingest.Batch)})
	}
	return p, nil
}

func newReplayReader(js jetstream.JetStream, cfg *ReplayConfig, stream string, partition int, end *atomic.Uint64) *reader {
	r := &reader{
		nc: js.Conn(), partition: partition, whole: len(cfg.Filter) == 0, tick: DefaultTick, pull: cmp.Or(cfg.Pull, DefaultPull),
		prefix: apiPrefix(js), stream: stream, log: cfg.Log.With("stream", stream), stats: new(counters),
	}
	r.stats.last.Store(cfg.Resume[stream].After)
	r.consumer = &ephemeral{api: js, cfg: cfg, stream: stream, reader: r, end: end}
	return r
}

// End is the last sequence of a partition that will be read: what the stream held
// when it was first asked, or less. 0: it was not asked yet.
func (p *Replay) End(partition int) uint64 { return p.ends[partition].Load() }

// Partitions are the streams, in the order they were named.
func (p *Replay) Partitions() []ingest.Partition { return p.parts }

// Stats may be called at any time, by anyone: one for each partition.
func (p *Replay) Stats() []Stats { return statsOf(p.parts, p.readers) }

// Run reads the streams at once, each to its end.
func (p *Replay) Run(ctx context.Context, out func(ingest.Batch) error) error {
	return runAll(ctx, p.readers, out)
}

// Head returns the batch that Next will return.
func (p *Replay) Head(ctx context.Context, partition int) (ingest.Batch, error) {
	b, err := p.peek(ctx, partition)
	if err == nil && len(b.Records) == 0 {
		return ingest.Batch{}, io.EOF
	}
	return b, err
}

// Next returns the next batch of a stream, which is read a little ahead.
func (p *Replay) Next(ctx context.Context, partition int) (ingest.Batch, error) {
	b, err := p.peek(ctx, partition)
	p.pulls[partition].ready = nil
	return b, err
}

func (p *Replay) peek(ctx context.Context, partition int) (ingest.Batch, error) {
	q := p.pulls[partition]
	q.begin.Do(func() { p.wg.Go(func() { p.read(partition) }) })
	if q.ready != nil {
		return *q.ready, nil
	}
	select {
	case b, ok := <-q.batches:
		if !ok {
			return ingest.Batch{}, cmp.Or(q.err, io.EOF)
		}
		q.ready = &b
		return b, nil
	case <-ctx.Done():
		return ingest.Batch{}, context.Cause(ctx)
	}
}

// read fills the channel of a partition.
func (p *Replay) read(partition int) {
	q := p.pulls[partition]
	q.err = p.readers[partition].run(p.ctx, func(ctx context.Context, b ingest.Batch) error {
		select {
		case q.batches <- b:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	})
	close(q.batches)
}

// Close ends reading; it may be called twice.
func (p *Replay) Close() error {
	p.cancel(errors.New("replay closed"))
	p.wg.Wait()
	return nil
}

// ephemeral is a consumer for one replay, which the server removes when it is
// not used any more.
type ephemeral struct {
	api    jetstream.JetStream
	cfg    *ReplayConfig
	stream string
	reader *reader // where to go on, and where to end
	end    *atomic.Uint64
	name   string
}

const ephemeralLife = 5 * time.Minute

func (e *ephemeral) bind(ctx context.Context) (bound, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*apiTimeout)
	defer cancel()
	stream, err := e.api.Stream(ctx, e.stream)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return bound{}, fmt.Errorf("stream %s: %w: %w", e.stream, errFatal, err)
	}
	if err != nil {
		return bound{}, fmt.Errorf("look up stream %s: %w", e.stream, err)
	}
	if state := stream.CachedInfo().State; e.reader.limit.seq == 0 && !e.begin(state) {
		return bound{}, nil // nothing pending: the end
	}
	if e.name != "" {
		_ = stream.DeleteConsumer(ctx, e.name) // else it goes when its life is over
	}
	c, err := stream.CreateConsumer(ctx, e.config())
	if err != nil {
		return bound{}, fmt.Errorf("create consumer of stream %s: %w", e.stream, err)
	}
	info := c.CachedInfo()
	e.name = info.Name
	return bound{consumer: info.Name, delivery: firstDelivery, pending: info.NumPending}, nil
}

// begin sets the end of the range and reports whether there is anything in it.
func (e *ephemeral) begin(state jetstream.StreamState) bool {
	end, first := state.LastSeq, max(state.FirstSeq, e.cfg.FromSeq)
	if e.cfg.ToSeq > 0 {
		end = min(end, e.cfg.ToSeq)
	}
	if s, ok := e.cfg.Resume[e.stream]; ok {
		end, first = state.LastSeq, max(state.FirstSeq, s.After+1)
		if s.Until > 0 {
			end = min(end, s.Until)
		}
	}
	e.reader.limit.seq = max(end, 1) // 0 would be no limit
	e.end.Store(e.reader.limit.seq)
	if !e.cfg.To.IsZero() {
		e.reader.limit.time = e.cfg.To.UnixNano()
	}
	return state.Msgs > 0 && end >= first
}

// config begins where the range does, or behind the last message that was read.
func (e *ephemeral) config() jetstream.ConsumerConfig {
	config := jetstream.ConsumerConfig{
		Description:       "corral: replay",
		AckPolicy:         jetstream.AckNonePolicy,
		MaxDeliver:        -1,
		InactiveThreshold: ephemeralLife,
		MemoryStorage:     true,
		Replicas:          1,
	}
	last := e.reader.stats.last.Load()
	switch {
	case last > 0:
		config.DeliverPolicy, config.OptStartSeq = jetstream.DeliverByStartSequencePolicy, last+1
	case e.cfg.FromSeq > 0:
		config.DeliverPolicy, config.OptStartSeq = jetstream.DeliverByStartSequencePolicy, e.cfg.FromSeq
	case !e.cfg.From.IsZero():
		config.DeliverPolicy, config.OptStartTime = jetstream.DeliverByStartTimePolicy, &e.cfg.From
	}
	filter(&config, e.cfg.Filter)
	return config
}

func (e *ephemeral) info(ctx context.Context) (*jetstream.ConsumerInfo, error) {
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	c, err := e.api.Consumer(ctx, e.stream, e.name)
	if err != nil {
		return nil, err
	}
	return c.CachedInfo(), nil
}
