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

// ready takes what need not wait any more.
func (h *holdback) ready() []*correlate.Transition {
	n := 0
	for n < len(h.queue) && !h.queue[n].wait {
		n++
	}
	if n == 0 {
		return nil
	}
	out := make([]*correlate.Transition, n)
	for i, e := range h.queue[:n] {
		out[i] = e.t
	}
	clear(h.queue[:n])
	h.queue = h.queue[n:]
	return out
}

// end marks what is still open; nothing waits any more.
func (h *holdback) end() {
	for _, e := range h.last {
		e.t.TruncatedEnd, e.wait = true, false
	}
	h.last = nil
}
