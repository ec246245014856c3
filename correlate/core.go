package correlate

import (
	"cmp"
	"math"
	"slices"
	"strings"

	"corral/event"
	"corral/rules"
)

// ruleState is all state of one rule: its keys with their machines, the episodes
// they are in, and what is remembered of past ones. Rules share nothing, so they
// may run at the same time; what rules have to do with each other is the stage's.
type ruleState struct {
	rule  *rules.Rule
	trace func(TraceEvent)

	keys     keys
	timers   timers
	counter  *counter // the flat machines of a counting rule, else nil
	boxes    []box    // the machines of other rules, by key number
	episodes []*episode
	freed    []uint32 // free places in episodes
	past     history
	stalest  timers // keys by the order they were touched in
	ranking  bool   // limits.groups has been reached: stalest has every key that may go
	clock    uint64 // counts events: keyEntry.touched
	open     int    // incidents open, those collapsed into the storm not counted
	storm    *storm
	depth    int // of the incident being read, for rules over incidents
	// explained are, by rule, the rules whose incidents explain its own; for rules
	// over incidents.
	explained map[string][]string
	make      func() machine
	only      map[string]bool // keys that are watched, nil: all

	inbox []work
	out   []draft
	news  []news   // firings that incidents of other rules show
	due   []uint32 // scratch: keys whose timers are at one instant
	stats RuleStats

	call   call // the call being made; one at a time
	in     input
	keyed  bool // expressions may read group keys
	env    rules.Env
	vals   []event.Value
	change change
}

// box holds the machine of a key and how many events it was given.
type box struct {
	machine machine
	tally   tally
}

// work is a matched event on its way to a rule.
type work struct {
	ev *event.Event
	m  *rules.Match
}

// change is what a call into a machine did that makes a revision.
type change struct {
	cause  string        // strongest so far, "" none
	reset  bool          // the machine is to be reset
	timer  bool          // it is a timer, not an event
	fired  bool          // the condition was found true
	again  int           // … so many times anew in an episode that was open
	opened bool          // an episode opened
	vals   []event.Value // the aggregates when `for` was over, before what leaves then had left
}

func newRuleState(r *rules.Rule, o Options) *ruleState {
	s := &ruleState{rule: r, trace: o.Trace, vals: make([]event.Value, len(r.Aggs))}
	s.past.limit = r.Limits.Groups
	s.keyed = readsKeys(r)
	s.only = expected(r)
	s.call = call{rule: r, env: &s.env, errors: &s.stats.Errors, dropped: &s.stats.Dropped, core: s}
	if k, ok := countsOnly(r); ok {
		s.counter = newCounter(r, k)
	} else {
		s.make = makers[r.Kind](r)
	}
	return s
}

// readsKeys reports whether an expression of a rule may read its group keys while
// its state is kept. Titles and labels always may: see describe.
func readsKeys(r *rules.Rule) bool {
	texts := []*rules.Expr{}
	switch {
	case len(r.KeyNames) == 0 || r.Absence != nil:
	case r.Threshold != nil:
		texts = append(texts, r.Threshold.Condition, r.Threshold.Clear)
	case r.Temporal != nil:
		texts = append(texts, r.Temporal.Condition)
	case r.Sequence != nil:
		for _, s := range r.Sequence.Steps {
			texts = append(texts, s.Where)
		}
	}
	for _, s := range r.Severity {
		texts = append(texts, s.When)
	}
	return slices.ContainsFunc(texts, func(x *rules.Expr) bool {
		return x != nil && slices.ContainsFunc(r.KeyNames, func(name string) bool { return strings.Contains(letters(x.Text()), letters(name)) })
	})
}

// letters leaves out of a text what differs between two ways to write a path.
func letters(s string) string {
	return strings.Map(func(c rune) rune {
		if strings.ContainsRune(`."'[]?() `, c) {
			return -1
		}
		return c
	}, s)
}

// plus adds a length to an instant and stays within time.
func plus(t, d int64) int64 {
	if d >= math.MaxInt64-max(t, 0) {
		return never
	}
	return t + d
}

// next is the earliest instant at which the rule may change without an event.
func (r *ruleState) next() int64 {
	return min(r.timers.next(), r.storm.next())
}

// run lets the inbox take effect and every timer before until.
func (r *ruleState) run(until int64) {
	for i := range r.inbox {
		w := &r.inbox[i]
		r.advance(w.ev.Time)
		r.take(w.ev, w.m)
	}
	clear(r.inbox)
	r.inbox = r.inbox[:0]
	r.advance(until)
}

// advance fires every timer before until.
func (r *ruleState) advance(until int64) {
	for {
		t := r.next()
		if t >= until {
			return
		}
		r.due = r.due[:0]
		for r.timers.next() == t {
			r.collect(t)
		}
		if len(r.due) > 1 {
			r.keys.sort(r.due)
		}
		for _, k := range r.due {
			r.tick(k, t)
		}
		if r.storm.next() == t {
			r.tickStorm(t)
		}
	}
}

// collect takes the earliest timer, which is at t: the key is due, or the entry
// was too early, or it does not count any more.
func (r *ruleState) collect(t int64) {
	k := r.timers.heap[0].key
	if r.keys.entries[k].timer != t {
		r.timers.pop()
		return
	}
	d := r.deadline(k)
	if d > t && d < never {
		r.keys.entries[k].timer = d
		r.timers.replace(d)
		return
	}
	r.timers.pop()
	r.keys.entries[k].timer = never
	if d <= t {
		r.due = append(r.due, k)
	}
}

// deadline is the next instant at which key k may change without an event.
func (r *ruleState) deadline(k uint32) int64 {
	d := r.machine(k).next()
	if ep := r.episode(k); ep != nil {
		d = min(d, ep.deadline(r.rule))
	}
	return d
}

// reschedule makes sure that a timer of key k fires at its deadline.
func (r *ruleState) reschedule(k uint32) {
	e := &r.keys.entries[k]
	if d := r.deadline(k); d < e.timer {
		e.timer = d
		r.timers.push(d, k)
		r.tidy()
	}
}

// tidy drops the timers of keys that are gone, once they are more than those of
// the keys there are: a flood of keys that are evicted would leave one each.
func (r *ruleState) tidy() {
	const few = 1 << 12
	if n := len(r.timers.heap); n < few || n < 3*r.keys.n {
		return
	}
	r.timers.clean(func(t timer) bool {
		e := &r.keys.entries[t.key]
		return e.len != gone && e.timer == t.at
	})
}

// machine is the machine of key k. That of a counter is valid until the next call.
func (r *ruleState) machine(k uint32) machine {
	if r.counter != nil {
		return r.counter.at(k)
	}
	return r.boxes[k].machine
}

func (r *ruleState) episode(k uint32) *episode {
	if i := r.keys.entries[k].episode; i != 0 {
		return r.episodes[i-1]
	}
	return nil
}

// begin readies the call for key k at an instant.
func (r *ruleState) begin(k uint32, now int64, ev *event.Event) *call {
	c := &r.call
	c.now, c.key, c.expired = now, k, false
	r.change = change{}
	if ev == nil {
		r.change.timer = true
		if ep := r.episode(k); ep != nil {
			ev = ep.last
		}
	}
	r.env = rules.Env{Event: ev}
	if r.keyed {
		r.env.Key = rules.DecodeKey(r.keys.name(k))
	}
	return c
}

// maxKey bounds the text of a key.
const maxKey = 4 << 10

// take lets one event take effect.
func (r *ruleState) take(ev *event.Event, m *rules.Match) {
	if r.rule.Active != nil && !r.rule.Active.Active(ev.Time) {
		r.stats.Inactive++
		return
	}
	k, ok := r.keys.find(m.Key, m.Hash)
	if !ok {
		if (!m.Selected && m.Parts == 0) || (r.only != nil && !r.only[m.Key]) {
			return
		}
		if k, ok = r.add(m.Key, m.Hash); !ok {
			return
		}
	}
	r.touch(k)
	c := r.begin(k, ev.Time, ev)
	if m.Selected {
		r.stats.Matched++
		r.count(k, ev)
	}
	if r.counter == nil {
		c.tally = r.boxes[k].tally
	}
	r.in = input{ev: ev, selected: m.Selected, parts: m.Parts, args: m.Args}
	r.machine(k).event(c, &r.in)
	r.react(c, k, m.Selected && !m.Resolve)
	if m.Resolve {
		r.cleared(c, k, ev)
	}
	r.finish(c, k)
}

// touch makes k the least stale key.
func (r *ruleState) touch(k uint32) {
	r.clock++
	r.keys.entries[k].touched = r.clock
	r.rank(k)
}

// count adds a Selected event to what is counted of the key.
func (r *ruleState) count(k uint32, ev *event.Event) {
	if r.counter == nil {
		t := &r.boxes[k].tally
		t.at, t.before = ev.Time, t.seen
		t.seen++
	}
	if ep := r.episode(k); ep != nil {
		r.member(ep, ev)
	}
}

// add makes room for a new key and its machine. It is refused when there is none.
func (r *ruleState) add(key string, hash uint64) (uint32, bool) {
	if len(key) > maxKey {
		r.stats.Oversize++
		return 0, false
	}
	if r.rule.Limits.Groups > 0 && r.keys.n >= r.rule.Limits.Groups && !r.evict() {
		r.stats.Refused++
		return 0, false
	}
	return r.enter(key, hash), true
}

// enter makes the state of a new key.
func (r *ruleState) enter(key string, hash uint64) uint32 {
	k := r.keys.add(key, hash)
	if r.counter != nil {
		r.counter.make(k)
		return k
	}
	if int(k) == len(r.boxes) {
		r.boxes = append(room(r.boxes), box{})
	}
	r.boxes[k] = box{machine: r.make(), tally: tally{at: math.MinInt64}}
	return k
}

// free forgets key k.
func (r *ruleState) free(k uint32) {
	if r.counter != nil {
		r.counter.free(k)
	} else {
		r.boxes[k] = box{}
	}
	r.keys.remove(k)
}

// evict frees the stalest key that is in no incident of its own. Keys are looked
// at in the order of a queue that is made when the limit is first reached, and
// is lazy: an entry that is out of date goes in again with the right order.
func (r *ruleState) evict() bool {
	if !r.ranking {
		r.ranking = true
		for i := range r.keys.entries {
			r.rank(uint32(i))
		}
	}
	for len(r.stalest.heap) > 0 {
		top := r.stalest.heap[0]
		e := &r.keys.entries[top.key]
		if e.len != gone && int64(e.touched) != top.at {
			r.stalest.replace(int64(e.touched))
			continue
		}
		r.stalest.pop()
		e.ranked = false
		if e.len != gone && !r.pinned(top.key) {
			r.drop(top.key)
			r.stats.Evicted++
			return true
		}
	}
	return false
}

// pinned keys are not evicted: their incident would never end.
func (r *ruleState) pinned(k uint32) bool {
	ep := r.episode(k)
	return ep != nil && ep.open && !ep.collapsed
}

// rank queues a key for eviction unless it is.
func (r *ruleState) rank(k uint32) {
	e := &r.keys.entries[k]
	if r.ranking && !e.ranked && e.len != gone && !r.pinned(k) {
		e.ranked = true
		r.stalest.push(int64(e.touched), k)
	}
}

// drop forgets key k and what it was in.
func (r *ruleState) drop(k uint32) {
	if ep := r.episode(k); ep != nil {
		if ep.collapsed {
			r.storm.leave(ep.resolveAt())
		}
		r.forget(ep)
	}
	r.free(k)
}

// tick lets the timers of key k at t take effect, in the frozen order: `for`,
// what leaves a window or ends a step, resolve, rotation.
func (r *ruleState) tick(k uint32, t int64) {
	c := r.begin(k, t, nil)
	if r.counter == nil {
		c.tally = r.boxes[k].tally
	}
	if ep := r.episode(k); ep != nil && !ep.open && ep.due == t {
		r.tryOpen(c, ep)
	}
	c.expired = true
	if m := r.machine(k); m.next() <= t {
		m.timer(c)
		if m = r.machine(k); m.next() <= t {
			panic("correlate: a machine's timer did not move on: rule " + r.rule.ID)
		}
	}
	r.react(c, k, false)
	if ep := r.episode(k); ep != nil && ep.resolveAt() == t {
		r.resolve(c, ep, cmp.Or(ep.endCause, "quiet"))
	} else if ep != nil && ep.rotateAt(r.rule) == t {
		r.rotate(c, ep)
	}
	r.finish(c, k)
}

// react makes the revision that a call asks for.
func (r *ruleState) react(c *call, k uint32, selected bool) {
	if ep := r.episode(k); ep != nil && ep.open {
		r.refire(ep)
		r.grow(c, ep, selected)
		r.revise(c, ep, selected)
	}
}

// finish resets the machine if that is asked for and frees a key with nothing
// live.
func (r *ruleState) finish(c *call, k uint32) {
	if r.trace != nil {
		r.traced(c, k)
	}
	if r.change.reset {
		r.resetMachine(c, k)
	}
	if r.episode(k) == nil && r.machine(k).idle() {
		r.free(k)
		return
	}
	r.reschedule(k)
}

// resetMachine empties the machine; a condition that lasted has ended with it.
func (r *ruleState) resetMachine(c *call, k uint32) {
	r.change.reset = false
	if ep := r.episode(k); ep != nil && ep.holding {
		ep.holding, ep.lastTrue = false, c.now
		if !ep.open {
			r.forget(ep)
		}
	}
	r.machine(k).reset(c)
}

// values are the aggregates of key c.key now.
func (r *ruleState) values(c *call) []event.Value {
	if len(r.vals) > 0 {
		clear(r.vals)
		r.machine(c.key).aggs(c, r.vals)
	}
	return r.vals
}
