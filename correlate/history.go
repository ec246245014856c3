package correlate

import "time"

// remembered is how long a fingerprint's past counts after its last incident.
const remembered = 30 * 24 * time.Hour

// history is what a rule remembers of the past episodes of its keys, by the text
// of the key. An entry stays until remembered after its last incident was
// resolved; beyond limit entries of ended episodes the stalest go first.
type history struct {
	limit int
	past  map[string]*past
	ended []ended // in order of time; entries that are out of date are skipped
}

type past struct {
	id         string // of the last incident
	anchor     int64  // that its id was made of
	recurrence int
	over       bool  // no episode goes on
	resolvedAt int64 // when the last one ended
	flapping   bool  // the latest was
	opens      [flapOpens]int64
}

type ended struct {
	key string
	at  int64
}

func (h *history) of(key []byte) *past { return h.past[string(key)] }

// get returns the past of a key, made if there is none.
func (h *history) get(key string) *past {
	p := h.past[key]
	if p == nil {
		if h.past == nil {
			h.past = make(map[string]*past)
		}
		p = &past{opens: [flapOpens]int64{never, never, never, never}}
		h.past[key] = p
	}
	return p
}

// opened notes that an episode of key opened at t, and reports whether that is
// too often.
func (h *history) opened(key string, t int64) (flapping bool) {
	h.expire(t)
	p := h.get(key)
	p.over = false
	copy(p.opens[:], p.opens[1:])
	p.opens[flapOpens-1] = t
	return p.opens[0] != never && t-p.opens[0] <= int64(flapWindow)
}

// flapped notes whether the episode of key is flapping, and reports whether the
// one before was.
func (h *history) flapped(key string, now bool) (before bool) {
	p := h.get(key)
	before, p.flapping = p.flapping, now
	return before
}

// resolved notes that the episode of key ended at t.
func (h *history) resolved(key string, t int64) {
	p := h.get(key)
	p.over, p.resolvedAt = true, t
	h.ended = append(h.ended, ended{key, t})
	h.expire(t)
	for h.limit > 0 && len(h.past) > h.limit && h.evict() {
	}
}

// expire drops what ended too long before t to matter.
func (h *history) expire(t int64) {
	n := 0
	for n < len(h.ended) && t-h.ended[n].at > int64(remembered) {
		h.forget(h.ended[n])
		n++
	}
	h.ended = h.ended[n:]
}

// evict drops the entry that ended longest ago, if any did.
func (h *history) evict() bool {
	for len(h.ended) > 0 {
		e := h.ended[0]
		h.ended = h.ended[1:]
		if h.forget(e) {
			return true
		}
	}
	return false
}

// forget drops an entry unless it has had an episode since.
func (h *history) forget(e ended) bool {
	p := h.past[e.key]
	if p == nil || !p.over || p.resolvedAt != e.at {
		return false
	}
	delete(h.past, e.key)
	return true
}
