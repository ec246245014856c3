package main

import (
	"context"
	"fmt"
	"time"

	"corral/correlate"
	"corral/sinks"
	"corral/sinks/clickhouse"
)

func cmdIncidents(ctx context.Context, args []string, e env) error {
	fs := newFlags("incidents", "[INCIDENT_ID]", `Lists incidents in ClickHouse, or the timeline of one.

  corral incidents --open                         what is open now
  corral incidents --rule card-declines --since -14d
  corral incidents 9f2c41d07ab3-0CK8M2J4V7A00     the timeline of one, with its rule as it was

The DSN is --clickhouse or CORRAL_CLICKHOUSE.`)
	var c clickhouseFlags
	fs.StringVar(&c.dsn, "clickhouse", "", "DSN of ClickHouse (env CORRAL_CLICKHOUSE)")
	open := fs.Bool("open", false, "only open ones")
	rule := fs.String("rule", "", "only of this rule")
	since := fs.String("since", "-24h", "only those that changed since: RFC 3339, -14d, 2026-11-20 10:03")
	run := fs.String("run", "", "of a batch run, by its id; `any`: live and all runs")
	limit := fs.Int("limit", 200, "at most so many")
	var watch time.Duration
	spanVar(fs, &watch, "watch", 0, "ask again and again, and show what changed; --watch=10s for another interval than 2s")
	fs.Lookup("watch").NoOptDefVal = "2s"
	output := fs.StringP("output", "o", "text", "text or json")
	tz := fs.String("tz", "UTC", "zone of --since and of the times shown")
	if done, err := parse(fs, args, e); done {
		return err
	}
	if fs.NArg() > 1 {
		return usageError("unexpected argument %q: one incident at a time", fs.Arg(1))
	}
	if c.address() == "" {
		return usageError("no ClickHouse: say --clickhouse DSN or set CORRAL_CLICKHOUSE")
	}
	loc, err := time.LoadLocation(*tz)
	if err != nil {
		return usageError("--tz: %w", err)
	}
	from, err := moment(*since, time.Now(), loc)
	if err != nil {
		return usageError("--since: %w", err)
	}
	show, err := showTransitions(*output, e, loc)
	if err != nil {
		return err
	}
	r, err := clickhouse.OpenReader(c.address())
	if err != nil {
		return usageError("--clickhouse: %w", err)
	}
	defer r.Close()
	q := clickhouse.Query{Run: *run, Open: *open, Rule: *rule, Since: from, Limit: *limit}
	if fs.NArg() > 0 {
		return timeline(ctx, e, r, fs.Arg(0), *output, loc, show)
	}
	return list(ctx, r, q, watch, show)
}

// timeline shows the life of an incident: as JSON its revisions, as text what
// corral explain makes of them.
func timeline(ctx context.Context, e env, r *clickhouse.Reader, id, format string, loc *time.Location, show sinks.Sink) error {
	ts, err := r.Timeline(ctx, id)
	if err != nil {
		return infra(err)
	}
	if len(ts) == 0 {
		return exit{exitFindings, fmt.Errorf("no incident whose id begins with %q", id)}
	}
	if format == "json" {
		return show.Write(ctx, ts)
	}
	writeTimelines(sinks.PrintableWriter(e.out), ts, loc, storedText(ctx, e, r))
	return nil
}

// list shows incidents, with watch again whenever one has a new revision.
func list(ctx context.Context, r *clickhouse.Reader, q clickhouse.Query, watch time.Duration, show sinks.Sink) error {
	seen := map[string]int{}
	for {
		ts, err := r.Incidents(ctx, q)
		if err != nil {
			return infra(err)
		}
		var fresh []*correlate.Transition
		for _, t := range ts {
			if seen[t.IncidentID] < t.Rev {
				seen[t.IncidentID] = t.Rev
				fresh = append(fresh, t)
			}
		}
		if err := show.Write(ctx, fresh); err != nil {
			return infra(err)
		}
		if watch <= 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(watch):
		}
	}
}

func showTransitions(format string, e env, loc *time.Location) (sinks.Sink, error) {
	switch format {
	case "json":
		return sinks.NewNDJSON(e.out), nil
	case "text":
		o := textOptions(e.out)
		o.Location = loc
		return sinks.NewText(e.out, o), nil
	}
	return nil, usageError("--output %q: want text or json", format)
}

// countRevisions is the number of live revisions in a database.
func countRevisions(ctx context.Context, dsn string) (n int, err error) {
	r, err := clickhouse.OpenReader(dsn)
	if err != nil {
		return 0, err
	}
	defer r.Close()
	for _, err := range r.Revisions(ctx, clickhouse.Query{}) {
		if err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}

func cmdMigrate(ctx context.Context, args []string, e env) error {
	fs := newFlags("migrate", "[--dry-run]", `Creates and updates the tables in ClickHouse.

  corral migrate --clickhouse clickhouse://127.0.0.1:9000/corral`)
	var c clickhouseFlags
	c.add(fs)
	dry := fs.Bool("dry-run", false, "print the SQL, for those who manage tables themselves; nothing is connected to")
	if done, err := parse(fs, args, e); done {
		return err
	}
	if err := noArgs(fs); err != nil {
		return err
	}
	if c.address() == "" {
		if !*dry {
			return usageError("no ClickHouse: say --clickhouse DSN or set CORRAL_CLICKHOUSE")
		}
		c.dsn = "clickhouse://localhost:9000/corral"
	}
	o := clickhouse.Options{DSN: c.address(), Cluster: c.cluster, TTL: c.ttl}
	if *dry {
		return clickhouse.Migrate(ctx, o, e.out)
	}
	if err := clickhouse.Migrate(ctx, o, nil); err != nil {
		return infra(err)
	}
	fmt.Fprintln(e.err, "the tables are up to date")
	return nil
}
