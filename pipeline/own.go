package pipeline

import (
	"cmp"
	"slices"
	"time"

	"corral/correlate"
)

// Problem is something wrong with the worker itself, told as an incident of a
// built-in rule, one for each key, as long as it lasts.
type Problem struct {
	Rule    string // id
	Key     [2]string
	Title   string
	Summary string
	File    string
	Line    int
}

func (p *Problem) fingerprint() string {
	return correlate.Fingerprint(p.Rule, p.Key[:1], p.Key[1:])
}

// announce makes revisions of what has changed since it was called last: problems
// that are new open, those that are gone resolve, those that are said differently
// are said anew. What is open is part of the snapshot, so that a restart opens
// nothing twice and leaves nothing open.
func (s *Stream) announce(problems []Problem) {
	now := s.Now().UTC()
	var open []*correlate.Transition
	for _, last := range s.own {
		i := slices.IndexFunc(problems, func(p Problem) bool { return p.fingerprint() == last.Fingerprint })
		if i < 0 {
			s.emit(follow(last, nil, now))
			continue
		}
		if p := &problems[i]; p.Summary != last.Summary {
			last = follow(last, p, now)
			s.emit(last)
		}
		open = append(open, last)
	}
	for i := range problems {
		p := &problems[i]
		if slices.ContainsFunc(open, func(t *correlate.Transition) bool { return t.Fingerprint == p.fingerprint() }) {
			continue
		}
		t := p.first(now)
		s.emit(t)
		open = append(open, t)
	}
	slices.SortFunc(open, func(a, b *correlate.Transition) int { return cmp.Compare(a.Fingerprint, b.Fingerprint) })
	s.own = open
}

func (p *Problem) first(now time.Time) *correlate.Transition {
	fp := p.fingerprint()
	return &correlate.Transition{
		IncidentID: correlate.IncidentID(fp, now.UnixNano()), Rev: 1, Fingerprint: fp, State: "open", Cause: "condition",
		Severity: "error", SeverityNow: "error", RuleID: p.Rule, RuleTitle: p.Rule, RuleFile: p.File, RuleLine: p.Line,
		RuleHash: builtinHash, Key: map[string]string{p.Key[0]: p.Key[1]}, Labels: map[string]string{"service.name": "corral"},
		Title: p.Title, Summary: p.Summary, StartedAt: now, OpenedAt: now, LastEventAt: now, ChangedAt: now,
		EventCount: 1, Firings: 1, Recurrence: 1, Notified: true, NotifyReason: "first", Evidence: []correlate.Evidence{},
	}
}

// builtinHash stands where other incidents have the hash of their rule.
const builtinHash = "builtin000000000"

// follow is the next revision: what is said now, or, without p, the end.
func follow(last *correlate.Transition, p *Problem, now time.Time) *correlate.Transition {
	t := *last
	if now.Before(t.ChangedAt) {
		now = t.ChangedAt // the clock was set back
	}
	t.Rev++
	t.ChangedAt, t.DurationMS = now, now.Sub(t.StartedAt).Milliseconds()
	if p == nil {
		t.State, t.Cause, t.ResolvedAt = "resolved", "clear_event", &now
		t.Notified, t.NotifyReason = true, "resolved"
		return &t
	}
	t.Cause, t.Notified, t.NotifyReason = "text", false, "none"
	t.Title, t.Summary, t.RuleFile, t.RuleLine, t.LastEventAt = p.Title, p.Summary, p.File, p.Line, now
	t.EventCount++
	return &t
}
