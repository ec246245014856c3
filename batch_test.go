package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"corral/internal/chserver"
	"corral/internal/chserver/chtest"
	"corral/internal/natstest"
	"corral/sinks"
)

// TestHistoryIsTheSameFromEverywhere: the same lines from a file, a stream and a
// ClickHouse table give the same transitions, evidence included.
func TestHistoryIsTheSameFromEverywhere(t *testing.T) {
	var lines []string
	start := time.Date(2026, 4, 1, 0, 0, 0, 0, time.UTC)
	for i := range 2000 {
		at := start.Add(time.Duration(i) * 1700 * time.Millisecond)
		level := "info"
		if i%40 < 5 {
			level = "error"
		}
		lines = append(lines, fmt.Sprintf(`{"time":%q,"level":%q,"service":"s%d","msg":"request %d"}`, at.Format(time.RFC3339Nano), level, i%2, i))
	}
	rules := write(t, "rules.yaml", strings.Replace(burstRules, "window: 1s", "window: 20s", 1))
	batch := func(args ...string) []string {
		t.Helper()
		var out, talk bytes.Buffer
		args = append([]string{"batch", "--rules", rules, "-o", "ndjson", "--progress", "off", "--no-context"}, args...)
		if code := run(t.Context(), args, nil, &out, &talk); code != 0 {
			t.Fatalf("%v: exit %d\n%s", args, code, talk.String())
		}
		ts, err := sinks.ReadNDJSON(&out)
		if err != nil {
			t.Fatal(err)
		}
		var all []string
		for _, tr := range ts {
			tr.DetectedAt, tr.RunID, tr.InputFirstSeq, tr.InputLastSeq = time.Time{}, "", 0, 0
			data, err := sinks.AppendJSON(nil, tr)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, string(data))
		}
		return all
	}
	file := filepath.Join(t.TempDir(), "events.ndjson")
	if err := os.WriteFile(file, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	want := batch(file)
	if len(want) < 80 {
		t.Fatalf("only %d transitions", len(want))
	}
	srv := natstest.Start(t, natstest.JetStream())
	srv.Stream("LOGS", "logs.>")
	publishLines(t, srv, lines)
	if d := cmp.Diff(want, batch("--nats", srv.URL(), "--stream", "LOGS")); d != "" {
		t.Errorf("stream (-file +stream):\n%s", d)
	}
	ch := chtest.Start(t, chserver.Options{Dir: t.TempDir()})
	db := chtest.Database(t, ch)
	conn := chtest.Conn(t, ch, db)
	chtest.Exec(t, conn, `CREATE TABLE otel_logs (Timestamp DateTime64(9), TraceId String, SpanId String, TraceFlags UInt8, SeverityText LowCardinality(String),
		SeverityNumber UInt8, ServiceName LowCardinality(String), Body String, ResourceAttributes Map(LowCardinality(String), String),
		ScopeName String, LogAttributes Map(LowCardinality(String), String))
		ENGINE = MergeTree PARTITION BY toDate(Timestamp) ORDER BY (toStartOfFiveMinutes(Timestamp), ServiceName, Timestamp)`)
	insert, err := conn.PrepareBatch(t.Context(), "INSERT INTO otel_logs (Timestamp, ServiceName, Body)")
	if err != nil {
		t.Fatal(err)
	}
	for i, l := range lines {
		if err := insert.Append(start.Add(time.Duration(i)*1700*time.Millisecond), fmt.Sprintf("s%d", i%2), l); err != nil {
			t.Fatal(err)
		}
	}
	if err := insert.Send(); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, batch("--clickhouse", chtest.DSN(ch, db), "--clickhouse-table", "otel_logs", "--store=false")); d != "" {
		t.Errorf("table (-file +table):\n%s", d)
	}
}
