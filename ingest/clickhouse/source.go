// Package clickhouse reads history from a table of logs in ClickHouse: every
// generation of OpenTelemetry's table, ClickStack's and SigNoz's, and any other
// table with a time.
//
// It reads window by window in event time, each whole into memory before
// anything of it is handed over: a driver's rows must not be kept waiting, or
// the server ends the query. The order is the same each time.
package clickhouse

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"

	"corral/ingest"
	"corral/internal/chconn"
)

// Options of a Source. DSN and Table are needed.
type Options struct {
	DSN   string // see chconn.Parse
	Table string // "otel_logs", or "database.table"

	From, To time.Time // rows with From <= time < To; zero: from the first, to the last

	// Columns say what is where in a table that is not known, or override it:
	// time, body, level, severity_number, service, trace_id, span_id to a column;
	// attrs to columns, with commas between, whose keys become fields.
	Columns map[string]string
	Where   string // a further condition in SQL

	Resume Position // where an earlier read stopped; zero: at From

	Rows   int          // read at once, about; 0: 50 000
	Bytes  int          // held at once, about; 0: 64 MiB
	Tries  int          // for a window, before the source gives up; 0: 8
	Logger *slog.Logger // nil: silent
}

// Position is what was read and is done with: everything before Time.
type Position struct {
	Time int64  `json:"time"` // nanoseconds since the epoch
	Rows uint64 `json:"rows"`
}

// Source reads one table. It has one partition, in order of event time.
type Source struct {
	Options
	conn     clickhouse.Conn
	layout   *layout
	encoder  *encoder
	table    string // quoted
	database string
	total    uint64 // rows in the range
	first    int64  // time of the first of them
	last     int64

	next    cursor          // the window to be fetched next
	ahead   chan fetched    // not nil: it is being fetched
	records []ingest.Record // of the window fetched last that are not handed over
	rows    uint64          // of all windows so far, counted from the beginning of the range
	closed  bool            // the last batch was handed over

	mu   sync.Mutex
	done Position
}

// Open connects, finds out what the table is, and how much there is to read.
func Open(ctx context.Context, o Options) (*Source, error) {
	opts, err := chconn.Parse(o.DSN)
	if err != nil {
		return nil, err
	}
	if o.Table == "" {
		return nil, errors.New("no table")
	}
	o.Rows, o.Bytes, o.Tries = cmp.Or(o.Rows, 50_000), cmp.Or(o.Bytes, 64<<20), cmp.Or(o.Tries, 8)
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	database, table, ok := strings.Cut(o.Table, ".")
	if !ok {
		database, table = opts.Auth.Database, o.Table
	}
	conn, err := clickhouse.Open(opts)
	if err != nil {
		return nil, err
	}
	o.DSN = "" // it may hold a password, and someone may print the source
	s := &Source{Options: o, conn: conn, database: database, table: chconn.Quote(database) + "." + chconn.Quote(table)}
	if err := s.prepare(ctx, table); err != nil {
		return nil, errors.Join(fmt.Errorf("read %s.%s: %w", database, table, err), conn.Close())
	}
	return s, nil
}

func (s *Source) prepare(ctx context.Context, table string) error {
	var err error
	if s.layout, err = inspect(ctx, s.conn, s.database, table, s.Columns); err != nil {
		return err
	}
	if err := s.layout.findUnit(ctx, s.conn, s.table); err != nil {
		return err
	}
	s.encoder = newEncoder(s.layout)
	from, to := s.layout.extremes()
	if !s.From.IsZero() {
		from = max(from, s.From.UnixNano())
	}
	if !s.To.IsZero() {
		to = min(to, s.To.UnixNano())
	}
	from = max(from, s.Resume.Time)
	if err := s.conn.QueryRow(ctx, s.layout.extent(s.table, s.Where, from, to)).Scan(&s.total, &s.first, &s.last); err != nil {
		return err
	}
	s.done, s.rows = s.Resume, s.Resume.Rows
	s.next = cursor{from: s.first, step: firstStep, rows: s.Rows, last: s.last}
	if s.total == 0 {
		s.next.from, s.next.last = 1, 0
	}
	return nil
}

// Describe says in a line what will be read.
func (s *Source) Describe() string {
	l := s.layout
	if s.total == 0 {
		return fmt.Sprintf("%s: %s by %s, no rows in the range", s.Table, l.generation, l.time)
	}
	return fmt.Sprintf("%s: %s by %s, %d rows from %s to %s", s.Table, l.generation, l.time, s.total,
		time.Unix(0, s.first).UTC().Format(time.RFC3339Nano), time.Unix(0, s.last).UTC().Format(time.RFC3339Nano))
}

// Total is how many rows there are to read.
func (s *Source) Total() uint64 { return s.total }

// Last is the time of the last row there is to read.
func (s *Source) Last() int64 { return s.last }

// Partitions implements ingest.Source.
func (s *Source) Partitions() []ingest.Partition {
	return []ingest.Partition{{Name: "clickhouse:" + s.Table, Replay: true}}
}

// Position is where a later Open can resume: what the batches up to there gave
// is Done.
func (s *Source) Position() Position {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.done
}

// Close closes the connections. It may be called twice.
func (s *Source) Close() error { return s.conn.Close() }

// Head implements ingest.Puller.
func (s *Source) Head(ctx context.Context, _ int) (ingest.Batch, error) {
	if err := s.fill(ctx); err != nil {
		return ingest.Batch{}, err
	}
	return ingest.Batch{Records: s.records[:1:1], Pending: s.pending()}, nil
}

// Next implements ingest.Puller: a batch of whole lines, one for each row.
func (s *Source) Next(ctx context.Context, _ int) (ingest.Batch, error) {
	if s.closed {
		return ingest.Batch{}, io.EOF
	}
	err := s.fill(ctx)
	if errors.Is(err, io.EOF) {
		s.closed = true
		return ingest.Batch{End: true}, nil
	}
	if err != nil {
		return ingest.Batch{}, err
	}
	b := ingest.Batch{Records: s.records[:1:1]}
	s.records = s.records[1:]
	b.Pending = s.pending()
	if len(s.records) == 0 {
		b.End = s.next.ended()
		s.closed = b.End
		b.Done = s.whenDone()
	}
	return b, nil
}

// pending is how many rows are not handed over yet.
func (s *Source) pending() int64 {
	read := s.rows
	if len(s.records) > 0 {
		read = s.records[0].Seq - 1
	}
	return max(0, int64(s.Resume.Rows+s.total)-int64(read))
}

// whenDone moves the position to the end of the window. In the middle of an
// instant there is no position.
func (s *Source) whenDone() func() error {
	if s.next.offset > 0 {
		return nil
	}
	at := Position{s.next.from, s.rows}
	return func() error {
		s.mu.Lock()
		defer s.mu.Unlock()
		if at.Rows > s.done.Rows {
			s.done = at
		}
		return nil
	}
}

// Run implements ingest.Source.
func (s *Source) Run(ctx context.Context, out func(ingest.Batch) error) error {
	for {
		b, err := s.Next(ctx, 0)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			return err
		}
		if err := out(b); err != nil {
			return err
		}
	}
}

// fill makes sure that there is a record, or returns io.EOF.
func (s *Source) fill(ctx context.Context) error {
	for len(s.records) == 0 {
		if s.next.ended() {
			return io.EOF
		}
		f := s.take(ctx)
		if f.err != nil {
			return f.err
		}
		for i := range f.records {
			f.records[i].Seq += s.rows
		}
		s.records, s.rows, s.next = f.records, s.rows+f.rows, f.then
		if !s.next.ended() {
			s.fetchAhead(ctx)
		}
	}
	return nil
}

// fetchAhead begins to fetch the next window, while the one before is used.
func (s *Source) fetchAhead(ctx context.Context) {
	ahead, at := make(chan fetched, 1), s.next
	s.ahead = ahead
	go func() { ahead <- s.fetch(ctx, at) }()
}

// take returns the next window. What was fetched ahead under another context,
// and failed, is fetched again.
func (s *Source) take(ctx context.Context) fetched {
	if s.ahead == nil {
		return s.fetch(ctx, s.next)
	}
	select {
	case f := <-s.ahead:
		s.ahead = nil
		if f.err != nil && ctx.Err() == nil {
			return s.fetch(ctx, s.next)
		}
		return f
	case <-ctx.Done():
		return fetched{err: context.Cause(ctx)}
	}
}

var (
	_ ingest.Source = (*Source)(nil)
	_ ingest.Puller = (*Source)(nil)
)
