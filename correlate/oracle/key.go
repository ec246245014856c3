package oracle

import (
	"math"
	"slices"

	"corral/event"
	"corral/rules"
)

// key is a rule over one group key. Time passes in run: at each instant first
// the events, then the timers.
type key struct {
	rule   *rules.Rule
	values []string
	seen   int64 // first event of the whole input

	ahead []*entry // still to come
	done  []*entry // took effect
	from  int      // done[from:] is what a window may hold; earlier ones went with a reset
	ticks int64    // timers up to and at this instant have run

	kind kind
	life
}

// kind is a rule's operator.
type kind interface {
	enter(k *key, e *entry)
	// next is the earliest instant after k.ticks at which something happens by itself.
	next(k *key) int64
	expire(k *key, t int64)
	// view is what expressions see at t, before what leaves at t has left.
	view(k *key, t int64) *rules.Env
	// reset forgets what led to a firing, beyond the windows over key.held.
	reset()
}

func newKey(r *rules.Rule, values []string, seen int64) *key {
	k := &key{rule: r, values: values, seen: seen, ticks: math.MinInt64}
	switch r.Kind {
	case rules.EventKind:
		k.kind = single{}
	case rules.ChangeKind:
		k.kind = change{}
	case rules.AbsenceKind:
		k.kind = newAbsence(k)
	case rules.SequenceKind:
		k.kind = &sequence{}
	case rules.ThresholdKind:
		k.kind = thresholdOf(r)
	case rules.TemporalKind:
		k.kind = temporalOf(r)
	}
	return k
}

func (k *key) run(end int64) []*rev {
	for {
		event, timer := int64(never), k.nextTimer()
		if len(k.ahead) > 0 {
			event = k.ahead[0].time()
		}
		switch {
		case min(event, timer) > end || min(event, timer) == never:
			return k.out
		case event <= timer:
			e := k.ahead[0]
			k.ahead = k.ahead[1:]
			k.take(e)
		default:
			k.tick(timer)
		}
	}
}

// take lets an event take effect.
func (k *key) take(e *entry) {
	k.done = append(k.done, e)
	revs := len(k.out)
	k.kind.enter(k, e)
	switch {
	case k.open == nil:
	case e.m.Resolve:
		k.resolve(e.time(), "clear_event")
	case e.selected() && len(k.out) == revs:
		k.grow(e.time())
	}
}

// tick runs the timers due at t, in their order.
func (k *key) tick(t int64) {
	k.ticks = t
	k.openDue(t)
	k.kind.expire(k, t)
	k.resolveDue(t)
	k.rotateDue(t)
}

func (k *key) nextTimer() int64 {
	t := k.kind.next(k)
	for _, due := range k.due() {
		if due > k.ticks {
			t = min(t, due)
		}
	}
	return t
}

// counted are the events the rule counts, of those that took effect.
func (k *key) counted() []*entry { return filter(k.done, (*entry).selected) }

// held are those of them that a window may hold.
func (k *key) held() []*entry { return filter(k.done[k.from:], (*entry).selected) }

// last is the latest counted event, nil if there was none.
func (k *key) last() *entry {
	if c := k.counted(); len(c) > 0 {
		return c[len(c)-1]
	}
	return nil
}

func (k *key) lastEvent() *event.Event {
	if len(k.done) == 0 {
		return nil
	}
	return k.done[len(k.done)-1].ev
}

// env is what expressions see at this moment.
func (k *key) env(aggs []event.Value, content []*entry) *rules.Env {
	env := &rules.Env{Event: k.lastEvent(), Aggs: aggs, Key: slices.Clone(k.values)}
	if e := k.last(); e != nil {
		env.Event = e.ev
	}
	if len(content) > 0 {
		env.Window = span(content)
	}
	return env
}
