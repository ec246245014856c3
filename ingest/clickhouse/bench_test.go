package clickhouse

import (
	"errors"
	"io"
	"testing"

	"corral/internal/chserver/chtest"
)

// BenchmarkRead reads rows of OpenTelemetry's newest table, with two maps.
func BenchmarkRead(b *testing.B) {
	const rows = 500_000
	server := chtest.Shared(b)
	db := chtest.Database(b, server)
	chtest.Exec(b, chtest.Conn(b, server, db), "CREATE TABLE otel_logs ("+generations["OpenTelemetry (five-minute key)"], otelInsert("otel_logs", rows, false))
	bytes := 0
	b.ReportAllocs()
	for b.Loop() {
		s, err := Open(b.Context(), Options{DSN: chtest.DSN(server, db), Table: "otel_logs"})
		if err != nil {
			b.Fatal(err)
		}
		for {
			x, err := s.Next(b.Context(), 0)
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				b.Fatal(err)
			}
			for _, r := range x.Records {
				bytes += len(r.Data)
			}
		}
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(rows)*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
	b.ReportMetric(float64(bytes)/1e6/b.Elapsed().Seconds(), "MB/s")
}
