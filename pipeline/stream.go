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
// transition it led to was accepted by the sinks, every record of it that could
// not be used is in the dead letters and, where there is a Store, a snapshot that
// includes it was stored.
type Stream struct {
	Rules   *rules.Set
	Sources []ingest.Source
	Sink    sinks.Sink
	// Dead takes the dead letters of a batch. An error makes it try again, and the
	// stream wait.
	Dead     func(context.Context, []sinks.DeadLetter) error
	Decode   decode.Options
	Lateness time.Duration
	Workers  int
	Shards   int
	MaxBytes int // see correlate.Options
	Counters *Counters
	Now      func() time.Time
	Log      *slog.Logger

	Store         Store         // nil: no snapshots
	SnapshotEvery time.Duration // default 10 s
	SnapshotSize  int           // snapshot at the latest after so many records, default 20,000
	// DrainTimeout bounds what happens after ctx is done: applying what was read,
	// delivering, the last snapshot. Default 10 s.
	DrainTimeout time.Duration
	Ready        func() // called when every source runs

	do      chan func()
	ended   chan struct{} // closed when Run returns
	inAir   atomic.Int64
	core    *core
	eng     *correlate.Engine
	pool    *pool
	clock   *steadyClock
	ticks   map[string]*[]tick // still to be replayed; each partition's by its source
	outbox  []*correlate.Transition
	letters []sinks.DeadLetter
	own     []*correlate.Transition
	safe    saver
	gen     atomic.Uint64
	stats   atomic.Pointer[Stats]

	since func(start, now time.Time) time.Duration // of clock, for tests that set the wall clock alone
}

// Stats are the engine's counts a moment ago, by rule.
type Stats struct {
	Buffered   int       // events waiting for the watermark
	Duplicates uint64    // events whose sender's id had counted already
	Bytes      int       // estimate of the rules' state
	Watermark  time.Time // zero: no event yet
	Rules      []RuleStats
}

// RuleStats are the counts of one rule.
type RuleStats struct {
	ID    string
	NoKey uint64 // events that met the rule's selection and had no group key
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
	st := &Stats{Buffered: e.Buffered, Duplicates: e.Duplicates, Bytes: e.Bytes, Rules: s.core.stats(s.Rules, e)}
	if at, ok := watermark(s.eng); ok {
		st.Watermark = at
	}
	s.stats.Store(st)
}

// Init restores the state; it must be called before Run, and before the sources
// are opened, which want Positions.
func (s *Stream) Init(ctx context.Context) error {
	s.do, s.ended = make(chan func()), make(chan struct{})
	s.clock = &steadyClock{now: s.Now, since: s.since}
	var parts []ingest.Partition
	for _, src := range s.Sources {
		parts = append(parts, src.Partitions()...)
	}
	r, err := s.restore(ctx)
	if err != nil {
		return err
	}
	s.eng, s.outbox, s.own = r.eng, r.Outbox, r.Own
	s.ticks = map[string]*[]tick{}
	for name, ticks := range r.ticks {
		s.ticks[name] = &ticks
	}
	s.gen.Store(max(1, r.Gen) + changed(r.eng.Restored()))
	s.core = newCore(r.eng, parts, s.Lateness, s.Counters)
	s.core.emit = s.emit
	s.core.dead = func(d sinks.DeadLetter) { s.letters = append(s.letters, d) }
	s.core.resume(r.Parts)
	s.safe = saver{store: s.Store, log: s.Log, done: make(chan saved, 1)}
	return nil
}

// changed is 1 if rules are not what they were: a new generation.
func changed(r correlate.Reloaded) uint64 {
	if len(r.Text)+len(r.Logic)+len(r.Reset)+len(r.Added)+len(r.Removed)+len(r.Renamed) > 0 {
		return 1
	}
	return 0
}

// Generation counts the changes of rules since the state began, from 1.
func (s *Stream) Generation() uint64 { return s.gen.Load() }

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
// run; an error if the worker ends first, or ctx before it is f's turn. Then f does
// not run at all.
func (s *Stream) Do(ctx context.Context, f func()) error {
	done := make(chan struct{})
	select {
	case s.do <- func() { f(); close(done) }:
	case <-s.ended:
		return errEnded
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	select {
	case <-done:
		return nil
	case <-s.ended: // before f's turn, or f was the last it did
		select {
		case <-done:
			return nil
		default:
			return errEnded
		}
	}
}

// Reload swaps the rules between two batches. problems are what is to be told of
// the rules' own state, see announce. Where there is a Store, the new state is safe
// before anything that came of it is delivered.
func (s *Stream) Reload(ctx context.Context, set *rules.Set, problems []Problem) (correlate.Reloaded, error) {
	var rep correlate.Reloaded
	err := s.Do(ctx, func() {
		if set != nil {
			rep = s.swap(set)
		}
		s.announce(problems)
	})
	return rep, err
}

func (s *Stream) swap(set *rules.Set) correlate.Reloaded {
	var made []*correlate.Transition
	rep := s.eng.Reload(set, func(t *correlate.Transition) { made = append(made, t) })
	s.gen.Add(changed(rep))
	for _, t := range made {
		s.emit(t)
	}
	s.pool.sets.Store(&[]*rules.Set{set})
	s.Rules = set
	return rep
}

// Run works until ctx is done, then drains: what was read takes effect, is
// delivered, snapshotted and acknowledged. A nil error means all of that
// happened.
func (s *Stream) Run(ctx context.Context) error {
	defer close(s.ended)
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
				p := names[b.Partition]
				b.Partition += first
				return s.feed(ctx, gate, jobs, b, p)
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

var (
	errDrain = errors.New("drain timeout")
	errEnded = errors.New("the worker has ended")
)

// gate lets feeders in unless somebody needs the pipe to run empty.
type gate struct{ sync.RWMutex }

// feed takes a batch from a source. What was noted in an earlier life about the
// clock is put where it was.
func (s *Stream) feed(ctx context.Context, g *gate, jobs chan<- *job, b ingest.Batch, p ingest.Partition) error {
	if n := len(b.Records); n > 0 && p.Replay {
		s.clock.observe(b.Records[n-1].Observed)
	}
	g.RLock()
	defer g.RUnlock()
	send := func(b ingest.Batch, at int64) error { return s.send(ctx, jobs, b, p.Name, at) }
	ticks := s.ticks[p.Name]
	if ticks == nil || len(*ticks) == 0 {
		return send(b, 0)
	}
	var err error
	*ticks, err = replayed(b, *ticks, send)
	return err
}

// send has b prepared; at is where it moves the watermark if nothing more waits,
// 0: as far as the clock does.
func (s *Stream) send(ctx context.Context, jobs chan<- *job, b ingest.Batch, name string, at int64) error {
	arrived := s.clock.read()
	if b.At != 0 {
		arrived = min(arrived, b.At) // what came while it waited is not late for that
	}
	if at != 0 {
		arrived = at + int64(s.Lateness)
	}
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
	if err := s.deliver(ctx); err != nil { // what the last life had decided
		return err
	}
	every := time.NewTicker(cmp.Or(s.SnapshotEvery, 10*time.Second))
	defer every.Stop()
	tell := time.NewTicker(time.Second)
	defer tell.Stop()
	s.publishStats()
	for {
		due := s.Store == nil
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
		case r := <-s.safe.done:
			if s.safe.finish(r); s.safe.taken != nil {
				return fmt.Errorf("store snapshot: %w", s.safe.taken)
			}
		case <-every.C:
			s.safe.late = true
		case <-tell.C:
			s.publishStats()
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		if due || s.safe.wants(cmp.Or(s.SnapshotSize, 20_000)) {
			if err := s.begin(ctx, nil); err != nil {
				return err
			}
		}
	}
}

// apply lets a batch take effect and delivers what came of it.
func (s *Stream) apply(ctx context.Context, j *job) error {
	out := j.wait()[0]
	s.inAir.Add(-1)
	s.core.apply(out)
	s.safe.unsafe += len(out.batch.Records)
	if out.batch.Done != nil {
		s.safe.acks = append(s.safe.acks, out.batch.Done)
	}
	return s.deliver(ctx)
}

// deliver hands on dead letters and transitions. What they rest on and a replay
// would not find out is noted before.
func (s *Stream) deliver(ctx context.Context) error {
	if err := s.bury(ctx); err != nil {
		return err
	}
	if len(s.outbox) == 0 {
		return nil
	}
	if err := s.note(ctx); err != nil {
		return err
	}
	ts := s.outbox
	s.outbox = nil
	s.safe.dirty = true
	if err := s.Sink.Write(ctx, ts); err != nil {
		return fmt.Errorf("deliver incidents: %w", err)
	}
	return nil
}

// bury writes the dead letters; it tries until ctx is done.
func (s *Stream) bury(ctx context.Context) error {
	ls := s.letters
	s.letters = nil
	if len(ls) == 0 || s.Dead == nil {
		return nil
	}
	return insist(ctx, s.Log, "write dead letters", func() error { return s.Dead(ctx, ls) })
}

// note makes safe where the clock moved the watermark.
func (s *Stream) note(ctx context.Context) error {
	if s.Store == nil {
		s.core.noted()
		return nil
	}
	data, err := s.core.notes()
	if err != nil || data == nil {
		return err
	}
	if err := insist(ctx, s.Log, "store note", func() error { return s.Store.Note(ctx, data) }); err != nil {
		return err
	}
	s.core.noted()
	return nil
}

// insist does what must succeed, again and again until ctx is done.
func insist(ctx context.Context, log *slog.Logger, what string, do func() error) error {
	for try := 0; ; try++ {
		err := do()
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return fmt.Errorf("%s: %w", what, errors.Join(context.Cause(ctx), err))
		}
		if errors.Is(err, ErrTaken) {
			return fmt.Errorf("%s: %w", what, err)
		}
		if try&(try-1) == 0 { // ever more seldom
			log.Error(what+", trying again", "tries", try+1, "error", err)
		}
		if werr := (sinks.Backoff{}).Wait(ctx, try); werr != nil {
			return fmt.Errorf("%s: %w", what, errors.Join(werr, err))
		}
	}
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
				go func() { <-locked; g.Unlock() }() // or those who still feed would wait for ever
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
	if s.Store != nil && len(s.outbox) > 0 {
		if err := s.saveNow(ctx, s.outbox); err != nil {
			return err
		}
	}
	return s.deliver(ctx)
}
