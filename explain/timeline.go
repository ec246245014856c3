package explain

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"corral/correlate"
	"corral/internal/phrase"
)

// RuleText is a rule as it was.
type RuleText struct {
	Text  string // its YAML
	From  string // where that was found
	Other bool   // it is not of the hash asked for: the rule has changed since
}

// Timeline writes the life of an incident, one line for each thing that happened,
// and the rule that made it as it was then. ts are its revisions in order; rule
// finds the text of a rule's version.
func Timeline(w io.Writer, ts []*correlate.Transition, loc *time.Location, rule func(t *correlate.Transition) (RuleText, bool)) {
	last := ts[len(ts)-1]
	fmt.Fprintf(w, "%s%s  %s  %s  %s  %s%s\n", last.RuleID, phrase.Key(last.Key), last.Severity, last.State,
		time.Duration(last.DurationMS)*time.Millisecond, phrase.Count(last.EventCount, "event"), episode(last))
	fmt.Fprintf(w, "%s\n", last.Title)
	if last.Summary != "" {
		fmt.Fprintf(w, "%s\n", strings.TrimSpace(last.Summary))
	}
	for _, l := range lines(ts) {
		fmt.Fprintf(w, "  %s  %s\n", l.at.In(loc).Format("2006-01-02 15:04:05.000"), l.text)
	}
	fmt.Fprintf(w, "  times are %s\n", loc)
	hash := ""
	for _, t := range ts {
		if t.RuleHash == hash {
			continue
		}
		hash = t.RuleHash
		ruleText(w, t, rule)
	}
}

func episode(t *correlate.Transition) string {
	if t.Recurrence > 1 {
		return fmt.Sprintf("  no. %d in 30 days (before: %s)", t.Recurrence, t.PreviousID)
	}
	return ""
}

type timelineLine struct {
	at   time.Time
	text string
}

// lines are revisions and evidence in order of time.
func lines(ts []*correlate.Transition) []timelineLine {
	var out []timelineLine
	seen := map[string]bool{}
	for _, t := range ts {
		for _, e := range t.Evidence {
			id := e.EventID + e.At.String()
			if seen[id] {
				continue
			}
			seen[id] = true
			out = append(out, timelineLine{e.At, fmt.Sprintf("%-9s %s", role(e), clip(e.Line, 100))})
		}
	}
	for _, t := range ts {
		out = append(out, timelineLine{t.ChangedAt, revision(t)})
	}
	slices.SortStableFunc(out, func(a, b timelineLine) int { return a.at.Compare(b.at) })
	return out
}

func role(e correlate.Evidence) string {
	if e.Step != "" {
		return e.Step
	}
	return e.Role
}

func revision(t *correlate.Transition) string {
	words := []string{fmt.Sprintf("rev %-5d %-8s %s", t.Rev, t.State, cause(t))}
	for _, name := range slices.Sorted(maps.Keys(t.Vars)) {
		words = append(words, name+" = "+t.Vars[name])
	}
	switch {
	case t.Suppressed:
		words = append(words, "not notified ("+strings.Join(t.SuppressedBy, ", ")+")")
	case t.Notified:
		words = append(words, "notified ("+t.NotifyReason+")")
	default:
		words = append(words, "not notified")
	}
	if t.Mode == "live" && t.DetectLagMS > 0 {
		words = append(words, fmt.Sprintf("lag %.1f s", float64(t.DetectLagMS)/1000))
	}
	return strings.Join(words, "  ")
}

// cause is why there is a revision, in words.
func cause(t *correlate.Transition) string {
	switch t.Cause {
	case "severity":
		return "severity " + t.Severity
	case "growth":
		return "grown to " + phrase.Count(t.EventCount, "event")
	}
	return t.Cause
}

// ruleText writes the rule that a revision was made by.
func ruleText(w io.Writer, t *correlate.Transition, rule func(*correlate.Transition) (RuleText, bool)) {
	fmt.Fprintf(w, "\nrule %s (%s:%d) as of generation %d, hash %s, in force from rev %d on\n", t.RuleID, t.RuleFile, t.RuleLine, t.RulesGen, t.RuleHash, t.Rev)
	r, ok := rule(t)
	switch {
	case !ok:
		fmt.Fprintln(w, "  its text is not at hand: --rules PATH names the files, --clickhouse the tables that keep it")
		return
	case r.Other:
		fmt.Fprintf(w, "  the rule has changed since; this is how it is now (%s)\n", r.From)
	default:
		fmt.Fprintf(w, "  (%s)\n", r.From)
	}
	for line := range strings.Lines(strings.TrimRight(r.Text, "\n")) {
		fmt.Fprint(w, "  "+line)
	}
	fmt.Fprintln(w)
}
