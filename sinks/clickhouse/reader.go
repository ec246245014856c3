package clickhouse

import (
	"context"
	"fmt"
	"iter"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/google/uuid"

	"corral/correlate"
	"corral/internal/chconn"
)

// Reader reads incidents back, each revision once. It needs the right to SELECT
// only. Safe for concurrent use.
type Reader struct {
	schema
	conn clickhouse.Conn
}

// OpenReader returns a reader of a DSN's database. It does not connect yet.
func OpenReader(dsn string) (*Reader, error) {
	o, err := chconn.Parse(dsn)
	if err != nil {
		return nil, err
	}
	conn, err := clickhouse.Open(o)
	if err != nil {
		return nil, err
	}
	return &Reader{schema: schema{database: o.Auth.Database}, conn: conn}, nil
}

// Close closes the connections.
func (r *Reader) Close() error { return r.conn.Close() }

// Query selects incidents. The zero value means all that live found.
type Query struct {
	Run   string    // "": live, AnyRun, or the UUID of a batch run
	Open  bool      // only open ones
	Rule  string    // only of this rule
	Since time.Time // only those that changed at or after it, in event time
	Until time.Time // and before it
	Limit int       // 0: no limit
}

// AnyRun selects live and all batch runs.
const AnyRun = "any"

// Incidents returns the last revision of incidents, those opened last first.
func (r *Reader) Incidents(ctx context.Context, q Query) ([]*correlate.Transition, error) {
	w, err := q.where()
	if err != nil {
		return nil, err
	}
	if q.Open {
		w.and("state = 'open'")
	}
	w.order = " ORDER BY opened_at DESC, incident_id, run_id"
	if q.Limit > 0 {
		w.order += fmt.Sprintf(" LIMIT %d", q.Limit)
	}
	return collect(r.rows(ctx, incidentsTable, w))
}

// Timeline returns every revision of the incidents whose id begins with id: of
// live first, then by batch run, each in order.
func (r *Reader) Timeline(ctx context.Context, id string) ([]*correlate.Transition, error) {
	w := &where{order: " ORDER BY run_id, incident_id, rev"}
	w.and("startsWith(incident_id, ?)", id)
	return collect(r.rows(ctx, transitionsTable, w))
}

// Revisions yields every revision that q selects (Open and Limit aside), in the
// order of correlate.Compare, without holding them all.
func (r *Reader) Revisions(ctx context.Context, q Query) iter.Seq2[*correlate.Transition, error] {
	w, err := q.where()
	if err != nil {
		return func(yield func(*correlate.Transition, error) bool) { yield(nil, err) }
	}
	w.order = " ORDER BY changed_at, fingerprint, started_at, rev"
	return r.rows(ctx, transitionsTable, w)
}

// where is a condition and what stands behind it.
type where struct {
	terms []string
	args  []any
	order string
}

func (w *where) and(term string, args ...any) {
	w.terms = append(w.terms, term)
	w.args = append(w.args, args...)
}

func (w *where) text() string {
	if len(w.terms) == 0 {
		return ""
	}
	return " WHERE " + strings.Join(w.terms, " AND ")
}

func (q Query) where() (*where, error) {
	w := &where{}
	if err := w.run(q.Run); err != nil {
		return nil, err
	}
	if q.Rule != "" {
		w.and("rule_id = ?", q.Rule)
	}
	if !q.Since.IsZero() {
		w.and("changed_at >= fromUnixTimestamp64Nano(?)", inRange(q.Since).UnixNano())
	}
	if !q.Until.IsZero() {
		ns := inRange(q.Until).UnixNano()
		w.and("changed_at < fromUnixTimestamp64Nano(?) AND opened_at <= fromUnixTimestamp64Nano(?)", ns, ns) // the second prunes partitions
	}
	return w, nil
}

func (w *where) run(run string) error {
	if run == AnyRun {
		return nil
	}
	id := uuid.Nil
	if run != "" {
		var err error
		if id, err = uuid.Parse(run); err != nil {
			return fmt.Errorf("run %q is no UUID", run)
		}
	}
	w.and("run_id = ?", id)
	return nil
}

func (r *Reader) rows(ctx context.Context, t *table, w *where) iter.Seq2[*correlate.Transition, error] {
	return func(yield func(*correlate.Transition, error) bool) {
		rows, err := r.conn.Query(ctx, "SELECT "+t.quoted()+" FROM "+r.table(t.name)+" FINAL"+w.text()+w.order, w.args...)
		if err != nil {
			yield(nil, err)
			return
		}
		defer func() { _ = rows.Close() }()
		for rows.Next() {
			var rec record
			if err := rows.ScanStruct(&rec); err != nil {
				yield(nil, err)
				return
			}
			if !yield(rec.transition(), nil) {
				return
			}
		}
		if err := rows.Err(); err != nil {
			yield(nil, err)
		}
	}
}

func collect(seq iter.Seq2[*correlate.Transition, error]) ([]*correlate.Transition, error) {
	var out []*correlate.Transition
	for t, err := range seq {
		if err != nil {
			return nil, err
		}
		out = append(out, t)
	}
	return out, nil
}
