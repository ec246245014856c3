package clickhouse

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"corral/correlate"
)

// A batch is rows of one table and one partition, frozen. Its id is in
// every row (write_id): after an unknown outcome it says whether the rows are
// there. It is never regrouped under the same id.
type batch struct {
	table   *table
	id      uint64
	month   int // the partition, as toYYYYMM
	rows    []row
	replay  bool // its outcome is unknown from the start
	attempt int
}

// A row is a *record or an *eventRow with the transition it came of.
type row struct {
	of     *correlate.Transition
	values interface{ withID(uint64) any }
}

const (
	batchRows  = 5000
	batchBytes = 8 << 20
)

// freeze makes the batches of a write, in the order in which they are sent:
// evidence, transitions, incidents: a reader never finds an incident without what
// it rests on. The same transitions give the same batches. They have no ids yet.
func freeze(ts []admitted) []*batch {
	events, transitions, incidents := newRows(), newRows(), newRows()
	for _, t := range ts {
		r := t.record
		of := episode{r.RunID, r.IncidentID}
		for _, e := range r.eventRows() {
			events.put(eventKey{of, e.At.UnixNano(), e.EventID}, r.Rev, r.OpenedAt, row{t.of, e})
		}
		transitions.put(revKey{of, r.Rev}, 0, r.OpenedAt, row{t.of, r})
		incidents.put(of, r.Rev, r.OpenedAt, row{t.of, r})
	}
	var out []*batch
	for _, g := range []struct {
		table *table
		rows  *rows
	}{{evidenceTable, events}, {transitionsTable, transitions}, {incidentsTable, incidents}} {
		for _, part := range g.rows.parts() {
			out = append(out, &batch{table: g.table, month: part[0].month, rows: plain(part)})
		}
	}
	return out
}

// number gives the batches of a write their ids, counting up from id. With
// replay, they may have been sent before.
func number(bs []*batch, id uint64, replay bool) []*batch {
	for i, b := range bs {
		b.id, b.replay = id+uint64(i), replay
	}
	return bs
}

// admitted is a transition with its row.
type admitted struct {
	of     *correlate.Transition
	record *record
}

type (
	episode struct {
		run [16]byte
		id  string
	}
	revKey struct {
		episode
		rev uint32
	}
	eventKey struct {
		episode
		at    int64
		event string
	}
)

// rows holds one row per key of the table: what an insert holds twice, the
// server stores once, and then the count of a look would be wrong.
type rows struct {
	index map[any]int
	list  []datedRow
}

type datedRow struct {
	row
	month int
	rev   uint32
}

// month is the partition, as toYYYYMM.
func month(opened time.Time) int { return opened.Year()*100 + int(opened.Month()) }

func newRows() *rows { return &rows{index: map[any]int{}} }

// put adds a row; of those with the same key the one of the highest revision
// stays, of equal ones the last.
func (rs *rows) put(key any, rev uint32, opened time.Time, r row) {
	d := datedRow{r, month(opened), rev}
	i, ok := rs.index[key]
	switch {
	case !ok:
		rs.index[key] = len(rs.list)
		rs.list = append(rs.list, d)
	case rev >= rs.list[i].rev:
		rs.list[i] = d
	}
}

// parts returns the rows by partition, in pieces of bounded size.
func (rs *rows) parts() [][]datedRow {
	slices.SortStableFunc(rs.list, func(a, b datedRow) int { return cmp.Compare(a.month, b.month) })
	var out [][]datedRow
	begin, bytes := 0, 0
	for i, r := range rs.list {
		if i > begin && (r.month != rs.list[begin].month || i-begin == batchRows || bytes > batchBytes) {
			out = append(out, rs.list[begin:i])
			begin, bytes = i, 0
		}
		bytes += roughSize(r.values)
	}
	if begin < len(rs.list) {
		out = append(out, rs.list[begin:])
	}
	return out
}

func plain(ds []datedRow) []row {
	out := make([]row, len(ds))
	for i, d := range ds {
		out[i] = d.row
	}
	return out
}

// roughSize is about what a row takes on the wire before compression.
func roughSize(v any) int {
	const fixed = 300
	switch v := v.(type) {
	case *eventRow:
		return fixed + len(v.Line)
	case *record:
		n := fixed + len(v.Title) + len(v.Summary)
		for _, m := range []stringMap{v.Key, v.Labels, v.Vars} {
			for k, s := range m {
				n += len(k) + len(s)
			}
		}
		for _, e := range slices.Concat(v.Evidence, v.Context) {
			n += 100 + len(e.Line)
		}
		return n
	}
	return fixed
}

// halves splits a batch; its parts are new batches.
func (b *batch) halves(ids *writeIDs) [2]*batch {
	half := len(b.rows) / 2
	part := func(rs []row) *batch {
		return &batch{table: b.table, id: ids.next(1), month: b.month, rows: rs}
	}
	return [2]*batch{part(b.rows[:half]), part(b.rows[half:])}
}

// writeIDs gives ids that grow with time, so that their index prunes, and do not
// meet those of another process: milliseconds since the epoch, then 22 random
// bits.
type writeIDs struct {
	mu   sync.Mutex
	last uint64
}

// next returns the first of n ids in a row, n at least 1.
func (w *writeIDs) next(n int) uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	id := uint64(time.Now().UnixMilli())<<22 | rand.Uint64N(1<<22)
	id = max(id, w.last+1)
	w.last = id + uint64(n) - 1
	return id
}

// after makes the ids to come greater than id.
func (w *writeIDs) after(id uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.last = max(w.last, id)
}
