package clickhouse

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"corral/ingest"
	"corral/internal/chconn"
)

// cursor is where reading has come to, and how large a window is tried next.
type cursor struct {
	from   int64 // rows before are read
	offset int   // rows at from that are read, where they are too many for one window
	step   int64 // length of the window in nanoseconds
	rows   int   // at most so many at once
	last   int64 // time of the last row there is
}

func (c cursor) ended() bool { return c.from > c.last }

// end is the end of the window, exclusive.
func (c cursor) end() int64 {
	if c.offset > 0 {
		return c.from + 1
	}
	if c.last-c.from < c.step {
		return c.last + 1
	}
	return c.from + c.step
}

type fetched struct {
	records []ingest.Record // numbered from 1
	rows    uint64
	then    cursor
	err     error
}

const (
	firstStep   = int64(time.Minute)
	shortest    = int64(time.Second) // the limit bounds a window in any case
	long        = int64(24 * time.Hour)
	longestStep = 7 * long
	fewestRows  = 1000
)

// fetch reads a window whole, and again when it breaks off.
func (s *Source) fetch(ctx context.Context, at cursor) fetched {
	for try := 1; ; try++ {
		rows, then, err := s.window(ctx, at)
		if err == nil {
			return fetched{s.encoder.pieces(rows), uint64(len(rows)), then, nil}
		}
		if ctx.Err() != nil {
			return fetched{err: context.Cause(ctx)}
		}
		if chconn.Code(err) == codeMemoryLimit && at.rows > fewestRows {
			at.rows, at.step = max(fewestRows, at.rows/2), max(shortest, at.step/2)
			continue
		}
		if !passing(err) || try == s.Tries {
			return fetched{err: fmt.Errorf("read %s from %s: %w", s.Table, time.Unix(0, at.from).UTC().Format(time.RFC3339Nano), err)}
		}
		s.Logger.Warn("window broke off, reading it again", "table", s.Table, "from", time.Unix(0, at.from).UTC(), "err", err)
		if err := wait(ctx, try); err != nil {
			return fetched{err: err}
		}
	}
}

const codeMemoryLimit = 241

// passing reports whether an error may be gone next time: no answer, or an
// exception of load.
func passing(err error) bool {
	return slices.Contains([]int32{0, 3, 159, 160, 173, 202, 203, 209, 210, 241, 242, 279, 285, 394, 439, 473, 999}, chconn.Code(err))
}

// wait waits up to 200 ms, doubling to 10 s, at random.
func wait(ctx context.Context, try int) error {
	t := time.NewTimer(rand.N(min(10*time.Second, 100*time.Millisecond<<min(try, 10))))
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// window reads one window. Over a long time without rows it jumps.
func (s *Source) window(ctx context.Context, at cursor) ([]row, cursor, error) {
	rows, more, err := s.query(ctx, at)
	if err != nil {
		return nil, at, err
	}
	rows, then := at.after(rows, more)
	if len(rows) == 0 && at.step >= long && !then.ended() {
		var n uint64
		var last int64
		q := s.layout.extent(s.table, s.Where, then.from, then.last+1)
		if err := s.conn.QueryRow(ctx, q).Scan(&n, &then.from, &last); err != nil {
			return nil, at, err
		}
		if n == 0 { // the rest was deleted since
			then.from = then.last + 1
		}
	}
	return rows, then, nil
}

// query reads the rows of a window: one more than wanted, to see whether there
// are more, or fewer if they are large.
func (s *Source) query(ctx context.Context, at cursor) (out []row, more bool, err error) {
	// No deadline: the driver would make max_execution_time of it.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // ends a query of which enough was read
	rows, err := s.conn.Query(ctx, s.layout.statement(s.table, s.Where, at))
	if err != nil {
		return nil, false, err
	}
	defer func() { _ = rows.Close() }()
	bytes := 0
	for rows.Next() {
		r := row{json: make([]string, len(s.layout.flat)+len(s.layout.named))}
		if err := rows.Scan(r.targets()...); err != nil {
			return nil, false, err
		}
		out = append(out, r)
		if bytes += r.size(); bytes > s.Bytes && len(out) > 1 {
			return out, true, nil
		}
	}
	return out, len(out) > at.rows, rows.Err()
}

// after returns the rows that are to be handed over, and where to go on. When
// there are more than rows, those of the last instant are left for the next
// window, as it is not known to be whole; unless there is no other instant.
func (c cursor) after(rows []row, more bool) ([]row, cursor) {
	n := c
	n.offset = 0
	if !more {
		n.from = c.end()
		if len(rows) <= c.rows/4 {
			n.step = min(longestStep, c.step*4)
		}
		return rows, n
	}
	n.from = rows[len(rows)-1].time
	n.step = max(shortest, n.from-c.from) // so long a time made a full window
	cut := slices.IndexFunc(rows, func(r row) bool { return r.time == n.from })
	if cut == 0 {
		cut = len(rows) - 1
		n.offset = c.offset + cut
	}
	return rows[:cut], n
}
