package pipeline

import (
	"time"

	"corral/rules"
)

// Warmup is how far before the range of a run reading must begin so that state
// is whole when the range begins: the longest window, deadline or sequence of
// the rules and what their incidents outlive it by. Memories of days (baseline,
// first_seen) are not waited for; at most a day. Rules over hops learn for an
// hour more what is usual.
func Warmup(set *rules.Set) time.Duration {
	var longest time.Duration
	for _, r := range set.Rules {
		d := r.For + span(r) + r.KeepFiringFor
		if r.FromHops {
			d += time.Hour
		}
		longest = max(longest, d)
	}
	return min(longest, 24*time.Hour)
}

func span(r *rules.Rule) time.Duration {
	switch r.Kind {
	case rules.ThresholdKind:
		w := max(r.Threshold.Size, r.Threshold.Max)
		for _, a := range r.Aggs {
			if a.Fn == rules.Previous {
				return 2 * w
			}
		}
		return w
	case rules.AbsenceKind:
		return r.Absence.Every + r.Absence.Grace
	case rules.ChangeKind:
		return r.Change.Within
	case rules.TemporalKind:
		return r.Temporal.Window
	case rules.SequenceKind:
		d := r.Sequence.Within
		if d == 0 {
			for _, s := range r.Sequence.Steps {
				d += s.Within
			}
		}
		return d
	}
	return 0
}
