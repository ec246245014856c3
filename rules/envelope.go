package rules

import (
	"fmt"
	"slices"
	"time"

	"go.yaml.in/yaml/v4"
)

// envelope compiles what every kind has.
func (b *builder) envelope() {
	r := b.rule
	b.texts()
	b.severity()
	b.timing()
	b.resolve()
	b.refire()
	b.limits()
	b.inhibitions()
	if e, ok := b.doc.get("signal"); ok {
		r.Signal, _ = b.bool(e)
	}
	b.context()
	if e, ok := b.doc.get("evidence"); ok {
		if n, ok := b.int(e, 0, maxEvidence); ok {
			r.Evidence = n
		}
	}
	b.active()
	b.notify()
	if e, ok := b.doc.body.get("tests"); ok {
		r.Tests = e.value
	}
}

func (b *builder) context() {
	e, ok := b.doc.get("context")
	if !ok {
		return
	}
	_, own := b.doc.body.get("context")
	switch {
	case !b.rule.FromIncidents:
		b.rule.Context, _ = b.positive(e)
	case own:
		b.fail(e.key, codeConflict, "`context` is for rules that read events: what an incident is made of is in its `child_ids`", "", "")
	}
}

func (b *builder) texts() {
	r := b.rule
	r.Title, r.Summary = literalTemplate(r.ID), literalTemplate("")
	if t := b.template("title"); t != nil {
		r.Title = t
	}
	if t := b.template("summary"); t != nil {
		r.Summary = t
	}
	if e, ok := b.doc.get("owner"); ok {
		r.Owner, _ = b.text(e.value, "`owner`")
	}
	if e, ok := b.doc.get("runbook"); ok {
		r.Runbook, _ = b.text(e.value, "`runbook`")
	}
	if e, ok := b.doc.body.get("renamed_from"); ok {
		b.renamedFrom(e)
	}
	b.labels()
}

func (b *builder) renamedFrom(e entry) {
	id, ok := b.text(e.value, "`renamed_from`")
	if ok && !ruleID.MatchString(id) {
		b.fail(e.value, codeID, fmt.Sprintf("%q is no rule id: a-z, 0-9 and -, at most 63", id), "", "")
		return
	}
	if ok && id == b.rule.ID {
		b.fail(e.value, codeConflict, "`renamed_from` is the rule's own id", "", "")
		return
	}
	b.rule.RenamedFrom = id
}

// template compiles a text of the rule; nil if it has none or a bad one.
func (b *builder) template(name string) *Template {
	e, ok := b.doc.get(name)
	if !ok {
		return nil
	}
	if _, ok := b.text(e.value, "`"+name+"`"); !ok {
		return nil
	}
	return compileTemplate(b.report, b.src, e.key, e.value, b.stateScope("`"+name+"`", true))
}

func (b *builder) labels() {
	e, ok := b.doc.get("labels")
	if !ok || isNull(e.value) {
		return
	}
	m := b.open(e.value, "`labels`")
	if m == nil {
		return
	}
	b.rule.Labels = map[string]*Template{}
	for _, l := range m.entries {
		if _, ok := b.text(l.value, fmt.Sprintf("label %q", l.name)); ok {
			b.rule.Labels[l.name] = compileTemplate(b.report, b.src, l.key, l.value, b.stateScope("a label", true))
		}
	}
}

var severityWords = severityNames[1:]

func (b *builder) severity() {
	e, ok := b.doc.get("severity")
	if !ok {
		return
	}
	if e.value.Kind != yaml.SequenceNode {
		if i, ok := b.enum(e, severityWords...); ok {
			b.rule.Severity = []SeverityStep{{Is: Severity(i + 1)}}
		}
		return
	}
	b.rule.Severity = nil
	items, _ := b.list(e)
	if len(items) == 0 {
		b.fail(e.value, codeBlank, "`severity` is empty", "", "")
	}
	for i, n := range items {
		b.ladderStep(n, i == len(items)-1)
	}
}

// ladderStep adds one step of a severity ladder: {when: …, is: critical}.
func (b *builder) ladderStep(n *yaml.Node, last bool) {
	m := b.keys(n, "a step of `severity`", ladderKeys, nil)
	if m == nil {
		return
	}
	var s SeverityStep
	e, ok := m.get("is")
	if !ok {
		b.fail(n, codeMissing, "a step of `severity` needs `is`", "", "help: {when: 'count() >= 100', is: critical}")
		return
	}
	if i, ok := b.enum(e, severityWords...); ok {
		s.Is = Severity(i + 1)
	}
	if w, ok := m.get("when"); ok {
		s.When = b.condition(w, b.stateScope("`when`", true))
	} else if !last {
		b.fail(n, codeConflict, "a step without `when` always holds: those after it are never reached", "", "help: put it last")
	}
	b.rule.Severity = append(b.rule.Severity, s)
}

// instant says why the condition of the rule holds at an instant only, "" if it
// may last.
func (b *builder) instant() (why, help string) {
	r := b.rule
	switch {
	case r.Kind == EventKind || r.Kind == ChangeKind || r.Kind == SequenceKind:
		return fmt.Sprintf("in a rule of kind %s: its condition holds at an instant", r.Kind), "help: use threshold to ask that something goes on"
	case r.Threshold != nil && r.Threshold.AtClose, r.Temporal != nil && r.Temporal.AtClose:
		return "here: too few events is decided at the instant a window ends", "help: a longer window asks for longer; keep_firing_for bridges those in between"
	}
	return "", ""
}

func (b *builder) timing() {
	r := b.rule
	if e, ok := b.doc.get("for"); ok {
		r.For, _ = b.duration(e)
		why, help := b.instant()
		if _, own := b.doc.body.get("for"); why != "" && r.For > 0 && own {
			b.fail(e.key, codeFor, "`for` means nothing "+why, "", help)
		} else if why != "" {
			r.For = 0
		}
	}
	if e, ok := b.doc.get("keep_firing_for"); ok {
		if d, ok := b.duration(e); ok {
			r.KeepFiringFor = d
		}
	}
	if e, ok := b.doc.get("suppress"); ok {
		r.Suppress, _ = b.duration(e)
	}
	if e, ok := b.doc.get("update_every"); ok {
		if d, ok := b.positive(e); ok {
			r.UpdateEvery = d
		}
	}
}

func (b *builder) resolve() {
	e, ok := b.doc.get("resolve")
	if !ok || isNull(e.value) {
		return
	}
	m := b.keys(e.value, "`resolve`", resolveKeys, nil)
	if m == nil {
		return
	}
	if w, ok := m.get("when"); ok {
		b.rule.ResolveWhen = b.condition(w, b.eventScope("`resolve.when`"))
		if x := b.rule.ResolveWhen; x != nil && neverTrue(x) {
			b.fail(w.value, codeNever, "`resolve.when` is false for every event", "", "")
		}
	}
	if x, ok := m.get("max"); ok {
		if d, ok := b.duration(x); ok {
			b.rule.ResolveMax = d
		}
	}
}

func (b *builder) refire() {
	e, ok := b.doc.get("refire")
	if !ok {
		return
	}
	if i, ok := b.enum(e, "edge", "reset", "level"); ok {
		b.rule.Refire = Refire(i)
	}
	if b.rule.Kind != AbsenceKind || b.rule.Refire != Reset {
		return
	}
	b.rule.Refire = Edge // that is what a default of the file comes to
	if _, own := b.doc.body.get("refire"); own {
		b.fail(e.value, codeConflict, "`refire: reset` would end an absence because it was told: it lasts until the next event", "", "help: edge; with resolve.max it is told again")
	}
}

const maxLimit = 100_000_000

func (b *builder) limits() {
	e, ok := b.doc.get("limits")
	if !ok || isNull(e.value) {
		return
	}
	m := b.keys(e.value, "`limits`", limitKeys, nil)
	if m == nil {
		return
	}
	for name, field := range map[string]*int{"groups": &b.rule.Limits.Groups, "open": &b.rule.Limits.Open, "partials": &b.rule.Limits.Partials} {
		if x, ok := m.get(name); ok {
			if n, ok := b.int(x, 1, maxLimit); ok {
				*field = n
			}
		}
	}
}

func (b *builder) inhibitions() {
	e, ok := b.doc.get("inhibited_by")
	if !ok || isNull(e.value) {
		return
	}
	items, _ := b.list(e)
	for _, n := range items {
		m := b.keys(n, "`inhibited_by`", inhibitKeys, nil)
		if m == nil {
			continue
		}
		rule, ok := m.get("rule")
		if !ok {
			b.fail(n, codeMissing, "`inhibited_by` needs `rule`: the id of the other rule", "", "")
			continue
		}
		var in Inhibition
		if in.Rule, ok = b.text(rule.value, "`rule`"); !ok {
			continue
		}
		if same, ok := m.get("same"); ok {
			in.Same = b.same(same)
		}
		b.rule.InhibitedBy = append(b.rule.InhibitedBy, in)
		b.rule.inhibitAt = append(b.rule.inhibitAt, rule.value)
	}
}

func (b *builder) same(e entry) []string {
	items, _ := b.list(e)
	var names []string
	for _, n := range items {
		name, ok := b.text(n, "a key of `same`")
		if !ok {
			continue
		}
		if !slices.Contains(b.rule.KeyNames, name) {
			b.fail(n, codeInhibitKey, fmt.Sprintf("%q is no group key of this rule", name), didYouMean(name, b.rule.KeyNames), "group_by: "+keyList(b.rule.KeyNames))
			continue
		}
		names = append(names, name)
	}
	return names
}

func (b *builder) active() {
	e, ok := b.doc.get("active")
	if !ok || isNull(e.value) {
		return
	}
	m := b.keys(e.value, "`active`", activeKeys, nil)
	if m == nil {
		return
	}
	loc := b.timezone(m)
	s, ok := m.get("schedule")
	if !ok {
		b.fail(e.key, codeMissing, "`active` needs `schedule`", "", "help: {schedule: 'Mon-Fri 08:00-18:00', timezone: Europe/Berlin}")
		return
	}
	text, ok := b.text(s.value, "`schedule`")
	if !ok {
		return
	}
	sched, err := ParseSchedule(text, loc)
	if err != nil {
		b.fail(s.value, codeSchedule, err.Error(), "", "help: 'Mon-Fri 08:00-18:00', 'Sat,Sun', '22:00-06:00', several separated by ;")
		return
	}
	b.rule.Active = sched
}

// timezone is the mapping's `timezone`, UTC without one.
func (b *builder) timezone(m *mapping) *time.Location {
	if e, ok := m.get("timezone"); ok {
		if loc, ok := b.zone(e); ok {
			return loc
		}
	}
	return time.UTC
}

func (b *builder) notify() {
	e, ok := b.doc.get("notify")
	if !ok || isNull(e.value) {
		return
	}
	if m := b.keys(e.value, "`notify`", notifyKeys, nil); m != nil {
		if x, ok := m.get("resolved"); ok {
			if v, ok := b.bool(x); ok {
				b.rule.NotifyResolved = v
			}
		}
	}
}
