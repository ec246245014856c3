package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/spf13/pflag"

	"corral/correlate"
	"corral/ingest"
	corralch "corral/ingest/clickhouse"
	"corral/ingest/decode"
	corraljs "corral/ingest/jetstream"
	"corral/natsconn"
	"corral/pipeline"
	"corral/rules"
	"corral/sinks"
	"corral/sinks/clickhouse"
	natssink "corral/sinks/nats"
)

// batchFlags are the inputs and limits batch and diff share.
type batchFlags struct {
	rules    []string
	packs    []string
	from, to string
	tz       string
	lateness time.Duration
	workers  int
	shards   int
	decode   decodeFlags
}

func (b *batchFlags) add(fs *pflag.FlagSet) {
	fs.StringArrayVarP(&b.rules, "rules", "r", nil, "rule file or directory (*.yaml, *.yml); repeatable")
	fs.StringArrayVar(&b.packs, "pack", nil, "built-in rules: nats; repeatable")
	fs.StringVar(&b.from, "from", "", "leave out events before: RFC 3339, -14d, now, 2026-11-20 10:03")
	fs.StringVar(&b.to, "to", "", "leave out events after, and end the run at that instant")
	fs.StringVar(&b.tz, "tz", "UTC", "zone of --from and --to, and of times that carry none")
	fs.DurationVar(&b.lateness, "lateness", 2*time.Minute, "how far events of one file may be out of order")
	fs.IntVar(&b.workers, "workers", runtime.GOMAXPROCS(0), "goroutines that decode and match; changes no result")
	b.decode.add(fs)
}

// span resolves --from and --to.
func (b *batchFlags) span(now time.Time) (pipeline.Range, *time.Location, error) {
	loc, err := time.LoadLocation(b.tz)
	if err != nil {
		return pipeline.Range{}, nil, usageError("--tz: %w", err)
	}
	from, err := moment(b.from, now, loc)
	if err != nil {
		return pipeline.Range{}, nil, usageError("--from: %w", err)
	}
	to, err := moment(b.to, now, loc)
	if err != nil {
		return pipeline.Range{}, nil, usageError("--to: %w", err)
	}
	var r pipeline.Range
	if !from.IsZero() {
		r.From = from.UnixNano()
	}
	if !to.IsZero() {
		r.To = to.UnixNano()
	}
	if r.From != 0 && r.To != 0 && r.To < r.From {
		return r, nil, usageError("--to lies before --from")
	}
	return r, loc, nil
}

// batchRun is one run of `corral batch`.
type batchRun struct {
	batchFlags
	conn       natsconn.Options
	streams    []string
	filter     []string
	table      string
	columns    map[string]string
	where      string
	store      bool
	clickhouse clickhouseFlags
	publish    bool
	replay     string
	into       string
	out        outFlag
	dead       string
	progress   string

	log     *slog.Logger
	nc      *nats.Conn // nil until somebody needs it
	closers []func() error
}

func cmdBatch(ctx context.Context, args []string, e env) error {
	b := &batchRun{log: slog.New(slog.NewTextHandler(e.err, nil))}
	fs := newFlags("batch", "[FILE…|-] --rules PATH…", "Reprocesses history: files and globs (plain, .gz, .zst), standard input, JetStream streams.")
	b.add(fs)
	if done, err := parse(fs, args, e); done {
		return err
	}
	set, err := loadRules(b.rules, b.packs, e)
	if err != nil {
		return err
	}
	defer b.close(e)
	return b.run(ctx, e, set, fs.Args())
}

func (b *batchRun) add(fs *pflag.FlagSet) {
	b.batchFlags.add(fs)
	fs.StringArrayVar(&b.streams, "stream", nil, "JetStream stream to read from --from to --to (by when messages were stored); repeatable")
	fs.StringArrayVar(&b.filter, "filter", nil, "read only these subjects of the streams; repeatable")
	b.out.add(fs, "text")
	b.clickhouse.add(fs)
	fs.StringVar(&b.table, "clickhouse-table", "", "read this table of --clickhouse: otel_logs of any generation, SigNoz's, ClickStack's, or any with --column")
	fs.StringToStringVar(&b.columns, "column", nil, "where a table that is not known has what: time=ts,body=line,service=app,attrs=extra")
	fs.StringVar(&b.where, "where", "", "a further condition on the table, in SQL")
	fs.BoolVar(&b.store, "store", true, "with --clickhouse: store the incidents there")
	fs.StringVar(&b.into, "into", "run", "run: the rows in ClickHouse are this run's own; live: they put live history right")
	fs.BoolVar(&b.publish, "publish", false, "publish incidents on NATS too")
	fs.StringVar(&b.replay, "alerts", natssink.AlertReplay, "subject prefix for --publish")
	fs.StringVar(&b.dead, "dead-letters", "", "NDJSON file for records that could not be used")
	fs.StringVar(&b.progress, "progress", "auto", "auto, on, off")
	b.conn.AddFlags(fs)
}

func (b *batchRun) close(e env) {
	for _, c := range slices.Backward(b.closers) {
		if err := c(); err != nil {
			fmt.Fprintf(e.err, "corral batch: %v\n", err)
		}
	}
}

// connect is NATS, connected to when first needed.
func (b *batchRun) connect(ctx context.Context) (jetstream.JetStream, error) {
	if b.nc == nil {
		b.conn.FailFast = true
		nc, err := b.conn.Connect(ctx, b.log)
		if err != nil {
			return nil, infra(err)
		}
		b.nc = nc
		b.closers = append(b.closers, func() error { nc.Close(); return nil })
	}
	return b.conn.JetStream(b.nc)
}

// open returns the source that arguments and flags name.
func (b *batchRun) open(ctx context.Context, files []string, rng pipeline.Range, e env) (ingest.Puller, *ingest.Files, error) {
	if n := min(len(files), 1) + min(len(b.streams), 1) + min(len(b.table), 1); n > 1 {
		return nil, nil, usageError("files, --stream or --clickhouse-table, not several in one run")
	}
	switch {
	case b.table != "":
		src, err := b.openTable(ctx, rng)
		return src, nil, err
	case len(b.streams) > 0:
		api, err := b.connect(ctx)
		if err != nil {
			return nil, nil, err
		}
		cfg := corraljs.ReplayConfig{Streams: b.streams, Filter: b.filter, Log: b.log}
		if rng.From != 0 {
			cfg.From = time.Unix(0, rng.From)
		}
		r, err := corraljs.NewReplay(api, cfg)
		if err != nil {
			return nil, nil, usageError("%w", err)
		}
		b.closers = append(b.closers, r.Close)
		return r, nil, nil
	case len(files) == 0:
		return nil, nil, usageError("nothing to read: name files, - for standard input, or --stream")
	}
	src, err := ingest.NewFiles(files, ingest.FileOptions{Cut: decode.SafeCut, Header: decode.HeaderLine, Stdin: e.in})
	if err != nil {
		return nil, nil, infra(err)
	}
	b.closers = append(b.closers, src.Close)
	return src, src, nil
}

// openTable reads rows of [from, to]; the table's own range is half open.
func (b *batchRun) openTable(ctx context.Context, rng pipeline.Range) (ingest.Puller, error) {
	o := corralch.Options{DSN: b.clickhouse.address(), Table: b.table, Columns: b.columns, Where: b.where, Logger: b.log}
	if o.DSN == "" {
		return nil, usageError("--clickhouse-table needs --clickhouse DSN")
	}
	if rng.From != 0 {
		o.From = time.Unix(0, rng.From)
	}
	if rng.To != 0 {
		o.To = time.Unix(0, rng.To+1)
	}
	src, err := corralch.Open(ctx, o)
	if err != nil {
		return nil, infra(err)
	}
	b.closers = append(b.closers, src.Close)
	b.log.Info("reading a table", "table", src.Describe(), "rows", src.Total())
	return src, nil
}

// sinks is where transitions go, and the run's id.
func (b *batchRun) sinks(ctx context.Context, e env, dead *letters) (sinks.Sink, string, error) {
	local, err := b.out.open("", e)
	if err != nil {
		return nil, "", err
	}
	var all []sinks.Sink
	runID := uuid.NewString()
	switch b.into {
	case "live":
		runID = ""
	case "run":
	default:
		return nil, "", usageError("--into %q: want run or live", b.into)
	}
	var ch *clickhouse.Sink
	if b.store {
		if ch, err = b.clickhouse.open(dead.write, b.log); err != nil {
			return nil, "", err
		}
	}
	if ch != nil {
		all = append(all, sinks.Retry(ch, sinks.RetryOptions{Name: "clickhouse", Dead: dead.write, Logger: b.log}))
	}
	if b.publish {
		api, err := b.connect(ctx)
		if err != nil {
			return nil, "", err
		}
		n, err := natssink.New(ctx, api, natssink.Options{Alerts: b.replay, Log: b.log})
		if err != nil {
			return nil, "", infra(err)
		}
		all = append(all, n)
	}
	return sinks.Sequence(append(all, local)...), runID, nil
}

func (b *batchRun) run(ctx context.Context, e env, set *rules.Set, files []string) error {
	rng, loc, err := b.span(time.Now())
	if err != nil {
		return err
	}
	dopt, err := b.decode.options(loc)
	if err != nil {
		return err
	}
	dead, err := openLetters(b.dead, false, b.log)
	if err != nil {
		return err
	}
	b.closers = append(b.closers, dead.close)
	begin := rng // of reading: state must be whole when the range begins
	if rng.From != 0 {
		begin.From -= int64(pipeline.Warmup(set))
	}
	src, plain, err := b.open(ctx, files, begin, e)
	if err != nil {
		return err
	}
	sink, runID, err := b.sinks(ctx, e, dead)
	if err != nil {
		return err
	}
	b.closers = append(b.closers, sink.Close)
	lane := &pipeline.Lane{Rules: set, Sink: sink, RunID: runID, Keep: inRange(rng)}
	if b.into == "live" {
		lane.Mode = "live"
	}
	p := b.meter(e, src, plain, lane)
	p.plan(set, rng, begin, loc)
	run := pipeline.Batch{
		Lanes: []*pipeline.Lane{lane}, Source: src, Dead: dead.put, Decode: dopt, Range: begin,
		Lateness: b.lateness, Workers: b.workers, Shards: b.shards, Now: time.Now, Progress: p.step,
	}
	err = run.Run(ctx)
	p.end()
	if err != nil {
		if ctx.Err() != nil {
			return exit{exitSignal, fmt.Errorf("interrupted after %d events", lane.Counters.Events.Load())}
		}
		return infra(err)
	}
	if plain != nil {
		if bad := plain.Problems(); len(bad) > 0 {
			p.summary(runID, b.stored())
			return infra(fmt.Errorf("the input was not read whole: %w", errors.Join(bad...)))
		}
	}
	p.summary(runID, b.stored())
	return nil
}

func (b *batchRun) stored() bool { return b.store && b.clickhouse.address() != "" }

// inRange leaves out what the warm-up before --from gave rise to, and says of an
// incident that began there that its beginning was not all seen.
func inRange(r pipeline.Range) func(*correlate.Transition) bool {
	if r.From == 0 {
		return nil
	}
	from := time.Unix(0, r.From)
	return func(t *correlate.Transition) bool {
		if t.ChangedAt.Before(from) {
			return false
		}
		t.TruncatedStart = t.TruncatedStart || t.StartedAt.Before(from)
		return true
	}
}
