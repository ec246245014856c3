package oracle

import (
	"corral/event"
	"corral/rules"
)

// instantly is the verdict of the kinds that hold at the instant of an event only.
func instantly(k *key, e *entry) verdict {
	return verdict{at: e.time(), holds: true, instant: true, enters: true, first: e, env: k.env(nil, nil)}
}

// single: every matching event fires.
type single struct{}

func (single) enter(k *key, e *entry) {
	if e.selected() {
		k.judge(instantly(k, e))
	}
}
func (single) next(*key) int64                 { return never }
func (single) expire(*key, int64)              {}
func (single) reset(*key, int64)               {}
func (single) view(k *key, _ int64) *rules.Env { return k.env(nil, nil) }

// change: a value against those before it.
type change struct{}

func (change) next(*key) int64                 { return never }
func (change) expire(*key, int64)              {}
func (change) reset(*key, int64)               {}
func (change) view(k *key, _ int64) *rules.Env { return k.env(nil, nil) }

func (change) enter(k *key, e *entry) {
	if !e.selected() || value(e).Kind == event.Nil {
		return
	}
	list := filter(k.counted(), func(e *entry) bool { return value(e).Kind != event.Nil })
	hit, v := false, instantly(k, e)
	switch k.rule.Change.Detect {
	case rules.Changed:
		hit = changedAt(list, len(list)-1)
	case rules.FirstSeen:
		hit = firstSeen(k.rule.Change, list)
	case rules.Flapping:
		turns := flaps(k, list)
		if hit = len(turns) >= k.rule.Change.Changes; hit {
			v.first = turns[len(turns)-k.rule.Change.Changes]
		}
	}
	if hit {
		k.judge(v)
	}
}

func value(e *entry) event.Value { return e.m.Args[0] }

// changedAt: event i has another value than the one before it.
func changedAt(list []*entry, i int) bool {
	return i > 0 && !same(value(list[i-1]), value(list[i]))
}

// firstSeen: the last event's value is not remembered, and the key has learnt.
func firstSeen(c *rules.Change, list []*entry) bool {
	e := list[len(list)-1]
	first := e.time()
	for i, old := range list[:len(list)-1] {
		if i == 0 || old.time()-list[i-1].time() > int64(c.Memory) {
			first = old.time() // nothing of the key was remembered
		}
		if same(value(old), value(e)) && e.time()-old.time() <= int64(c.Memory) {
			return false
		}
	}
	if n := len(list); n > 1 && e.time()-list[n-2].time() > int64(c.Memory) {
		first = e.time()
	}
	return e.time() >= first+int64(c.Learn)
}

// flaps are the changes within the time up to the last event, if that is one.
func flaps(k *key, list []*entry) []*entry {
	at := len(list) - 1
	if !changedAt(list, at) {
		return nil
	}
	var turns []*entry
	for i, e := range list {
		recent := list[at].time()-e.time() <= int64(k.rule.Change.Within)
		if recent && changedAt(list, i) && !k.gone(e) {
			turns = append(turns, e)
		}
	}
	return turns
}

// gone: a reset has taken it from the windows.
func (k *key) gone(e *entry) bool {
	for _, old := range k.done[:k.from] {
		if old == e {
			return true
		}
	}
	return false
}
