package correlate

import (
	"math"
	"slices"

	"corral/event"
	"corral/rules"
)

// Options of an Engine. Only MaxBytes can change a result.
type Options struct {
	// Shards is the number of parts the rules are dealt out to; 0: 1. A rule's state
	// is never split, and what rules have to do with one another (inhibition, rules
	// over incidents) is applied afterwards, in order.
	Shards int
	// Parallel runs do(0) … do(n-1) and returns when all have; it may use n
	// goroutines. nil: one after the other.
	Parallel func(n int, do func(shard int))
	// Trace is told of every evaluation, for `explain`; with Parallel it must be
	// safe for concurrent use. nil costs nothing.
	Trace func(TraceEvent)
	// MaxBytes bounds the state, about; 0: only the rules' own limits do. Beyond it
	// the rule that holds most forgets its stalest keys, counted as Evicted. It is
	// looked at every few Advances and every few thousand keys, so results depend on
	// it once it is reached.
	MaxBytes int
}

// TraceEvent is one evaluation of a rule for a key: at an event, or at an instant
// at which something left a window, a deadline passed or an incident ended.
type TraceEvent struct {
	Rule  *rules.Rule
	Key   []string     // group key values, by Rule.KeyNames
	At    int64        // nanoseconds since the epoch
	Event *event.Event // nil: a timer
	Aggs  []event.Value
	True  bool // the condition, then
	// Pending and Open tell the episode the key is in after the evaluation.
	Pending, Open bool
}

// Engine correlates matched events into incidents. Push what a Matcher found,
// in any order not older than the watermark, and Advance the watermark: what
// lies before it is put in order and takes effect. Not safe for concurrent use.
type Engine struct {
	set       *rules.Set
	opt       Options
	rules     []*ruleState // by Rule.Index
	watermark int64
	first     int64 // earliest event told of; never: none
	armed     bool
	gen       uint64
	buffer    reorder
	dedup     dedup
	hops      hops
	stage     stage
	matches   slab[rules.Match]
	stats     Stats
	restored  Reloaded
	advances  int
	looked    int     // keys when the memory was looked at last
	due       []int64 // next instant of each rule that reads events
	todo      []*ruleState
}

// New returns an engine without state.
func New(set *rules.Set, o Options) *Engine {
	e := &Engine{set: set, opt: o, watermark: math.MinInt64, first: never, gen: 1}
	for _, r := range set.Rules {
		e.rules = append(e.rules, newRuleState(r, o))
	}
	e.hops.rewire(set)
	e.stage.rewire(e)
	e.wake()
	return e
}

// Seen tells the engine that there was an event at t, matched or not: the first
// one (by event time) arms what is expected.
func (e *Engine) Seen(t int64) { e.first = min(e.first, t) }

// Push adds an event (a clone; the engine keeps it) and the rules it met; ms
// itself may be used again, its keys and args must last. The event takes effect
// when the watermark passes its time. What a Matcher of rules since replaced found
// is matched anew. Of events whose senders gave them the same ID the first counts,
// for ten minutes. An event before the watermark is refused: false.
func (e *Engine) Push(ev *event.Event, ms []rules.Match) bool {
	if ev.Time < e.watermark {
		return false
	}
	e.Seen(ev.Time)
	if len(ms) == 0 {
		return true
	}
	if e.stale(ms) {
		ev.SetSlots(nil)
		if ms = e.stage.matcher.Match(ev, nil); len(ms) == 0 {
			return true
		}
	}
	if e.opt.Parallel != nil {
		ev.Attrs() // decoding is not for several goroutines
	}
	e.buffer.push(pushed{ev: ev, ms: e.copy(ms)})
	return true
}

// stale reports whether matches were made by rules that a Reload has replaced.
func (e *Engine) stale(ms []rules.Match) bool {
	r := ms[0].Rule
	return r.Index >= len(e.set.Rules) || e.set.Rules[r.Index] != r
}

// copy keeps matches.
func (e *Engine) copy(ms []rules.Match) []rules.Match {
	kept := e.matches.take(len(ms))
	copy(kept, ms)
	return kept
}

// slab hands out slices cut from larger ones.
type slab[T any] struct{ all, rest []T }

func (s *slab[T]) take(n int) []T {
	if n > len(s.rest) {
		s.all = make([]T, max(n, 256))
		s.rest = s.all
	}
	cut := s.rest[:n:n]
	s.rest = s.rest[n:]
	return cut
}

// reuse says that nothing taken is in use any more.
func (s *slab[T]) reuse() {
	clear(s.all[:len(s.all)-len(s.rest)])
	s.rest = s.all
}

// Advance says that no event before watermark (nanoseconds since the epoch) will
// come. Every event and timer before it takes effect, in order; transitions are
// emitted in the order of Compare.
func (e *Engine) Advance(watermark int64, emit func(*Transition)) {
	if watermark <= e.watermark {
		return
	}
	e.deal(watermark)
	e.arm(watermark)
	e.run(watermark)
	e.stage.collect(e.todo)
	e.stage.settle(watermark, emit)
	e.watermark = watermark
	if e.buffer.n == 0 {
		e.matches.reuse()
	}
	e.shed()
}

// Finish ends a bounded input: events and timers up to and at end take effect.
// What is still open stays open; OpenIncidents lists it.
func (e *Engine) Finish(end int64, emit func(*Transition)) { e.Advance(plus(end, 1), emit) }

// The memory is looked at every shedEvery Advances, and when there are shedGrown
// more keys, or a sixteenth more; shedPart is the part of a rule's keys that go at
// once.
const (
	shedEvery = 256
	shedGrown = 4096
	shedPart  = 8
)

// shed keeps the state within MaxBytes as far as keys can be forgotten.
func (e *Engine) shed() {
	e.advances++
	if e.opt.MaxBytes <= 0 {
		return
	}
	n := e.keyed()
	if n < e.looked+max(shedGrown, e.looked/16) && e.advances%shedEvery != 0 {
		return
	}
	defer func() { e.looked = e.keyed() }()
	sizes := make([]int, len(e.rules))
	total := 0
	for i, r := range e.rules {
		sizes[i] = r.size()
		total += sizes[i]
	}
	for total > e.opt.MaxBytes {
		i := slices.Index(sizes, slices.Max(sizes))
		r := e.rules[i]
		n := r.keys.n
		for range n/shedPart + 1 {
			if !r.evict() {
				break
			}
		}
		was := sizes[i]
		sizes[i] = r.size()
		if r.keys.n == n {
			sizes[i] = 0 // nothing of this one can go
		}
		total -= was - sizes[i]
	}
}

// keyed is the number of keys with state.
func (e *Engine) keyed() (n int) {
	for _, r := range e.rules {
		n += r.keys.n
	}
	return n
}

// deal gives the events before until to their rules, in order.
func (e *Engine) deal(until int64) {
	for e.buffer.next() < until {
		p := e.buffer.pop()
		if e.dedup.again(p.ev.ID, p.ev.Time) {
			e.stats.Duplicates++
			continue
		}
		for i := range p.ms {
			m := &p.ms[i]
			if m.Hops {
				e.hop(p.ev)
				continue
			}
			r := e.rules[m.Rule.Index]
			r.inbox = append(r.inbox, work{p.ev, m})
		}
	}
}

// arm arms the expected keys at the first event's time.
func (e *Engine) arm(until int64) {
	if e.armed || e.first >= until {
		return
	}
	e.armed = true
	for _, r := range e.rules {
		r.arm(e.first)
	}
	e.wake()
}

// run lets every rule that reads events go up to until. todo are those that had
// something to do.
func (e *Engine) run(until int64) {
	e.todo = e.todo[:0]
	for i, at := range e.due {
		if at < until || len(e.rules[i].inbox) > 0 {
			e.todo = append(e.todo, e.rules[i])
		}
	}
	n := min(max(1, e.opt.Shards), max(1, len(e.todo)))
	if e.opt.Parallel != nil && n > 1 {
		e.opt.Parallel(n, func(shard int) { e.part(shard, n, until) })
	} else {
		for shard := range n {
			e.part(shard, n, until)
		}
	}
	for _, r := range e.todo {
		e.due[r.rule.Index] = r.next()
	}
}

// part lets every n-th rule that has something to do go up to until.
func (e *Engine) part(first, n int, until int64) {
	for i := first; i < len(e.todo); i += n {
		e.todo[i].run(until)
	}
}

// wake notes the timers of rules whose state came from elsewhere.
func (e *Engine) wake() {
	e.due = make([]int64, len(e.rules))
	for i, r := range e.rules {
		e.due[i] = never
		if !r.rule.FromIncidents {
			e.due[i] = r.next()
		}
	}
}

// Watermark returns the last one, the least instant there is before the first.
func (e *Engine) Watermark() int64 { return e.watermark }

// OpenIncidents are the incidents open at the watermark as they are now: the last
// revision of each with the counts since. In the order of Compare.
func (e *Engine) OpenIncidents() []*Transition {
	var open []*Transition
	for _, r := range e.rules {
		for _, ep := range r.episodes {
			if ep != nil && ep.open && !ep.collapsed {
				open = append(open, e.stage.current(r, ep))
			}
		}
		if r.storm != nil {
			open = append(open, e.stage.current(r, &r.storm.ep))
		}
	}
	slices.SortFunc(open, Compare)
	return open
}
