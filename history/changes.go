package history

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"corral/rules"
)

// Changes names what decides differently in two versions of a rule, in the words
// of rule files: "condition: count() >= 5 → count() >= 10".
func Changes(base, head *rules.Rule) (out []string) {
	a, b := settings(base), settings(head)
	names := slices.Collect(maps.Keys(a))
	for k := range b {
		if _, ok := a[k]; !ok {
			names = append(names, k)
		}
	}
	slices.Sort(names)
	for _, k := range names {
		if x, y := a[k], b[k]; x != y {
			out = append(out, fmt.Sprintf("%s: %s → %s", k, or(x, "none"), or(y, "none")))
		}
	}
	if len(out) == 0 && base.LogicHash != head.LogicHash {
		out = append(out, "its logic")
	}
	return out
}

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

// settings are the parts of a rule that decide, as text.
func settings(r *rules.Rule) map[string]string {
	m := map[string]string{
		"kind": r.Kind.String(), "match": exprText(r.Match()), "group_by": groupText(r),
		"for": rules.FormatDuration(r.For), "keep_firing_for": rules.FormatDuration(r.KeepFiringFor),
		"resolve.when": exprText(r.ResolveWhen), "resolve.max": rules.FormatDuration(r.ResolveMax),
		"suppress": rules.FormatDuration(r.Suppress), "update_every": rules.FormatDuration(r.UpdateEvery),
		"refire": fmt.Sprint([]string{"edge", "reset", "level"}[r.Refire]), "severity": severityText(r),
		"limits": fmt.Sprintf("%+v", r.Limits), "signal": fmt.Sprint(r.Signal), "evidence": fmt.Sprint(r.Evidence),
		"notify.resolved": fmt.Sprint(r.NotifyResolved), "inhibited_by": fmt.Sprint(r.InhibitedBy), "from incidents": fmt.Sprint(r.FromIncidents),
	}
	if r.Active != nil {
		m["active"] = r.Active.Text()
	}
	for _, p := range r.Parts {
		m[p.Name] = exprText(p.Expr)
	}
	kindSettings(r, m)
	return m
}

func kindSettings(r *rules.Rule, m map[string]string) {
	switch {
	case r.Threshold != nil:
		t := r.Threshold
		m["window"] = fmt.Sprint([]string{"", "", "tumbling ", "session ", "last ", "bounded "}[t.Window], rules.FormatDuration(t.Size))
		if t.N > 0 {
			m["window"] = fmt.Sprintf("last %d", t.N)
		}
		if t.Max > 0 {
			m["window.max"] = rules.FormatDuration(t.Max)
		}
		m["condition"], m["clear"] = exprText(t.Condition), exprText(t.Clear)
	case r.Absence != nil:
		a := r.Absence
		m["every"], m["grace"], m["min"] = rules.FormatDuration(a.Every), rules.FormatDuration(a.Grace), fmt.Sprint(a.Min)
		m["remember"], m["forget_after"], m["expect"] = rules.FormatDuration(a.Remember), rules.FormatDuration(a.ForgetAfter), fmt.Sprint(a.Expect)
		if a.Schedule != nil {
			m["schedule"] = a.Schedule.Text()
		}
	case r.Change != nil:
		c := r.Change
		m["detect"] = []string{"", "changed", "first_seen", "flapping"}[c.Detect]
		m["memory"], m["learn"] = rules.FormatDuration(c.Memory), rules.FormatDuration(c.Learn)
		m["changes"], m["within"] = fmt.Sprint(c.Changes), rules.FormatDuration(c.Within)
	case r.Temporal != nil:
		m["window"], m["condition"] = rules.FormatDuration(r.Temporal.Window), exprText(r.Temporal.Condition)
	case r.Sequence != nil:
		s := r.Sequence
		m["within"] = rules.FormatDuration(s.Within)
		m["contiguity"] = []string{"relaxed", "strict", "any_match"}[s.Contiguity]
		var steps []string
		for _, x := range s.Steps {
			steps = append(steps, stepText(x))
		}
		m["steps"] = strings.Join(steps, ", ")
	}
}

func stepText(s rules.Step) string {
	text := s.Name
	if s.Min != 1 || s.Max != 1 {
		text += fmt.Sprintf(" ×%d…%d", s.Min, s.Max)
	}
	for _, x := range []struct {
		is   bool
		name string
	}{{s.Optional, "optional"}, {s.Absent, "absent"}, {s.Greedy, "greedy"}, {s.Within > 0, "within " + rules.FormatDuration(s.Within)}, {s.Where != nil, "where " + exprText(s.Where)}} {
		if x.is {
			text += " " + x.name
		}
	}
	return text
}

func exprText(x *rules.Expr) string {
	if x == nil {
		return ""
	}
	return strings.Join(strings.Fields(x.Text()), " ")
}

func groupText(r *rules.Rule) string {
	var keys []string
	for i, name := range r.KeyNames {
		by := r.GroupBy(i)
		if x := by[""]; x != nil {
			if t := exprText(x); t != name {
				name += "=" + t
			}
		} else {
			for _, step := range slices.Sorted(maps.Keys(by)) {
				name += " " + step + "=" + exprText(by[step])
			}
		}
		keys = append(keys, name)
	}
	return strings.Join(keys, ", ")
}

func severityText(r *rules.Rule) string {
	var steps []string
	for _, s := range r.Severity {
		text := s.Is.String()
		if s.When != nil {
			text += " when " + exprText(s.When)
		}
		steps = append(steps, text)
	}
	return strings.Join(steps, ", ")
}
