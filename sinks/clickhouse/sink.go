// Package clickhouse keeps incidents in ClickHouse: every revision in
// incident_transitions, the last one in incidents, and the events they rest on
// in incident_evidence. People query the views incidents_now, incident_history
// and incident_events, in which every row is there once.
//
// What Write has accepted is in the tables, or on disk in the spool. It is not
// lost by a crash of either side, and written twice it is the same row. Power
// loss is another thing: a single ClickHouse server does not fsync by default
// (fsync_after_insert of the table, or replicas, see to that).
package clickhouse

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"

	"corral/correlate"
	"corral/internal/chconn"
	"corral/sinks"
)

// Options of a Sink. Only DSN is needed.
type Options struct {
	DSN     string        // see chconn.Parse; its database is created when it is not there
	Schema  string        // SchemaAuto if empty
	Cluster string        // name of the cluster whose servers have the tables; "": one server
	TTL     time.Duration // rows are dropped so long after they were written; 0: 400 days. Used when tables are created

	// Spool is a directory for what ClickHouse does not take at the moment; Write
	// then returns as soon as it is safe there. "": Write waits for ClickHouse.
	Spool      string
	SpoolLimit int64         // bytes; 0: 1 GiB. When it is full Write waits
	Patience   time.Duration // for so long Write tries before it spools; 0: 5 s

	// Dead takes transitions that can never be stored, from Write and, with a
	// spool, from a goroutine of the sink. nil: what the sink finds out itself is a
	// permanent error of Write, what the server refuses is held.
	Dead func(sinks.DeadLetter) error

	Logger        *slog.Logger  // nil: silent
	InsertTimeout time.Duration // of one try; 0: 30 s
	HoldInterval  time.Duration // between tries while someone has to act, at most; 0: 30 s
	RetryInterval time.Duration // between tries else, at most; 0: 30 s
	DrainTimeout  time.Duration // how long Close tries to empty the spool; 0: 10 s
}

func (o *Options) setDefaults() {
	o.Schema = cmp.Or(o.Schema, SchemaAuto)
	o.TTL = cmp.Or(o.TTL, 400*24*time.Hour)
	o.SpoolLimit = cmp.Or(o.SpoolLimit, 1<<30)
	o.Patience = cmp.Or(o.Patience, 5*time.Second)
	o.InsertTimeout = cmp.Or(o.InsertTimeout, 30*time.Second)
	o.HoldInterval = cmp.Or(o.HoldInterval, 30*time.Second)
	o.RetryInterval = cmp.Or(o.RetryInterval, 30*time.Second)
	o.DrainTimeout = cmp.Or(o.DrainTimeout, 10*time.Second)
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
}

// Sink writes transitions to ClickHouse. Stats and Ready may be called at any
// time; Write from one goroutine at a time.
type Sink struct {
	Options
	client *client
	spool  *spool // nil without
	ids    writeIDs
	stats  stats

	accepted struct { // by table, the last row that was taken: a witness
		sync.Mutex
		batch map[*table]*batch
	}

	closing    atomic.Bool
	life       context.Context // ends with Close
	stop       context.CancelFunc
	background sync.WaitGroup
	texts      sync.WaitGroup // of Rules
}

var (
	errPatience = errors.New("ClickHouse did not take it in time")
	errClosed   = errors.New("clickhouse sink is closed")
)

// Open returns a sink. ClickHouse need not be there: the sink connects, and
// prepares the schema, in the background. An error is of the options or the
// spool.
func Open(o Options) (*Sink, error) {
	o.setDefaults()
	c, err := newClient(&o)
	if err != nil {
		return nil, err
	}
	o.DSN = "" // it may hold a password, and someone may print the sink
	s := &Sink{Options: o, client: c}
	s.accepted.batch = map[*table]*batch{}
	if o.Spool != "" {
		if s.spool, err = openSpool(o.Spool, o.SpoolLimit); err != nil {
			_ = c.conn.Close()
			return nil, fmt.Errorf("open spool: %w", err)
		}
		s.ids.after(s.spool.lastID())
	}
	s.life, s.stop = context.WithCancel(context.Background())
	s.background.Go(func() { s.run(s.life) })
	return s, nil
}

func newClient(o *Options) (*client, error) {
	switch o.Schema {
	case SchemaAuto, SchemaCheck, SchemaOff:
	default:
		return nil, fmt.Errorf("schema %q is none of auto, check, off", o.Schema)
	}
	opts, err := chconn.Parse(o.DSN)
	if err != nil {
		return nil, err
	}
	conn, err := clickhouse.Open(opts)
	if err != nil {
		return nil, err
	}
	return &client{
		schema: schema{opts.Auth.Database, o.Cluster, o.TTL}, mode: o.Schema,
		options: opts, conn: conn, timeout: o.InsertTimeout, one: make(chan struct{}, 1),
	}, nil
}

// Write returns nil when the transitions are in ClickHouse, or on disk in the
// spool. Without a spool it tries until ctx is done; after an error the same
// transitions may be written again.
func (s *Sink) Write(ctx context.Context, ts []*correlate.Transition) error {
	if s.closing.Load() {
		return sinks.Permanent(errClosed)
	}
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	ctx, release := s.untilClosed(ctx)
	defer release()
	good, err := s.admit(ts)
	if err != nil || len(good) == 0 {
		return err
	}
	batches := freeze(good)
	id := s.ids.next(len(batches))
	number(batches, id, false)
	if s.spool == nil {
		return s.deliver(ctx, batches)
	}
	fresh := !s.spool.empty()
	if !fresh {
		limited, cancel := context.WithTimeoutCause(ctx, s.Patience, errPatience)
		defer cancel()
		if err = s.deliver(limited, batches); err == nil || ctx.Err() != nil {
			return err
		}
	}
	return s.putAside(ctx, id, good, fresh)
}

// untilClosed ends ctx when the sink is closed.
func (s *Sink) untilClosed(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	unhook := context.AfterFunc(s.life, func() { cancel(errClosed) })
	return ctx, func() { unhook(); cancel(nil) }
}

// admit makes rows of the transitions. Those that no column can hold go to the
// dead letters.
func (s *Sink) admit(ts []*correlate.Transition) ([]admitted, error) {
	good := make([]admitted, 0, len(ts))
	for _, t := range ts {
		r, err := newRecord(t)
		if err == nil {
			good = append(good, admitted{t, r})
			continue
		}
		err = fmt.Errorf("incident %s rev %d: %w", t.IncidentID, t.Rev, err)
		if s.Dead == nil {
			return nil, sinks.Permanent(err)
		}
		if err := s.bury(t, err); err != nil {
			return nil, err
		}
	}
	return good, nil
}

func (s *Sink) bury(t *correlate.Transition, cause error) error {
	d, err := sinks.Rejected("clickhouse", t, cause)
	if err != nil {
		return err
	}
	if err := s.Dead(d); err != nil {
		return err
	}
	s.stats.update(func(x *Stats) { x.DeadLettered++ })
	s.Logger.Error("transition rejected", "incident", t.IncidentID, "rev", t.Rev, "err", cause)
	return nil
}

// run connects, and then sends what is in the spool, oldest first.
func (s *Sink) run(ctx context.Context) {
	if !s.connect(ctx) || s.spool == nil {
		return
	}
	s.sift(ctx)
	for {
		fs, ok := s.spool.next(ctx)
		if !ok {
			return
		}
		if err := s.sendSpooled(ctx, fs); err != nil && ctx.Err() == nil { // of the dead letters: what is not buried stays
			s.Logger.Error("spooled writes cannot be sent", "file", fs[0].name, "err", err)
			_ = s.holdBackoff().Wait(ctx, 10)
		}
	}
}

// connect prepares until it works, or ctx is done.
func (s *Sink) connect(ctx context.Context) bool {
	for try := 0; ; try++ {
		_, err := s.client.prepare(ctx)
		if err == nil {
			s.stats.update(func(x *Stats) { x.Ready, x.Failing, x.Held, x.LastError = true, false, "", "" })
			return true
		}
		if ctx.Err() != nil {
			return false
		}
		s.noteFailure(err)
		if s.pause(ctx, nil, err, try) != nil {
			return false
		}
	}
}

// Close tries to empty the spool for DrainTimeout while ClickHouse takes what it
// is sent; the rest stays for the next start. It may be called twice.
func (s *Sink) Close() error {
	if s.closing.Swap(true) {
		return nil
	}
	end := time.Now().Add(s.DrainTimeout)
	if s.spool != nil {
		s.spool.drain(time.Until(end), s.stats.failing)
	}
	s.awaitRules(time.Until(end))
	s.background.Wait()
	err := s.client.conn.Close()
	if s.spool == nil {
		return err
	}
	if n := s.spool.size(); n.writes > 0 {
		s.Logger.Warn("spool is not empty: it is sent at the next start", "writes", n.writes, "bytes", n.bytes)
	}
	return errors.Join(err, s.spool.close())
}

// CloseWithin is Close for one who has no more time than d.
func (s *Sink) CloseWithin(d time.Duration) error {
	if !s.closing.Load() {
		s.DrainTimeout = min(s.DrainTimeout, d)
	}
	return s.Close()
}

// Ready returns nil when ClickHouse has been seen with a schema that fits,
// nothing is held, and there is room for what comes: in the spool, or, without
// one, on the server, which took what it was sent last.
func (s *Sink) Ready() error {
	x := s.Stats()
	switch {
	case x.Held != "":
		return fmt.Errorf("held: %s", x.Held)
	case !x.Ready && x.LastError != "":
		return fmt.Errorf("not connected: %s", x.LastError)
	case !x.Ready:
		return errors.New("not connected yet")
	case s.spool == nil && x.Failing:
		return fmt.Errorf("trying again: %s", x.LastError)
	case s.spool != nil && x.SpooledBytes >= s.SpoolLimit:
		return fmt.Errorf("spool is full: %d bytes", x.SpooledBytes)
	}
	return nil
}

// Stats are the sink's counters since it was opened, and its state now.
type Stats struct {
	Rows, Batches, Bytes map[string]uint64 // known to be stored, by table; bytes before encoding, roughly
	Retries              map[int32]uint64  // failed tries by exception code; 0: no answer
	Looks, Found         uint64            // looks after an unknown outcome; those that found the rows
	DeadLettered         uint64            // transitions
	Corrupt              uint64            // files of the spool that could not be read

	SpooledWrites int
	SpooledBytes  int64
	SpooledAge    time.Duration // of the oldest

	Ready       bool      // the server was seen with a schema that fits
	Failing     bool      // the last try failed
	Held        string    // why someone has to act; "": nobody
	LastError   string    // "" after a success
	LastSuccess time.Time // zero: none yet
}

type stats struct {
	mu sync.Mutex
	Stats
}

func (s *stats) update(f func(*Stats)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f(&s.Stats)
}

func (s *stats) failing() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.Failing
}

// Stats returns a copy.
func (s *Sink) Stats() Stats {
	s.stats.mu.Lock()
	defer s.stats.mu.Unlock()
	x := s.stats.Stats
	x.Rows, x.Batches, x.Bytes, x.Retries = maps.Clone(x.Rows), maps.Clone(x.Batches), maps.Clone(x.Bytes), maps.Clone(x.Retries)
	if s.spool != nil {
		n := s.spool.size()
		x.SpooledWrites, x.SpooledBytes, x.SpooledAge = n.writes, n.bytes, n.age
	}
	return x
}

// Migrate brings the database of the DSN up to date, or, with dryRun, writes the
// statements there and connects to nothing.
func Migrate(ctx context.Context, o Options, dryRun io.Writer) error {
	o.setDefaults()
	opts, err := chconn.Parse(o.DSN)
	if err != nil {
		return err
	}
	s := schema{opts.Auth.Database, o.Cluster, o.TTL}
	if dryRun != nil {
		return s.print(dryRun)
	}
	return s.migrate(ctx, opts)
}
