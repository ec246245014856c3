package clickhouse

import (
	"context"
	"fmt"
	"time"

	"corral/internal/chconn"
	"corral/sinks"
)

// deliver returns when every batch is known to be stored, but for rows that are
// in the dead letters, or when ctx is done.
func (s *Sink) deliver(ctx context.Context, batches []*batch) error {
	for _, b := range batches {
		if err := s.deliverBatch(ctx, b); err != nil {
			return err
		}
	}
	return nil
}

// refused is a row that failed alone.
type refused struct {
	row
	err error
}

// deliverBatch blames rows only if the table takes others: when it takes none,
// it is not the rows (a view behind the table, say), and all are held.
func (s *Sink) deliverBatch(ctx context.Context, b *batch) error {
	for try := 0; ; try++ {
		var bad []refused
		if err := s.settle(ctx, b, &bad); err != nil || len(bad) == 0 {
			return err
		}
		if s.Dead != nil && s.witness(ctx, b.table) {
			return s.blame(ctx, b, bad)
		}
		if err := s.pauseHeld(ctx, b, bad[0].err, try); err != nil {
			return err
		}
	}
}

// blame buries the rows that fail once more, now that the table is known to take
// others: it may not have when they failed.
func (s *Sink) blame(ctx context.Context, b *batch, suspects []refused) error {
	var bad []refused
	for _, r := range suspects {
		alone := &batch{table: b.table, id: s.ids.next(1), month: b.month, rows: []row{r.row}}
		if err := s.settle(ctx, alone, &bad); err != nil {
			return err
		}
	}
	for _, r := range bad {
		if err := s.bury(r.of, r.err); err != nil {
			return err
		}
	}
	return nil
}

// settle stores a batch, in parts if it must, and collects the rows that fail
// alone.
func (s *Sink) settle(ctx context.Context, b *batch, bad *[]refused) error {
	for try := 0; ; try++ {
		err := s.attempt(ctx, b)
		if err == nil {
			s.stored(b)
			return nil
		}
		if ended(ctx, err) {
			return fmt.Errorf("%w (last: %w)", context.Cause(ctx), err)
		}
		s.noteFailure(err)
		c := classify(err)
		if (c == smaller || c == poison) && len(b.rows) > 1 {
			return s.settleHalves(ctx, b, bad)
		}
		if c == poison {
			*bad = append(*bad, refused{b.rows[0], err})
			return nil
		}
		if err := s.pause(ctx, b, err, try); err != nil {
			return err
		}
	}
}

func (s *Sink) settleHalves(ctx context.Context, b *batch, bad *[]refused) error {
	for _, half := range b.halves(&s.ids) {
		if err := s.settle(ctx, half, bad); err != nil {
			return err
		}
	}
	return nil
}

// attempt sends a batch once. An error means that its rows are not there, as far
// as can be known.
func (s *Sink) attempt(ctx context.Context, b *batch) error {
	r, err := s.client.prepare(ctx)
	if err != nil {
		return err
	}
	s.stats.update(func(x *Stats) { x.Ready = true })
	if b.replay {
		b.replay = false
		if s.there(ctx, b) {
			return nil
		}
	}
	sent, err := s.client.insert(ctx, r, b)
	if err == nil || !sent {
		return err
	}
	// Whatever the error says, the rows may be there: a lost answer, or a view
	// behind the table that failed after the table had them.
	if s.there(ctx, b) {
		return nil
	}
	return err
}

// there looks until it is known whether the rows of a batch are stored. Where
// rows were merged away since, or the look is refused, they count as not there:
// to send them again does no harm.
func (s *Sink) there(ctx context.Context, b *batch) bool {
	for try := 0; ; try++ {
		n, err := s.client.count(ctx, b)
		if err == nil {
			s.stats.update(func(x *Stats) {
				x.Looks++
				if n == len(b.rows) {
					x.Found++
				}
			})
			return n == len(b.rows)
		}
		if classify(err) == hold || s.pause(ctx, b, err, try) != nil {
			return false
		}
	}
}

// witness reports whether the table takes rows at all, by sending one again that
// it has taken before: its key makes that harmless. After a start that is one of an
// earlier life.
func (s *Sink) witness(ctx context.Context, t *table) bool {
	s.accepted.Lock()
	known := s.accepted.batch[t]
	s.accepted.Unlock()
	if known == nil {
		var err error
		if known, err = s.client.sample(ctx, t); err != nil {
			s.Logger.Warn("no row is found to tell whether the table takes others", "table", t.name, "err", err)
			return false
		}
	}
	again := &batch{table: t, id: s.ids.next(1), month: known.month, rows: known.rows}
	return s.attempt(ctx, again) == nil
}

// stored counts a batch and keeps a row of it as a witness.
func (s *Sink) stored(b *batch) {
	s.accepted.Lock()
	s.accepted.batch[b.table] = &batch{month: b.month, rows: b.rows[:1:1]}
	s.accepted.Unlock()
	bytes := 0
	for _, r := range b.rows {
		bytes += roughSize(r.values)
	}
	recovered := false
	s.stats.update(func(x *Stats) {
		if x.Rows == nil {
			x.Rows, x.Batches, x.Bytes = map[string]uint64{}, map[string]uint64{}, map[string]uint64{}
		}
		x.Rows[b.table.name] += uint64(len(b.rows))
		x.Batches[b.table.name]++
		x.Bytes[b.table.name] += uint64(bytes)
		recovered = x.Failing
		x.Failing, x.Held, x.LastError, x.LastSuccess = false, "", "", time.Now()
	})
	if recovered {
		s.Logger.Info("ClickHouse takes rows again")
	}
}

func (s *Sink) noteFailure(err error) {
	s.stats.update(func(x *Stats) {
		if x.Retries == nil {
			x.Retries = map[int32]uint64{}
		}
		x.Retries[chconn.Code(err)]++
		x.LastError = err.Error()
	})
}

// pause waits before a further try, and tells.
func (s *Sink) pause(ctx context.Context, b *batch, err error, try int) error {
	s.stats.update(func(x *Stats) { x.Failing = true })
	if classify(err) == hold {
		return s.pauseHeld(ctx, b, err, try)
	}
	if try == 0 {
		s.Logger.Warn("ClickHouse failed, trying again", "table", b.name(), "err", err)
	}
	return sinks.Backoff{Max: s.RetryInterval}.Wait(ctx, try)
}

// pauseHeld is for what does not pass by itself.
func (s *Sink) pauseHeld(ctx context.Context, b *batch, err error, try int) error {
	s.client.forget() // someone may have mended the schema, or replaced the server
	s.stats.update(func(x *Stats) { x.Failing, x.Held = true, err.Error() })
	s.Logger.Error("ClickHouse refuses; rows are held until someone acts", "table", b.name(), "code", chconn.Code(err), "err", err)
	return s.holdBackoff().Wait(ctx, try)
}

func (s *Sink) holdBackoff() sinks.Backoff {
	return sinks.Backoff{Min: min(time.Second, s.HoldInterval), Max: s.HoldInterval}
}

func (b *batch) name() string {
	if b == nil {
		return ""
	}
	return b.table.name
}

var _ sinks.Sink = (*Sink)(nil)
