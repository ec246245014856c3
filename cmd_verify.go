package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"corral/correlate"
	"corral/event"
	"corral/history"
	"corral/pipeline"
	"corral/rules"
	"corral/sinks"
	"corral/sinks/clickhouse"
)

// verifyFlags are what `corral verify` can be told: the worker's inputs and rules,
// and where it wrote its incidents.
type verifyFlags struct {
	batchFlags
	inputFlags
	letters  string
	warmup   time.Duration
	format   string
	progress string
}

func cmdVerify(ctx context.Context, args []string, e env) error {
	v := &verifyFlags{inputFlags: newInputs(e)}
	v.reports, v.from, v.lateness = true, "-24h", 5*time.Second
	fs := newFlags("verify", "--from -24h --rules PATH… --stream NAME… --clickhouse DSN",
		`Runs the range the worker has been through once more, and compares the incidents with those it wrote to ClickHouse:
ids, revisions, times and counts. Give it the worker's own --rules, --stream, --filter and --lateness.

  corral verify --rules rules/ --stream LOGS --clickhouse clickhouse://127.0.0.1:9000/corral --from -24h

Exit codes: 0 no difference, 1 differences, each with its reason.`)
	v.add(fs)
	if done, err := parse(fs, args, e); done {
		return err
	}
	if v.clickhouse.address() == "" {
		return usageError("no ClickHouse: say --clickhouse DSN, where the worker writes, or set CORRAL_CLICKHOUSE")
	}
	if v.format != "text" && v.format != "json" {
		return usageError("--format %q: want text or json", v.format)
	}
	set, err := loadRules(v.rules, v.packs, e)
	if err != nil {
		return err
	}
	defer v.close("verify", e)
	return v.run(ctx, e, set, fs.Args())
}

func (v *verifyFlags) add(fs *pflag.FlagSet) {
	v.batchFlags.add(fs)
	v.inputFlags.add(fs)
	fs.StringVar(&v.clickhouse.dsn, "clickhouse", "", "DSN of the ClickHouse the worker writes to (env CORRAL_CLICKHOUSE); --clickhouse-table is read there too")
	fs.StringVar(&v.letters, "dead-letters", "", "the worker's dead letters: which events it dropped as late")
	spanVar(fs, &v.warmup, "warmup", 0, "how far before --from to begin reading (default: the longest window)")
	fs.StringVar(&v.format, "format", "text", "text or json")
	progressVar(fs, &v.progress)
}

// settled is how long ago an instant must be, beyond the lateness, for live to
// have written what it found up to there.
const settled = 30 * time.Second

func (v *verifyFlags) run(ctx context.Context, e env, set *rules.Set, files []string) error {
	now := time.Now()
	rng, loc, err := v.span(now)
	if err != nil {
		return err
	}
	if rng.From == 0 {
		return usageError("--from is needed: how far back to look")
	}
	if rng.To == 0 {
		rng.To = now.Add(-v.lateness - settled).UnixNano()
	}
	dopt, err := v.decode.options(loc)
	if err != nil {
		return err
	}
	if v.warmup == 0 {
		v.warmup = pipeline.Warmup(set)
	}
	begin := pipeline.Range{From: rng.From - int64(v.warmup)}
	lates, err := v.readLetters()
	if err != nil {
		return err
	}
	src, err := v.open(ctx, files, pipeline.Range{From: begin.From, To: v.tableEnd(rng)}, nil)
	if err != nil {
		return err
	}
	run := &rerun{rng: rng, lateness: v.lateness, live: lates, batch: &history.Book{}}
	lane := &pipeline.Lane{Rules: set, Sink: sinks.Fanout(), Keep: run.keep, Watch: run.watch}
	p := newMeter(v.progress, e, src, lane)
	p.plan(planned{set: set, rng: rng, begin: pipeline.Range{From: begin.From, To: rng.To}, loc: loc, flags: &v.batchFlags})
	// The range has no end here: what comes after it moves the clock, as it does
	// live, and what was found after it is left out.
	b := pipeline.Batch{
		Lanes: []*pipeline.Lane{lane}, Source: src, Dead: func(sinks.DeadLetter) {}, Decode: dopt, Range: begin, Stop: rng.To,
		Lateness: v.lateness, Workers: v.workers, Shards: v.shards, Now: time.Now, Progress: p.step,
	}
	run.parts = func(i uint32) string { return src.Partitions()[i].Name }
	err = b.Run(ctx)
	p.end()
	if err == nil {
		err = errors.Join(src.problems()...)
	}
	if err != nil {
		return infra(err)
	}
	if last := lane.Counters.MaxEventTime.Load(); last < rng.To && last != 0 {
		lane.Engine.Finish(rng.To, func(t *correlate.Transition) { run.keep(t) }) // live's clock went on
	}
	live, err := liveBook(ctx, v.clickhouse.address(), rng)
	if err != nil {
		return infra(fmt.Errorf("read live's incidents: %w", err))
	}
	return v.tell(e, set, lane, run, live, begin, rng)
}

// tableEnd bounds a table, whose rows are in order of time; streams and files have
// no such end.
func (v *verifyFlags) tableEnd(rng pipeline.Range) int64 {
	if v.table == "" {
		return 0
	}
	return rng.To + int64(v.lateness) + int64(settled)
}

func (v *verifyFlags) tell(e env, set *rules.Set, lane *pipeline.Lane, run *rerun, live *history.Book, begin, rng pipeline.Range) error {
	first := begin.From
	if t := lane.Counters.MinEventTime.Load(); t > first {
		first = t
	}
	res := history.Compare(history.ParityInput{
		Live: live, Batch: run.batch, Rules: set, Begin: time.Unix(0, first), Lates: run.lates, Lateness: v.lateness, Evicted: evicted(set, lane),
	})
	if v.format == "json" {
		enc := json.NewEncoder(e.out)
		enc.SetIndent("", "  ")
		if err := enc.Encode(res); err != nil {
			return infra(err)
		}
	} else {
		fmt.Fprintf(e.out, "%s to %s, %d events read again\n", time.Unix(0, rng.From).UTC().Format(time.RFC3339), time.Unix(0, rng.To).UTC().Format(time.RFC3339), lane.Counters.Events.Load())
		if err := res.Write(e.out); err != nil {
			return infra(err)
		}
	}
	if len(res.Different) > 0 {
		return exit{exitFindings, nil}
	}
	return nil
}

func evicted(set *rules.Set, lane *pipeline.Lane) map[string]uint64 {
	m := map[string]uint64{}
	for i, r := range lane.Engine.Stats().Rules {
		if n := r.Evicted + r.Refused; n > 0 {
			m[set.Rules[i].ID] = n
		}
	}
	return m
}

// liveBook is what live wrote about a range.
func liveBook(ctx context.Context, dsn string, rng pipeline.Range) (*history.Book, error) {
	r, err := clickhouse.OpenReader(dsn)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	b := &history.Book{}
	for t, err := range r.Revisions(ctx, clickhouse.Query{Since: time.Unix(0, rng.From), Until: time.Unix(0, rng.To+1)}) {
		if err != nil {
			return nil, err
		}
		b.Add(t)
	}
	return b, nil
}

// rerun collects what the batch run makes of the range.
type rerun struct {
	rng      pipeline.Range
	lateness time.Duration
	live     map[string]bool // late letters, by source and number
	batch    *history.Book
	lates    []history.Late
	parts    func(uint32) string
}

func (r *rerun) keep(t *correlate.Transition) bool {
	if at := t.ChangedAt.UnixNano(); at >= r.rng.From && at <= r.rng.To {
		r.batch.Add(t)
	}
	return false
}

// maxLates bounds what is remembered of late events.
const maxLates = 100_000

// watch remembers events that came so late that live may have dropped them.
func (r *rerun) watch(ev *event.Event, ms []rules.Match, late bool) {
	by := time.Duration(ev.Observed - ev.Time)
	source := r.parts(ev.Pos.Partition)
	live := r.live[letterID(source, ev.Pos.Seq, ev.Pos.Sub)]
	if !late && !live && (ev.Observed == 0 || by <= r.lateness) || len(r.lates) >= maxLates {
		return
	}
	for i := range ms {
		m := &ms[i]
		key := map[string]string{}
		for k, v := range rules.DecodeKey(m.Key) {
			key[m.Rule.KeyNames[k]] = v
		}
		r.lates = append(r.lates, history.Late{
			Rule: m.Rule.ID, Key: key, At: ev.When(), By: max(by, 0), Batch: late, Live: live,
			Source: fmt.Sprintf("%s/%d", strings.TrimPrefix(source, "stream:"), ev.Pos.Seq),
		})
	}
}

func letterID(source string, seq uint64, sub uint32) string {
	return fmt.Sprintf("%s/%d/%d", source, seq, sub)
}

// readLetters reads which events live dropped as late.
func (v *verifyFlags) readLetters() (map[string]bool, error) {
	if v.letters == "" {
		return nil, nil
	}
	f, err := os.Open(v.letters)
	if err != nil {
		return nil, infra(fmt.Errorf("--dead-letters: %w", err))
	}
	defer f.Close()
	m := map[string]bool{}
	for d, err := range sinks.ReadDeadLetters(f) {
		if err != nil {
			return nil, infra(fmt.Errorf("--dead-letters: %w", err))
		}
		if d.Reason == "late" {
			m[letterID(d.Source, d.Seq, d.Sub)] = true
		}
	}
	return m, nil
}
