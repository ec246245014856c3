package pipeline

import (
	"context"
	"errors"
	"io"
	"math"
	"sync"

	"corral/event"
	"corral/ingest"
	"corral/ingest/decode"
)

// lookAhead finds out where each of many partitions begins, so that one whose
// time has not come is not opened: of two thousand rotated files one is read at a
// time.
func (b *Batch) lookAhead(ctx context.Context) error {
	parts := b.Lanes[0].core.parts
	if len(parts) < 2 {
		return nil
	}
	todo := make(chan int)
	errs := make(chan error, 1)
	floors := make([]int64, len(parts))
	var wg sync.WaitGroup
	for range max(b.Workers, 1) {
		wg.Go(func() {
			dec := decode.New(b.Decode)
			for i := range todo {
				floor, err := b.floor(ctx, dec, i)
				if err != nil {
					select {
					case errs <- err:
					default:
					}
				}
				floors[i] = floor
			}
		})
	}
	for i := range parts {
		floors[i] = math.MinInt64
		if !parts[i].ended && parts[i].clock == math.MinInt64 {
			todo <- i
		}
	}
	close(todo)
	wg.Wait()
	for _, l := range b.Lanes {
		for i := range floors {
			l.core.parts[i].floor = floors[i]
		}
	}
	select {
	case err := <-errs:
		return err
	default:
		return nil
	}
}

// floor is the time before which nothing of a partition comes on time: its first
// events say so. MinInt64: they do not, it has to be read.
func (b *Batch) floor(ctx context.Context, dec *decode.Decoder, partition int) (int64, error) {
	head, err := b.Source.Head(ctx, partition)
	if errors.Is(err, io.EOF) {
		return math.MinInt64, nil // Next says what there is to say
	}
	if err != nil {
		return math.MinInt64, err
	}
	date := fileDate{opt: b.Decode}
	date.check(&head)
	first, last := int64(math.MaxInt64), int64(math.MinInt64)
	for i := range head.Records {
		rec := &head.Records[i]
		dec.Decode(*rec, func(ev *event.Event) {
			first = min(first, ev.Time)
			last = max(last, clockOf(ev, rec, &b.Decode))
		}, func(decode.DeadRecord) {})
	}
	if first == math.MaxInt64 {
		return math.MinInt64, nil
	}
	return min(first, last-int64(b.Lateness)), nil
}

// readAhead reads partitions a few batches ahead and has them prepared. One that
// nothing was asked of yet is not read.
type readAhead struct {
	ctx    context.Context
	src    ingest.Puller
	pool   *pool
	opt    decode.Options
	names  []ingest.Partition
	depth  int // batches read ahead, over the partitions that are being read
	active int
	queues []chan fetched
	quit   chan struct{}
	wg     sync.WaitGroup
}

type fetched struct {
	job *job
	err error
}

func (r *readAhead) start() {
	r.quit = make(chan struct{})
	r.queues = make([]chan fetched, len(r.names))
}

// begin reads a partition: far ahead if it is the only one, of very many each only
// its next batch.
func (r *readAhead) begin(i int) {
	r.active++
	queue := make(chan fetched, max(1, r.depth/r.active))
	r.queues[i] = queue
	r.wg.Go(func() { r.read(i, queue) })
}

func (r *readAhead) read(i int, queue chan<- fetched) {
	date := fileDate{opt: r.opt}
	for {
		b, err := r.src.Next(r.ctx, i)
		var f fetched
		if err != nil {
			f.err = err
		} else {
			b.Partition = i
			date.check(&b)
			f.job = r.pool.submit(b, r.names[i].Name, 0)
		}
		select {
		case queue <- f:
		case <-r.quit:
			return
		}
		if err != nil || b.End {
			return
		}
	}
}

func (r *readAhead) next(i int) (*job, error) {
	if err := r.ctx.Err(); err != nil {
		return nil, context.Cause(r.ctx)
	}
	if r.queues[i] == nil {
		r.begin(i)
	}
	select {
	case f := <-r.queues[i]:
		if f.err != nil || f.job.batch.End {
			r.active--
			r.queues[i] = nil
		}
		return f.job, f.err
	case <-r.ctx.Done():
		return nil, context.Cause(r.ctx)
	}
}

func (r *readAhead) stop() {
	close(r.quit)
	r.wg.Wait()
}

// resumed is a source without what an earlier run applied.
type resumed struct {
	ingest.Puller
	parts []PartitionMark
}

// Head implements ingest.Puller: of what was begun, the clock is known.
func (r resumed) Head(ctx context.Context, partition int) (ingest.Batch, error) {
	b, err := r.Puller.Head(ctx, partition)
	return after(b, r.parts[partition].Seq), err
}

// Next implements ingest.Puller.
func (r resumed) Next(ctx context.Context, partition int) (ingest.Batch, error) {
	b, err := r.Puller.Next(ctx, partition)
	return after(b, r.parts[partition].Seq), err
}
