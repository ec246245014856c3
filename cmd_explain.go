package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"corral/correlate"
	"corral/event"
	"corral/explain"
	"corral/ingest"
	"corral/ingest/decode"
	"corral/rules"
	"corral/sinks"
	"corral/sinks/clickhouse"
)

// explainFlags are the questions `corral explain` answers.
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
	e.out = sinks.PrintableWriter(e.out) // messages and keys are shown as they are
	var x explainFlags
	fs := newFlags("explain", "CODE | INCIDENT_ID [FILE.ndjson…] | --rule ID --event FILE | --rule ID [--key k=v] --at TIME FILE…",
		`Why a rule fired, or why not; the life of an incident; what an error code means.

  corral explain E103                                     a code of corral check
  corral explain 9f2c41d07ab3-0CK8M2J4V7A00               an incident in ClickHouse, with the rule as it was
  corral explain 9f2c41d07ab3 --rules rules/ out.ndjson   … in the output of corral batch -o ndjson
  corral explain -r rules/ --rule card-declines --event one.log
                                                          how the rule looks at each record of a file
  corral explain -r rules/ --rule card-declines --key merchant=m-118 --at '2026-11-20 10:03' app.log
                                                          why it did or did not fire then, and what would have

Rules are those of the working directory unless -r says otherwise.`)
	fs.StringVar(&x.rule, "rule", "", "id of the rule")
	fs.StringVar(&x.event, "event", "", "a file of records, - for standard input: how the rule looks at each")
	fs.StringArrayVar(&x.key, "key", nil, "name=value of the group key; repeatable")
	fs.StringVar(&x.at, "at", "", "when it should have fired: RFC 3339, -14d, 2026-11-20 10:03")
	spanVar(fs, &x.around, "around", 5*time.Minute, "how far around --at to look")
	fs.StringVar(&x.dsn, "clickhouse", "", "DSN of ClickHouse, for an incident (env CORRAL_CLICKHOUSE)")
	x.add(fs)
	if done, err := parse(fs, args, e); done {
		return err
	}
	switch {
	case x.rule == "" && fs.NArg() == 1:
		return x.word(ctx, e, fs.Arg(0), nil)
	case x.rule == "" && fs.NArg() > 1 && x.at == "" && x.event == "":
		return x.word(ctx, e, fs.Arg(0), fs.Args()[1:])
	case x.rule == "":
		return usageError("say a code (E103), an incident id, or --rule ID with --event FILE or --at TIME FILE…; `corral explain --help` has examples")
	}
	set, rule, err := x.load(e)
	if err != nil {
		return err
	}
	switch {
	case x.event != "":
		return x.events(ctx, e, set, rule)
	case x.at == "":
		return usageError("say --event FILE for single records, or --at TIME and the files to look at")
	case fs.NArg() == 0:
		return usageError("say the files to look at: corral explain --rule %s --at '%s' FILE…", x.rule, x.at)
	}
	return x.window(ctx, e, set, rule, fs.Args())
}

// load compiles the rules and finds the one asked for.
func (x *explainFlags) load(e env) (*rules.Set, *rules.Rule, error) {
	if len(x.rules)+len(x.packs) == 0 {
		x.rules = []string{"."}
	}
	set, err := loadRules(x.rules, x.packs, e)
	if err != nil {
		return nil, nil, err
	}
	rule := set.Rule(x.rule)
	if rule == nil {
		return nil, nil, usageError("no rule %q%s", x.rule, suggestRule(set, x.rule))
	}
	return set, rule, nil
}

func suggestRule(set *rules.Set, id string) string {
	var ids []string
	for _, r := range set.Rules {
		ids = append(ids, r.ID)
	}
	if best := rules.Nearest(id, ids); best != "" {
		return fmt.Sprintf(", did you mean %q?", best)
	}
	if len(ids) > 12 {
		ids = append(ids[:12], "…")
	}
	return "; there are " + strings.Join(ids, ", ")
}

// word explains an error code or an incident.
func (x *explainFlags) word(ctx context.Context, e env, word string, files []string) error {
	if page, ok := rules.ExplainCode(word); ok {
		fmt.Fprint(e.out, page.String())
		return nil
	}
	if looksLikeCode(word) {
		return usageError("%q is no error code; there are %s", word, strings.Join(rules.Codes(), " "))
	}
	return x.incident(ctx, e, word, files)
}

func looksLikeCode(word string) bool {
	return len(word) <= 5 && strings.ContainsAny(word[:1], "EWew")
}

// incident writes the timeline of one, from files of revisions or from ClickHouse.
func (x *explainFlags) incident(ctx context.Context, e env, id string, files []string) error {
	loc, err := time.LoadLocation(x.tz)
	if err != nil {
		return usageError("--tz: %w", err)
	}
	var ts []*correlate.Transition
	var stored *clickhouse.Reader
	dsn := clickhouseFlags{dsn: x.dsn}
	if dsn.address() != "" {
		if stored, err = clickhouse.OpenReader(dsn.address()); err != nil {
			return usageError("--clickhouse: %w", err)
		}
		defer stored.Close()
	}
	switch {
	case len(files) > 0:
		ts, err = revisionsIn(files, id, e.in)
	case stored != nil:
		ts, err = stored.Timeline(ctx, id)
	default:
		return usageError("where is the incident? say --clickhouse DSN, set CORRAL_CLICKHOUSE, or name files of `corral batch -o ndjson`")
	}
	if err != nil {
		return infra(err)
	}
	if len(ts) == 0 {
		return exit{exitFindings, fmt.Errorf("no incident whose id begins with %q", id)}
	}
	text, err := x.ruleTexts(ctx, e, stored)
	if err != nil {
		return err
	}
	writeTimelines(e.out, ts, loc, text)
	return nil
}

func writeTimelines(w io.Writer, ts []*correlate.Transition, loc *time.Location, text func(*correlate.Transition) (explain.RuleText, bool)) {
	for i, group := range byIncident(ts) {
		if i > 0 {
			fmt.Fprintln(w)
		}
		explain.Timeline(w, group, loc, text)
	}
}

// storedText finds the text of a rule's version as ClickHouse keeps it.
func storedText(ctx context.Context, e env, stored *clickhouse.Reader) func(*correlate.Transition) (explain.RuleText, bool) {
	return func(t *correlate.Transition) (explain.RuleText, bool) {
		if stored == nil {
			return explain.RuleText{}, false
		}
		r, ok, err := stored.Rule(ctx, t.RuleID, t.RuleHash)
		if err != nil {
			fmt.Fprintf(e.err, "the rule's text: %v\n", err)
		}
		return explain.RuleText{Text: r.Text, From: "as ClickHouse keeps it"}, ok
	}
}

// revisionsIn reads the revisions of incidents whose id begins with id.
func revisionsIn(files []string, id string, stdin io.Reader) ([]*correlate.Transition, error) {
	var ts []*correlate.Transition
	for _, name := range files {
		in := io.NopCloser(stdin)
		if name != "-" {
			f, err := os.Open(name)
			if err != nil {
				return nil, err
			}
			in = f
		}
		found, err := revisions(in, id)
		in.Close()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		ts = append(ts, found...)
	}
	return ts, nil
}

// revisions reads NDJSON; lines that are no revisions are passed over, as a file
// may hold other output.
func revisions(r io.Reader, id string) ([]*correlate.Transition, error) {
	var ts []*correlate.Transition
	sc := bufio.NewScanner(r)
	sc.Buffer(nil, 16<<20)
	for sc.Scan() {
		if !bytes.Contains(sc.Bytes(), []byte(id)) {
			continue
		}
		t := new(correlate.Transition)
		if json.Unmarshal(sc.Bytes(), t) == nil && strings.HasPrefix(t.IncidentID, id) {
			ts = append(ts, t)
		}
	}
	return ts, sc.Err()
}

// byIncident groups revisions, each incident in order.
func byIncident(ts []*correlate.Transition) [][]*correlate.Transition {
	var groups [][]*correlate.Transition
	index := map[string]int{}
	for _, t := range ts {
		id := t.RunID + " " + t.IncidentID
		i, ok := index[id]
		if !ok {
			i = len(groups)
			index[id] = i
			groups = append(groups, nil)
		}
		groups[i] = append(groups[i], t)
	}
	for _, g := range groups {
		slices.SortStableFunc(g, func(a, b *correlate.Transition) int { return a.Rev - b.Rev })
	}
	return groups
}

// ruleTexts finds the text of a rule's version: as ClickHouse keeps it, or in the
// files named if they still have that version.
func (x *explainFlags) ruleTexts(ctx context.Context, e env, stored *clickhouse.Reader) (func(*correlate.Transition) (explain.RuleText, bool), error) {
	var set *rules.Set
	if len(x.rules)+len(x.packs) > 0 {
		var err error
		if set, err = loadRules(x.rules, x.packs, e); err != nil {
			return nil, err
		}
	}
	kept := storedText(ctx, e, stored)
	return func(t *correlate.Transition) (explain.RuleText, bool) {
		if text, ok := kept(t); ok {
			return text, true
		}
		if set == nil || set.Rule(t.RuleID) == nil {
			return explain.RuleText{}, false
		}
		r := set.Rule(t.RuleID)
		return explain.RuleText{Text: r.Text, From: fmt.Sprintf("%s:%d", r.File, r.Line), Other: r.LogicHash != t.RuleHash}, true
	}, nil
}

func (x *explainFlags) events(ctx context.Context, e env, set *rules.Set, rule *rules.Rule) error {
	n := 0
	err := x.each(ctx, e, set, []string{x.event}, func(ev *event.Event) {
		n++
		explain.Event(e.out, rule, ev)
	})
	if err == nil && n == 0 {
		err = errors.New("no event in " + x.event)
	}
	if err != nil {
		return infra(err)
	}
	return nil
}

// options of the decoder, by the flags.
func (x *explainFlags) options() (decode.Options, error) {
	loc, err := time.LoadLocation(x.tz)
	if err != nil {
		return decode.Options{}, usageError("--tz: %w", err)
	}
	return x.decode.options(loc)
}

// each decodes every record of files.
func (x *explainFlags) each(ctx context.Context, e env, set *rules.Set, files []string, f func(*event.Event)) error {
	opt, err := x.options()
	if err != nil {
		return err
	}
	opt.AttrPaths = set.AttrPaths
	src, err := ingest.NewFiles(files, ingest.FileOptions{Cut: decode.SafeCut, Header: decode.HeaderLine, Stdin: e.in})
	if err != nil {
		return err
	}
	defer src.Close()
	dec := decode.New(opt)
	return src.Run(ctx, func(b ingest.Batch) error {
		for _, rec := range b.Records {
			dec.Decode(rec, f, func(d decode.DeadRecord) {
				fmt.Fprintf(e.err, "line %d: %s: %s\n", d.Seq, d.Reason, sinks.Printable(d.Error))
			})
		}
		return nil
	})
}

func (x *explainFlags) window(ctx context.Context, e env, set *rules.Set, rule *rules.Rule, files []string) error {
	win, err := x.question(set, rule)
	if err != nil {
		return err
	}
	files, clean, err := twice(files, e.in)
	if err != nil {
		return infra(err)
	}
	defer clean()
	opt, err := x.options()
	if err != nil {
		return err
	}
	if err := win.Read(ctx, explain.History{Files: files, Decode: opt, Workers: x.workers}); err != nil {
		return infra(err)
	}
	win.Write(e.out)
	return nil
}

// question reads the flags that say which key, and when.
func (x *explainFlags) question(set *rules.Set, rule *rules.Rule) (*explain.Window, error) {
	loc, err := time.LoadLocation(x.tz)
	if err != nil {
		return nil, usageError("--tz: %w", err)
	}
	at, err := moment(x.at, time.Now(), loc)
	if err != nil {
		return nil, usageError("--at: %w", err)
	}
	win := &explain.Window{
		Set: set, Rule: rule, Key: map[string]string{}, From: at.Add(-x.around), To: at.Add(x.around), Lateness: x.lateness,
	}
	for _, kv := range x.key {
		k, v, ok := strings.Cut(kv, "=")
		switch {
		case !ok:
			return nil, usageError("--key %q: want name=value", kv)
		case !slices.Contains(rule.KeyNames, k) && len(rule.KeyNames) == 0:
			return nil, usageError("--key %s: rule %s has no group_by", k, rule.ID)
		case !slices.Contains(rule.KeyNames, k):
			return nil, usageError("--key %s: the keys of rule %s are %s", k, rule.ID, strings.Join(rule.KeyNames, ", "))
		}
		win.Key[k] = v
	}
	return win, nil
}

// twice makes standard input readable twice, by way of a file.
func twice(files []string, stdin io.Reader) ([]string, func(), error) {
	i := slices.Index(files, "-")
	if i < 0 {
		return files, func() {}, nil
	}
	f, err := os.CreateTemp("", "corral-explain-")
	if err != nil {
		return nil, nil, err
	}
	clean := func() { _ = os.Remove(f.Name()) }
	_, err = io.Copy(f, stdin)
	if err := errors.Join(err, f.Close()); err != nil {
		clean()
		return nil, nil, err
	}
	files = slices.Clone(files)
	files[i] = f.Name()
	return files, clean, nil
}
