package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/spf13/pflag"

	"corral/sinks"
	"corral/sinks/clickhouse"
	natssink "corral/sinks/nats"
)

// clickhouseFlags say where incidents are kept.
type clickhouseFlags struct {
	dsn, schema, cluster string
	spool                string
	spoolLimit           int64
	ttl                  time.Duration
}

func (c *clickhouseFlags) add(fs *pflag.FlagSet) {
	fs.StringVar(&c.dsn, "clickhouse", "", "DSN of ClickHouse, clickhouse://user@host:9000/corral (env CORRAL_CLICKHOUSE; the password better by CLICKHOUSE_PASSWORD or password_file=)")
	fs.StringVar(&c.schema, "schema", clickhouse.SchemaAuto, "auto creates and migrates tables, check looks whether they fit, off does nothing")
	fs.StringVar(&c.cluster, "clickhouse-cluster", "", "cluster on whose servers the tables are")
	spanVar(fs, &c.ttl, "clickhouse-ttl", 400*24*time.Hour, "how long rows are kept, from when they were written; used when tables are created")
}

func (c *clickhouseFlags) addSpool(fs *pflag.FlagSet) {
	fs.StringVar(&c.spool, "spool", "", "directory for what ClickHouse does not take at the moment; without it the worker waits, and the stream keeps what comes")
	fs.Int64Var(&c.spoolLimit, "spool-limit", 1<<30, "bytes of the spool; when it is full the worker waits")
}

// address is the DSN, from the flag or the environment; "" means none.
func (c *clickhouseFlags) address() string {
	if c.dsn != "" {
		return c.dsn
	}
	return os.Getenv("CORRAL_CLICKHOUSE")
}

func (c *clickhouseFlags) options(dead func(sinks.DeadLetter) error, log *slog.Logger) clickhouse.Options {
	return clickhouse.Options{
		DSN: c.address(), Schema: c.schema, Cluster: c.cluster, TTL: c.ttl,
		Spool: c.spool, SpoolLimit: c.spoolLimit, Dead: dead, Logger: log.With("sink", "clickhouse"),
	}
}

// open returns the sink, nil where no ClickHouse is named.
func (c *clickhouseFlags) open(dead func(sinks.DeadLetter) error, log *slog.Logger) (*clickhouse.Sink, error) {
	if c.address() == "" {
		return nil, nil
	}
	s, err := clickhouse.Open(c.options(dead, log))
	if err != nil {
		return nil, usageError("--clickhouse: %w", err)
	}
	return s, nil
}

// remoteFlags say where a worker's incidents go beyond its own output.
type remoteFlags struct {
	clickhouse clickhouseFlags
	alerts     string
	incidents  string
	create     bool
	open       bool
	replicas   int
}

func (r *remoteFlags) add(fs *pflag.FlagSet) {
	r.clickhouse.add(fs)
	r.clickhouse.addSpool(fs)
	fs.StringVar(&r.alerts, "alerts", natssink.Alerts, "subject prefix of revisions that somebody should hear of; empty: none")
	fs.StringVar(&r.incidents, "incidents", natssink.Incidents, "subject prefix of every revision; empty: none")
	fs.BoolVar(&r.create, "create-streams", true, "create the streams INCIDENTS and ALERTS where they are missing")
	fs.BoolVar(&r.open, "open-stream", false, "keep a stream with the last revision of each incident only: what is open now")
	fs.IntVar(&r.replicas, "replicas", 1, "replicas of created streams and of the state's bucket")
}

// delivery is the sink of a worker with the parts whose state is asked for.
type delivery struct {
	sinks.Sink
	clickhouse *clickhouse.Sink // nil: none
	nats       *natssink.Sink   // nil: none
}

// ready says which of them takes nothing at the moment, and why.
func (d *delivery) ready() error {
	if d.clickhouse != nil {
		if err := d.clickhouse.Ready(); err != nil {
			return fmt.Errorf("ClickHouse: %w", err)
		}
	}
	if d.nats != nil {
		if err := d.nats.Ready(); err != nil {
			return fmt.Errorf("NATS: %w", err)
		}
	}
	return nil
}

// sinks puts the sinks in order: the database first, so that no alert goes out for
// what it never got, then NATS, then the local output.
func (r *remoteFlags) sinks(ctx context.Context, api jetstream.JetStream, local sinks.Sink, dead func(sinks.DeadLetter) error, log *slog.Logger) (*delivery, error) {
	for flag, prefix := range map[string]string{"--alerts": r.alerts, "--incidents": r.incidents} {
		if prefix != "" && !natssink.IsSubject(prefix) {
			return nil, usageError("%s %q is not a subject to publish on: want tokens such as %s, without wildcards", flag, prefix, natssink.Incidents)
		}
	}
	d := &delivery{}
	var all []sinks.Sink
	retry := func(name string, s sinks.Sink) {
		all = append(all, sinks.Retry(s, sinks.RetryOptions{Name: name, Dead: dead, Logger: log.With("sink", name)}))
	}
	ch, err := r.clickhouse.open(dead, log)
	if err != nil {
		return nil, err
	}
	if ch != nil {
		d.clickhouse = ch
		retry("clickhouse", ch)
	}
	if r.alerts != "" || r.incidents != "" {
		d.nats, err = natssink.New(ctx, api, natssink.Options{
			Incidents: r.incidents, Alerts: r.alerts, Ensure: r.create, Open: r.open, Replicas: r.replicas, Log: log.With("sink", "nats"),
		})
		if err != nil {
			return nil, infra(fmt.Errorf("streams for incidents (--create-streams=false does without): %w", err))
		}
		retry("nats", d.nats)
	}
	retry("output", local)
	d.Sink = sinks.Sequence(all...)
	return d, nil
}
