package correlate

import (
	"fmt"

	"corral/event"
	"corral/rules"
)

// storm is the one incident of a rule that stands for all keys beyond
// limits.open. Their episodes go on as shadows without revisions of their own:
// the storm counts their events and is over when the last of them is.
type storm struct {
	ep    episode
	live  int   // shadows
	until int64 // no shadow is left, but one that was evicted lasts until then
	seen  distinctKeys
	top   topKeys
}

// next is the storm's own timer: rotation, or the end of an evicted shadow.
func (s *storm) next() int64 {
	switch {
	case s == nil:
		return never
	case s.live == 0:
		return s.until
	}
	return s.ep.due
}

// member counts an event of a shadow.
func (s *storm) member(key string, ev *event.Event) {
	s.ep.count++
	s.ep.last = ev
	s.ep.saw(ev)
	s.top.add(key, 1)
}

// joined takes a shadow that has just opened into the storm, beginning one if
// there is none, and makes the storm's revisions.
func (r *ruleState) joined(c *call, ep *episode, entering bool) {
	cause := ""
	switch {
	case r.change.opened && r.storm == nil:
		r.beginStorm(c, ep)
		cause = "condition"
	case r.change.opened:
		r.shadow(ep)
	}
	if cause != "" || r.change.cause != "" {
		r.env.Aggs = r.values(c)
	}
	s := &r.storm.ep
	if s.reach(max(s.severity, ep.severity)) && cause == "" {
		cause = "severity"
	}
	if entering && cause == "" && c.now-s.changedAt >= int64(r.rule.UpdateEvery) {
		cause = "growth"
	}
	if cause != "" {
		s.changedAt = c.now
		r.emit(c, s, "open", cause)
	}
	r.change.cause, r.change.opened = "", false
}

func (r *ruleState) beginStorm(c *call, ep *episode) {
	s := &storm{until: never}
	s.ep = episode{
		open: true, holding: true, collapsed: true, startedAt: ep.startedAt, anchor: ep.startedAt,
		openedAt: c.now, lastEvent: ep.startedAt, evidence: evidence{limit: r.rule.Evidence}, trigger: ep.trigger,
	}
	s.ep.due = r.stormEnd(&s.ep)
	r.storm = s
	r.past.opened("", c.now)
	r.identify(&s.ep, "")
	r.shadow(ep)
}

func (r *ruleState) stormEnd(ep *episode) int64 {
	if r.rule.ResolveMax <= 0 {
		return never
	}
	return plus(ep.openedAt, int64(r.rule.ResolveMax))
}

// shadow adds an episode that has opened to the storm.
func (r *ruleState) shadow(ep *episode) {
	s := r.storm
	name := r.keys.name(ep.key)
	s.live++
	s.ep.firings++
	s.ep.count += ep.count
	s.seen.add(r.keys.entries[ep.key].hash)
	s.top.add(name, uint64(ep.count))
	for _, ev := range ep.evidence.list() {
		s.ep.saw(ev)
	}
	s.ep.last, s.ep.lastEvent = ep.last, max(s.ep.lastEvent, ep.lastEvent)
}

// left ends a shadow, and the storm with the last.
func (r *ruleState) left(c *call, ep *episode, cause string) {
	s := r.storm
	s.live--
	if ep.clear != nil {
		s.ep.clear = ep.clear
	}
	if s.live > 0 || (s.until > c.now && s.until != never) {
		return
	}
	r.endStorm(c, cause)
}

// leave is left for a shadow that was evicted and would have lasted until t.
func (s *storm) leave(t int64) {
	s.live--
	if s.until == never || t > s.until {
		s.until = t
	}
}

func (r *ruleState) endStorm(c *call, cause string) {
	s := &r.storm.ep
	r.past.resolved("", c.now)
	s.changedAt = c.now
	r.emit(c, s, "resolved", cause)
	r.storm = nil
}

// tickStorm lets the storm's own timer take effect.
func (r *ruleState) tickStorm(t int64) {
	c := &r.call
	c.now = t
	r.env = rules.Env{Event: r.storm.ep.last}
	if r.storm.live == 0 {
		r.endStorm(c, "quiet")
		return
	}
	s := r.storm
	old := s.ep
	s.ep.changedAt = t
	r.emit(c, &s.ep, "resolved", "rotated")
	s.ep = episode{
		open: true, holding: true, collapsed: true, startedAt: t, anchor: t, openedAt: t, changedAt: t,
		lastEvent: old.lastEvent, severity: old.severity, severityNow: old.severityNow, firings: 1,
		recurrence: old.recurrence, previousID: old.id, rotatedFrom: old.id,
		evidence: evidence{limit: r.rule.Evidence}, last: old.last,
	}
	s.ep.due = r.stormEnd(&s.ep)
	s.ep.fingerprint = old.fingerprint
	s.ep.id = IncidentID(old.fingerprint, t)
	p := r.past.get("")
	p.id, p.anchor = s.ep.id, t
	r.emit(c, &s.ep, "open", "rotated")
}

// stormTitle says what a collapsed incident is.
func (r *ruleState) stormTitle() string {
	n, _ := r.storm.seen.count()
	keys := "keys"
	if n == 1 {
		keys = "key"
	}
	return fmt.Sprintf("%s: %d %s beyond the limit of %d open incidents", r.rule.ID, n, keys, r.rule.Limits.Open)
}
