package main

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	gocmp "github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/gzip"

	"corral/internal/chconn"
	"corral/internal/chserver"
	"corral/internal/chserver/chtest"
	"corral/internal/natstest"
)

// historyEvents is how many events TestHistoryIsTheSameFromEverywhere reads: few,
// or as many as CORRAL_HISTORY_EVENTS says.
func historyEvents(t *testing.T) int {
	n, err := strconv.Atoi(cmp.Or(os.Getenv("CORRAL_HISTORY_EVENTS"), "12000"))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestHistoryIsTheSameFromEverywhere: the same lines from files, a stream and a
// ClickHouse table give the same transitions byte for byte, evidence included, with
// 1, 2 and 4 workers.
func TestHistoryIsTheSameFromEverywhere(t *testing.T) {
	lines := shopLines(historyEvents(t))
	h := historyOf{files: splitFiles(t, lines)}
	srv := natstest.Start(t, natstest.JetStream())
	srv.Stream("LOGS", "logs.>")
	publishAsync(t, srv, lines)
	ch := chtest.Start(t, chserver.Options{Dir: t.TempDir()})
	h.nats, h.dsn = srv.URL(), chtest.DSN(ch, chtest.Database(t, ch))
	insertLogs(t, h.dsn, lines)
	rules := write(t, "rules.yaml", resumeRules)
	var want []string
	inputs := inputsOf(h)
	for _, name := range []string{"files", "stream", "table"} {
		for _, workers := range []string{"1", "2", "4"} {
			out := filepath.Join(t.TempDir(), "out.ndjson")
			args := append([]string{"batch", "--rules", rules, "-o", "ndjson:" + out, "--progress", "off", "--lateness", "2s", "--workers", workers}, inputs[name]...)
			var talk bytes.Buffer
			begin := time.Now()
			if code := run(t.Context(), args, nil, &talk, &talk); code != 0 {
				t.Fatalf("%s: exit %d\n%s", name, code, talk.String())
			}
			got := withoutSequences(t, out)
			t.Logf("%s, %s workers: %d revisions, %.0f events/s", name, workers, len(got), float64(len(lines))/time.Since(begin).Seconds())
			if want == nil {
				want = got
			}
			if len(want) < 30 {
				t.Fatalf("only %d revisions", len(want))
			}
			if d := gocmp.Diff(want, got); d != "" {
				t.Fatalf("%s with %s workers differs (-files +got):\n%.4000s", name, workers, d)
			}
		}
	}
}

// withoutSequences are revisions without the numbers that a source gives records.
func withoutSequences(t *testing.T, path string) (all []string) {
	t.Helper()
	for _, tr := range transitions(t, path) {
		tr.InputFirstSeq, tr.InputLastSeq = 0, 0
		all = append(all, bareLine(t, tr))
	}
	return all
}

// shopLines are n lines of seven services, a tenth of a second apart and up to nine
// out of order, with bursts of errors and silences. No two have the same time.
func shopLines(n int) []string {
	r := rand.New(rand.NewPCG(1, 2))
	start := time.Date(2026, 4, 1, 0, 0, 0, 0, time.UTC)
	lines := make([]string, 0, n)
	for i := range n {
		at := start.Add(time.Duration(i)*100*time.Millisecond - time.Duration(r.IntN(900))*time.Millisecond + time.Duration(i))
		s, level := r.IntN(7), "info"
		if (i/600+s)%11 == 0 && r.IntN(3) > 0 {
			level = "error"
		}
		if (i/900+s)%13 == 0 {
			s = (s + 1) % 7 // a silence
		}
		lines = append(lines, fmt.Sprintf(`{"time":%q,"level":%q,"service":"s%d","msg":"request %d"}`, at.Format(time.RFC3339Nano), level, s, i))
	}
	return lines
}

// splitFiles writes the lines into two files, fifty each in turn, so that they have
// to be merged; one is compressed.
func splitFiles(t *testing.T, lines []string) []string {
	t.Helper()
	var parts [2]bytes.Buffer
	packed := gzip.NewWriter(&parts[1])
	for i, l := range lines {
		if i/50%2 == 0 {
			fmt.Fprintln(&parts[0], l)
		} else {
			fmt.Fprintln(packed, l)
		}
	}
	if err := packed.Close(); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	names := []string{filepath.Join(dir, "a.log"), filepath.Join(dir, "b.log.gz")}
	for i, name := range names {
		if err := os.WriteFile(name, parts[i].Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return names
}

// publishAsync stores lines in the stream in their order.
func publishAsync(t *testing.T, srv *natstest.Server, lines []string) {
	t.Helper()
	js := srv.JetStream()
	for i, l := range lines {
		if _, err := js.PublishAsync("logs.a", []byte(l)); err != nil {
			t.Fatal(err)
		}
		if i%1000 == 999 || i == len(lines)-1 {
			select {
			case <-js.PublishAsyncComplete():
			case <-time.After(time.Minute):
				t.Fatal("the stream does not take messages")
			}
		}
	}
}

const otelTable = `CREATE TABLE otel_logs (Timestamp DateTime64(9), TraceId String, SpanId String, TraceFlags UInt8, SeverityText LowCardinality(String),
	SeverityNumber UInt8, ServiceName LowCardinality(String), Body String, ResourceAttributes Map(LowCardinality(String), String),
	ScopeName String, LogAttributes Map(LowCardinality(String), String))
	ENGINE = MergeTree PARTITION BY toDate(Timestamp) ORDER BY (toStartOfFiveMinutes(Timestamp), ServiceName, Timestamp)`

// insertLogs makes a table of the lines as OpenTelemetry's exporter would.
func insertLogs(t *testing.T, dsn string, lines []string) {
	t.Helper()
	o, err := chconn.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := clickhouse.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.Exec(t.Context(), otelTable); err != nil {
		t.Fatal(err)
	}
	for len(lines) > 0 {
		n := min(100_000, len(lines))
		if err := insert(t.Context(), conn, lines[:n]); err != nil {
			t.Fatal(err)
		}
		lines = lines[n:]
	}
}

func insert(ctx context.Context, conn clickhouse.Conn, lines []string) error {
	b, err := conn.PrepareBatch(ctx, "INSERT INTO otel_logs (Timestamp, ServiceName, Body)")
	if err != nil {
		return err
	}
	defer b.Close()
	for _, l := range lines {
		_, rest, _ := strings.Cut(l, `"time":"`)
		stamp, _, _ := strings.Cut(rest, `"`)
		_, rest, _ = strings.Cut(l, `"service":"`)
		service, _, _ := strings.Cut(rest, `"`)
		at, err := time.Parse(time.RFC3339Nano, stamp)
		if err != nil {
			return err
		}
		if err := b.Append(at, service, l); err != nil {
			return err
		}
	}
	return b.Send()
}

// historyOf is one set of lines in files (two, one compressed), a stream and a
// table.
type historyOf struct {
	files []string
	nats  string
	dsn   string
}

// inputsOf are the flags that read it.
func inputsOf(h historyOf) map[string][]string {
	return map[string][]string{
		"files":  h.files,
		"stream": {"--nats", h.nats, "--no-context", "--stream", "LOGS"},
		"table":  {"--clickhouse", h.dsn, "--clickhouse-table", "otel_logs", "--store=false"},
	}
}

// TestStreamRange reads parts of a stream, by sequence and by time: what was stored
// long after the range is not read.
func TestStreamRange(t *testing.T) {
	srv := natstest.Start(t, natstest.JetStream())
	srv.Stream("LOGS", "logs.>")
	lines := shopLines(30_000) // 50 minutes
	publishAsync(t, srv, lines)
	rules := write(t, "rules.yaml", resumeRules)
	read := func(args ...string) (records int, text string) {
		t.Helper()
		var out, talk bytes.Buffer
		args = append([]string{"batch", "--rules", rules, "-o", "ndjson", "--progress", "off", "--nats", srv.URL(), "--no-context", "--stream", "LOGS", "--lateness", "2s"}, args...)
		if code := run(t.Context(), args, nil, &out, &talk); code != 0 {
			t.Fatalf("exit %d: %s", code, talk.String())
		}
		_, rest, _ := strings.Cut(talk.String(), "events in ")
		number, _, _ := strings.Cut(rest, " ")
		n, err := strconv.Atoi(number)
		if err != nil {
			t.Fatalf("%v: %s", err, talk.String())
		}
		return n, out.String()
	}
	if n, _ := read("--from-seq", "101", "--to-seq", "200"); n != 100 {
		t.Errorf("by sequence: %d records, want 100", n)
	}
	if n, _ := read("--from-seq", "29901"); n != 100 {
		t.Errorf("from a sequence: %d records, want 100", n)
	}
	span := []string{"--from", "2026-04-01T00:10:00Z", "--to", "2026-04-01T00:20:00Z"}
	n, got := read(span...)
	if n < 20*600 || n > 25_000 {
		t.Errorf("by time: %d records of %d; ten minutes after the range is enough", n, len(lines))
	}
	var want, talk bytes.Buffer
	args := append([]string{"batch", "--rules", rules, "-o", "ndjson", "--progress", "off", "--lateness", "2s", write(t, "all.ndjson", strings.Join(lines, "\n"))}, span...)
	if code := run(t.Context(), args, nil, &want, &talk); code != 0 {
		t.Fatalf("exit %d: %s", code, talk.String())
	}
	if a, b := strings.Count(got, "\n"), strings.Count(want.String(), "\n"); a != b || a == 0 {
		t.Errorf("%d revisions from the stream, %d from a file", a, b)
	}
}
