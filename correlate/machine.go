package correlate

import (
	"math"
	"slices"

	"corral/event"
	"corral/rules"
)

// never is an instant that does not come.
const never = math.MaxInt64

// A machine is the condition of one rule for one key: what the key's events
// have to be for the rule to fire. It knows nothing of incidents. The core (one
// ruleState per rule) feeds it, and makes episodes of what it signals.
//
// # What the core promises
//
// Events come in the order of event.Compare, timers in order of their instants,
// and all calls of one key in time order: when event is called at t, every timer
// before t has been delivered; at an equal instant all events come before the
// timer. Calls of different keys share nothing. Events outside the rule's
// `active` schedule do not come. Every event with a Match for the rule and key
// comes, Selected or not (an `until`, a step's neighbour under strict
// contiguity); a key that has no machine gets one only at an event that is
// Selected or has a part.
//
// # Time
//
// The machine asks for a timer by next: the earliest instant at which it would
// change without an event. When the watermark has strictly passed that instant,
// timer is called with c.now equal to it, and must leave next later than c.now.
// A window or `within` of length W is closed, so an event of time s is still in
// it at s+W: its timer is s+W, and timer at c.now removes what has s+W <= c.now.
// On an event at c.now what has s+W < c.now is gone already. The core may ask for
// aggs at an instant that is not the machine's own (an incident resolves, a
// pending one opens): c.expired says which of the two applies, see call.leaves.
//
// # Signals
//
// A condition is either an instant or lasts:
//
//   - instant (event, change, sequence; temporal and windows decided at close):
//     c.fire, once for each match, completion or close. The condition is true at
//     c.now and at no other time. Several calls at one event are fine.
//   - lasting (threshold, temporal, absence): c.hold at every evaluation that
//     finds it true, c.release at an evaluation that finds it false after it was
//     true, with the last instant at which it was (an event at t that makes it
//     false: t; an event of time s that left: s+W). The core finds the edges. At
//     the first of several c.hold it calls content.
//
// for, keep_firing_for, refire, suppress, severity, growth, resolve and evidence
// are the core's. It counts Selected events while an episode is pending or open;
// the machine says only how many there were up to its first signal.
//
// # Reset
//
// reset makes the machine as new, except for what outlives a firing by the
// meaning of its kind (a change rule's memory). The core calls it after event or
// timer has returned, never inside: for `refire: reset` and when `resolve.when`
// ended an episode (that event is not given to the machine).
type machine interface {
	// event takes a matched event of the key. c.now is its time.
	event(c *call, in *input)
	// timer is called at the instant next had.
	timer(c *call)
	// next is the earliest instant the machine wants timer at, or never.
	next() int64
	// content is what a lasting condition rests on at its rising edge. Only called
	// from within c.hold.
	content(c *call) firing
	// aggs fills in the values of Rule.Aggs at c.now, where the rule has any, for
	// conditions, ladders, templates and vars; out has their length and is all Nil.
	aggs(c *call, out []event.Value)
	// idle says that nothing is live: the key may be freed, and a new machine
	// would behave as this one. Asked after every call.
	idle() bool
	// reset forgets, see above.
	reset(c *call)
	// encode writes the state to a snapshot; decode reads what encode wrote. A
	// decoded machine behaves as the one that was encoded. decode may be given
	// anything and must not panic, loop or allocate without bound: use d's checks.
	encode(e *encoder)
	decode(d *decoder)
}

// makers prepare a rule, once per load, by kind: what they return makes the empty
// machine of a new key. So what depends on the rule alone is worked out once and
// shared. Threshold windows that are only counted have a flat form of their own
// (counter.go).
var makers = [...]func(*rules.Rule) func() machine{
	rules.EventKind:     func(*rules.Rule) func() machine { return func() machine { return single{} } },
	rules.ThresholdKind: newThreshold,
	rules.AbsenceKind:   newAbsence,
	rules.ChangeKind:    newChange,
	rules.TemporalKind:  newTemporal,
	rules.SequenceKind:  newSequence,
}

// input is a matched event on its way into a machine. ev may be kept; args may
// be kept too (the core owns the clone they point into).
type input struct {
	ev       *event.Event
	selected bool
	parts    uint64        // bit i: Rule.Parts[i] holds
	args     []event.Value // by Rule.Args
}

// firing is what a signal rests on.
type firing struct {
	// start is started_at: when the first of its events happened.
	start int64
	// count is the number of Selected events of the key from the one that start is
	// the time of on, in event order, up to now: see tally.
	count int
	// events are those it rests on, oldest first, as far as kept for evidence (at
	// most Rule.Evidence need be right: the first and last halves).
	events []*event.Event
	// steps are the events of each step, by step index; sequences only. Templates
	// and severity ladders read them, and the first of each step is evidence.
	steps [][]*event.Event
	// cause of the incident if not "condition": "timeout".
	cause string
}

// newest is the last event it rests on, as far as kept: what a firing at a timer
// shows for the event that made it.
func (f *firing) newest() *event.Event {
	var last *event.Event
	for _, step := range append(slices.Clone(f.steps), f.events) {
		if n := len(step); n > 0 && (last == nil || event.Compare(step[n-1], last) > 0) {
			last = step[n-1]
		}
	}
	return last
}

// call is one call into a machine: the instant, and the way back.
type call struct {
	rule *rules.Rule
	now  int64
	// expired: what leaves a window at c.now has left. True from the moment timer
	// is called, false at events (and when `for` has passed: that comes first).
	expired bool
	// env is for the machine's own evaluations: Key is set, Event is the current
	// event (the key's last one in a timer, maybe nil). Set Aggs and Steps before
	// evaluating what may read them; the core overwrites them for its own.
	env *rules.Env
	// tally counts the Selected events of the key, the current one included.
	tally tally
	// errors counts evaluations that failed: hand it what Expr.Bool reports.
	errors *uint64
	// dropped counts what a machine gave up for a limit.
	dropped *uint64

	core signals
	key  uint32 // of core.keys
}

// signals is what a machine may tell: the core, or a test.
type signals interface {
	fire(c *call, f firing)
	hold(c *call)
	release(c *call, last int64)
	end(c *call, cause string)
}

// tally counts Selected events of a key for as long as it has state, so that
// "how many since the event that began this" is a subtraction. A machine that
// starts something at a Selected event keeps c.tally.before; later
// c.tally.since(kept) is the count of Selected events from that one on.
type tally struct {
	seen   uint64 // up to now, the current event included
	before uint64 // before the latest event
	at     int64  // time of the latest event
}

// since is the number of Selected events after the first `before` ones.
func (t tally) since(before uint64) int { return int(t.seen - before) }

// holds evaluates a condition for the machine, counting a failure.
func (c *call) holds(x *rules.Expr) bool {
	ok, failed := x.Bool(c.env)
	if failed {
		*c.errors++
	}
	return ok && !failed
}

// fire signals that the condition is true at c.now, and only there.
func (c *call) fire(f firing) { c.core.fire(c, f) }

// hold signals that a lasting condition is true at c.now and stays so until
// release.
func (c *call) hold() { c.core.hold(c) }

// leaves reports whether something of time s has left a closed span of length w
// at c.now.
func (c *call) leaves(s, w int64) bool {
	if c.expired {
		return s+w <= c.now
	}
	return s+w < c.now
}

// end signals that an episode is over at c.now, whatever keep_firing_for says,
// and why ("forgotten"). Without an episode it does nothing.
func (c *call) end(cause string) { c.core.end(c, cause) }

// release signals that a lasting condition is false, having been true until last.
// Without a hold before it does nothing.
func (c *call) release(last int64) { c.core.release(c, last) }
