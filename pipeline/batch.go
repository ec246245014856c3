package pipeline

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"time"

	"corral/correlate"
	"corral/event"
	"corral/ingest"
	"corral/ingest/decode"
	"corral/rules"
	"corral/sinks"
)

// Batch reprocesses bounded input with the engine the worker uses. The input is
// read once, whatever the number of lanes.
type Batch struct {
	Lanes    []*Lane
	Source   ingest.Puller
	Dead     func(sinks.DeadLetter)
	Decode   decode.Options
	Range    Range
	Lateness time.Duration
	Workers  int
	Shards   int
	MaxBytes int              // see correlate.Options
	Now      func() time.Time // for detected_at
	// Stop ends the reading of a partition whose records say when they arrived
	// (streams), once both its events and their arrivals are past it by more than
	// the lateness: nothing on time comes from before it any more. 0: never.
	Stop int64
	// Progress is called after every batch, from Run's goroutine, when all lanes
	// have come to the same watermark; may be nil.
	Progress func()
	// Resume is what an interrupted run had come to, nil: begin at the beginning.
	// The source must be one over the same input; it may begin where the resumed
	// run stopped, or before.
	Resume *Checkpoint
	// Grace is how long a write may go on after ctx is done, so that a run that is
	// interrupted ends between two batches; 0: not at all.
	Grace time.Duration

	places []place // by partition: how far it was applied
}

// Lane is one rule set and where its transitions go.
type Lane struct {
	Rules    *rules.Set
	Sink     sinks.Sink
	Counters Counters
	RunID    string
	Mode     string                           // of the transitions, "batch" if empty
	Keep     func(*correlate.Transition) bool // nil: all
	Trace    func(correlate.TraceEvent)       // see correlate.Options
	// Watch is told of every event that met a rule, before it takes effect, and
	// whether it came too late to; nil costs nothing.
	Watch func(ev *event.Event, ms []rules.Match, late bool)
	// Engine is made by Run, and there for whoever wants to look at it afterwards.
	Engine *correlate.Engine

	core *core
	hold holdback
	now  func() time.Time
}

// Stats are the counts by rule of a run that has ended.
func (l *Lane) Stats() []RuleStats { return l.core.stats(l.Rules, l.Engine.Stats()) }

// Run reads everything. What is open at the end says truncated_end in its last
// revision, so transitions are held back while that may still have to be said.
// After an error of ctx, Checkpoint tells how far it came.
func (b *Batch) Run(ctx context.Context) error {
	if err := b.start(); err != nil {
		return err
	}
	work, stop := b.outlive(ctx)
	defer stop()
	if err := b.merge(ctx, work); err != nil {
		return err
	}
	for _, l := range b.Lanes {
		if end := l.end(b.Range); end != math.MinInt64 {
			l.Engine.Finish(end, l.core.emit)
		}
		l.hold.end()
		if err := l.write(work); err != nil {
			return err
		}
	}
	return nil
}

// outlive is ctx, but done only Grace later.
func (b *Batch) outlive(ctx context.Context) (context.Context, func()) {
	if b.Grace <= 0 {
		return ctx, func() {}
	}
	work, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		time.AfterFunc(b.Grace, func() { cancel(context.Cause(ctx)) })
	})
	return work, func() { stop(); cancel(nil) }
}

func (b *Batch) start() error {
	b.places = make([]place, len(b.Source.Partitions()))
	if b.Resume != nil {
		return b.restore()
	}
	for _, l := range b.Lanes {
		l.start(b, correlate.New(l.Rules, l.options(b)))
	}
	return nil
}

func (l *Lane) options(b *Batch) correlate.Options {
	return correlate.Options{Shards: b.Shards, MaxBytes: b.MaxBytes, Trace: l.Trace}
}

func (l *Lane) start(b *Batch, eng *correlate.Engine) {
	l.now, l.Engine = b.Now, eng
	l.core = newCore(l.Engine, b.Source.Partitions(), b.Lateness, &l.Counters)
	l.core.emit, l.core.watch = l.take, l.Watch
	l.core.dead = func(sinks.DeadLetter) {}
	if l == b.Lanes[0] {
		l.core.dead = b.Dead
	}
}

func (l *Lane) take(t *correlate.Transition) {
	if l.Keep != nil && !l.Keep(t) {
		return
	}
	t.Mode, t.RunID = cmp.Or(l.Mode, "batch"), l.RunID
	t.RulesGen = 1 // a run has one generation, as a worker has until its first reload
	t.DetectedAt = l.now().UTC()
	t.DetectLagMS = t.DetectedAt.Sub(t.ChangedAt).Milliseconds()
	l.Counters.note(t)
	l.hold.add(t)
}

// end is the last instant of the run: what was asked for, else that of the last
// event.
func (l *Lane) end(r Range) int64 {
	if r.To != 0 {
		return r.To
	}
	if l.Counters.Events.Load() == 0 {
		return math.MinInt64
	}
	return l.Counters.MaxEventTime.Load()
}

func (l *Lane) write(ctx context.Context) error {
	ts := l.hold.ready()
	if len(ts) == 0 {
		return nil
	}
	if err := l.Sink.Write(ctx, ts); err != nil {
		return fmt.Errorf("write incidents: %w", err)
	}
	l.hold.written()
	return nil
}

// merge applies batches, always of the partition that is furthest behind. Those
// that are being read are read ahead by one goroutine each, so that decoding keeps
// every core busy; what is applied next depends on event times alone. It stops
// between two batches when ctx is done; writes last as long as work.
func (b *Batch) merge(ctx, work context.Context) error {
	reading, cancel := context.WithCancel(ctx)
	var sets []*rules.Set
	for _, l := range b.Lanes {
		sets = append(sets, l.Rules)
	}
	p := newPool(max(b.Workers, 1), sets, b.Decode, b.Range)
	c := b.Lanes[0].core // every lane's clocks are the same
	ahead := readAhead{ctx: reading, src: b.Source, pool: p, opt: b.Decode, names: b.Source.Partitions(), depth: 2 * max(b.Workers, 1)}
	defer func() { cancel(); ahead.stop(); p.close() }()
	if err := b.lookAhead(reading); err != nil {
		return err
	}
	ahead.start()
	for {
		i := c.behind()
		if i < 0 {
			return nil
		}
		j, err := ahead.next(i)
		if errors.Is(err, io.EOF) {
			for _, l := range b.Lanes {
				l.core.parts[i].ended = true
			}
			continue
		}
		if err != nil {
			return err
		}
		if err := b.apply(work, j); err != nil {
			return err
		}
		if b.Progress != nil {
			b.Progress()
		}
	}
}

// apply lets a batch take effect in every lane, and writes what came of it. What
// could not be written is written first after a Resume.
func (b *Batch) apply(work context.Context, j *job) error {
	outs := j.wait()
	past := b.past(outs[0])
	for n, out := range outs {
		b.Lanes[n].core.apply(out)
		if past {
			b.Lanes[n].core.parts[j.batch.Partition].ended = true
		}
	}
	b.places[j.batch.Partition].note(&j.batch)
	if j.batch.Done != nil {
		if err := j.batch.Done(); err != nil {
			return err
		}
	}
	for _, l := range b.Lanes {
		if err := l.write(work); err != nil {
			return err
		}
	}
	return nil
}

// past reports whether a partition has come past Stop.
func (b *Batch) past(out *prepared) bool {
	n := len(out.batch.Records)
	if b.Stop == 0 || n == 0 {
		return false
	}
	stop := b.Stop + int64(b.Lateness)
	return out.reach > stop && out.batch.Records[n-1].Observed > stop
}
