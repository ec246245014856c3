package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"time"

	"github.com/spf13/pflag"

	"corral/ingest"
	"corral/ingest/decode"
	"corral/pipeline"
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

func cmdBatch(ctx context.Context, args []string, e env) error {
	var b batchFlags
	var out outFlag
	var dead, progress string
	fs := newFlags("batch", "[FILE…|-] --rules PATH…", "Reprocesses history: files and globs (plain, .gz, .zst), standard input, a stream, a table.")
	b.add(fs)
	out.add(fs, "text")
	fs.StringVar(&dead, "dead-letters", "", "NDJSON file for records that could not be used")
	fs.StringVar(&progress, "progress", "auto", "auto, on, off")
	if done, err := parse(fs, args, e); done {
		return err
	}
	set, err := loadRules(b.rules, b.packs, e)
	if err != nil {
		return err
	}
	rng, loc, err := b.span(time.Now())
	if err != nil {
		return err
	}
	dopt, err := b.decode.options(loc)
	if err != nil {
		return err
	}
	src, err := ingest.NewFiles(fs.Args(), ingest.FileOptions{Cut: decode.SafeCut, Header: decode.HeaderLine, Stdin: e.in})
	if err != nil {
		return infra(err)
	}
	defer src.Close()
	sink, err := out.open("", e)
	if err != nil {
		return err
	}
	letters, err := openLetters(dead, false, slog.New(slog.NewTextHandler(e.err, nil)))
	if err != nil {
		return err
	}
	lane := &pipeline.Lane{Rules: set, Sink: sink}
	run := pipeline.Batch{
		Lanes: []*pipeline.Lane{lane}, Source: src, Dead: letters.put, Decode: dopt, Range: rng,
		Lateness: b.lateness, Workers: b.workers, Shards: b.shards, Now: time.Now,
	}
	if err := errors.Join(run.Run(ctx), sink.Close(), letters.close()); err != nil {
		if ctx.Err() != nil {
			return exit{exitSignal, err}
		}
		return infra(err)
	}
	for _, p := range src.Problems() {
		fmt.Fprintf(e.err, "corral batch: %v\n", p)
	}
	summary(e, &lane.Counters)
	return nil
}

func summary(e env, c *pipeline.Counters) {
	fmt.Fprintf(e.err, "%d events in %d records, %d matched; %d incidents opened, %d resolved", c.Events.Load(), c.Records.Load(), c.Matched.Load(), c.Opened.Load(), c.Resolved.Load())
	for _, x := range []struct {
		n    uint64
		what string
	}{{c.Late.Load(), "late"}, {c.Dead.Load(), "dead letters"}, {c.Skipped.Load(), "outside the range"}} {
		if x.n > 0 {
			fmt.Fprintf(e.err, "; %d %s", x.n, x.what)
		}
	}
	fmt.Fprintln(e.err)
}
