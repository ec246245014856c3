package pipeline

import "corral/correlate"

// holdback keeps transitions in order until each is known not to be the last
// word on an incident that is open when the input ends: that one must say
// truncated_end, and a batch run invents neither a revision nor a resolve.
type holdback struct {
	queue []*held
	last  map[string]*held // by incident, while open
}

type held struct {
	t    *correlate.Transition
	wait bool
}

func (h *holdback) add(t *correlate.Transition) {
	if h.last == nil {
		h.last = map[string]*held{}
	}
	e := &held{t: t, wait: t.State == "open"}
	if before := h.last[t.IncidentID]; before != nil {
		before.wait = false
		delete(h.last, t.IncidentID)
	}
	if e.wait {
		h.last[t.IncidentID] = e
	}
	h.queue = append(h.queue, e)
}

// ready is what need not wait any more. It stays until written.
func (h *holdback) ready() []*correlate.Transition {
	n := h.waiting()
	if n == 0 {
		return nil
	}
	out := make([]*correlate.Transition, n)
	for i, e := range h.queue[:n] {
		out[i] = e.t
	}
	return out
}

// waiting is the number of the first that has to wait.
func (h *holdback) waiting() int {
	n := 0
	for n < len(h.queue) && !h.queue[n].wait {
		n++
	}
	return n
}

// written drops what was ready.
func (h *holdback) written() {
	n := h.waiting()
	clear(h.queue[:n])
	h.queue = h.queue[n:]
}

// end marks what is still open; nothing waits any more.
func (h *holdback) end() {
	for _, e := range h.last {
		e.t.TruncatedEnd, e.wait = true, false
	}
	h.last = nil
}
