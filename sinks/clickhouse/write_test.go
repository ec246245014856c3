package clickhouse

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"

	"corral/correlate"
	"corral/internal/chserver/chtest"
	"corral/sinks"
	"corral/sinks/sinktest"
)

// until polls until cond is true.
func until(t *testing.T, what string, cond func() bool) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for !cond() {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain until %s", what)
		}
		<-time.After(5 * time.Millisecond)
	}
}

// letters collects dead letters.
type letters struct {
	mu   sync.Mutex
	list []sinks.DeadLetter
}

func (l *letters) add(d sinks.DeadLetter) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.list = append(l.list, d)
	return nil
}

func (l *letters) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.list)
}

func TestExtremes(t *testing.T) {
	server := chtest.Shared(t)
	dsn := chtest.DSN(server, chtest.Name())
	x := sinktest.Transitions(1)[0]
	x.StartedAt = time.Date(1678, 1, 2, 3, 4, 5, 6, time.UTC)
	x.OpenedAt, x.ChangedAt, x.LastEventAt = x.StartedAt, x.StartedAt, time.Date(2262, 1, 1, 0, 0, 0, 7, time.UTC)
	x.ResolvedAt, x.State = new(x.LastEventAt), "resolved"
	x.DetectedAt = time.Time{}
	x.Evidence[0].At = x.StartedAt
	x.Title = strings.Repeat("ü", maxText)
	x.Summary = "bad \xff\xfe bytes \x00"
	x.Labels = map[string]string{"": "", "sep'\\\"": "`{}"}
	for i := range 200 {
		x.Labels[fmt.Sprintf("label-%03d", i)] = "v"
	}
	x.EventCount, x.RuleLine, x.DurationMS = -1, -5, -7
	x.RuleHash = ""
	s := open(t, Options{DSN: dsn})
	if err := s.Write(t.Context(), []*correlate.Transition{x}); err != nil {
		t.Fatal(err)
	}
	got := all(t, reader(t, dsn))
	if len(got) != 1 {
		t.Fatalf("%d revisions, want 1", len(got))
	}
	want := *x
	want.Title = strings.Repeat("ü", maxText/2)
	want.Summary = "bad \ufffd\ufffd bytes \x00"
	want.EventCount, want.RuleLine, want.DurationMS = 0, 0, 0
	want.Labels = maps.Clone(x.Labels)
	for _, k := range slices.Sorted(maps.Keys(want.Labels))[maxMapKeys:] {
		delete(want.Labels, k)
	}
	want.Evidence = slices.Clone(x.Evidence)
	want.Evidence[0].At = minTime
	if diff := sinktest.Diff([]*correlate.Transition{&want}, got); diff != "" {
		t.Error(diff)
	}
}

// TestManyMonths: more partitions than one insert may have.
func TestManyMonths(t *testing.T) {
	server := chtest.Shared(t)
	dsn := chtest.DSN(server, chtest.Name())
	var ts []*correlate.Transition
	for i := range 110 {
		x := *sinktest.Transitions(1)[0]
		at := time.Date(2016, time.Month(1+i), 1, 0, 0, 0, 0, time.UTC)
		x.IncidentID, x.StartedAt, x.OpenedAt, x.ChangedAt = fmt.Sprintf("i-%d", i), at, at, at
		x.Evidence = nil
		ts = append(ts, &x)
	}
	s := open(t, Options{DSN: dsn})
	if err := s.Write(t.Context(), ts); err != nil {
		t.Fatal(err)
	}
	if diff := sinktest.Diff(ts, all(t, reader(t, dsn))); diff != "" {
		t.Error(diff)
	}
	if n := s.Stats().Batches[transitionsTable.name]; n != 110 {
		t.Errorf("%d batches, want one for each of 110 months", n)
	}
}

// TestViews: what people query has each row once, however often it was written.
func TestViews(t *testing.T) {
	server := chtest.Shared(t)
	db := chtest.Name()
	s := open(t, Options{DSN: chtest.DSN(server, db)})
	live, batch := sinktest.Transitions(12), sinktest.Transitions(12)
	for _, x := range batch {
		x.Mode, x.RunID = "batch", "0190c5e4-0000-7000-8000-000000000001"
	}
	for range 3 {
		for _, ts := range [][]*correlate.Transition{live, batch, live[:5], {live[0]}} {
			if err := s.Write(t.Context(), ts); err != nil {
				t.Fatal(err)
			}
		}
	}
	c := chtest.Conn(t, server, db)
	for query, want := range map[string]uint64{
		"SELECT count() FROM incident_history":                                                            24,
		"SELECT count() FROM incident_history WHERE mode = 'live'":                                        12,
		"SELECT count() FROM incidents_now":                                                               8,
		"SELECT count() FROM incidents_now WHERE mode = 'live' AND state = 'resolved'":                    4,
		"SELECT count() FROM incident_history WHERE rule_hash = '6c1e00aa11bb22cc6c1e00aa11bb22cc'":       24,
		"SELECT uniqExact(rev) FROM incidents_now":                                                        1,
		"SELECT count() FROM incident_events WHERE mode = 'live' AND role = 'context'":                    3,
		"SELECT count() FROM incident_events WHERE mode = 'live'":                                         4 + 12 + 3,
		"SELECT count() FROM incident_events WHERE trace_id = '4bf92f3577b34da6a3ce929d0e0e4736'":         8,
		"SELECT count() FROM incidents WHERE write_id = 0 OR written_at < now() - 3600":                   0,
		"SELECT count() FROM incidents_now WHERE key['merchant'] = 'm-1' AND labels['team'] = 'payments'": 2,
	} {
		if got := chtest.One[uint64](t, c, query); got != want {
			t.Errorf("%s: %d, want %d", query, got, want)
		}
	}
}

func TestReader(t *testing.T) {
	server := chtest.Shared(t)
	dsn := chtest.DSN(server, chtest.Name())
	s := open(t, Options{DSN: dsn})
	live := sinktest.Transitions(16) // 0 and 1 to 4 and 5 resolved, 6 and 7 open
	batch := sinktest.Transitions(2)
	const run = "0190c5e4-0000-7000-8000-000000000001"
	for _, x := range batch {
		x.Mode, x.RunID = "batch", run
	}
	if err := errors.Join(s.Write(t.Context(), live), s.Write(t.Context(), batch)); err != nil {
		t.Fatal(err)
	}
	r := reader(t, dsn)
	for name, c := range map[string]struct {
		q    Query
		want []int // which of live
	}{
		"all":   {Query{}, []int{15, 14, 11, 10, 5, 4}},
		"open":  {Query{Open: true}, []int{15, 14}},
		"rule":  {Query{Rule: "rule-1"}, []int{15, 5, 4}[1:1]},
		"limit": {Query{Limit: 2}, []int{15, 14}},
		"since": {Query{Since: live[10].ChangedAt}, []int{15, 14, 11, 10}},
		"until": {Query{Until: live[10].ChangedAt}, []int{5, 4}},
	} {
		got, err := r.Incidents(t.Context(), c.q)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if name == "rule" {
			for _, x := range got {
				if x.RuleID != "rule-1" {
					t.Errorf("rule: got %s", x.RuleID)
				}
			}
			if len(got) == 0 {
				t.Error("rule: none")
			}
			continue
		}
		var ids, want []string
		for _, x := range got {
			ids = append(ids, x.IncidentID)
		}
		for _, i := range c.want {
			want = append(want, live[i].IncidentID)
		}
		if !slices.Equal(ids, want) {
			t.Errorf("%s: got %v, want %v", name, ids, want)
		}
	}
	line, err := r.Timeline(t.Context(), live[1].IncidentID)
	if err != nil {
		t.Fatal(err)
	}
	if diff := sinktest.Diff([]*correlate.Transition{live[1], live[3], live[5], batch[1]}, line); diff != "" {
		t.Error("timeline:", diff)
	}
	if line[3].RunID != run {
		t.Errorf("the batch run's revision is not the last: %+v", line[3])
	}
	if line, err = r.Timeline(t.Context(), live[1].IncidentID[:14]); err != nil || len(line) != 4 {
		t.Errorf("timeline by prefix: %d, %v", len(line), err)
	}
	if revs, err := collect(r.Revisions(t.Context(), Query{Run: run})); err != nil || len(revs) != 2 {
		t.Errorf("%d revisions of the run, %v", len(revs), err)
	}
	if _, err := r.Incidents(t.Context(), Query{Run: "yesterday"}); err == nil {
		t.Error("a run that is no UUID")
	}
}

// TestRejected: what no column can hold goes to the dead letters, the rest is
// stored; without dead letters it is a permanent error.
func TestRejected(t *testing.T) {
	server := chtest.Shared(t)
	dsn := chtest.DSN(server, chtest.Name())
	var dead letters
	s := open(t, Options{DSN: dsn, Dead: dead.add})
	ts := sinktest.Transitions(10)
	for i, spoil := range []func(*correlate.Transition){
		func(x *correlate.Transition) { x.State = "ajar" },
		func(x *correlate.Transition) { x.Fingerprint = "short" },
		func(x *correlate.Transition) { x.RunID = "yesterday" },
		func(x *correlate.Transition) { x.Evidence[0].Role = "bystander" },
		func(x *correlate.Transition) { x.Rev = 0 },
	} {
		spoil(ts[i])
	}
	if err := s.Write(t.Context(), ts); err != nil {
		t.Fatal(err)
	}
	if diff := sinktest.Diff(ts[5:], all(t, reader(t, dsn))); diff != "" {
		t.Error(diff)
	}
	if dead.count() != 5 || s.Stats().DeadLettered != 5 {
		t.Errorf("%d dead letters, %d counted, want 5", dead.count(), s.Stats().DeadLettered)
	}
	if err := open(t, Options{DSN: dsn}).Write(t.Context(), ts); !sinks.IsPermanent(err) {
		t.Errorf("without dead letters: %v, want a permanent error", err)
	}
}

// TestPoison: a row that the server refuses is found by bisection; when it
// refuses them all, it is not the rows: they are held.
func TestPoison(t *testing.T) {
	server := chtest.Shared(t)
	db := chtest.Name()
	dsn := chtest.DSN(server, db)
	var dead letters
	s := open(t, Options{DSN: dsn, Dead: dead.add, HoldInterval: 20 * time.Millisecond})
	ts := sinktest.Transitions(18)
	if err := s.Write(t.Context(), ts[:1]); err != nil {
		t.Fatal(err)
	}
	c := chtest.Conn(t, server, db)
	chtest.Exec(t, c, "ALTER TABLE incident_transitions ADD CONSTRAINT no_bad CHECK title != 'bad'")
	ts[7].Title = "bad"
	if err := s.Write(t.Context(), ts[1:17]); err != nil {
		t.Fatal(err)
	}
	ts[17].Title = "bad" // alone in its batch: the witness says that the table takes others
	if err := s.Write(t.Context(), ts[17:]); err != nil {
		t.Fatal(err)
	}
	good := slices.Concat(ts[:7], ts[8:17])
	if diff := sinktest.Diff(good, all(t, reader(t, dsn))); diff != "" {
		t.Error(diff)
	}
	if dead.count() != 2 || !strings.Contains(dead.list[0].Error, "no_bad") || !strings.Contains(dead.list[0].Data, ts[7].IncidentID) {
		t.Errorf("dead letters: %+v", dead.list)
	}

	// In the next life too, in which the table has taken nothing yet.
	again := open(t, Options{DSN: dsn, Dead: dead.add, HoldInterval: 20 * time.Millisecond})
	if err := again.Write(t.Context(), ts[17:]); err != nil {
		t.Fatal(err)
	}
	if diff := sinktest.Diff(good, all(t, reader(t, dsn))); diff != "" || dead.count() != 3 {
		t.Errorf("%d dead letters, want 3; rows (-want +got):\n%s", dead.count(), diff)
	}

	chtest.Exec(t, c, "ALTER TABLE incident_transitions DROP CONSTRAINT no_bad", "ALTER TABLE incident_transitions ADD CONSTRAINT nothing CHECK rev = 0")
	more := sinktest.Transitions(24)[18:]
	done := make(chan error, 1)
	go func() { done <- s.Write(t.Context(), more) }()
	until(t, "the rows are held", func() bool { return s.Stats().Held != "" })
	if err := s.Ready(); err == nil || !strings.Contains(err.Error(), "held") {
		t.Errorf("ready: %v", err)
	}
	chtest.Exec(t, c, "ALTER TABLE incident_transitions DROP CONSTRAINT nothing")
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if diff := sinktest.Diff(append(good, more...), all(t, reader(t, dsn))); diff != "" {
		t.Error(diff)
	}
	if dead.count() != 3 || s.Ready() != nil {
		t.Errorf("%d dead letters, ready: %v", dead.count(), s.Ready())
	}
}

// TestBrokenView: a view that a user hung behind the table fails every insert.
func TestBrokenView(t *testing.T) {
	server := chtest.Shared(t)
	db := chtest.Name()
	dsn := chtest.DSN(server, db)
	var dead letters
	s := open(t, Options{DSN: dsn, Dead: dead.add, HoldInterval: 20 * time.Millisecond})
	until(t, "the schema is there", func() bool { return s.Ready() == nil })
	c := chtest.Conn(t, server, db)
	chtest.Exec(t, c, "CREATE MATERIALIZED VIEW broken ENGINE = MergeTree ORDER BY x AS SELECT toUInt8(throwIf(rev > 0)) AS x FROM incidents")
	ts := sinktest.Transitions(6)
	done := make(chan error, 1)
	go func() { done <- s.Write(t.Context(), ts) }()
	until(t, "it fails", func() bool { return s.Stats().Retries[395] > 0 || s.Stats().Found > 0 })
	chtest.Exec(t, c, "DROP VIEW broken")
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if diff := sinktest.Diff(ts, all(t, reader(t, dsn))); diff != "" {
		t.Error(diff)
	}
	if n := chtest.One[uint64](t, c, "SELECT count() FROM incidents_now"); n != 2 || dead.count() != 0 {
		t.Errorf("%d incidents, %d dead letters", n, dead.count())
	}
}

// TestTableGone: a table dropped under the sink comes back, and nothing is lost
// that is written from then on.
func TestTableGone(t *testing.T) {
	server := chtest.Shared(t)
	db := chtest.Name()
	dsn := chtest.DSN(server, db)
	s := open(t, Options{DSN: dsn, HoldInterval: 20 * time.Millisecond})
	ts := sinktest.Transitions(12)
	if err := s.Write(t.Context(), ts[:6]); err != nil {
		t.Fatal(err)
	}
	chtest.Exec(t, chtest.Conn(t, server, db), "DROP TABLE incident_transitions SYNC")
	if err := s.Write(t.Context(), ts[6:]); err != nil {
		t.Fatal(err)
	}
	if diff := sinktest.Diff(ts[6:], all(t, reader(t, dsn))); diff != "" {
		t.Error(diff)
	}
}

func TestClassify(t *testing.T) {
	exception := func(code int32, message string) error {
		return fmt.Errorf("insert: %w", &clickhouse.Exception{Code: code, Message: message})
	}
	for _, c := range []struct {
		err  error
		want class
	}{
		{io.EOF, retry},
		{errors.New("connection refused"), retry},
		{exception(252, "Too many parts (300) in all data parts"), retry},
		{exception(252, "Too many partitions for single INSERT block"), smaller},
		{exception(241, "Memory limit exceeded"), smaller},
		{exception(159, "Timeout"), retry},
		{exception(999, "Keeper"), retry},
		{exception(60, "Unknown table"), hold},
		{exception(497, "Not enough privileges"), hold},
		{exception(516, "Authentication failed"), hold},
		{exception(115, "Unknown setting"), hold},
		{exception(99999, "never heard of"), hold},
		{exception(27, "Cannot parse"), poison},
		{fmt.Errorf("%w: x", errAppend), poison},
		{fmt.Errorf("%w: x", errSchema), hold},
	} {
		if got := classify(c.err); got != c.want {
			t.Errorf("%v: class %d, want %d", c.err, got, c.want)
		}
	}
}

func TestFreeze(t *testing.T) {
	ts := sinktest.Transitions(12)
	ts = append(ts, ts...) // twice in one write
	ts[5].OpenedAt = ts[5].OpenedAt.AddDate(0, 1, 0)
	var rows []admitted
	for _, x := range ts {
		r, err := newRecord(x)
		if err != nil {
			t.Fatal(err)
		}
		rows = append(rows, admitted{x, r})
	}
	var got []string
	for _, b := range number(freeze(rows), 100, true) {
		if !b.replay {
			t.Error("not a replay")
		}
		got = append(got, fmt.Sprintf("%d %s %d: %d", b.id, b.table.name, b.month, len(b.rows)))
	}
	want := []string{
		"100 incident_evidence 202611: 16", "101 incident_evidence 202612: 3",
		"102 incident_transitions 202611: 11", "103 incident_transitions 202612: 1",
		"104 incidents 202611: 3", "105 incidents 202612: 1",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s", strings.Join(got, "\n"))
	}
}

func TestFreezeLimits(t *testing.T) {
	var rows []admitted
	for i := range batchRows + 500 {
		x := *sinktest.Transitions(1)[0]
		x.IncidentID, x.Evidence = fmt.Sprint(i), nil
		if i < 200 {
			x.Title = strings.Repeat("x", 60_000)
		}
		r, err := newRecord(&x)
		if err != nil {
			t.Fatal(err)
		}
		rows = append(rows, admitted{&x, r})
	}
	n := map[string]int{}
	for _, b := range freeze(rows) {
		n[b.table.name]++
	}
	if n["incidents"] != 3 || n["incident_transitions"] != 3 || n["incident_evidence"] != 0 {
		t.Errorf("batches %v, want 12 MB of text and %d rows in 3", n, len(rows))
	}
}

func TestWriteIDs(t *testing.T) {
	var w writeIDs
	a := w.next(1000)
	b := w.next(1)
	if b < a+1000 {
		t.Errorf("%d after %d and 999 more", b, a)
	}
	w.after(b + 1<<40)
	if c := w.next(1); c <= b+1<<40 {
		t.Errorf("%d is not after %d", c, b+1<<40)
	}
	if ms := time.UnixMilli(int64(a >> 22)); time.Since(ms) > time.Minute || time.Since(ms) < -time.Minute {
		t.Errorf("id %d says %v", a, ms)
	}
}

// TestWitness: a row of any table can be sent again, and changes nothing; an empty
// table has none.
func TestWitness(t *testing.T) {
	server := chtest.Shared(t)
	for name, dsn := range map[string]string{
		"native":    chtest.DSN(server, chtest.Name()),
		"http":      "http://" + server.HTTPAddr() + "/" + chtest.Name(),
		"odd names": chtest.DSN(server, chtest.Name()+url.PathEscape("-a `b` \"c\" d.e")),
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t, Options{DSN: dsn})
			until(t, "the schema is there", func() bool { return s.Ready() == nil })
			ask := func(want bool) {
				t.Helper()
				for _, table := range tables {
					if got := open(t, Options{DSN: dsn}).witness(t.Context(), table); got != want {
						t.Errorf("%s: witness %v, want %v", table.name, got, want)
					}
				}
			}
			ask(false)
			ts := sinktest.Transitions(5)
			if err := s.Write(t.Context(), ts); err != nil {
				t.Fatal(err)
			}
			ask(true)
			if diff := sinktest.Diff(ts, all(t, reader(t, dsn))); diff != "" {
				t.Error(diff)
			}
		})
	}
}
