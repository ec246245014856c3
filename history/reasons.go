package history

import (
	"fmt"
	"strings"
	"time"

	"corral/internal/phrase"
	"corral/rules"
)

// howDifferent says what differs between two views of an incident: "opens 40s
// later, resolves 5m later; severity error, was warning".
func howDifferent(x, y *Incident) string {
	var parts []string
	add := func(format string, args ...any) { parts = append(parts, fmt.Sprintf(format, args...)) }
	if x.Severity != y.Severity {
		add("severity %s (was %s)", y.Severity, x.Severity)
	}
	if a, b := len(x.Pages), len(y.Pages); a != b {
		add("%s (was %d)", phrase.Count(b, "page"), a)
	}
	if s := shift(x.OpenedAt, y.OpenedAt); s != "" {
		add("opens %s", s)
	}
	switch {
	case x.Open() && !y.Open():
		add("resolves (was open at the end)")
	case !x.Open() && y.Open():
		add("does not resolve")
	case !x.Open():
		if s := shift(x.ResolvedAt, y.ResolvedAt); s != "" {
			add("resolves %s", s)
		}
	}
	return strings.Join(parts, ", ")
}

// cause is what an incident that both sides have came to, where their limits
// differ; else what of the rule does.
func (d *Diff) cause(x *Incident, changes []string) string {
	near := d.near[fmt.Sprint(Base, x.ID)]
	if near == nil || !near.Sides[Base].Seen || !near.Sides[Head].Seen {
		return strings.Join(changes, "; ")
	}
	a, b := gaugeOf(near.Sides[Base].rule), gaugeOf(near.Sides[Head].rule)
	if !a.plain || !b.plain || a == b {
		return strings.Join(changes, "; ")
	}
	return "peak " + near.Sides[Head].text() + " (was " + near.Sides[Base].text() + ")"
}

func shift(a, b time.Time) string {
	switch d := b.Sub(a); {
	case d > 0:
		return short(d) + " later"
	case d < 0:
		return short(-d) + " earlier"
	}
	return ""
}

// short writes a duration with the precision people ask for.
func short(d time.Duration) string {
	switch {
	case d >= time.Hour:
		d = d.Round(time.Minute)
	case d >= time.Second:
		d = d.Round(100 * time.Millisecond)
	default:
		d = d.Round(time.Microsecond)
	}
	return rules.FormatDuration(d)
}

// missing says why a side has no incident where the other has x.
func (d *Diff) missing(r row, side int, x *Incident, others []*Incident, changes []string) string {
	where := [...]string{"the base", "the head"}[side]
	rule := r.rule[side]
	if rule == nil {
		if side == Head {
			return "the rule is gone"
		}
		return "the rule is new"
	}
	for _, y := range others {
		if keyText(y.Key) == keyText(x.Key) && y.overlaps(x) {
			return fmt.Sprintf("part of %s, which %s has open from %s for %s", y.ID, where, value(y.OpenedAt), short(y.Lasted()))
		}
	}
	if text := d.missed(rule, side, x); text != "" {
		return text
	}
	if len(changes) > 0 {
		return strings.Join(changes, "; ")
	}
	return "the rule is the same: rules it reads or that inhibit it are not"
}

// missed says how near a side came to its condition while the other had the
// incident: "peak 7 of 10 (was 7 of 5)".
func (d *Diff) missed(rule *rules.Rule, side int, x *Incident) string {
	near := d.near[fmt.Sprint(1-side, x.ID)]
	if near == nil || rule.Condition() == nil {
		return ""
	}
	mine, its := &near.Sides[side], &near.Sides[1-side]
	if !mine.Seen {
		if !sameNames(rule.KeyNames, x.Key) {
			return "grouped by " + or(strings.Join(rule.KeyNames, ", "), "nothing")
		}
		return "no event of this key met the rule then"
	}
	if rule.For > 0 && mine.True {
		return fmt.Sprintf("true for %s, not the %s of `for`", short(mine.Held), rules.FormatDuration(rule.For))
	}
	text := "peak " + mine.text()
	if its.Seen {
		text += " (was " + its.text() + ")"
		if side == Base {
			text = "peak " + its.text() + " (was " + mine.text() + ")"
		}
	}
	return text
}

func sameNames(names []string, key map[string]string) bool {
	for _, n := range names {
		if _, ok := key[n]; !ok {
			return false
		}
	}
	return len(names) == len(key)
}
