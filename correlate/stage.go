package correlate

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"corral/event"
	"corral/rules"
)

// stage is where rules meet: it takes the transitions of all rules in their
// order, feeds the rules over incidents with them, and decides who is told. It
// works instant by instant, so that what it does with one transition does not
// depend on which of the same instant it sees first.
type stage struct {
	open       map[string]*listed // open incidents by id
	inhibitors []*inhibitor
	chained    []*ruleState // rules over incidents
	matcher    *rules.Matcher
	matches    []rules.Match
	drafts     []draft
	context    context
	joined     []joined
}

// joined is a child that an open incident has taken in.
type joined struct{ child, parent string }

// listed is an open incident as the stage knows it.
type listed struct {
	last     *Transition
	rule     *ruleState
	told     bool // people have heard of it
	parentID string
}

// inhibitor counts the open incidents of a rule by the values of some keys.
type inhibitor struct {
	rule string
	same []string
	open map[string]int
}

// deepest bounds how far incidents make incidents.
const deepest = 8

// rewire makes the parts that follow from the rules.
func (s *stage) rewire(e *Engine) {
	s.inhibitors, s.chained = nil, nil
	if s.open == nil {
		s.open = make(map[string]*listed)
	}
	s.matcher = e.set.Matcher()
	explained := explainers(e.set)
	for _, r := range e.rules {
		if r.rule.FromIncidents {
			s.chained = append(s.chained, r)
			r.explained = explained
		}
		for _, in := range r.rule.InhibitedBy {
			if s.inhibitor(in) == nil {
				s.inhibitors = append(s.inhibitors, &inhibitor{rule: in.Rule, same: in.Same, open: make(map[string]int)})
			}
		}
	}
	s.chained = inOrder(s.chained, e.rules)
	for _, l := range s.open {
		s.toggle(l.last, 1)
	}
}

// inOrder puts rules over incidents after those they name, and those that name
// none last: so what a timer of one makes is read by the next before its own
// timers of that instant.
func inOrder(chained, all []*ruleState) []*ruleState {
	var order, rest []*ruleState
	for _, naming := range [...]bool{true, false} {
		for _, r := range chained {
			if r.names(all) == naming {
				rest = append(rest, r)
			}
		}
	}
	for len(rest) > 0 {
		i := max(0, slices.IndexFunc(rest, func(r *ruleState) bool { return !r.names(rest) }))
		if !rest[i].names(all) {
			i = 0 // only rules that read everything, or each other, are left
		}
		order = append(order, rest[i])
		rest = slices.Delete(rest, i, i+1)
	}
	return order
}

// names reports whether the text of r names one of the others.
func (r *ruleState) names(others []*ruleState) bool {
	return slices.ContainsFunc(others, func(o *ruleState) bool {
		return o != r && (strings.Contains(r.rule.Text, `"`+o.rule.ID+`"`) || strings.Contains(r.rule.Text, `'`+o.rule.ID+`'`))
	})
}

func (s *stage) inhibitor(in rules.Inhibition) *inhibitor {
	for _, x := range s.inhibitors {
		if x.rule == in.Rule && slices.Equal(x.same, in.Same) {
			return x
		}
	}
	return nil
}

// values are those of the keys that must be the same; a key that is not there is
// equal to another that is not.
func (x *inhibitor) values(key map[string]string) string {
	var b strings.Builder
	for _, name := range x.same {
		v, ok := key[name]
		b.WriteString(strconv.FormatBool(ok))
		b.WriteString(strconv.Itoa(len(v)))
		b.WriteByte(':')
		b.WriteString(v)
	}
	return b.String()
}

// toggle counts an incident in or out.
func (s *stage) toggle(t *Transition, by int) {
	for _, x := range s.inhibitors {
		if x.rule != t.RuleID {
			continue
		}
		v := x.values(t.Key)
		if x.open[v] += by; x.open[v] == 0 {
			delete(x.open, v)
		}
	}
}

// settle emits what was collected of before until.
func (s *stage) settle(until int64, emit func(*Transition)) {
	for {
		at := s.next()
		if at >= until {
			s.context.pass(until - 1)
			return
		}
		s.context.pass(at)
		batch := s.instant(at)
		slices.SortStableFunc(batch, func(a, b draft) int { return Compare(a.t, b.t) })
		s.decide(batch)
		for i := range batch {
			emit(batch[i].t)
		}
		s.adopt(batch)
	}
}

// collect takes the drafts of rules that read events.
func (s *stage) collect(made []*ruleState) {
	for _, r := range made {
		s.drafts = append(s.drafts, r.drain()...)
		s.context.add(r)
	}
	s.context.sort()
	slices.SortStableFunc(s.drafts, func(a, b draft) int { return Compare(a.t, b.t) })
}

// drain hands over what the rule has made.
func (r *ruleState) drain() []draft {
	out := r.out
	r.out = r.out[len(out):]
	if cap(r.out) == 0 {
		r.out = nil
	}
	return out
}

// next is the next instant at which there is a transition or may be one.
func (s *stage) next() int64 {
	at := int64(never)
	if len(s.drafts) > 0 {
		at = s.drafts[0].t.ChangedAt.UnixNano()
	}
	for _, r := range s.chained {
		at = min(at, r.next())
	}
	return at
}

// instant is every transition at one instant: those there are, and those that
// the rules over incidents make of them.
func (s *stage) instant(at int64) []draft {
	n := 0
	for n < len(s.drafts) && s.drafts[n].t.ChangedAt.UnixNano() == at {
		n++
	}
	batch := slices.Clone(s.drafts[:n])
	s.drafts = s.drafts[n:]
	fed := 0
	spread := func() {
		for ; fed < len(batch); fed++ {
			batch = append(batch, s.feed(batch[fed])...)
		}
	}
	spread()
	for _, r := range s.chained {
		r.depth = 0
		r.advance(at + 1)
		batch = append(batch, r.drain()...)
		spread()
	}
	return batch
}

// feed shows a transition to the rules over incidents.
func (s *stage) feed(d draft) []draft {
	if len(s.chained) == 0 || d.depth >= deepest {
		return nil
	}
	var made []draft
	ev := incidentEvent(d.t)
	s.matches = s.matcher.Match(ev, s.matches[:0])
	for _, m := range s.matches {
		r := d.rule.peer(s.chained, m.Rule)
		if r == nil || r == d.rule {
			continue // a rule does not read its own incidents
		}
		m.Args = slices.Clone(m.Args)
		r.depth = d.depth + 1
		r.advance(ev.Time)
		r.take(ev, &m)
		if parent := r.parentOf(&m, d.t.IncidentID); parent != "" {
			s.joined = append(s.joined, joined{child: d.t.IncidentID, parent: parent})
		}
		made = append(made, r.drain()...)
	}
	return made
}

// parentOf is the open incident that has child among its own, "" if there is none.
func (r *ruleState) parentOf(m *rules.Match, child string) string {
	k, ok := r.keys.find(m.Key, m.Hash)
	if !ok {
		return ""
	}
	if ep := r.episode(k); ep != nil && ep.open && ep.children.has(child) {
		return ep.id
	}
	return ""
}

// peer is the state of a rule over incidents.
func (*ruleState) peer(chained []*ruleState, rule *rules.Rule) *ruleState {
	for _, r := range chained {
		if r.rule == rule {
			return r
		}
	}
	return nil
}

// incidentEvent is a transition as the rules over incidents read it.
func incidentEvent(t *Transition) *event.Event {
	service := t.Labels["service.name"]
	if service == "" {
		service = t.Key["service"]
	}
	return &event.Event{
		Time: t.ChangedAt.UnixNano(), Kind: "incident", Service: service,
		Env: t.Labels["deployment.environment.name"], Message: t.Title, Raw: t.Title,
		ID: t.IncidentID + "." + strconv.Itoa(t.Rev),
		Incident: &event.Incident{
			ID: t.IncidentID, Rule: t.RuleID, State: t.State, Severity: t.Severity, Cause: t.Cause,
			Key: t.Key, Labels: t.Labels, Title: t.Title, Rev: t.Rev, Count: t.EventCount, Recurrence: t.Recurrence,
			StartedAt: t.StartedAt.UnixNano(), OpenedAt: t.OpenedAt.UnixNano(),
		},
	}
}

// decide settles who hears of the transitions of one instant. An incident is
// open from opened_at until just before resolved_at, so all of them are counted
// in and out before any is looked at.
func (s *stage) decide(batch []draft) {
	for i := range batch {
		s.note(&batch[i])
	}
	for i := range batch {
		s.tell(&batch[i])
	}
	for i := range batch {
		if t := batch[i].t; t.State == "resolved" {
			delete(s.open, t.IncidentID)
		}
	}
}

// note keeps the list of open incidents.
func (s *stage) note(d *draft) {
	t := d.t
	if t.Rev == 1 {
		s.open[t.IncidentID] = &listed{rule: d.rule}
		s.toggle(t, 1)
	}
	if t.State == "resolved" {
		s.toggle(t, -1)
	}
}

func (s *stage) tell(d *draft) {
	t, l := d.t, s.open[d.t.IncidentID]
	t.Context = s.contextOf(d, l)
	l.last = t
	t.ParentID = l.parentID
	for _, in := range d.rule.rule.InhibitedBy {
		if x := s.inhibitor(in); x.open[x.values(t.Key)] > 0 {
			t.Suppressed = true
			t.SuppressedBy = append(t.SuppressedBy, "inhibit:"+in.Rule)
		}
	}
	if old := s.open[t.RotatedFrom]; old != nil && t.Rev == 1 {
		l.told, l.parentID = old.told, old.parentID
		t.ParentID = l.parentID
	}
	t.NotifyReason = d.reason(l.told)
	t.Notified = t.NotifyReason != "none"
	l.told = l.told || t.Notified
}

// reason is why people hear of a transition; told: they have heard of its
// incident.
func (d *draft) reason(told bool) string {
	t, r := d.t, d.rule.rule
	switch {
	case r.Signal || t.Cause == "rotated" || d.quiet:
		return "none"
	case t.State == "resolved":
		return d.farewell(told)
	case t.Suppressed:
		return "none"
	case told && t.Cause == "severity":
		return "severity"
	case told:
		return "none"
	case !t.Flapping:
		return "first"
	case d.flapStart:
		return "flap_start"
	case t.ChangedAt.Sub(t.OpenedAt) < flapHold:
		return "none"
	case t.Cause == "severity":
		return "severity"
	}
	return "first"
}

func (d *draft) farewell(told bool) string {
	switch {
	case !told || !d.rule.rule.NotifyResolved:
		return "none"
	case d.t.Flapping:
		return "flap_end"
	}
	return "resolved"
}

// adopt makes the incidents that a rule over incidents read the children of its
// own: their next revisions say so, whether or not the parent had one.
func (s *stage) adopt(batch []draft) {
	for _, j := range s.joined {
		if l := s.open[j.child]; l != nil {
			l.parentID = j.parent
		}
	}
	s.joined = s.joined[:0]
	for i := range batch {
		t := batch[i].t
		for _, id := range t.ChildIDs {
			if l := s.open[id]; l != nil && t.State != "resolved" {
				l.parentID = t.IncidentID
			}
		}
	}
}

// current is an open incident with the counts it has now.
func (s *stage) current(r *ruleState, ep *episode) *Transition {
	l := s.open[ep.id]
	t := *l.last
	t.ParentID = l.parentID
	t.EventCount, t.Firings, t.Relapses = ep.count, ep.firings, ep.relapses
	t.LastEventAt = utc(ep.lastEvent)
	t.DurationMS = max(0, (ep.lastEvent-ep.startedAt)/int64(time.Millisecond))
	t.TraceIDs = nil
	r.show(ep, &t)
	return &t
}
