package oracle

import (
	"maps"
	"slices"
	"time"

	"corral/correlate"
	"corral/event"
	"corral/rules"
)

// sorted puts revisions in the order of every output.
func sorted(revs []*rev) []*rev {
	slices.SortStableFunc(revs, func(a, b *rev) int { return correlate.Compare(&a.Transition, &b.Transition) })
	return revs
}

func sameRevs(a, b []*rev) bool {
	return slices.EqualFunc(a, b, func(x, y *rev) bool {
		return x.IncidentID == y.IncidentID && x.Rev == y.Rev && x.Cause == y.Cause &&
			x.EventCount == y.EventCount && x.Severity == y.Severity && x.ChangedAt.Equal(y.ChangedAt)
	})
}

// incidentEvents are transitions as the rules over incidents read them.
func incidentEvents(revs []*rev) []*event.Event {
	var out []*event.Event
	for i, r := range revs {
		out = append(out, &event.Event{
			Pos:  event.Pos{Seq: uint64(i)},
			Time: r.ChangedAt.UnixNano(), Kind: "incident", Raw: r.Title, Message: r.Title,
			Service: r.Key["service"],
			Incident: &event.Incident{
				ID: r.IncidentID, Rule: r.RuleID, State: r.State, Severity: r.Severity, Cause: r.Cause,
				Key: r.Key, Title: r.Title, Rev: r.Rev, Count: r.EventCount,
				StartedAt: r.StartedAt.UnixNano(), OpenedAt: r.OpenedAt.UnixNano(),
			},
		})
	}
	return out
}

// settle decides who hears of each revision: inhibition and notification.
func settle(set *rules.Set, revs []*rev) []*correlate.Transition {
	out := make([]*correlate.Transition, len(revs))
	told := map[string]bool{} // by incident id
	for i, r := range revs {
		for _, in := range r.rule.InhibitedBy {
			if inhibited(revs, r, in) {
				r.Suppressed = true
				r.SuppressedBy = append(r.SuppressedBy, "inhibit:"+in.Rule)
			}
		}
		if r.rotated {
			told[r.IncidentID] = told[r.RotatedFrom]
		}
		r.NotifyReason = reason(r, told[r.IncidentID])
		r.Notified = r.NotifyReason != "none"
		told[r.IncidentID] = told[r.IncidentID] || r.Notified
		out[i] = &r.Transition
	}
	return out
}

// reason is why people hear of r; told: they have heard of its incident.
func reason(r *rev, told bool) string {
	switch {
	case r.rule.Signal || r.Cause == "rotated":
		return "none"
	case r.State == "resolved":
		switch {
		case !told || !r.rule.NotifyResolved:
			return "none"
		case r.Flapping:
			return "flap_end"
		}
		return "resolved"
	case r.Suppressed:
		return "none"
	case r.Flapping && !told:
		switch {
		case r.flapStart:
			return "flap_start"
		case r.ChangedAt.Sub(r.OpenedAt) < 30*time.Minute:
			return "none"
		case r.severity:
			return "severity"
		}
		return "first"
	case !told:
		return "first"
	case r.severity:
		return "severity"
	}
	return "none"
}

// inhibited reports whether an incident of the other rule, its key values the same,
// was open when r was made.
func inhibited(revs []*rev, r *rev, by rules.Inhibition) bool {
	for _, o := range revs {
		if o.RuleID != by.Rule || o.Rev != 1 || o.OpenedAt.After(r.ChangedAt) {
			continue
		}
		if end := resolution(revs, o); end != nil && !end.After(r.ChangedAt) {
			continue
		}
		if agree(o.Key, r.Key, by.Same) {
			return true
		}
	}
	return false
}

func agree(a, b map[string]string, names []string) bool {
	pick := func(m map[string]string) map[string]string {
		c := maps.Clone(m)
		maps.DeleteFunc(c, func(k, _ string) bool { return !slices.Contains(names, k) })
		return c
	}
	return maps.Equal(pick(a), pick(b))
}

// resolution is when the incident that o opened was resolved, nil if it was not.
func resolution(revs []*rev, o *rev) *time.Time {
	for _, r := range revs {
		if r.IncidentID == o.IncidentID && r.State == "resolved" {
			return r.ResolvedAt
		}
	}
	return nil
}
