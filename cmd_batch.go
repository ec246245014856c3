package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/pflag"

	"corral/correlate"
	"corral/pipeline"
	"corral/rules"
	"corral/sinks"
	"corral/sinks/clickhouse"
	natssink "corral/sinks/nats"
)

// batchRun is one run of `corral batch`.
type batchRun struct {
	batchFlags
	inputFlags
	store    bool
	publish  bool
	replay   string
	into     string
	out      outFlag
	dead     string
	memory   byteSize
	progress string
	resume   string
}

func cmdBatch(ctx context.Context, args []string, e env) error {
	b := &batchRun{inputFlags: newInputs(e)}
	fs := newFlags("batch", "[FILE…|-] --rules PATH…", `Reprocesses history: files and globs (plain, .gz, .zst), standard input, JetStream streams, ClickHouse tables.

  corral batch --rules rules/ --from '2026-11-20 10:00' --to '2026-11-20 12:00' -o ndjson 'logs/*.log.gz'

Results go to standard output, the plan, the progress and a summary to standard error.`)
	b.add(fs)
	if done, err := parse(fs, args, e); done {
		return err
	}
	tuneGC(b.memory)
	set, err := loadRules(b.rules, b.packs, e)
	if err != nil {
		return err
	}
	defer b.close("batch", e)
	err = b.run(ctx, e, set, fs.Args())
	if err != nil && ctx.Err() != nil { // whatever it was doing
		return exit{exitSignal, err}
	}
	return err
}

func (b *batchRun) add(fs *pflag.FlagSet) {
	b.batchFlags.add(fs)
	b.inputFlags.add(fs)
	b.out.add(fs, "text")
	b.clickhouse.add(fs)
	fs.BoolVar(&b.store, "store", true, "with --clickhouse: store the incidents there")
	fs.StringVar(&b.into, "into", "run", "run: the rows in ClickHouse are this run's own; live: they put live history right")
	fs.BoolVar(&b.publish, "publish", false, "publish incidents on NATS too")
	fs.StringVar(&b.replay, "alerts", natssink.AlertReplay, "subject prefix for --publish")
	fs.StringVar(&b.dead, "dead-letters", "", "NDJSON file for records that could not be used")
	fs.StringVar(&b.resume, "resume", "", "file that keeps where a run was interrupted: the same command goes on there, and removes it at the end")
	addMemory(fs, &b.memory)
	progressVar(fs, &b.progress)
}

// sinks is where transitions go.
func (b *batchRun) sinks(ctx context.Context, e env, set *rules.Set, dead *letters) (sinks.Sink, error) {
	local, err := b.out.open("", e)
	if err != nil {
		return nil, err
	}
	var all []sinks.Sink
	var ch *clickhouse.Sink
	if b.store {
		if ch, err = b.clickhouse.open(dead.write, b.log); err != nil {
			return nil, err
		}
	}
	if ch != nil {
		ch.Rules(set, 0)
		all = append(all, sinks.Retry(ch, sinks.RetryOptions{Name: "clickhouse", Dead: dead.write, Logger: b.log}))
	}
	if b.publish {
		api, err := b.connect(ctx)
		if err != nil {
			return nil, err
		}
		n, err := natssink.New(ctx, api, natssink.Options{Alerts: b.replay, Log: b.log})
		if err != nil {
			return nil, infra(err)
		}
		all = append(all, n)
	}
	return sinks.Sequence(append(all, local)...), nil
}

// runID is a new one; live's rows have none.
func (b *batchRun) runID() (string, error) {
	switch b.into {
	case "live":
		return "", nil
	case "run":
		return uuid.NewString(), nil
	}
	return "", usageError("--into %q: want run or live", b.into)
}

// interruptGrace is how long what is being written may take when a run that can be
// resumed is interrupted.
const interruptGrace = 30 * time.Second

func (b *batchRun) run(ctx context.Context, e env, set *rules.Set, files []string) error {
	rng, loc, err := b.span(time.Now())
	if err != nil {
		return err
	}
	dopt, err := b.decode.options(loc)
	if err != nil {
		return err
	}
	runID, err := b.runID()
	if err != nil {
		return err
	}
	earlier, err := b.resumed(set, files)
	if err != nil {
		return err
	}
	if earlier != nil {
		rng, runID = earlier.Range, earlier.Run
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
	src, err := b.open(ctx, files, begin, earlier)
	if err != nil {
		return err
	}
	sink, err := b.sinks(ctx, e, set, dead)
	if err != nil {
		return err
	}
	b.closers = append(b.closers, sink.Close)
	lane := &pipeline.Lane{Rules: set, Sink: sink, RunID: runID, Keep: inRange(rng)}
	if b.into == "live" {
		lane.Mode = "live"
	}
	p := newMeter(b.progress, e, src, lane)
	p.plan(planned{set: set, rng: rng, begin: begin, loc: loc, flags: &b.batchFlags, outputs: b.outputs(runID), resumed: earlier})
	run := &pipeline.Batch{
		Lanes: []*pipeline.Lane{lane}, Source: src, Dead: dead.put, Decode: dopt, Range: begin,
		Lateness: b.lateness, Workers: b.workers, Shards: b.shards, MaxBytes: int(b.memory), Now: time.Now, Progress: p.step,
		Stop: stop(rng),
	}
	if b.resume != "" {
		run.Grace = interruptGrace
	}
	if earlier != nil {
		run.Resume = earlier.checkpoint
	}
	err = run.Run(ctx)
	p.end()
	if err != nil && ctx.Err() != nil {
		return b.interrupted(run, src, set, rng, runID, files)
	}
	if err != nil {
		return infra(err)
	}
	if err := b.finished(); err != nil {
		return err
	}
	p.summary(runID, b.stored())
	if bad := src.problems(); len(bad) > 0 {
		return infra(fmt.Errorf("the input was not read whole: %w", errors.Join(bad...)))
	}
	return nil
}

func (b *batchRun) stored() bool { return b.store && b.clickhouse.address() != "" }

// outputs says where the incidents go.
func (b *batchRun) outputs(runID string) []string {
	out := []string{b.out.format}
	if b.stored() {
		out = append(out, "ClickHouse, "+cmp.Or(prefixed("as run ", runID), "into live's incidents"))
	}
	if b.publish {
		out = append(out, "NATS, "+b.replay+".>")
	}
	return slices.DeleteFunc(out, func(s string) bool { return s == "none" })
}

func prefixed(prefix, s string) string {
	if s == "" {
		return ""
	}
	return prefix + s
}

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

// quietLog is the log of commands whose talk is their own.
func quietLog(e env) *slog.Logger {
	return slog.New(slog.NewTextHandler(e.err, &slog.HandlerOptions{Level: slog.LevelWarn}))
}
