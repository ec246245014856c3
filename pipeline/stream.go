package pipeline

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"corral/correlate"
	"corral/ingest"
	"corral/ingest/decode"
	"corral/rules"
	"corral/sinks"
)

// Stream is the live worker: sources that do not end, acknowledgements, clock
// ticks, snapshots and reloads around the same core.
//
// What it promises is in docs/guarantees.md: a batch is acknowledged after every
// transition it led to was accepted by the sinks and, where there is a Store, a
// snapshot that includes it was stored.
type Stream struct {
	Rules      *rules.Set
	Sources    []ingest.Source
	Sink       sinks.Sink
	Dead       func(sinks.DeadLetter)
	Decode     decode.Options
	Lateness   time.Duration
	Workers    int
	Shards     int
	Counters   *Counters
	Now        func() time.Time
	Log        *slog.Logger
	Generation uint64

	Store         Store         // nil: no snapshots
	SnapshotEvery time.Duration // default 10 s
	SnapshotSize  int           // snapshot at the latest after so many records, default 20,000
	// DrainTimeout bounds what happens after ctx is done: applying what was read,
	// delivering, the last snapshot. Default 10 s.
	DrainTimeout time.Duration
	Ready        func() // called when every source runs

	do     chan func()
	inAir  atomic.Int64
	core   *core
	eng    *correlate.Engine
	pool   *pool
	outbox []*correlate.Transition
	acks   []func() error
	unsafe int // records applied since the last snapshot
	gen    atomic.Uint64
	stats  atomic.Pointer[Stats]
}

// Stats are the engine's counts a moment ago, by rule.
type Stats struct {
	Buffered   int    // events waiting for the watermark
	Duplicates uint64 // events whose sender's id had counted already
	Rules      []RuleStats
}

// RuleStats are the counts of one rule.
type RuleStats struct {
	ID string
	correlate.RuleStats
}

// Stats may be called at any time, by anyone.
func (s *Stream) Stats() Stats {
	if p := s.stats.Load(); p != nil {
		return *p
	}
	return Stats{}
}

func (s *Stream) publishStats() {
	e := s.eng.Stats()
	st := &Stats{Buffered: e.Buffered, Duplicates: e.Duplicates, Rules: make([]RuleStats, len(e.Rules))}
	for i, r := range e.Rules {
		st.Rules[i] = RuleStats{s.Rules.Rules[i].ID, r}
	}
	s.stats.Store(st)
}

// Init restores the state; it must be called before Run, and before the sources
// are opened, which want Positions.
func (s *Stream) Init(ctx context.Context) error {
	s.do = make(chan func())
	s.gen.Store(s.Generation)
	var parts []ingest.Partition
	for _, src := range s.Sources {
		parts = append(parts, src.Partitions()...)
	}
	eng, saved, err := s.restore(ctx)
	if err != nil {
		return err
	}
	s.eng = eng
	s.core = newCore(eng, parts, s.Lateness, s.Counters)
	s.core.emit = s.emit
	s.core.dead = s.Dead
	s.core.resume(saved)
	return nil
}

func (s *Stream) emit(t *correlate.Transition) {
	t.Mode, t.RulesGen = "live", s.gen.Load()
	t.DetectedAt = s.Now().UTC()
	t.DetectLagMS = t.DetectedAt.Sub(t.ChangedAt).Milliseconds()
	s.Counters.note(t)
	s.outbox = append(s.outbox, t)
}

// Engine is the engine, for those who run inside Do.
func (s *Stream) Engine() *correlate.Engine { return s.eng }

// Do runs f between two batches, with nothing in flight, and returns when it has
// run; an error if the worker ends first.
func (s *Stream) Do(ctx context.Context, f func()) error {
	done := make(chan struct{})
	select {
	case s.do <- func() { f(); close(done) }:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Reload swaps the rules between two batches.
func (s *Stream) Reload(ctx context.Context, set *rules.Set, gen uint64) (correlate.Reloaded, error) {
	var rep correlate.Reloaded
	err := s.Do(ctx, func() {
		s.gen.Store(gen)
		rep = s.eng.Reload(set, s.emit)
		s.pool.sets.Store(&[]*rules.Set{set})
		s.Rules = set
	})
	return rep, err
}

// Run works until ctx is done, then drains: what was read takes effect, is
// delivered, snapshotted and acknowledged. A nil error means all of that
// happened.
func (s *Stream) Run(ctx context.Context) error {
	s.pool = newPool(s.Workers, []*rules.Set{s.Rules}, s.Decode, Range{})
	defer s.pool.close()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	// Deliveries outlive ctx: they end when drained, or DrainTimeout after it.
	work, stop := context.WithCancelCause(context.WithoutCancel(ctx))
	defer stop(nil)
	context.AfterFunc(ctx, func() {
		time.AfterFunc(cmp.Or(s.DrainTimeout, 10*time.Second), func() { stop(errDrain) })
	})

	jobs := make(chan *job, 4*max(s.Workers, 1))
	var wg sync.WaitGroup
	base := 0
	failed := make(chan error, len(s.Sources))
	gate := &gate{}
	for _, src := range s.Sources {
		first := base
		names := src.Partitions()
		base += len(names)
		wg.Go(func() {
			err := src.Run(ctx, func(b ingest.Batch) error {
				name := names[b.Partition].Name
				b.Partition += first
				return s.feed(ctx, gate, jobs, b, name)
			})
			if err != nil && ctx.Err() == nil {
				failed <- fmt.Errorf("source %s: %w", names[0].Name, err)
				cancel(err)
			}
		})
	}
	go func() { wg.Wait(); close(jobs) }()
	if s.Ready != nil {
		s.Ready()
	}
	err := s.loop(work, jobs, gate)
	cancel(err)
	wg.Wait()
	select {
	case ferr := <-failed:
		return errors.Join(ferr, err)
	default:
		return err
	}
}

var errDrain = errors.New("drain timeout")

// gate lets feeders in unless somebody needs the pipe to run empty.
type gate struct{ sync.RWMutex }

func (s *Stream) feed(ctx context.Context, g *gate, jobs chan<- *job, b ingest.Batch, name string) error {
	arrived := s.Now().UnixNano()
	g.RLock()
	defer g.RUnlock()
	s.inAir.Add(1)
	j := s.pool.submit(b, name, arrived)
	select {
	case jobs <- j:
		return nil
	case <-ctx.Done():
		s.inAir.Add(-1)
		return context.Cause(ctx)
	}
}

// loop is the only goroutine that touches the engine.
func (s *Stream) loop(ctx context.Context, jobs <-chan *job, g *gate) error {
	every := time.NewTicker(cmp.Or(s.SnapshotEvery, 10*time.Second))
	defer every.Stop()
	tell := time.NewTicker(time.Second)
	defer tell.Stop()
	var due bool
	for {
		select {
		case j, ok := <-jobs:
			if !ok {
				return s.settle(ctx)
			}
			if err := s.apply(ctx, j); err != nil {
				return err
			}
		case f := <-s.do:
			if err := s.alone(ctx, jobs, g, f); err != nil {
				return err
			}
		case <-every.C:
			due = true
		case <-tell.C:
			s.publishStats()
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		if s.Store == nil || due || s.unsafe >= cmp.Or(s.SnapshotSize, 20_000) {
			if err := s.settle(ctx); err != nil {
				return err
			}
			due = false
		}
	}
}

// apply lets a batch take effect and delivers what came of it.
func (s *Stream) apply(ctx context.Context, j *job) error {
	out := j.wait()[0]
	s.inAir.Add(-1)
	s.core.apply(out)
	s.unsafe += len(out.batch.Records)
	if out.batch.Done != nil {
		s.acks = append(s.acks, out.batch.Done)
	}
	return s.deliver(ctx)
}

func (s *Stream) deliver(ctx context.Context) error {
	if len(s.outbox) == 0 {
		return nil
	}
	ts := s.outbox
	s.outbox = nil
	if err := s.Sink.Write(ctx, ts); err != nil {
		return fmt.Errorf("deliver incidents: %w", err)
	}
	return nil
}

// alone lets the pipe run empty, then runs f.
func (s *Stream) alone(ctx context.Context, jobs <-chan *job, g *gate, f func()) error {
	locked := make(chan struct{})
	go func() { g.Lock(); close(locked) }()
	for waiting := true; waiting; {
		select {
		case j, ok := <-jobs:
			if !ok {
				jobs = nil
				continue
			}
			if err := s.apply(ctx, j); err != nil {
				return err
			}
		case <-locked:
			waiting = false
		}
	}
	defer g.Unlock()
	for s.inAir.Load() > 0 && jobs != nil {
		j, ok := <-jobs
		if !ok {
			break
		}
		if err := s.apply(ctx, j); err != nil {
			return err
		}
	}
	f()
	return s.deliver(ctx)
}

// settle makes what took effect safe: snapshot, then acknowledgements.
func (s *Stream) settle(ctx context.Context) error {
	if s.Store != nil && (s.unsafe > 0 || len(s.acks) > 0) {
		if err := s.saveSnapshot(ctx); err != nil {
			return err
		}
	}
	s.unsafe = 0
	acks := s.acks
	s.acks = nil
	for _, ack := range acks {
		if err := ack(); err != nil {
			// What is not acknowledged comes again and is dropped by its sequence.
			s.Log.Warn("acknowledge", "error", err)
		}
	}
	return nil
}
