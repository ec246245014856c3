package clickhouse

import (
	"log/slog"
	"testing"

	"corral/correlate"
	"corral/internal/chserver/chtest"
	"corral/sinks/sinktest"
)

func TestMain(m *testing.M) { chtest.Main(m) }

// open returns a sink on a database of its own.
func open(t *testing.T, o Options) *Sink {
	t.Helper()
	if o.Logger == nil {
		o.Logger = logger(t)
	}
	s, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// logger writes to the test's log.
func logger(t *testing.T) *slog.Logger {
	return slog.New(slog.NewTextHandler(t.Output(), nil))
}

func reader(t *testing.T, dsn string) *Reader {
	t.Helper()
	r, err := OpenReader(dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	return r
}

// all reads every revision of every run.
func all(t *testing.T, r *Reader) []*correlate.Transition {
	t.Helper()
	ts, err := collect(r.Revisions(t.Context(), Query{Run: AnyRun}))
	if err != nil {
		t.Fatal(err)
	}
	return ts
}

func TestSink(t *testing.T) {
	server := chtest.Shared(t)
	for name, dsn := range map[string]func(db string) string{
		"native": func(db string) string { return chtest.DSN(server, db) },
		"http":   func(db string) string { return "http://" + server.HTTPAddr() + "/" + db },
	} {
		t.Run(name, func(t *testing.T) {
			sinktest.Run(t, func(t *testing.T) sinktest.Target {
				dsn := dsn(chtest.Name())
				if err := Migrate(t.Context(), Options{DSN: dsn}, nil); err != nil {
					t.Fatal(err)
				}
				r := reader(t, dsn)
				return sinktest.Target{
					Sink:   open(t, Options{DSN: dsn}),
					Read:   func(t *testing.T) []*correlate.Transition { return all(t, r) },
					Poison: func(x *correlate.Transition) { x.Severity = "catastrophic" },
				}
			})
		})
	}
}
