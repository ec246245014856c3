package pipeline

import (
	"time"

	"corral/correlate"
	"corral/ingest"
	"corral/ingest/decode"
	"corral/rules"
	"corral/sinks"
)

// Session is the pipeline without goroutines, sources or sinks: records in, one
// at a time, transitions out. Rule tests and explanations run on it, so they run
// on what the worker runs on.
type Session struct {
	Transitions []*correlate.Transition
	Dead        []sinks.DeadLetter
	Counters    Counters

	set    *rules.Set
	opt    correlate.Options
	decode decode.Options
	core   *core
	prep   *preparer
	late   time.Duration
	parts  []ingest.Partition
}

// NewSession returns a session of one partition.
func NewSession(set *rules.Set, lateness time.Duration, opt correlate.Options, dec decode.Options) *Session {
	s := &Session{set: set, opt: opt, decode: dec, late: lateness, parts: []ingest.Partition{{Name: "session", Replay: true}}}
	s.start(correlate.New(set, opt))
	return s
}

func (s *Session) start(eng *correlate.Engine) {
	s.core = newCore(eng, s.parts, s.late, &s.Counters)
	s.core.emit = func(t *correlate.Transition) { s.Transitions = append(s.Transitions, t) }
	s.core.dead = func(d sinks.DeadLetter) { s.Dead = append(s.Dead, d) }
	s.prep = newPreparer(s.set, s.decode, Range{})
}

// Feed lets one record take effect, its event times moved by shift.
func (s *Session) Feed(rec ingest.Record, shift time.Duration) {
	s.prep.shift = int64(shift)
	b := ingest.Batch{Records: []ingest.Record{rec}, Pending: -1}
	s.core.apply(s.prep.prepare(b, s.parts[0].Name))
}

// Restart goes through a snapshot: what is not in it is forgotten.
func (s *Session) Restart() error {
	data, err := s.core.snapshot(header{Gen: 1})
	if err != nil {
		return err
	}
	h, r, err := open(data)
	if err != nil {
		return err
	}
	eng, err := correlate.Restore(s.set, s.opt, r)
	if err != nil {
		return err
	}
	s.start(eng)
	s.core.resume(h.Parts)
	return nil
}

// Reload swaps the rules.
func (s *Session) Reload(set *rules.Set) correlate.Reloaded {
	s.set = set
	s.prep = newPreparer(set, s.decode, Range{})
	return s.core.eng.Reload(set, s.core.emit)
}

// Finish ends the input at end, inclusive.
func (s *Session) Finish(end int64) { s.core.eng.Finish(end, s.core.emit) }

// Engine is the engine as it is now.
func (s *Session) Engine() *correlate.Engine { return s.core.eng }
