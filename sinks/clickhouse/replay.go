package clickhouse

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"os"
	"slices"

	"corral/correlate"
)

// sift looks which of the writes an earlier process left are there already, many
// at a time: those are done, and those of which nothing is there can be grouped
// anew. What the look leaves open is looked for again, one by one.
func (s *Sink) sift(ctx context.Context) {
	const atOnce = 256
	for fs := range slices.Chunk(s.spool.left(), atOnce) {
		if err := s.siftSome(ctx, fs); err != nil {
			s.Logger.Warn("look for spooled writes failed, looking one by one", "err", err)
			return
		}
	}
}

func (s *Sink) siftSome(ctx context.Context, fs []spooled) error {
	stored, err := s.client.countRange(ctx, fs[0].id, fs[len(fs)-1].id+batchesPerWrite)
	if err != nil {
		return err
	}
	for _, f := range fs {
		good, err := s.loadSpooled(f)
		if err != nil {
			return err
		}
		switch all, none := compare(number(freeze(good), f.id, true), stored); {
		case all:
			s.stats.update(func(x *Stats) { x.Found++ })
			s.remove(f)
		case none:
			s.spool.refresh(f)
		}
	}
	s.stats.update(func(x *Stats) { x.Looks += uint64(len(tables)) })
	return nil
}

// batchesPerWrite is more than the batches of a write have ids.
const batchesPerWrite = 1 << 16

// compare says whether all rows of the batches are stored, or none.
func compare(bs []*batch, stored map[storedBatch]int) (all, none bool) {
	all, none = true, true
	for _, b := range bs {
		n := stored[storedBatch{b.table, b.id}]
		all = all && n == len(b.rows)
		none = none && n == 0
	}
	return all, none
}

type storedBatch struct {
	table *table
	id    uint64
}

// countRange says how many rows are there, by write_id.
func (c *client) countRange(ctx context.Context, from, to uint64) (map[storedBatch]int, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	out := map[storedBatch]int{}
	for _, t := range tables {
		rows, err := c.conn.Query(ctx, "SELECT write_id, count() FROM "+c.table(t.name)+" WHERE write_id >= ? AND write_id <= ? GROUP BY write_id", from, to)
		if err != nil {
			return nil, err
		}
		for rows.Next() {
			var id, n uint64
			if err := rows.Scan(&id, &n); err != nil {
				return nil, errors.Join(err, rows.Close())
			}
			out[storedBatch{t, id}] = int(n)
		}
		if err := errors.Join(rows.Err(), rows.Close()); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// sendSpooled sends writes as one and removes their files. Several were never
// sent: together they are a new write. Should a crash leave their files there,
// they are sent again, and their keys make that harmless.
func (s *Sink) sendSpooled(ctx context.Context, fs []spooled) error {
	var all []admitted
	for _, f := range fs {
		good, err := s.loadSpooled(f)
		if err != nil {
			return err
		}
		all = append(all, good...)
	}
	batches := freeze(all)
	if len(fs) > 1 {
		number(batches, s.ids.next(max(1, len(batches))), false)
	} else {
		number(batches, fs[0].id, !fs[0].fresh)
	}
	if err := s.deliver(ctx, batches); err != nil {
		return err
	}
	for _, f := range fs {
		s.remove(f)
	}
	return nil
}

// loadSpooled reads a write. Of one that is damaged, and set aside, there is
// nothing to send.
func (s *Sink) loadSpooled(f spooled) ([]admitted, error) {
	ts, err := s.spool.load(f)
	if errors.Is(err, errDamaged) {
		s.Logger.Error("spooled write cannot be read, set aside", "file", f.name, "err", err)
		s.stats.update(func(x *Stats) { x.Corrupt++ })
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("spool: %w", err)
	}
	return s.admit(ts)
}

func (s *Sink) remove(f spooled) {
	if err := s.spool.remove(f); err != nil && !errors.Is(err, os.ErrNotExist) { // a damaged one has another name
		s.Logger.Error("spooled write cannot be removed: it will be sent again", "file", f.name, "err", err)
	}
}

// putAside spools a write, a large one in parts: they are writes of their own.
func (s *Sink) putAside(ctx context.Context, id uint64, ts []admitted, fresh bool) error {
	for part := range spoolParts(ts) {
		if len(part) < len(ts) {
			id = s.ids.next(len(freeze(part)))
		}
		plain := make([]*correlate.Transition, len(part))
		for i, t := range part {
			plain[i] = t.of
		}
		if err := s.spool.put(ctx, id, plain, fresh); err != nil {
			return err
		}
	}
	return nil
}

// spoolParts cuts a write into parts that can be read back in bounded memory.
func spoolParts(ts []admitted) iter.Seq[[]admitted] {
	return func(yield func([]admitted) bool) {
		begin, bytes := 0, 0
		for i, t := range ts {
			bytes += roughSize(t.record)
			if bytes < spoolPart && i < len(ts)-1 {
				continue
			}
			if !yield(ts[begin : i+1]) {
				return
			}
			begin, bytes = i+1, 0
		}
	}
}
