package correlate

import "slices"

// timers is a queue of (instant, key), earliest first. It is lazy: a key has one
// entry that counts, which may be too early. Whoever takes an entry asks the key
// for its deadline and queues it again if that is later, so an event that only
// moves a deadline away costs nothing here.
type timers struct{ heap []timer }

type timer struct {
	at  int64
	key uint32
}

// next is the instant of the earliest entry, or never.
func (q *timers) next() int64 {
	if len(q.heap) == 0 {
		return never
	}
	return q.heap[0].at
}

func (q *timers) push(at int64, key uint32) {
	h := append(room(q.heap), timer{})
	i := len(h) - 1
	for i > 0 {
		parent := (i - 1) / arity
		if h[parent].at <= at {
			break
		}
		h[i] = h[parent]
		i = parent
	}
	h[i] = timer{at, key}
	q.heap = h
}

// pop takes the earliest entry.
func (q *timers) pop() timer {
	h := q.heap
	top := h[0]
	last := h[len(h)-1]
	h = h[:len(h)-1]
	q.heap = h
	if len(h) > 0 {
		q.sift(0, last)
	}
	return top
}

// replace gives the earliest entry a later instant.
func (q *timers) replace(at int64) { q.sift(0, timer{at, q.heap[0].key}) }

// clean drops the entries that do not count.
func (q *timers) clean(counts func(timer) bool) {
	q.heap = slices.DeleteFunc(q.heap, func(t timer) bool { return !counts(t) })
	for i := (len(q.heap) - 2) / arity; i >= 0 && len(q.heap) > 1; i-- {
		q.sift(i, q.heap[i])
	}
}

// arity of the heap: four children share a cache line.
const arity = 4

// sift puts t where it belongs at or below i.
func (q *timers) sift(i int, t timer) {
	h := q.heap
	for {
		least := arity*i + 1
		if least >= len(h) {
			break
		}
		for c := least + 1; c < min(least+arity, len(h)); c++ {
			if h[c].at < h[least].at {
				least = c
			}
		}
		if h[least].at >= t.at {
			break
		}
		h[i] = h[least]
		i = least
	}
	h[i] = t
}
