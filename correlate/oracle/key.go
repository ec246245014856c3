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
	now   *entry   // takes effect now; nil: a timer does
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
	reset(k *key, t int64)
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

func (k *key) run(end int64) {
	for {
		event, timer := int64(never), k.nextTimer()
		if len(k.ahead) > 0 {
			event = k.ahead[0].time()
		}
		switch {
		case min(event, timer) > end || min(event, timer) == never:
			return
		case event <= timer:
			e := k.ahead[0]
			k.ahead = k.ahead[1:]
			k.step(e, e.time(), func() { k.take(e) })
		default:
			k.step(nil, timer, func() { k.tick(timer) })
		}
	}
}

// take lets an event take effect. One that ends an incident, or what would have
// become one, is also the end of everything that led to it.
func (k *key) take(e *entry) {
	k.done, k.now = append(k.done, e), e
	k.kind.enter(k, e)
	switch {
	case e.m.Resolve && k.begun():
		k.clear(e.time())
	case k.open != nil && e.selected() && k.cause == "":
		k.grow(e.time())
	}
	k.tell(e.time())
	if k.wipe {
		k.reset(e.time())
	}
}

// begun: there is an incident, or there may be one by and by.
func (k *key) begun() bool { return k.open != nil || k.pending != nil || k.swallowed != nil }

func (k *key) clear(t int64) {
	if k.open != nil {
		k.resolve(t, "clear_event")
	}
	k.reset(t)
}

// tick runs the timers due at t, in their order.
func (k *key) tick(t int64) {
	k.ticks, k.now = t, nil
	k.openDue(t)
	k.kind.expire(k, t)
	k.tell(t)
	if k.wipe {
		k.reset(t)
	}
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

// latest is the last counted event, nil if there was none.
func (k *key) latest() *entry {
	if c := k.counted(); len(c) > 0 {
		return c[len(c)-1]
	}
	return nil
}

// env is what expressions see at this moment: at a timer, the latest event of
// what has begun, if any.
func (k *key) env(aggs []event.Value, content []*entry) *rules.Env {
	env := &rules.Env{Aggs: aggs, Key: slices.Clone(k.values)}
	switch {
	case k.now != nil:
		env.Event = k.now.ev
	case k.begun():
		if since := filter(k.done[k.began:], (*entry).selected); len(since) > 0 {
			env.Event = since[len(since)-1].ev
		}
	}
	if len(content) > 0 {
		env.Window = span(content)
	}
	return env
}
