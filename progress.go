package main

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"golang.org/x/term"

	"corral/correlate"
	"corral/internal/phrase"
	"corral/pipeline"
	"corral/rules"
)

// meter tells how a run over history goes: one line that is written over on a
// terminal, a line every few seconds elsewhere.
type meter struct {
	w        io.Writer
	lane     *pipeline.Lane
	src      *source
	on       bool
	terminal bool
	every    time.Duration
	began    time.Time
	told     time.Time
	before   uint64 // events of a run that is gone on with
	rules    map[string]*ruleCount
}

// ruleCount is a line of the summary.
type ruleCount struct {
	id, worst              string
	incidents, pages, open int
}

func newMeter(mode string, e env, src *source, lane *pipeline.Lane) *meter {
	f, ok := e.err.(*os.File)
	m := &meter{w: e.err, lane: lane, src: src, began: time.Now(), every: 5 * time.Second, rules: map[string]*ruleCount{}}
	m.terminal = ok && term.IsTerminal(int(f.Fd()))
	m.on = mode == "on" || mode == "auto"
	if m.terminal {
		m.every = 200 * time.Millisecond
	}
	m.told = m.began
	m.watch()
	return m
}

// watch counts what the lane lets through.
func (m *meter) watch() {
	keep := m.lane.Keep
	m.lane.Keep = func(t *correlate.Transition) bool {
		if keep != nil && !keep(t) {
			return false
		}
		m.count(t)
		return true
	}
}

func (m *meter) count(t *correlate.Transition) {
	r := m.rules[t.RuleID]
	if r == nil {
		r = &ruleCount{id: t.RuleID}
		m.rules[t.RuleID] = r
	}
	switch {
	case t.Rev == 1:
		r.incidents++
		r.open++
	case t.State == "resolved" && r.open > 0:
		r.open--
	}
	if t.Notified && t.State == "open" {
		r.pages++
	}
	if severityRank(t.Severity) > severityRank(r.worst) {
		r.worst = t.Severity
	}
}

func severityRank(s string) int {
	return slices.Index([]string{"info", "warning", "error", "critical"}, s)
}

// planned is what a run is going to do.
type planned struct {
	set        *rules.Set
	rng, begin pipeline.Range
	loc        *time.Location
	flags      *batchFlags
	outputs    []string
	resumed    *interruption
}

// plan says it, before anything is read.
func (m *meter) plan(p planned) {
	if !m.on {
		return
	}
	at := func(ns int64, otherwise string) string {
		if ns == 0 {
			return otherwise
		}
		return time.Unix(0, ns).In(p.loc).Format("2006-01-02 15:04:05 MST")
	}
	span := at(p.rng.From, "the beginning") + " to " + at(p.rng.To, "the end")
	if p.begin.From != p.rng.From {
		span += fmt.Sprintf(", warm-up from %s (%s: the longest window)", at(p.begin.From, ""), rules.FormatDuration(time.Duration(p.rng.From-p.begin.From)))
	}
	lines := [][2]string{
		{"source", m.src.describe()},
		{"range", span},
		{"rules", fmt.Sprintf("%d, from %s", len(p.set.Rules), strings.Join(slices.Concat(p.flags.rules, packNames(p.flags.packs)), ", "))},
		{"run", fmt.Sprintf("%s, lateness %s", phrase.Count(p.flags.workers, "worker"), rules.FormatDuration(p.flags.lateness))},
	}
	if len(p.outputs) > 0 {
		lines = append(lines, [2]string{"output", strings.Join(p.outputs, "; ")})
	}
	if p.resumed != nil {
		m.before = p.resumed.checkpoint.Events()
		lines = append(lines, [2]string{"resumed", fmt.Sprintf("after %d events", m.before)})
	}
	for _, l := range lines {
		fmt.Fprintf(m.w, "%-8s %s\n", l[0], l[1])
	}
}

func packNames(packs []string) (names []string) {
	for _, p := range packs {
		names = append(names, "pack "+p)
	}
	return names
}

// step is called after every batch.
func (m *meter) step() {
	now := time.Now()
	if !m.on || now.Sub(m.told) < m.every {
		return
	}
	m.told = now
	n := m.lane.Counters.Events.Load()
	line := fmt.Sprintf("%s events, %s/s", short(float64(n)), short(float64(n-min(n, m.before))/now.Sub(m.began).Seconds()))
	if t := m.lane.Counters.MaxEventTime.Load(); t != 0 {
		line += ", at " + time.Unix(0, t).UTC().Format("2006-01-02 15:04:05 MST")
	}
	line += ", " + phrase.Count(int(m.lane.Counters.Opened.Load()), "incident")
	line = m.left(now) + line
	if m.terminal {
		fmt.Fprintf(m.w, "\r\x1b[K%s", line)
		return
	}
	fmt.Fprintln(m.w, line)
}

const barWidth = 20

// left is a bar of how much has been read, and how long the rest will take; in a
// log the share alone.
func (m *meter) left(now time.Time) string {
	done, ok := m.src.share()
	if !ok {
		return ""
	}
	rest := time.Duration(float64(now.Sub(m.began)) * (1/done - 1)).Round(time.Second)
	text := fmt.Sprintf("%3.0f %%, %s left  ", 100*done, rest)
	if !m.terminal {
		return text
	}
	n := int(done * barWidth)
	return "[" + strings.Repeat("=", n) + strings.Repeat(" ", barWidth-n) + "] " + text
}

func (m *meter) end() {
	if m.on && m.terminal {
		fmt.Fprint(m.w, "\r\x1b[K")
	}
}

// summary says what came of it.
func (m *meter) summary(runID string, stored bool) {
	if m.on {
		m.table()
	}
	c := &m.lane.Counters
	took := time.Since(m.began)
	fmt.Fprintf(m.w, "%s in %s, %d matched; %s opened, %d resolved", phrase.Count(int(c.Events.Load()), "event"), m.src.amount(c.Records.Load()), c.Matched.Load(),
		phrase.Count(int(c.Opened.Load()), "incident"), c.Resolved.Load())
	for _, x := range []struct {
		n    uint64
		what string
	}{{c.Late.Load(), "late"}, {c.Dead.Load(), "dead letters"}, {c.Skipped.Load(), "outside the range"}} {
		if x.n > 0 {
			fmt.Fprintf(m.w, "; %d %s", x.n, x.what)
		}
	}
	fmt.Fprintf(m.w, "; %s, %s events/s\n", took.Round(time.Millisecond), short(float64(c.Events.Load()-min(c.Events.Load(), m.before))/took.Seconds()))
	for _, line := range m.shortfalls() {
		fmt.Fprintln(m.w, line)
	}
	if stored && runID != "" {
		fmt.Fprintf(m.w, "in ClickHouse as run %s: corral incidents --run %s\n", runID, runID)
	}
}

// shortfalls has a line for each rule that did not see, or keep, all there was.
// Errors are often what a rule is meant to pass over, so only who follows the run
// is told of them.
func (m *meter) shortfalls() (lines []string) {
	for _, r := range m.lane.Stats() {
		var parts []string
		for _, x := range []struct {
			n    uint64
			noun string
			what string
			show bool
		}{
			{r.Evicted, "key", "forgotten to keep limits.groups or --memory", true},
			{r.Refused, "event", "of keys there was no room for", true},
			{r.Oversize, "event", "with a key of more than 4 KiB", true},
			{r.Dropped, "partial match or value", "given up to keep limits.partials or limits.groups", true},
			{r.NoKey, "event", "without its group key", m.on},
			{r.Errors, "evaluation", "that met nil or a wrong type (corral explain --rule " + r.ID + " --event FILE shows them)", m.on},
		} {
			if x.n > 0 && x.show {
				parts = append(parts, phrase.Count(int(x.n), x.noun)+" "+x.what)
			}
		}
		if len(parts) > 0 {
			lines = append(lines, "rule "+r.ID+": "+strings.Join(parts, "; "))
		}
	}
	return lines
}

// table has a line for every rule that found something, the busiest first.
func (m *meter) table() {
	if len(m.rules) == 0 {
		return
	}
	var all []*ruleCount
	for _, r := range m.rules {
		all = append(all, r)
	}
	slices.SortFunc(all, func(a, b *ruleCount) int {
		if a.incidents != b.incidents {
			return b.incidents - a.incidents
		}
		return strings.Compare(a.id, b.id)
	})
	w := tabwriter.NewWriter(m.w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "incidents\tpages\topen at the end\tworst\t  rule")
	for _, r := range all {
		fmt.Fprintf(w, "%d\t%d\t%d\t%s\t  %s\n", r.incidents, r.pages, r.open, r.worst, r.id)
	}
	_ = w.Flush() // to standard error
}

// short writes a number with three digits and k, M or G.
func short(f float64) string {
	for _, u := range []struct {
		v float64
		s string
	}{{1e9, "G"}, {1e6, "M"}, {1e3, "k"}} {
		if f >= u.v {
			return strings.TrimSuffix(fmt.Sprintf("%.3g", f/u.v), ".0") + u.s
		}
	}
	return fmt.Sprintf("%.0f", f)
}
