package correlate

import (
	"cmp"
	"fmt"
	"slices"

	"corral/event"
	"corral/rules"
)

// Reloaded is the report of a Reload: what became of each rule, by id in the order
// of the set, and of the incidents that were open.
type Reloaded struct {
	Gen       uint64   // of the rules now
	Unchanged []string // state and incidents untouched
	Text      []string // only what is said differs: state kept, incidents say it anew
	Logic     []string // state kept, conditions evaluated anew
	Reset     []string // what is selected differs: state dropped, incidents resolved
	Added     []string
	Removed   []string // incidents resolved
	Renamed   []string // state of the rule of the old name carried on
	// Stay and Resolved count, by rule id, the open incidents of rules that changed.
	Stay, Resolved map[string]int
}

func newReloaded(gen uint64) Reloaded {
	return Reloaded{Gen: gen, Stay: map[string]int{}, Resolved: map[string]int{}}
}

// oldRule is the state of a rule of before.
type oldRule struct {
	id, shape, logic, text string
	signal                 bool
	layout                 layout
	state                  []byte
	events                 []*event.Event // those state speaks of by number
}

// Reload replaces the rules at the watermark and says what became of each. Events
// still in the reorder buffer are matched anew.
func (e *Engine) Reload(set *rules.Set, emit func(*Transition)) Reloaded {
	olds := make([]oldRule, len(e.rules))
	for i, r := range e.rules {
		enc := newEncoder()
		enc.refs = true
		r.encode(enc)
		for _, ev := range enc.list {
			ev.SetSlots(nil) // they are numbered by the old set
		}
		olds[i] = oldRule{
			id: r.rule.ID, shape: shape(r.rule), logic: r.rule.LogicHash, text: r.rule.TextHash, signal: r.rule.Signal,
			layout: layoutOf(r.rule), state: enc.buf, events: enc.list,
		}
	}
	buffered := e.buffer.all()
	e.set, e.rules, e.buffer = set, nil, reorder{}
	for _, r := range set.Rules {
		e.rules = append(e.rules, newRuleState(r, e.opt))
	}
	e.hops.rewire(set)
	var evs []*event.Event
	for _, p := range buffered {
		p.ev.SetSlots(nil)
		evs = append(evs, p.ev)
	}
	e.rebuffer(evs)
	e.gen++
	rep := newReloaded(e.gen)
	if err := e.inherit(olds, &rep); err != nil {
		panic(err) // encode and decode disagree
	}
	e.stage.settle(e.watermark+1, emit)
	return rep
}

// inherit gives the rules the state that those of before had, as far as it is
// theirs.
func (e *Engine) inherit(olds []oldRule, rep *Reloaded) error {
	taken := make([]bool, len(olds))
	for _, r := range e.rules {
		i := r.heirOf(olds, e.set)
		if i < 0 {
			rep.Added = append(rep.Added, r.rule.ID)
			e.watchNew(r)
			continue
		}
		taken[i] = true
		if err := e.carry(r, &olds[i], rep); err != nil {
			return fmt.Errorf("rule %q: %w", r.rule.ID, err)
		}
	}
	e.stage.rewire(e)
	for i, o := range olds {
		if !taken[i] {
			rep.Removed = append(rep.Removed, o.id)
			e.stage.orphan(o.id, "rule_removed", e.watermark, rep)
		}
	}
	e.wake()
	e.stage.collect(e.rules)
	return nil
}

// heirOf finds the rule that r is, or was under another name.
func (r *ruleState) heirOf(olds []oldRule, set *rules.Set) int {
	named := func(id string) int {
		return slices.IndexFunc(olds, func(o oldRule) bool { return o.id == id })
	}
	if i := named(r.rule.ID); i >= 0 {
		return i
	}
	if from := r.rule.RenamedFrom; from != "" && set.Rule(from) == nil {
		return named(from)
	}
	return -1
}

// watchNew arms what a rule expects that came after the first event.
func (e *Engine) watchNew(r *ruleState) {
	if e.armed {
		r.arm(max(e.first, e.watermark))
	}
}

// carry lets r go on with the state of o.
func (e *Engine) carry(r *ruleState, o *oldRule, rep *Reloaded) error {
	id := r.rule.ID
	if o.shape != shape(r.rule) {
		rep.Reset = append(rep.Reset, id)
		e.stage.orphan(o.id, "rule_changed", e.watermark, rep)
		e.watchNew(r)
		return nil
	}
	d := &decoder{buf: o.state, events: o.events}
	r.decode(d, o.layout)
	if d.err == nil && len(d.buf) > 0 {
		d.fail()
	}
	if d.err != nil {
		return d.err
	}
	e.stage.adoptRule(o.id, r)
	for _, k := range r.keys.sorted() {
		r.reschedule(k)
	}
	if o.id != id {
		rep.Renamed = append(rep.Renamed, id)
	}
	switch {
	case o.logic != r.rule.LogicHash:
		rep.Logic = append(rep.Logic, id)
		e.rejudge(r, rep)
	case o.text != r.rule.TextHash:
		rep.Text = append(rep.Text, id)
	case o.id == id:
		rep.Unchanged = append(rep.Unchanged, id)
	}
	if o.text != r.rule.TextHash || (o.signal && !r.rule.Signal) {
		r.retell(e.watermark, o.signal && !r.rule.Signal)
	}
	return nil
}

// rejudger is a machine whose condition can be evaluated at any time.
type rejudger interface{ rejudge(c *call) }

// rejudge lets changed numbers take effect at the watermark.
func (e *Engine) rejudge(r *ruleState, rep *Reloaded) {
	if e.armed {
		r.arm(max(e.first, e.watermark))
	}
	for _, k := range r.keys.sorted() {
		r.rejudge(k, e.watermark)
	}
	n := 0
	for _, ep := range r.episodes {
		if ep != nil && ep.open && !ep.collapsed && ep.endCause == "" {
			n++
		}
	}
	rep.Stay[r.rule.ID] += n
	if gone := r.open - n; gone > 0 {
		rep.Resolved[r.rule.ID] += gone
	}
}

func (r *ruleState) rejudge(k uint32, now int64) {
	c := r.begin(k, now, nil)
	ep := r.episode(k)
	if r.counter == nil {
		c.tally = r.boxes[k].tally
	}
	if ep != nil {
		r.refit(ep)
	}
	if m, ok := r.machine(k).(rejudger); ok {
		held := ep != nil && ep.holding
		m.rejudge(c)
		if held && !ep.holding {
			ep.endCause = "rule_changed"
		}
	}
	if ep = r.episode(k); ep != nil && ep.open && !ep.collapsed {
		r.regrade(c, ep)
	}
	r.finish(c, k)
}

// refit gives an episode the spans its rule has now.
func (r *ruleState) refit(ep *episode) {
	ep.keep = int64(r.rule.KeepFiringFor)
	if !ep.open {
		ep.due = plus(ep.began, int64(r.rule.For))
	}
}

// regrade evaluates a ladder that was changed.
func (r *ruleState) regrade(c *call, ep *episode) {
	r.env.Aggs, r.env.Steps = r.values(c), ep.steps
	if r.climb(ep) && ep.rev > 0 {
		r.change.cause = "severity"
	}
	if r.change.cause != "" {
		ep.changedAt = max(ep.changedAt, c.now)
		r.emit(c, ep, "open", r.change.cause)
	}
}

// retell makes a revision of every open incident because what is said about it
// differs; heard: people are to hear of it, for the first time.
func (r *ruleState) retell(now int64, heard bool) {
	for _, k := range r.keys.sorted() {
		ep := r.episode(k)
		if ep == nil || !ep.open || ep.collapsed {
			continue
		}
		c := r.begin(k, now, nil)
		r.env.Aggs, r.env.Steps = r.values(c), ep.steps
		ep.changedAt = max(ep.changedAt, now)
		r.emit(c, ep, "open", "text")
		r.out[len(r.out)-1].quiet = !heard
	}
}

// adoptRule makes r the rule of the open incidents that were id's.
func (s *stage) adoptRule(id string, r *ruleState) {
	for _, l := range s.open {
		if l.last.RuleID == id {
			l.rule = r
		}
	}
}

// orphan resolves the open incidents of a rule whose state is gone.
func (s *stage) orphan(id, cause string, now int64, rep *Reloaded) {
	for _, l := range s.open {
		if l.last.RuleID != id {
			continue
		}
		t := *l.last
		t.Rev++
		t.State, t.Cause = "resolved", cause
		at := utc(max(now, t.ChangedAt.UnixNano()))
		t.ResolvedAt, t.ChangedAt = &at, at
		t.DurationMS = at.Sub(t.StartedAt).Milliseconds()
		t.Suppressed, t.SuppressedBy = false, nil
		s.drafts = append(s.drafts, draft{t: &t, rule: cmp.Or(l.rule, nobody)})
		rep.Resolved[id]++
	}
}

// nobody is the rule of incidents whose rule is gone.
var nobody = &ruleState{rule: &rules.Rule{NotifyResolved: true}}
