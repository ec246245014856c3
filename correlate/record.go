package correlate

import (
	"slices"
	"strconv"
	"time"

	"corral/event"
	"corral/rules"
)

// draft is a transition on its way to the stage, which decides who hears of it.
type draft struct {
	t         *Transition
	rule      *ruleState
	depth     int  // of rules over incidents below it
	flapStart bool // the first flapping episode in a row
	quiet     bool // nobody is to hear of it
}

// emit makes the next revision of ep, at ep.changedAt. env is ready.
func (r *ruleState) emit(c *call, ep *episode, state, cause string) {
	ep.rev++
	t := r.record(c, ep)
	t.State, t.Cause = state, cause
	if state == "resolved" {
		at := utc(ep.changedAt)
		t.ResolvedAt = &at
		t.DurationMS = (ep.changedAt - ep.startedAt) / int64(time.Millisecond)
		if ep.rev > 1 && !ep.collapsed {
			// The window is empty by now: "0 errors" would be true and of no use.
			t.Title, t.Summary = ep.title, ep.summary
		}
	}
	ep.title, ep.summary = t.Title, t.Summary
	r.stats.transition(t)
	r.out = append(r.out, draft{t: t, rule: r, depth: ep.depth, flapStart: ep.flapStart})
}

// record is the incident as it stands.
func (r *ruleState) record(c *call, ep *episode) *Transition {
	rule := r.rule
	t := &Transition{
		IncidentID: ep.id, Rev: ep.rev, Fingerprint: ep.fingerprint,
		State: "open", Severity: ep.severity.String(), SeverityNow: ep.severityNow.String(),
		RuleID: rule.ID, RuleTitle: rule.Title.Text(), RuleFile: rule.File, RuleLine: rule.Line, RuleHash: rule.LogicHash,
		Owner: rule.Owner, RunbookURL: rule.Runbook,
		StartedAt: utc(ep.startedAt), OpenedAt: utc(ep.openedAt), LastEventAt: utc(ep.lastEvent), ChangedAt: utc(ep.changedAt),
		DurationMS: max(0, (ep.lastEvent-ep.startedAt)/int64(time.Millisecond)),
		EventCount: ep.count, Firings: ep.firings, Relapses: ep.relapses,
		PreviousID: ep.previousID, Recurrence: ep.recurrence, RotatedFrom: ep.rotatedFrom,
		Flapping: ep.flapping, Collapsed: ep.collapsed, NotifyReason: "none",
		InputFirstSeq: ep.firstSeq, InputLastSeq: ep.lastSeq,
	}
	if ep.collapsed {
		r.describeStorm(t)
	} else {
		r.describe(c, ep, t)
	}
	r.show(ep, t)
	t.ChildIDs, t.Suspects = ep.children.ids(), ep.children.suspects(r.explained)
	return t
}

// describe fills in what depends on the key.
func (r *ruleState) describe(c *call, ep *episode, t *Transition) {
	name := r.keys.name(ep.key)
	r.env.Key = rules.DecodeKey(name)
	t.Key = keyMap(r.rule.KeyNames, r.env.Key)
	t.Title = r.rule.Title.Render(&r.env)
	t.Summary = r.rule.Summary.Render(&r.env)
	t.Labels = r.labels(ep)
	t.Vars = r.vars(c)
	for i, s := range ep.steps {
		if len(s) > 0 {
			t.Steps = append(t.Steps, StepAt{Name: r.stepName(i), At: utc(s[0].Time), EventID: s[0].EventID()})
		}
	}
}

func (r *ruleState) describeStorm(t *Transition) {
	s := r.storm
	t.Key = map[string]string{}
	t.Title = r.stormTitle()
	t.Summary = "exact counts, no incident of its own for each of these keys"
	t.Labels = r.labels(&s.ep)
	t.DistinctKeys, _ = s.seen.count()
	for _, k := range s.top.list() {
		t.TopKeys = append(t.TopKeys, KeyCount{Key: keyText(r.rule.KeyNames, rules.DecodeKey(k.Key)), Count: k.Count})
	}
}

// show fills in evidence and what is read from it.
func (r *ruleState) show(ep *episode, t *Transition) {
	t.Evidence = ep.record(r.stepName)
	for _, e := range t.Evidence {
		if e.TraceID != "" && len(t.TraceIDs) < 10 && !slices.Contains(t.TraceIDs, e.TraceID) {
			t.TraceIDs = append(t.TraceIDs, e.TraceID)
		}
	}
}

func (r *ruleState) stepName(i int) string {
	if q := r.rule.Sequence; q != nil && i < len(q.Steps) {
		return q.Steps[i].Name
	}
	return ""
}

func keyMap(names, values []string) map[string]string {
	m := make(map[string]string, len(values))
	for i, v := range values {
		m[names[i]] = v
	}
	return m
}

// keyText is a key in one line: a=1,b=2.
func keyText(names, values []string) string {
	var b []byte
	for i, v := range values {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(append(append(b, names[i]...), '='), v...)
	}
	return string(b)
}

// labels are the rule's, and where the trigger came from unless the rule says: of
// a silence, the key that is silent.
func (r *ruleState) labels(ep *episode) map[string]string {
	m := make(map[string]string, len(r.rule.Labels)+2)
	if ev := ep.trigger; ev != nil {
		setLabel(m, "service.name", ev.Service)
		setLabel(m, "deployment.environment.name", ev.Env)
	} else if !ep.collapsed {
		setLabel(m, "service.name", r.keyValue("service"))
		setLabel(m, "deployment.environment.name", r.keyValue("env"))
	}
	for k, v := range r.rule.Labels {
		m[k] = v.Render(&r.env)
	}
	return m
}

// keyValue is the group key of a name, "" if there is none.
func (r *ruleState) keyValue(name string) string {
	if i := slices.Index(r.rule.KeyNames, name); i >= 0 && i < len(r.env.Key) {
		return r.env.Key[i]
	}
	return ""
}

func setLabel(m map[string]string, k, v string) {
	if v != "" {
		m[k] = v
	}
}

// vars are the aggregates by their texts.
func (r *ruleState) vars(c *call) map[string]string {
	if len(r.rule.Aggs) == 0 {
		return nil
	}
	m := make(map[string]string, len(r.rule.Aggs))
	for i, v := range r.env.Aggs {
		m[r.rule.Aggs[i].Text] = valueText(v)
	}
	if n, ok := r.machine(c.key).(noter); ok {
		n.note(m)
	}
	return m
}

// noter is a machine that has something to say about its values in an
// incident's vars: that a quantile is approximate.
type noter interface{ note(vars map[string]string) }

// valueText is how values stand in vars.
func valueText(v event.Value) string {
	switch v.Kind {
	case event.Nil:
		return "nil"
	case event.Bool:
		return strconv.FormatBool(v.Int != 0)
	case event.Int:
		return strconv.FormatInt(v.Int, 10)
	case event.Float:
		return strconv.FormatFloat(v.Float, 'g', -1, 64)
	case event.String:
		return v.Str
	}
	return "…"
}
