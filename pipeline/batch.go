package pipeline

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"sync"
	"time"

	"corral/correlate"
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
	Now      func() time.Time // for detected_at
	// Progress is called after every batch, from Run's goroutine; may be nil.
	Progress func()
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
	// Engine is made by Run, and there for whoever wants to look at it afterwards.
	Engine *correlate.Engine

	core *core
	hold holdback
	now  func() time.Time
}

// Run reads everything. What is open at the end says truncated_end in its last
// revision, so transitions are held back while that may still have to be said.
func (b *Batch) Run(ctx context.Context) error {
	for _, l := range b.Lanes {
		l.start(b)
	}
	if err := b.merge(ctx); err != nil {
		return err
	}
	for _, l := range b.Lanes {
		if end := l.end(b.Range); end != math.MinInt64 {
			l.Engine.Finish(end, l.core.emit)
		}
		l.hold.end()
		if err := l.write(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (l *Lane) start(b *Batch) {
	l.now = b.Now
	l.Engine = correlate.New(l.Rules, correlate.Options{Shards: b.Shards, Trace: l.Trace})
	l.core = newCore(l.Engine, b.Source.Partitions(), b.Lateness, &l.Counters)
	l.core.emit = l.take
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
	return nil
}

// merge applies batches, always of the partition that is furthest behind. Each
// partition is read ahead by one goroutine, so that decoding keeps every core
// busy; what is applied next depends on event times alone.
func (b *Batch) merge(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	var sets []*rules.Set
	for _, l := range b.Lanes {
		sets = append(sets, l.Rules)
	}
	p := newPool(max(b.Workers, 1), sets, b.Decode, b.Range)
	c := b.Lanes[0].core // every lane's clocks are the same
	ahead := readAhead{ctx: ctx, src: b.Source, pool: p, names: b.Source.Partitions()}
	defer func() { cancel(); ahead.stop(); p.close() }()
	// One file is read far ahead; of very many each gets only its next piece.
	ahead.start(max(1, 2*max(b.Workers, 1)/max(len(c.parts), 1)))
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
		for n, out := range j.wait() {
			l := b.Lanes[n]
			l.core.apply(out)
			if err := l.write(ctx); err != nil {
				return err
			}
		}
		if b.Progress != nil {
			b.Progress()
		}
	}
}

// readAhead reads every partition a few batches ahead and has them prepared.
type readAhead struct {
	ctx    context.Context
	src    ingest.Puller
	pool   *pool
	names  []ingest.Partition
	queues []chan fetched
	quit   chan struct{}
	wg     sync.WaitGroup
}

type fetched struct {
	job *job
	err error
}

func (r *readAhead) start(depth int) {
	r.quit = make(chan struct{})
	r.queues = make([]chan fetched, len(r.names))
	for i := range r.queues {
		r.queues[i] = make(chan fetched, depth)
		r.wg.Go(func() { r.read(i) })
	}
}

func (r *readAhead) read(i int) {
	for {
		b, err := r.src.Next(r.ctx, i)
		var f fetched
		if err != nil {
			f.err = err
		} else {
			b.Partition = i
			f.job = r.pool.submit(b, r.names[i].Name, 0)
		}
		select {
		case r.queues[i] <- f:
		case <-r.quit:
			return
		}
		if err != nil {
			return
		}
	}
}

func (r *readAhead) next(i int) (*job, error) {
	select {
	case f := <-r.queues[i]:
		return f.job, f.err
	case <-r.ctx.Done():
		return nil, context.Cause(r.ctx)
	}
}

func (r *readAhead) stop() {
	close(r.quit)
	r.wg.Wait()
}
