package history

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"corral/rules"
)

// explain gives every difference its reasons.
func (in *ParityInput) explain(p *Parity) {
	lates := map[string][]Late{}
	for _, l := range in.Lates {
		id := identity(l.Rule, l.Key)
		lates[id] = append(lates[id], l)
	}
	last := in.lastLive()
	for i := range p.Different {
		d := &p.Different[i]
		d.Why = in.reasons(d, lates[identity(d.Rule, d.Key)], last, p)
	}
}

// lastLive is the latest event time live wrote a revision for.
func (in *ParityInput) lastLive() (last time.Time) {
	for _, x := range in.Live.byID {
		for _, r := range x.Revs {
			if r.ChangedAt.After(last) {
				last = r.ChangedAt
			}
		}
	}
	return last
}

func (in *ParityInput) reasons(d *Difference, lates []Late, last time.Time, p *Parity) (why []Reason) {
	rule := in.Rules.Rule(d.Rule)
	if rule == nil {
		return []Reason{{"rules", "the rule is not among those given: live ran another set"}}
	}
	add := func(kind, text string) {
		if text != "" {
			why = append(why, Reason{kind, text})
		}
	}
	add("rules", reloaded(d, rule))
	add("late", in.late(d, lates))
	if n := in.Evicted[d.Rule]; n > 0 {
		add("evicted", fmt.Sprintf("the rule's limits made the batch run forget %d keys; which go first depends on the whole history of the rule", n))
	}
	if rule.FromIncidents && follows(d, p) {
		add("follows", "the rule reads incidents, and some of those differ")
	}
	add("memory", memory(rule, in.Begin))
	if len(why) == 0 && d.live == nil && d.batch.OpenedAt.After(last) {
		add("behind", fmt.Sprintf("live has written nothing for event times after %s: the worker may be behind, or stopped", value(last)))
	}
	if len(why) == 0 {
		add("unexplained", "no late event, changed rule or forgotten key accounts for it; a worker that was restarted without --state forgets, and core subscriptions lose what came meanwhile")
	}
	return why
}

// reloaded says that live ran other versions of the rule.
func reloaded(d *Difference, rule *rules.Rule) string {
	if d.live == nil {
		return ""
	}
	var gens []string
	other := ""
	for _, r := range d.live.Revs {
		if r.Hash != rule.LogicHash {
			other = r.Hash
		}
		if g := fmt.Sprint(r.Gen); !slices.Contains(gens, g) {
			gens = append(gens, g)
		}
	}
	switch {
	case other != "":
		return fmt.Sprintf("live ran another version of the rule: hash %.8s (generation %s), here %.8s", other, strings.Join(gens, ", "), rule.LogicHash)
	case len(gens) > 1:
		return "the rules were reloaded while it was open: generations " + strings.Join(gens, ", ")
	}
	return ""
}

// late names the events that came too late while the incident was there, or
// shortly before.
func (in *ParityInput) late(d *Difference, lates []Late) string {
	from, to := d.stretch()
	rule := in.Rules.Rule(d.Rule)
	from = from.Add(-reach(rule))
	lates = slices.DeleteFunc(slices.Clone(lates), func(l Late) bool { return l.At.Before(from) || l.At.After(to) })
	if len(lates) == 0 {
		return ""
	}
	certain := slices.ContainsFunc(lates, func(l Late) bool { return l.Live || l.Batch })
	if certain {
		lates = slices.DeleteFunc(lates, func(l Late) bool { return !l.Live && !l.Batch })
	}
	l := lates[0]
	text := fmt.Sprintf("%s of %s came %s after its time", l.Source, value(l.At), l.By.Round(time.Millisecond))
	switch {
	case l.Live:
		text += ": it is among live's dead letters"
	case l.Batch:
		text += " and was too late for this run"
	default:
		text += fmt.Sprintf(", more than the lateness of %s: live drops such an event once its clock has moved on", rules.FormatDuration(in.Lateness))
	}
	if n := len(lates) - 1; n > 0 {
		text += fmt.Sprintf("; so did %d more", n)
	}
	return text
}

// stretch is the time a difference is about.
func (d *Difference) stretch() (from, to time.Time) {
	for _, x := range []*Incident{d.live, d.batch} {
		if x == nil {
			continue
		}
		if from.IsZero() || x.StartedAt.Before(from) {
			from = x.StartedAt
		}
		if x.End().After(to) {
			to = x.End()
		}
	}
	return from, to
}

// reach is how far before its beginning an event can matter to an incident.
func reach(r *rules.Rule) time.Duration {
	d := r.For
	switch {
	case r.Threshold != nil:
		d += max(r.Threshold.Size, r.Threshold.Max)
	case r.Temporal != nil:
		d += r.Temporal.Window
	case r.Sequence != nil:
		d += r.Sequence.Within
	case r.Absence != nil:
		d += r.Absence.Every + r.Absence.Grace
	}
	return d
}

func follows(d *Difference, p *Parity) bool {
	return slices.ContainsFunc(p.Different, func(o Difference) bool { return o.Rule != d.Rule })
}

// memory says that the rule remembers longer than was read.
func memory(r *rules.Rule, begin time.Time) string {
	what := ""
	switch {
	case r.FromHops:
		what = "what it knows to be usual"
	case r.Change != nil && r.Change.Detect != rules.Flapping:
		what = "what it remembers of a key"
	case r.Absence != nil && r.Absence.Schedule == nil && len(r.Absence.Expect) == 0:
		what = "which keys it expects"
	case slices.ContainsFunc(r.Aggs, func(a rules.Agg) bool { return a.Fn == rules.Baseline }):
		what = "its baseline"
	default:
		return ""
	}
	return fmt.Sprintf("%s goes back further than %s, where this run began to read (--warmup)", what, value(begin))
}
