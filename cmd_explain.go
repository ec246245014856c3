package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"corral/correlate"
	"corral/event"
	"corral/explain"
	"corral/ingest"
	"corral/ingest/decode"
	"corral/pipeline"
	"corral/rules"
	"corral/sinks"
)

// explainFlags are the three questions `corral explain` answers.
type explainFlags struct {
	batchFlags
	rule   string
	event  string
	key    []string
	at     string
	around time.Duration
	dsn    string
}

func cmdExplain(ctx context.Context, args []string, e env) error {
	var x explainFlags
	fs := newFlags("explain", "CODE | INCIDENT_ID | --rule ID --event FILE | --rule ID --key k=v --at TIME FILE…",
		"Why a rule fired, or why not; what an error code means.")
	fs.StringVar(&x.rule, "rule", "", "id of the rule")
	fs.StringVar(&x.event, "event", "", "a file of records, - for standard input: how the rule looks at each")
	fs.StringArrayVar(&x.key, "key", nil, "name=value of the group key; repeatable")
	fs.StringVar(&x.at, "at", "", "when it should have fired")
	fs.DurationVar(&x.around, "around", 5*time.Minute, "how far around --at to look")
	fs.StringVar(&x.dsn, "clickhouse", "", "DSN of ClickHouse, for an incident (env CORRAL_CLICKHOUSE)")
	x.add(fs)
	if done, err := parse(fs, args, e); done {
		return err
	}
	switch {
	case x.rule == "" && fs.NArg() == 1:
		return x.word(ctx, e, fs.Arg(0))
	case x.rule == "":
		return usageError("say a code (E103), an incident id, or --rule ID with --event or --at")
	}
	if len(x.rules)+len(x.packs) == 0 {
		x.rules = []string{"."}
	}
	set, err := loadRules(x.rules, x.packs, e)
	if err != nil {
		return err
	}
	rule := set.Rule(x.rule)
	if rule == nil {
		return usageError("no rule %q%s", x.rule, suggestRule(set, x.rule))
	}
	if x.event != "" {
		return x.events(ctx, e, set, rule)
	}
	if x.at == "" {
		return usageError("say --event FILE, or --at TIME and files")
	}
	return x.window(ctx, e, set, rule, fs.Args())
}

func suggestRule(set *rules.Set, id string) string {
	var ids []string
	for _, r := range set.Rules {
		ids = append(ids, r.ID)
	}
	if best := rules.Nearest(id, ids); best != "" {
		return fmt.Sprintf(", did you mean %q?", best)
	}
	return ""
}

// word explains an error code or an incident.
func (x *explainFlags) word(ctx context.Context, e env, word string) error {
	if page, ok := rules.ExplainCode(word); ok {
		fmt.Fprint(e.out, page.String())
		return nil
	}
	if !strings.Contains(word, "-") {
		return usageError("%q is no error code; there are %s", word, strings.Join(rules.Codes(), " "))
	}
	dsn := clickhouseFlags{dsn: x.dsn}
	if dsn.address() == "" {
		return usageError("an incident is looked up in ClickHouse: say --clickhouse DSN or set CORRAL_CLICKHOUSE")
	}
	if err := cmdIncidents(ctx, []string{"--clickhouse", dsn.address(), word}, e); err != nil {
		return err
	}
	return x.text(e, word)
}

// text prints the rule as it is in the files named, if they have it.
func (x *explainFlags) text(e env, _ string) error {
	if len(x.rules)+len(x.packs) == 0 {
		return nil
	}
	set, err := loadRules(x.rules, x.packs, e)
	if err != nil {
		return err
	}
	for _, r := range set.Rules {
		if x.rule == r.ID {
			fmt.Fprintf(e.out, "\nrule %s:%d\n%s\n", r.File, r.Line, r.Text)
		}
	}
	return nil
}

func (x *explainFlags) events(ctx context.Context, e env, set *rules.Set, rule *rules.Rule) error {
	opt, err := x.decode.options(time.UTC)
	if err != nil {
		return err
	}
	opt.AttrPaths = set.AttrPaths
	src, err := ingest.NewFiles([]string{x.event}, ingest.FileOptions{Cut: decode.SafeCut, Header: decode.HeaderLine, Stdin: e.in})
	if err != nil {
		return infra(err)
	}
	defer src.Close()
	dec, n := decode.New(opt), 0
	err = src.Run(ctx, func(b ingest.Batch) error {
		for _, rec := range b.Records {
			dec.Decode(rec, func(ev *event.Event) {
				n++
				explain.Event(e.out, rule, ev)
			}, func(d decode.DeadRecord) {
				fmt.Fprintf(e.err, "line %d: %s: %s\n", d.Seq, d.Reason, sinks.Printable(d.Error))
			})
		}
		return nil
	})
	if err == nil && n == 0 {
		err = errors.New("no event in " + x.event)
	}
	if err != nil {
		return infra(err)
	}
	return nil
}

func (x *explainFlags) window(ctx context.Context, e env, set *rules.Set, rule *rules.Rule, files []string) error {
	loc, err := time.LoadLocation(x.tz)
	if err != nil {
		return usageError("--tz: %w", err)
	}
	at, err := moment(x.at, time.Now(), loc)
	if err != nil {
		return usageError("--at: %w", err)
	}
	opt, err := x.decode.options(loc)
	if err != nil {
		return err
	}
	win := &explain.Window{Rule: rule, Key: map[string]string{}, From: at.Add(-x.around), To: at.Add(x.around)}
	for _, kv := range x.key {
		k, v, ok := strings.Cut(kv, "=")
		if !ok {
			return usageError("--key %q: want name=value", kv)
		}
		win.Key[k] = v
	}
	src, err := ingest.NewFiles(files, ingest.FileOptions{Cut: decode.SafeCut, Header: decode.HeaderLine, Stdin: e.in})
	if err != nil {
		return infra(err)
	}
	defer src.Close()
	lane := &pipeline.Lane{Rules: set, Sink: sinks.Fanout(), Trace: win.Trace}
	lane.Keep = func(t *correlate.Transition) bool { win.Transition(t); return false }
	b := pipeline.Batch{
		Lanes: []*pipeline.Lane{lane}, Source: src, Dead: func(sinks.DeadLetter) {}, Decode: opt, Now: time.Now,
		Range:    pipeline.Range{From: win.From.Add(-pipeline.Warmup(set)).UnixNano(), To: win.To.UnixNano()},
		Lateness: x.lateness, Workers: x.workers,
	}
	if err := b.Run(ctx); err != nil {
		return infra(err)
	}
	win.Write(e.out)
	if n := lane.Counters.Late.Load(); n > 0 {
		fmt.Fprintf(e.out, "  %d events came too late to count (--lateness %s)\n", n, x.lateness)
	}
	return nil
}
