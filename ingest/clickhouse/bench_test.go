package clickhouse

import (
	"errors"
	"io"
	"reflect"
	"testing"
	"time"

	"corral/internal/chserver"
	"corral/internal/chserver/chtest"
)

// BenchmarkRead reads rows of OpenTelemetry's newest table, with two maps, as a
// source, and all of its columns with nothing but the driver, in turns. source/raw
// is the price of order, of windows held whole, and of making records of rows.
func BenchmarkRead(b *testing.B) {
	const rows = 200_000
	server := chtest.Shared(b)
	db := chtest.Database(b, server)
	chtest.Exec(b, chtest.Conn(b, server, db), "CREATE TABLE otel_logs ("+generations["OpenTelemetry (five-minute key)"], otelInsert("otel_logs", rows, false))
	var raw, source time.Duration
	n, bytes := 0, 0
	for b.Loop() {
		begin := time.Now()
		readRaw(b, server, db, rows)
		raw += time.Since(begin)
		begin = time.Now()
		bytes += readSource(b, server, db)
		source += time.Since(begin)
		n += rows
	}
	b.ReportMetric(float64(n)/raw.Seconds(), "raw-rows/s")
	b.ReportMetric(float64(n)/source.Seconds(), "source-rows/s")
	b.ReportMetric(float64(bytes)/1e6/source.Seconds(), "source-MB/s")
	b.ReportMetric(float64(raw)/float64(source), "source/raw")
}

func readRaw(b *testing.B, server *chserver.Server, db string, rows int) {
	b.Helper()
	r, err := chtest.Conn(b, server, db).Query(b.Context(), "SELECT * FROM otel_logs")
	if err != nil {
		b.Fatal(err)
	}
	defer r.Close()
	types := r.ColumnTypes()
	n := 0
	for r.Next() {
		dest := make([]any, len(types))
		for i, t := range types {
			dest[i] = reflect.New(t.ScanType()).Interface()
		}
		if err := r.Scan(dest...); err != nil {
			b.Fatal(err)
		}
		n++
	}
	if err := r.Err(); err != nil || n != rows {
		b.Fatal(n, err)
	}
}

func readSource(b *testing.B, server *chserver.Server, db string) (bytes int) {
	b.Helper()
	s, err := Open(b.Context(), Options{DSN: chtest.DSN(server, db), Table: "otel_logs"})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	for {
		x, err := s.Next(b.Context(), 0)
		if errors.Is(err, io.EOF) {
			return bytes
		}
		if err != nil {
			b.Fatal(err)
		}
		for _, r := range x.Records {
			bytes += len(r.Data)
		}
	}
}
