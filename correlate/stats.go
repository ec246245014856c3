package correlate

import "corral/rules"

// RuleStats counts what a rule has done since its state began, and what it holds.
type RuleStats struct {
	Matched        uint64 // Selected events that took effect
	Fired          uint64 // times the condition became true
	Opened         uint64 // incidents opened, rotation included
	Resolved       uint64 // incidents resolved
	PendingDropped uint64 // false before `for` was over
	Suppressed     uint64 // firings within `suppress`
	Inactive       uint64 // events outside of `active`
	Evicted        uint64 // keys dropped for limits.groups
	Refused        uint64 // events of keys there was no room for
	Oversize       uint64 // events whose key is longer than 4 KiB
	Errors         uint64 // evaluations that failed
	Dropped        uint64 // partial matches given up for limits.partials, values of a change rule for limits.groups

	Keys       int                     // with state
	Open       int                     // incidents, a collapsed one counts as one
	BySeverity [rules.Critical + 1]int // of Open
	Bytes      int                     // estimate
}

func (s *RuleStats) transition(t *Transition) {
	switch {
	case t.State == "resolved":
		s.Resolved++
	case t.Rev == 1:
		s.Opened++
	}
}

// Stats is what an engine has done and holds.
type Stats struct {
	Duplicates uint64      // events whose sender's id had counted already
	Buffered   int         // events waiting for the watermark
	Bytes      int         // estimate of the rules' state
	Rules      []RuleStats // by Rule.Index
}

// Stats returns the counts since the state began. It looks at every key: call it
// every few seconds, not for every event.
func (e *Engine) Stats() Stats {
	s := e.stats
	s.Buffered = e.buffer.n
	s.Rules = make([]RuleStats, len(e.rules))
	for i, r := range e.rules {
		s.Rules[i] = r.report()
		s.Bytes += s.Rules[i].Bytes
	}
	return s
}

func (r *ruleState) report() RuleStats {
	s := r.stats
	s.Keys = r.keys.n
	s.Open = r.open
	for _, ep := range r.episodes {
		if ep != nil && ep.open && !ep.collapsed {
			s.BySeverity[ep.severity]++
		}
	}
	if r.storm != nil {
		s.Open++
		s.BySeverity[r.storm.ep.severity]++
	}
	s.Bytes = r.size()
	return s
}

// size estimates the bytes that what is live takes; what was freed is there for
// the next.
func (r *ruleState) size() int {
	n := r.keys.size() + 16*r.keys.n + 16*len(r.timers.heap) + 16*len(r.stalest.heap)
	n += 160*len(r.past.past) + 32*len(r.past.ended)
	for _, ep := range r.episodes {
		if ep != nil {
			n += 600 + eventSize*(len(ep.evidence.first)+len(ep.evidence.last))
		}
	}
	if r.counter != nil {
		return n + r.counter.size()
	}
	n += 400 * r.keys.n
	for _, b := range r.boxes {
		if m, ok := b.machine.(sizer); ok {
			n += m.size()
		}
	}
	return n
}

// sizer is a machine that may hold much more than a little: about how many bytes.
type sizer interface{ size() int }

// eventSize is about what an event takes that a machine keeps.
const eventSize = 1 << 10
