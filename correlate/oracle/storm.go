package oracle

import (
	"cmp"
	"slices"

	"corral/correlate"
	"corral/event"
	"corral/rules"
)

// step is what an event or the timers of an instant did to a key's incident.
type step struct {
	k        *key
	e        *entry // nil: timers
	at       int64
	in       *incident
	opened   bool // in opened at this step
	ended    bool
	cause    string // of the opening, or else of the end
	count    int
	severity rules.Severity
	last     int64 // latest counted event
}

// step lets something happen and notes what it did.
func (k *key) step(e *entry, at int64, do func()) {
	before, revs := k.open, len(k.out)
	do()
	s := step{k: k, e: e, at: at, in: before}
	if before == nil {
		if k.last == nil || k.last.opened != at || len(k.out) == revs {
			return
		}
		s.in, s.opened, s.cause = k.last, true, k.out[revs].Cause
	}
	s.ended = k.open != s.in
	if s.ended && !s.opened {
		s.cause = k.out[len(k.out)-1].Cause
		if k.open != nil {
			s.cause = "rotated"
		}
	}
	s.count, s.severity, s.last = k.countSince(s.in), s.in.severity, s.in.origin
	if last := k.latest(); last != nil && last.time() > s.last {
		s.last = last.time()
	}
	k.steps = append(k.steps, s)
}

// storm is the one incident for the keys beyond a rule's limit of open ones.
type storm struct {
	incident
	counts map[*incident]int
	keys   map[*key]bool
	live   int
	last   int64
}

// collapsed are the revisions of a rule, those of incidents beyond its limit of
// open ones replaced by those of one incident.
func collapsed(r *rules.Rule, keys []*key) []*rev {
	var steps []step
	for _, k := range keys {
		steps = append(steps, k.steps...)
	}
	slices.SortStableFunc(steps, inOrder)
	beyond := map[*incident]bool{}
	own := 0
	var st *storm
	var storms []*rev
	for _, s := range steps {
		if s.opened && r.Limits.Open > 0 && own >= r.Limits.Open {
			beyond[s.in] = true
		}
		switch {
		case beyond[s.in]:
			var revs []*rev
			st, revs = st.take(r, s)
			storms = append(storms, revs...)
		case s.opened && !s.ended:
			own++
		case !s.opened && s.ended && s.cause != "rotated":
			own--
		}
	}
	name(r, nil, storms)
	out := storms
	for _, k := range keys {
		mine := filter(k.out, func(v *rev) bool { return !beyond[v.in] })
		name(k.rule, k.values, mine)
		out = append(out, mine...)
	}
	return sorted(out)
}

// inOrder: events in their order, then timers, by key.
func inOrder(a, b step) int {
	switch {
	case a.at != b.at:
		return cmp.Compare(a.at, b.at)
	case a.e != nil && b.e != nil:
		return event.Compare(a.e.ev, b.e.ev)
	case a.e != nil:
		return -1
	case b.e != nil:
		return 1
	}
	return slices.Compare(a.k.values, b.k.values)
}

// take lets the storm follow what happens to one of its keys.
func (st *storm) take(r *rules.Rule, s step) (*storm, []*rev) {
	var out []*rev
	cause := ""
	switch {
	case st == nil:
		st = &storm{counts: map[*incident]int{}, keys: map[*key]bool{}}
		st.started, st.opened, st.origin = s.in.started, s.at, s.in.started
		cause = "condition"
	case s.severity > st.severity:
		cause = "severity"
	case s.e != nil && s.e.selected() && s.at-st.changed >= int64(r.UpdateEvery):
		cause = "growth"
	}
	if s.opened {
		st.live++
		st.firings++
	}
	st.keys[s.k] = true
	st.counts[s.in] = s.count
	st.severity = max(st.severity, s.severity)
	st.last = max(st.last, s.last)
	if cause != "" {
		out = append(out, st.rev(r, "open", cause, s.at))
	}
	if s.ended {
		st.live--
	}
	if st.live > 0 {
		return st, out
	}
	end := s.cause
	if s.opened {
		end = "quiet"
	}
	st.incident.ended = s.at
	out = append(out, st.rev(r, "resolved", end, s.at))
	return nil, out
}

func (st *storm) rev(r *rules.Rule, state, cause string, t int64) *rev {
	st.revs++
	st.changed = t
	v := &rev{rule: r, in: &st.incident, severity: cause == "severity"}
	v.Transition = correlate.Transition{
		Rev: st.revs, State: state, Cause: cause, Severity: st.severity.String(), SeverityNow: st.severity.String(),
		RuleID: r.ID, Key: map[string]string{}, Fingerprint: fingerprint(r, nil),
		StartedAt: utc(st.started), OpenedAt: utc(st.opened), ChangedAt: utc(t), LastEventAt: utc(st.last),
		Firings: st.firings, Collapsed: true, DistinctKeys: len(st.keys),
	}
	for _, n := range st.counts {
		v.EventCount += n
	}
	if state == "resolved" {
		at := utc(t)
		v.ResolvedAt = &at
	}
	return v
}

// name gives the incidents of a key their ids, in order: never one that an
// earlier one had.
func name(r *rules.Rule, values []string, revs []*rev) {
	var last *incident
	var anchor int64
	for _, v := range revs {
		in := v.in
		if in.id == "" {
			at := in.started
			if last != nil && at <= anchor {
				at = max(in.opened, anchor+1)
			}
			anchor = at
			in.id = fingerprint(r, values)[:12] + "-" + crockford(anchor)
			switch {
			case in.rotatedFrom != nil:
				in.previousID = in.rotatedFrom.id
			case last != nil && in.opened-last.ended <= memory:
				in.previousID = last.id
			}
			last = in
		}
		v.IncidentID, v.PreviousID = in.id, in.previousID
		if in.rotatedFrom != nil {
			v.RotatedFrom = in.rotatedFrom.id
		}
	}
}
