package correlate

import (
	"cmp"
	"slices"
	"time"

	"corral/event"
	"corral/rules"
)

// episode is one incident of a key from the instant its condition became true:
// pending while `for` runs, then open, until it is resolved. Instants are
// nanoseconds since the epoch.
type episode struct {
	key uint32

	open      bool // else pending
	holding   bool // the condition lasts
	collapsed bool // it has no incident of its own but is part of the storm
	flapping  bool
	flapStart bool // the one before was not
	depth     int  // of rules over incidents below it

	began                          int64 // the condition became true
	startedAt, anchor, openedAt    int64
	due                            int64 // pending: opens then
	lastTrue, lastEvent, changedAt int64
	keep                           int64 // keep_firing_for of this episode

	count, firings, relapses, rev int
	severity, severityNow         rules.Severity

	id, fingerprint         string
	previousID, rotatedFrom string
	endCause                string // of the resolve, if not "quiet"
	recurrence              int
	cause                   string // it opened with, if not "condition"
	title, summary          string // as last said while it was open
	firstSeq, lastSeq       uint64

	evidence       evidence
	steps          [][]*event.Event
	trigger, clear *event.Event
	last           *event.Event // latest event of the key
	children       children     // the incidents it is made of
}

// resolveAt is the instant the episode ends if nothing more happens.
func (ep *episode) resolveAt() int64 {
	if ep.holding || !ep.open {
		return never
	}
	return plus(ep.lastTrue, ep.keep)
}

// rotateAt is the instant a long incident goes over into a new one.
func (ep *episode) rotateAt(r *rules.Rule) int64 {
	if r.ResolveMax <= 0 || !ep.open || ep.collapsed {
		return never
	}
	return plus(ep.openedAt, int64(r.ResolveMax))
}

func (ep *episode) deadline(r *rules.Rule) int64 {
	if !ep.open {
		return ep.due
	}
	return min(ep.resolveAt(), ep.rotateAt(r))
}

// fire: the condition is true at c.now only. Each of several matches that one
// event completes is a firing of its own; they make one revision. With `refire:
// reset` the first clears the others away.
func (r *ruleState) fire(c *call, f firing) {
	if r.change.fired && r.rule.Refire == rules.Reset {
		return
	}
	r.change.fired = true
	r.stats.Fired++
	r.announce(c)
	ep := r.episode(c.key)
	if ep == nil {
		ep = r.newEpisode(c, f)
		if !r.tryOpen(c, ep) {
			r.forget(ep)
		}
		return
	}
	ep.lastTrue = c.now
	ep.relapses++
	r.change.again++
	if f.steps != nil {
		ep.steps, ep.trigger = f.steps, cmp.Or(r.env.Event, f.newest())
	}
	r.grade(c, ep)
}

// hold: the condition is true from c.now on, or still.
func (r *ruleState) hold(c *call) {
	r.change.fired = true
	ep := r.episode(c.key)
	if ep != nil && ep.holding {
		r.grade(c, ep)
		return
	}

	r.stats.Fired++
	r.announce(c)
	if ep != nil {
		ep.holding = true
		ep.relapses++
		r.change.again++
		r.grade(c, ep)
		return
	}
	ep = r.newEpisode(c, r.machine(c.key).content(c))
	ep.holding = true
	ep.due = plus(c.now, int64(r.rule.For))
	if r.rule.For <= 0 {
		r.tryOpen(c, ep)
	}
}

// release: a condition that lasted was true until last.
func (r *ruleState) release(c *call, last int64) {
	ep := r.episode(c.key)
	if ep == nil || !ep.holding {
		return
	}
	if !ep.open {
		r.stats.PendingDropped++
		r.forget(ep)
		return
	}
	ep.holding, ep.lastTrue = false, last
}

// end: the episode is over, for a reason of its own.
func (r *ruleState) end(c *call, cause string) {
	ep := r.episode(c.key)
	if ep == nil {
		return
	}
	if !ep.open {
		r.forget(ep)
		return
	}
	r.resolve(c, ep, cause)
}

// quietUntil is the last instant at which `suppress` keeps key k from having
// another incident, 0 if there is none.
func (r *ruleState) quietUntil(k uint32) int64 {
	if r.rule.Suppress <= 0 {
		return 0
	}
	p := r.past.of(r.keys.bytesOf(k))
	if p == nil || !p.over {
		return 0
	}
	return plus(p.resolvedAt, int64(r.rule.Suppress))
}

// tryOpen opens a pending episode unless `suppress` forbids it: up to and at its
// end, but a timer then comes after it. A condition that lasts opens an episode
// when that time is over.
func (r *ruleState) tryOpen(c *call, ep *episode) bool {
	until := r.quietUntil(ep.key)
	if c.now > until || (c.now == until && r.change.timer) {
		r.openEpisode(c, ep)
		return true
	}
	r.stats.Suppressed++
	r.change.reset = r.rule.Refire == rules.Reset
	ep.due = until
	return false
}

// newEpisode makes what began with f a pending episode.
func (r *ruleState) newEpisode(c *call, f firing) *episode {
	ep := &episode{
		key: c.key, began: c.now, startedAt: f.start, anchor: f.start, cause: f.cause,
		count: f.count, keep: int64(r.rule.KeepFiringFor), lastTrue: c.now,
		evidence: evidence{limit: r.rule.Evidence},
		steps:    f.steps, last: r.env.Event, lastEvent: max(f.start, r.latest(c.key)), trigger: f.newest(),
	}
	ep.depth = r.depth
	for _, ev := range f.events {
		ep.saw(ev)
	}
	r.keep(ep)
	return ep
}

// latest is the time of the last Selected event of key k, the least instant if
// none is known.
func (r *ruleState) latest(k uint32) int64 {
	if r.counter != nil {
		return r.counter.latest(k)
	}
	return r.boxes[k].tally.at
}

// saw takes an event into the evidence.
func (ep *episode) saw(ev *event.Event) {
	ep.lastEvent = max(ep.lastEvent, ev.Time)
	if ep.evidence.limit > 0 {
		ep.evidence.add(ev)
	}
	if ep.firstSeq == 0 {
		ep.firstSeq = ev.Pos.Seq
	}
	ep.lastSeq = ev.Pos.Seq
	if ev.Incident != nil {
		ep.children.add(ev.Incident)
	}
}

// keep gives an episode its place.
func (r *ruleState) keep(ep *episode) {
	if n := len(r.freed); n > 0 {
		i := r.freed[n-1]
		r.freed = r.freed[:n-1]
		r.episodes[i] = ep
		r.keys.entries[ep.key].episode = i + 1
		return
	}
	r.episodes = append(r.episodes, ep)
	r.keys.entries[ep.key].episode = uint32(len(r.episodes))
}

// forget takes an episode out of its place.
func (r *ruleState) forget(ep *episode) {
	e := &r.keys.entries[ep.key]
	i := e.episode - 1
	e.episode = 0
	r.episodes[i] = nil
	r.freed = append(r.freed, i)
	r.rank(ep.key)
}

// member counts an event of an episode that has begun.
func (r *ruleState) member(ep *episode, ev *event.Event) {
	ep.count++
	ep.last = ev
	ep.saw(ev)
	if ep.collapsed {
		r.storm.member(r.keys.name(ep.key), ev)
	}
}

// openEpisode opens an episode, or lets it go into the storm.
func (r *ruleState) openEpisode(c *call, ep *episode) {
	name := r.keys.name(ep.key)
	ep.open, ep.openedAt, ep.changedAt, ep.firings = true, c.now, c.now, 1
	if r.env.Event != nil {
		ep.trigger = r.env.Event
	}
	ep.flapping = r.past.opened(name, c.now)
	before := r.past.flapped(name, ep.flapping)
	ep.flapStart = ep.flapping && !before
	r.change.opened = true
	r.change.reset = r.change.reset || r.rule.Refire == rules.Reset
	r.grade(c, ep)
	if r.change.timer && !c.expired {
		r.change.vals = slices.Clone(r.values(c))
	}
	if r.rule.Limits.Open > 0 && r.open >= r.rule.Limits.Open {
		ep.collapsed = true
		return
	}
	r.open++
	r.identify(ep, name)
	r.change.cause = "condition"
	if ep.cause != "" {
		r.change.cause = ep.cause
	}
}

// identify gives an episode its id, unlike any other of the key, and its place
// in the series.
func (r *ruleState) identify(ep *episode, key string) {
	p := r.past.get(key)
	if p.id != "" && ep.anchor <= p.anchor {
		ep.anchor = max(ep.openedAt, p.anchor+1)
	}
	ep.fingerprint = r.fingerprint(key)
	ep.id = IncidentID(ep.fingerprint, ep.anchor)
	ep.previousID, ep.recurrence = p.id, p.recurrence+1
	p.id, p.anchor, p.recurrence = ep.id, ep.anchor, ep.recurrence
}

// fingerprint names the series of a key. A rule that was renamed goes on with the
// series of its old name.
func (r *ruleState) fingerprint(key string) string {
	return Fingerprint(cmp.Or(r.rule.RenamedFrom, r.rule.ID), r.rule.KeyNames, rules.DecodeKey(key))
}

// refire does what `refire` says about a condition found true in an open episode.
func (r *ruleState) refire(ep *episode) {
	ch := &r.change
	switch {
	case r.rule.Refire == rules.Reset && ch.again > 0:
		ch.reset = true
	case r.rule.Refire == rules.Level && ch.again > 0:
	case r.rule.Refire == rules.Level && ch.fired && !ch.timer && !ch.opened:
		ch.again = 1 // it holds on
	default:
		return
	}
	ep.firings += ch.again
	if ch.cause == "" {
		ch.cause = "firing"
	}
}

// grow makes a revision of an incident that has not had one for long.
func (r *ruleState) grow(c *call, ep *episode, entering bool) {
	if entering && r.change.cause == "" && !ep.collapsed && r.grows() && c.now-ep.changedAt >= int64(r.rule.UpdateEvery) {
		r.change.cause = "growth"
	}
}

// grows reports whether more events mean that it gets worse.
func (r *ruleState) grows() bool { return r.rule.Kind != rules.AbsenceKind }

// revise emits the revision that the call has made, if any.
func (r *ruleState) revise(c *call, ep *episode, entering bool) {
	if ep.collapsed {
		r.joined(c, ep, entering)
		return
	}
	if r.change.cause == "" {
		return
	}
	r.env.Aggs, r.env.Steps = r.values(c), ep.steps
	if r.change.vals != nil {
		r.env.Aggs = r.change.vals
	}
	if r.env.Event == nil {
		r.env.Event = ep.trigger // a timer has none of its own
	}
	ep.changedAt = c.now
	r.emit(c, ep, "open", r.change.cause)
	r.change.cause = ""
}

// grade evaluates the ladder of an open episode whose condition was found true.
func (r *ruleState) grade(c *call, ep *episode) {
	if !ep.open || (len(r.rule.Severity) < 2 && ep.severity != 0) {
		return
	}
	if len(r.rule.Severity) > 1 {
		r.env.Aggs, r.env.Steps = r.values(c), ep.steps
	}
	if r.climb(ep) && !r.change.opened {
		r.change.cause = "severity"
	}
}

// climb evaluates the severity ladder: the first step that holds, else the step
// it was on. It reports a step higher than ever.
func (r *ruleState) climb(ep *episode) bool {
	for _, s := range r.rule.Severity {
		if s.When == nil {
			return ep.reach(s.Is)
		}
		ok, failed := s.When.Bool(&r.env)
		if failed {
			r.stats.Errors++
		}
		if ok && !failed {
			return ep.reach(s.Is)
		}
	}
	if ep.severity == 0 {
		return ep.reach(rules.Warning)
	}
	return false
}

func (ep *episode) reach(s rules.Severity) bool {
	ep.severityNow = s
	if s <= ep.severity {
		return false
	}
	ep.severity = s
	return true
}

// cleared ends what key k is in at an event on which `resolve.when` holds: the
// incident is resolved at once, a pending one dropped. The machine starts anew:
// what was before the event does not make the next incident.
func (r *ruleState) cleared(c *call, k uint32, ev *event.Event) {
	ep := r.episode(k)
	if ep == nil {
		return
	}
	if ep.open {
		r.clearing(ep, ev)
		r.resolve(c, ep, "clear_event")
	} else {
		r.stats.PendingDropped++
		r.forget(ep)
	}
	r.change.reset = true
}

// clearing makes ev evidence of the end.
func (r *ruleState) clearing(ep *episode, ev *event.Event) {
	ep.clear = ev
	if ep.last != ev && ep.evidence.limit > 0 {
		ep.evidence.add(ev)
	}
	ep.last = ev
}

// resolve ends an open episode at c.now.
func (r *ruleState) resolve(c *call, ep *episode, cause string) {
	if r.change.opened || r.change.cause != "" {
		r.revise(c, ep, false) // what opens and ends at one instant says both
	}
	name := r.keys.name(ep.key)
	r.past.resolved(name, c.now)
	if ep.collapsed {
		r.forget(ep)
		r.left(c, ep, cause)
		return
	}
	r.env.Aggs, r.env.Steps = r.values(c), ep.steps
	ep.changedAt = c.now
	r.emit(c, ep, "resolved", cause)
	r.open--
	r.forget(ep)
}

// rotate ends an incident that is too long and opens its successor.
func (r *ruleState) rotate(c *call, ep *episode) {
	r.env.Aggs, r.env.Steps = r.values(c), ep.steps
	ep.changedAt = c.now
	r.emit(c, ep, "resolved", "rotated")
	next := &episode{
		key: ep.key, open: true, holding: ep.holding, flapping: ep.flapping,
		startedAt: c.now, anchor: c.now, openedAt: c.now, lastTrue: ep.lastTrue,
		lastEvent: ep.lastEvent, keep: ep.keep, firings: 1, recurrence: ep.recurrence,
		severity: ep.severity, severityNow: ep.severityNow,
		previousID: ep.id, rotatedFrom: ep.id, cause: "rotated",
		evidence: evidence{limit: r.rule.Evidence}, last: ep.last, changedAt: c.now,
		depth: ep.depth, fingerprint: ep.fingerprint, began: ep.began,
	}
	name := r.keys.name(ep.key)
	next.id = IncidentID(next.fingerprint, next.anchor)
	p := r.past.get(name)
	p.id, p.anchor = next.id, next.anchor
	r.episodes[r.keys.entries[ep.key].episode-1] = next
	r.emit(c, next, "open", "rotated")
}

// Flapping: so many opens of one fingerprint within so long. It changes who is
// told (draft.reason), never when an incident ends: that is the rule's to say. One
// that has been open for flapHold does not come and go: people hear of its next
// revision.
const (
	flapOpens  = 4
	flapWindow = time.Hour
	flapHold   = 30 * time.Minute
)
