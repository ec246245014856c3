package clickhouse

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"corral/event"
	"corral/ingest"
	"corral/ingest/decode"
	"corral/internal/chserver"
	"corral/internal/chserver/chtest"
)

func TestMain(m *testing.M) { chtest.Main(m) }

const otelColumns = `TraceId String CODEC(ZSTD(1)), SpanId String, TraceFlags UInt8,
	SeverityText LowCardinality(String), SeverityNumber UInt8, ServiceName LowCardinality(String), Body String,
	ResourceSchemaUrl LowCardinality(String), ResourceAttributes %[1]s, ScopeSchemaUrl LowCardinality(String),
	ScopeName String, ScopeVersion LowCardinality(String), ScopeAttributes %[1]s, LogAttributes %[1]s`

const stringMap = "Map(LowCardinality(String), String)"

// The tables of the world, by the name of their generation.
var generations = map[string]string{
	"OpenTelemetry": "Timestamp DateTime64(9) CODEC(Delta(8), ZSTD(1)), " + fmt.Sprintf(otelColumns, stringMap) +
		") ENGINE = MergeTree PARTITION BY toDate(Timestamp) ORDER BY (ServiceName, SeverityText, toUnixTimestamp(Timestamp), TraceId)",
	"OpenTelemetry (TimestampTime)": "Timestamp DateTime64(9), TimestampTime DateTime DEFAULT toDateTime(Timestamp), " + fmt.Sprintf(otelColumns, stringMap) +
		") ENGINE = MergeTree PARTITION BY toDate(TimestampTime) PRIMARY KEY (ServiceName, TimestampTime) ORDER BY (ServiceName, TimestampTime, Timestamp)",
	"OpenTelemetry (five-minute key)": "Timestamp DateTime64(9), EventName String, " + fmt.Sprintf(otelColumns, stringMap) +
		") ENGINE = MergeTree PARTITION BY toDate(Timestamp) ORDER BY (toStartOfFiveMinutes(Timestamp), ServiceName, Timestamp)",
	"OpenTelemetry, JSON attributes (five-minute key)": "Timestamp DateTime64(9), " + fmt.Sprintf(otelColumns, "JSON") +
		", LogAttributesKeys Array(LowCardinality(String))) ENGINE = MergeTree PARTITION BY toDate(Timestamp) ORDER BY (toStartOfFiveMinutes(Timestamp), ServiceName, Timestamp)",
	"ClickStack (TimestampTime) (five-minute key)": "Timestamp DateTime64(9), TimestampTime DateTime DEFAULT toDateTime(Timestamp), " + fmt.Sprintf(otelColumns, stringMap) +
		", `__hdx_materialized_k8s.pod.name` LowCardinality(String) MATERIALIZED ResourceAttributes['k8s.pod.name']) ENGINE = MergeTree PARTITION BY toDate(TimestampTime) ORDER BY (toStartOfFiveMinutes(Timestamp), ServiceName, Timestamp)",
}

const signozTable = `ts_bucket_start UInt64, resource_fingerprint String, timestamp UInt64 CODEC(DoubleDelta, LZ4), observed_timestamp UInt64,
	id String, trace_id String, span_id String, trace_flags UInt32, severity_text LowCardinality(String), severity_number UInt8, body String,
	attributes_string Map(LowCardinality(String), String), attributes_number Map(LowCardinality(String), Float64), attributes_bool Map(LowCardinality(String), Bool),
	resources_string Map(LowCardinality(String), String), scope_name String, scope_version String, scope_string Map(LowCardinality(String), String))
	ENGINE = MergeTree PARTITION BY toDate(timestamp / 1000000000) ORDER BY (ts_bucket_start, resource_fingerprint, severity_text, timestamp, id)`

// otelInsert puts n rows into a table, 100 ms apart.
func otelInsert(table string, n int, json bool) string {
	maps := []string{"map('service.name', 'checkout', 'k8s.pod.name', 'checkout-1', 'a/b', 'c\"d\\\\e')", "map()", "map('http.status_code', '503', 'order.id', toString(number))"}
	if json {
		maps = []string{`'{"service.name":"checkout","k8s.pod.name":"checkout-1","a/b":"c\\"d\\\\e"}'`, `'{}'`, `format('{{"http.status_code":503,"order.id":"{}"}}', number)`}
	}
	return fmt.Sprintf(`INSERT INTO %s (Timestamp, TraceId, SpanId, SeverityText, SeverityNumber, ServiceName, Body, ScopeName, ResourceAttributes, ScopeAttributes, LogAttributes)
		SELECT fromUnixTimestamp64Nano(toInt64(1795168682004000001 + number * 100000000)), '4bf92f3577b34da6a3ce929d0e0e4736', '00f067aa0ba902b7', 'WARN', 13,
		'checkout', concat('payment ', toString(number), ' failed\n\tat x'), 'shop.pay', %s, %s, %s FROM numbers(%d)`, table, maps[0], maps[1], maps[2], n)
}

var first = time.Unix(0, 1795168682004000001).UTC()

func openSource(t *testing.T, o Options) *Source {
	t.Helper()
	s, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// readAll reads batches to the end and checks what a Puller promises.
func readAll(t *testing.T, s *Source) (bs []ingest.Batch) {
	t.Helper()
	for {
		b, err := s.Next(t.Context(), 0)
		if errors.Is(err, io.EOF) {
			if len(bs) == 0 || !bs[len(bs)-1].End {
				t.Error("no batch says that it is the last")
			}
			return bs
		}
		if err != nil {
			t.Fatal(err)
		}
		if len(bs) > 0 && bs[len(bs)-1].End {
			t.Error("a batch behind the last")
		}
		bs = append(bs, b)
	}
}

// lines returns the lines of batches, which are numbered without a gap.
func lines(t *testing.T, bs []ingest.Batch) (out []string) {
	t.Helper()
	next := uint64(1)
	for _, b := range bs {
		for _, r := range b.Records {
			if r.Seq != next || !r.Lines {
				t.Fatalf("record begins at %d, want %d; lines %v", r.Seq, next, r.Lines)
			}
			for line := range strings.Lines(string(r.Data)) {
				out = append(out, strings.TrimSuffix(line, "\n"))
				next++
			}
		}
	}
	return out
}

func events(t *testing.T, bs []ingest.Batch) (out []*event.Event) {
	t.Helper()
	d := decode.New(decode.Options{})
	for _, b := range bs {
		for _, r := range b.Records {
			d.Decode(r, func(e *event.Event) {
				e.Attrs()
				out = append(out, e.Clone())
			}, func(x decode.DeadRecord) { t.Errorf("dead: %+v", x) })
		}
	}
	return out
}

func TestGenerations(t *testing.T) {
	server := chtest.Shared(t)
	for generation, ddl := range generations {
		t.Run(generation, func(t *testing.T) {
			db := chtest.Database(t, server)
			json := strings.Contains(generation, "JSON")
			chtest.Exec(t, chtest.Conn(t, server, db), "CREATE TABLE otel_logs ("+ddl, otelInsert("otel_logs", 1000, json))
			s := openSource(t, Options{DSN: chtest.DSN(server, db), Table: "otel_logs"})
			if got := s.Describe(); !strings.HasPrefix(got, "otel_logs: "+generation+" by Timestamp, 1000 rows from 2026-11-20T") {
				t.Errorf("described as %s", got)
			}
			es := events(t, readAll(t, s))
			if len(es) != 1000 {
				t.Fatalf("%d events, want 1000", len(es))
			}
			e := es[7]
			if e.When() != first.Add(700*time.Millisecond) || e.TimeQuality != event.TimeExact || e.Service != "checkout" || e.Level != "warn" || e.SeverityNumber != 13 ||
				e.Message != "payment 7 failed\n\tat x" || e.TraceID != "4bf92f3577b34da6a3ce929d0e0e4736" || e.SpanID != "00f067aa0ba902b7" ||
				e.Logger != "shop.pay" || e.Instance != "checkout-1" || e.HTTP.Status != 503 {
				t.Errorf("event %+v", e)
			}
			if e.Attr("order.id") != "7" || e.Attr("a/b") != `c"d\e` {
				t.Errorf("attributes %v", e.Attrs())
			}
		})
	}
}

func TestSigNoz(t *testing.T) {
	server := chtest.Shared(t)
	db := chtest.Database(t, server)
	chtest.Exec(t, chtest.Conn(t, server, db), "CREATE TABLE logs_v2 ("+signozTable, `INSERT INTO logs_v2 (ts_bucket_start, timestamp, id, trace_id, severity_text, severity_number, body,
		attributes_string, attributes_number, attributes_bool, resources_string, scope_name)
		SELECT intDiv(1795168682 + number, 1800) * 1800, 1795168682004000001 + number * 1000000000, toString(number), '', 'ERROR', 17, 'payment failed',
		map('http.method', 'GET'), map('http.status_code', 503, 'amount', 1.5), map('retry', true), map('service.name', 'pay'), 'shop' FROM numbers(4000)`)
	s := openSource(t, Options{DSN: chtest.DSN(server, "default"), Table: db + ".logs_v2", From: first.Add(time.Second), To: first.Add(4 * time.Second)})
	if got := s.Describe(); !strings.Contains(got, "SigNoz by timestamp, 3 rows") {
		t.Errorf("described as %s", got)
	}
	es := events(t, readAll(t, s))
	if len(es) != 3 {
		t.Fatalf("%d events, want 3", len(es))
	}
	e := es[0]
	if e.When() != first.Add(time.Second) || e.Service != "pay" || e.Level != "error" || e.Message != "payment failed" || e.HTTP.Status != 503 || e.HTTP.Method != "GET" || e.Logger != "shop" {
		t.Errorf("event %+v", e)
	}
	if e.Attr("amount") != 1.5 || e.Attr("retry") != true {
		t.Errorf("attributes %v", e.Attrs())
	}
}

// TestPrune: a window reads few of the granules, whatever the key.
func TestPrune(t *testing.T) {
	server := chtest.Shared(t)
	db := chtest.Database(t, server)
	c := chtest.Conn(t, server, db)
	check := func(name, table string, n int) {
		s := openSource(t, Options{DSN: chtest.DSN(server, db), Table: table})
		q := s.layout.statement(s.table, "", cursor{from: first.Add(time.Hour).UnixNano(), step: int64(time.Minute), rows: 1000, last: s.last})
		read := chtest.One[uint64](t, c, "SELECT sum(marks) FROM (EXPLAIN ESTIMATE "+q+")")
		all := chtest.One[uint64](t, c, "SELECT sum(marks) FROM system.parts WHERE active AND database = ? AND table = ?", db, table)
		if all < 20 || read*4 > all {
			t.Errorf("%s: reads %d of %d granules", name, read, all)
		}
	}
	i := 0
	for generation, ddl := range generations {
		if generation == "OpenTelemetry" || strings.Contains(generation, "JSON") { // sorted by service first: no window can prune
			continue
		}
		i++
		table := fmt.Sprint("logs", i)
		chtest.Exec(t, c, "CREATE TABLE "+table+" ("+ddl+" SETTINGS index_granularity = 512", otelInsert(table, 50_000, false), "OPTIMIZE TABLE "+table+" FINAL")
		check(generation, table, 50_000)
	}
	chtest.Exec(t, c, "CREATE TABLE logs_v2 ("+signozTable+" SETTINGS index_granularity = 512", `INSERT INTO logs_v2 (ts_bucket_start, timestamp, body)
		SELECT intDiv(1795168682 + number, 1800) * 1800, 1795168682004000001 + number * 1000000000, 'x' FROM numbers(50000)`)
	check("SigNoz", "logs_v2", 50_000)
}

// TestSameAsFile: where the body is the line that was logged, the events are
// those of a file of these lines, in all that a rule can see.
func TestSameAsFile(t *testing.T) {
	server := chtest.Shared(t)
	db := chtest.Database(t, server)
	var file strings.Builder
	c := chtest.Conn(t, server, db)
	chtest.Exec(t, c, "CREATE TABLE otel_logs ("+generations["OpenTelemetry (five-minute key)"])
	b, err := c.PrepareBatch(t.Context(), "INSERT INTO otel_logs (Timestamp, ServiceName, TraceId, Body, ResourceAttributes)")
	if err != nil {
		t.Fatal(err)
	}
	for i := range 600 {
		at := first.Add(time.Duration(i) * time.Millisecond)
		line := fmt.Sprintf(`{"time":%q,"level":"ERROR","msg":"declined <%d>","service":"pay","trace_id":"4bf92f3577b34da6a3ce929d0e0e4736","amount":%d.5}`, at.Format(time.RFC3339Nano), i, i)
		service, trace, resource := "pay", "4bf92f3577b34da6a3ce929d0e0e4736", map[string]string{"service.name": "pay"}
		switch i % 3 {
		case 1:
			line = fmt.Sprintf("time=%s level=warn msg=\"retry\\t%d\" service=pay", at.Format(time.RFC3339Nano), i)
			trace, resource = "", nil
		case 2:
			line = fmt.Sprintf("[%d] %s [ERR] 127.0.0.1:4222 - cid:%d - authentication error", i+1, at.Truncate(time.Microsecond).Format("2006/01/02 15:04:05.000000"), i)
			service, trace, resource = "", "", nil
		}
		if i%3 != 2 { // nats-server writes no zone: the column's time is the better one
			file.WriteString(line + "\n")
		}
		if i%3 == 2 {
			continue
		}
		if err := b.Append(at, service, trace, line, resource); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.Send(); err != nil {
		t.Fatal(err)
	}
	want := events(t, []ingest.Batch{{Records: []ingest.Record{{Data: []byte(file.String()), Seq: 1, Lines: true}}}})
	bs := readAll(t, openSource(t, Options{DSN: chtest.DSN(server, db), Table: "otel_logs", Rows: 100}))
	if diff := cmp.Diff(strings.Split(strings.TrimSpace(file.String()), "\n"), lines(t, bs)); diff != "" {
		t.Fatal(diff)
	}
	got := events(t, bs)
	for i := range want {
		if got[i].EventID() != want[i].EventID() || got[i].Service != want[i].Service || got[i].Level != want[i].Level || !cmp.Equal(got[i].Attrs(), want[i].Attrs()) {
			t.Fatalf("event %d:\n%+v\nfile:\n%+v", i, got[i], want[i])
		}
	}
}

// TestAroundLine: a body that is a record, but says less than the row, is
// decoded with what the row says, and stays the evidence.
func TestAroundLine(t *testing.T) {
	server := chtest.Shared(t)
	db := chtest.Database(t, server)
	line := `{"level":"ERROR","msg":"declined","amount":3}`
	chtest.Exec(t, chtest.Conn(t, server, db), "CREATE TABLE otel_logs ("+generations["OpenTelemetry (five-minute key)"],
		"INSERT INTO otel_logs (Timestamp, ServiceName, TraceId, Body, SeverityText, ResourceAttributes, LogAttributes) VALUES ('2026-11-20 10:00:00.5', 'pay', '4bf92f3577b34da6a3ce929d0e0e4736', '"+
			line+"', 'INFO', {'k8s.pod.name':'pay-1'}, {'message':'other','level':'other'})")
	es := events(t, readAll(t, openSource(t, Options{DSN: chtest.DSN(server, db), Table: "otel_logs"})))
	if len(es) != 1 {
		t.Fatalf("%d events", len(es))
	}
	e := es[0]
	if e.Raw != line || e.Message != "declined" || e.Level != "error" || e.Service != "pay" || e.Instance != "pay-1" ||
		e.TraceID != "4bf92f3577b34da6a3ce929d0e0e4736" || e.When() != time.Date(2026, 11, 20, 10, 0, 0, 500_000_000, time.UTC) || e.Attr("amount") != 3 {
		t.Errorf("event %+v, attributes %v", e, e.Attrs())
	}
}

// TestWindows: whatever is read at once, the rows are the same and in the same
// order, also where very many are of one instant.
func TestWindows(t *testing.T) {
	server := chtest.Shared(t)
	db := chtest.Database(t, server)
	c := chtest.Conn(t, server, db)
	chtest.Exec(t, c, "CREATE TABLE logs (ts DateTime64(3, 'UTC'), n UInt32, msg String) ENGINE = MergeTree ORDER BY n",
		// crowds at full seconds, gaps of hours, and rows alone
		`INSERT INTO logs SELECT fromUnixTimestamp64Milli(toInt64(1795168682000 + multiIf(number % 3 = 0, 1000 * (number % 7), number % 3 = 1, number * 37, (number % 11) * 3600000))), number, repeat('x', number % 100) FROM numbers(2000)`)
	var want []string
	for _, o := range []Options{{}, {Rows: 1}, {Rows: 60}, {Rows: 400}, {Rows: 1500}, {Bytes: 30_000}, {Rows: 100, Bytes: 20_000}} {
		if o.Rows == 1 { // as slow as it sounds: only the beginning
			o.To = first.Add(300 * time.Millisecond)
		}
		o.DSN, o.Table = chtest.DSN(server, db), "logs"
		got := lines(t, readAll(t, openSource(t, o)))
		if want == nil {
			want = got
			if !slices.IsSortedFunc(got, func(a, b string) int { return strings.Compare(stampOf(a), stampOf(b)) }) || len(got) != 2000 {
				t.Fatalf("%d rows, sorted: no", len(got))
			}
		}
		if o.Rows == 1 {
			if len(got) == 0 || !slices.Equal(got, want[:len(got)]) {
				t.Errorf("one by one: %d rows, and others", len(got))
			}
			continue
		}
		if !slices.Equal(got, want) {
			t.Errorf("rows %d, bytes %d: %d rows, or in another order", o.Rows, o.Bytes, len(got))
		}
	}
}

// stampOf makes times comparable as text.
func stampOf(line string) string {
	_, rest, _ := strings.Cut(line, `"@timestamp":"`)
	at, err := time.Parse(time.RFC3339Nano, strings.Split(rest, `"`)[0])
	if err != nil {
		return err.Error()
	}
	return at.Format("2006-01-02T15:04:05.000000000")
}

func TestResume(t *testing.T) {
	server := chtest.Shared(t)
	db := chtest.Database(t, server)
	c := chtest.Conn(t, server, db)
	chtest.Exec(t, c, "CREATE TABLE logs (ts DateTime64(9, 'UTC'), msg String) ENGINE = MergeTree ORDER BY ts",
		"INSERT INTO logs SELECT fromUnixTimestamp64Nano(toInt64(1795168682004000001 + intDiv(number, 300) * 1000000000)), toString(number) FROM numbers(3000)")
	o := Options{DSN: chtest.DSN(server, db), Table: "logs", Rows: 100} // less than an instant has
	want := lines(t, readAll(t, openSource(t, o)))
	var got []string
	for reads := 0; len(got) < len(want); reads++ {
		if reads > 20 {
			t.Fatal("no progress")
		}
		s := openSource(t, o)
		var bs []ingest.Batch
		for range 7 { // then the process is gone
			b, err := s.Next(t.Context(), 0)
			if err != nil {
				break
			}
			bs = append(bs, b)
			if b.Done != nil && len(bs) < 7 {
				if err := b.Done(); err != nil {
					t.Fatal(err)
				}
			}
		}
		o.Resume = s.Position()
		var fresh []string
		for _, b := range bs {
			for line := range strings.Lines(string(b.Records[0].Data)) {
				fresh = append(fresh, strings.TrimSuffix(line, "\n"))
			}
		}
		got = append(got[:bs[0].Records[0].Seq-1], fresh...)
	}
	if !slices.Equal(got, want) {
		t.Errorf("resumed reads gave %d rows, want %d, or others", len(got), len(want))
	}
}

// TestBreaks: connections that break in the middle of a window cost time only.
func TestBreaks(t *testing.T) {
	server := chtest.Shared(t)
	db := chtest.Database(t, server)
	c := chtest.Conn(t, server, db)
	chtest.Exec(t, c, "CREATE TABLE logs (ts DateTime64(9, 'UTC'), msg String) ENGINE = MergeTree ORDER BY ts",
		"INSERT INTO logs SELECT fromUnixTimestamp64Nano(toInt64(1795168682004000001 + number * 1000000)), repeat(toString(number), 20) FROM numbers(12000)")
	want := lines(t, readAll(t, openSource(t, Options{DSN: chtest.DSN(server, db), Table: "logs"})))
	for name, to := range map[string]string{"clickhouse://": server.NativeAddr(), "http://": server.HTTPAddr()} {
		px, err := chserver.NewProxy(to)
		if err != nil {
			t.Fatal(err)
		}
		s := openSource(t, Options{DSN: name + px.Addr() + "/" + db, Table: "logs", Rows: 1000, Tries: 1000})
		ctx, cancel := context.WithCancel(t.Context())
		broken := make(chan struct{})
		go func() {
			defer close(broken)
			for i := 0; ctx.Err() == nil && i < 10; i++ {
				fault := &px.Cut
				if i%2 == 1 {
					fault = &px.Swallow
				}
				fault.Store(true)
				<-time.After(10 * time.Millisecond)
				fault.Store(false)
				<-time.After(30 * time.Millisecond)
			}
		}()
		got := lines(t, readAll(t, s))
		cancel()
		<-broken
		if !slices.Equal(got, want) {
			t.Errorf("%s: %d rows, want %d", name, len(got), len(want))
		}
		if err := px.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestAnyTable: times of every kind, columns of every kind, and a mapping.
func TestAnyTable(t *testing.T) {
	server := chtest.Shared(t)
	db := chtest.Database(t, server)
	c := chtest.Conn(t, server, db)
	for i, x := range []struct {
		typ, value string
		at         time.Time
	}{
		{"DateTime", "1795168682", first.Truncate(time.Second)},
		{"DateTime('Europe/Berlin')", "1795168682", first.Truncate(time.Second)},
		{"Nullable(DateTime64(3))", "1795168682004", first.Truncate(time.Millisecond)},
		{"DateTime64(6, 'Asia/Tokyo')", "1795168682004000", first.Truncate(time.Microsecond)},
		{"UInt32", "1795168682", first.Truncate(time.Second)},
		{"Int64", "1795168682004", first.Truncate(time.Millisecond)},
		{"UInt64", "1795168682004000001", first},
		{"Float64", "1795168682.5", first.Truncate(time.Second).Add(500 * time.Millisecond)},
		{"String", "'2026-11-20T09:58:02.004000001Z'", first},
	} {
		table := fmt.Sprint("t", i)
		chtest.Exec(t, c, "CREATE TABLE "+table+" (created "+x.typ+", level String, msg Nullable(String), service LowCardinality(String), n Int64, u Nullable(UInt64), f Float64, tags Array(String), labels Map(String, String), a UInt8 ALIAS 1) ENGINE = MergeTree ORDER BY n",
			"INSERT INTO "+table+" VALUES ("+x.value+", 'error', 'it''s \"x\"', 'pay', -9007199254740993, NULL, 1.5, ['a/b'], {'k':'v'})")
		s := openSource(t, Options{DSN: chtest.DSN(server, db), Table: table})
		es := events(t, readAll(t, s))
		if len(es) != 1 {
			t.Errorf("%s: %d events", x.typ, len(es))
			continue
		}
		e := es[0]
		if !e.When().Equal(x.at) || e.Level != "error" || e.Message != `it's "x"` || e.Service != "pay" {
			t.Errorf("%s: %+v", x.typ, e)
		}
		if want := map[string]any{"source_type": "clickhouse", "n": -9007199254740993, "f": 1.5, "tags": []any{"a/b"}, "labels": map[string]any{"k": "v"}}; !cmp.Equal(e.Attrs(), want) {
			t.Errorf("%s: attributes %v", x.typ, cmp.Diff(want, e.Attrs()))
		}
	}
	chtest.Exec(t, c, "CREATE TABLE odd (a DateTime, b DateTime64(9, 'UTC'), txt String, app String, sev String, `weird ``name` String, props Map(String, String)) ENGINE = MergeTree ORDER BY b",
		"INSERT INTO odd VALUES (0, '2026-11-20 09:58:02.004000001', 'hello', 'shop', 'warning', 'w', {'user.id':'u1'})")
	s := openSource(t, Options{
		DSN: chtest.DSN(server, db), Table: "odd", Where: "app = 'shop' OR 1",
		Columns: map[string]string{"time": "b", "body": "txt", "service": "app", "level": "sev", "attrs": "props"},
	})
	es := events(t, readAll(t, s))
	if len(es) != 1 || es[0].When() != first || es[0].Message != "hello" || es[0].Service != "shop" || es[0].Level != "warn" ||
		es[0].Attr("user.id") != "u1" || es[0].Attr("weird `name") != "w" {
		t.Errorf("mapped: %+v", es[0])
	}
}

func TestOpenErrors(t *testing.T) {
	server := chtest.Shared(t)
	db := chtest.Database(t, server)
	chtest.Exec(t, chtest.Conn(t, server, db), "CREATE TABLE odd (a DateTime, b DateTime, msg String) ENGINE = MergeTree ORDER BY a")
	dsn := chtest.DSN(server, db)
	for want, o := range map[string]Options{
		"no table": {DSN: dsn},
		"DSN":      {DSN: "gopher://x/y", Table: "x"},
		"nowhere":  {DSN: dsn, Table: "nowhere"},
		"which with time=COLUMN; there are a, b, msg":   {DSN: dsn, Table: "odd"},
		`no column "c" for time`:                        {DSN: dsn, Table: "odd", Columns: map[string]string{"time": "c"}},
		`unknown field "tiem" of a column mapping`:      {DSN: dsn, Table: "odd", Columns: map[string]string{"tiem": "a"}},
		`connection refused`:                            {DSN: "clickhouse://127.0.0.1:1/d", Table: "odd"},
		"ERROR, no such function: expected_to_fail"[:5]: {DSN: dsn, Table: "odd", Columns: map[string]string{"time": "a"}, Where: "ERROR_no_such_column = 1"},
	} {
		s, err := Open(t.Context(), o)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
		if s != nil {
			_ = s.Close()
		}
	}
}

// TestNothing: an empty table, and an empty range.
func TestNothing(t *testing.T) {
	server := chtest.Shared(t)
	db := chtest.Database(t, server)
	chtest.Exec(t, chtest.Conn(t, server, db), "CREATE TABLE otel_logs ("+generations["OpenTelemetry"], otelInsert("otel_logs", 10, false),
		"CREATE TABLE empty AS otel_logs")
	for _, o := range []Options{
		{Table: "empty"},
		{Table: "otel_logs", From: first.Add(time.Hour)},
		{Table: "otel_logs", To: first},
		{Table: "otel_logs", From: first, To: first},
	} {
		o.DSN = chtest.DSN(server, db)
		s := openSource(t, o)
		if _, err := s.Head(t.Context(), 0); !errors.Is(err, io.EOF) {
			t.Errorf("head of nothing: %v", err)
		}
		if bs := readAll(t, s); len(bs) != 1 || len(bs[0].Records) != 0 {
			t.Errorf("%d batches of nothing", len(bs))
		}
		if !strings.Contains(s.Describe(), "no rows") {
			t.Errorf("described as %s", s.Describe())
		}
	}
	// Behind what a DateTime holds, where functions of the key are wrong. (In a
	// table partitioned by toDate the server itself finds only what a Date holds.)
	chtest.Exec(t, chtest.Conn(t, server, db), "CREATE TABLE far ("+strings.Replace(generations["OpenTelemetry (five-minute key)"], "PARTITION BY toDate(Timestamp)", "", 1),
		"INSERT INTO far (Timestamp, Body) VALUES ('2026-11-20 10:00:00', 'now'), ('2200-01-01 00:00:00', 'late')")
	if got := lines(t, readAll(t, openSource(t, Options{DSN: chtest.DSN(server, db), Table: "far"}))); len(got) != 2 {
		t.Errorf("%d rows, want 2: %v", len(got), got)
	}
}

// TestRun: as a Source, with Head before, and a consumer that fails or goes.
func TestRun(t *testing.T) {
	server := chtest.Shared(t)
	db := chtest.Database(t, server)
	chtest.Exec(t, chtest.Conn(t, server, db), "CREATE TABLE otel_logs ("+generations["OpenTelemetry (TimestampTime)"], otelInsert("otel_logs", 2000, false))
	o := Options{DSN: chtest.DSN(server, db), Table: "otel_logs", Rows: 300}
	s := openSource(t, o)
	head, err := s.Head(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	var bs []ingest.Batch
	pending := int64(2000)
	if err := s.Run(t.Context(), func(b ingest.Batch) error {
		if b.Pending >= pending {
			t.Errorf("pending %d after %d", b.Pending, pending)
		}
		pending = b.Pending
		bs = append(bs, b)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if pending != 0 || len(lines(t, bs)) != 2000 || string(head.Records[0].Data) != string(bs[0].Records[0].Data) {
		t.Errorf("pending %d, %d rows, or head is not the head", pending, len(lines(t, bs)))
	}
	if p := s.Partitions(); len(p) != 1 || p[0].Name != "clickhouse:otel_logs" || !p[0].Replay {
		t.Errorf("partitions %+v", p)
	}
	enough := errors.New("enough")
	if err := openSource(t, o).Run(t.Context(), func(ingest.Batch) error { return enough }); !errors.Is(err, enough) {
		t.Errorf("got %v, want %v", err, enough)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	if err := openSource(t, o).Run(ctx, func(ingest.Batch) error { cancel(enough); return nil }); !errors.Is(err, enough) {
		t.Errorf("got %v, want %v", err, enough)
	}
}

// TestReader: a user who may only read the table is enough.
func TestReader(t *testing.T) {
	dir := t.TempDir()
	password := filepath.Join(dir, "pw")
	if err := os.WriteFile(password, []byte("s3cret"), 0o600); err != nil {
		t.Fatal(err)
	}
	server := chtest.Start(t, chserver.Options{Users: []chserver.User{{Name: "reader", Password: "s3cret", Grants: []string{"GRANT SELECT ON default.otel_logs"}}}})
	chtest.Exec(t, chtest.Conn(t, server, "default"), "CREATE TABLE otel_logs ("+generations["OpenTelemetry (five-minute key)"], otelInsert("otel_logs", 100, false))
	for _, dsn := range []string{"clickhouse://reader@" + server.NativeAddr(), "http://reader@" + server.HTTPAddr()} {
		s := openSource(t, Options{DSN: dsn + "/default?readonly=1&password_file=" + password, Table: "otel_logs"})
		if got := lines(t, readAll(t, s)); len(got) != 100 || !strings.Contains(s.Describe(), "five-minute key") {
			t.Errorf("%d rows, %s", len(got), s.Describe())
		}
	}
}
