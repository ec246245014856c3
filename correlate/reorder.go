package correlate

import (
	"cmp"
	"slices"

	"corral/event"
	"corral/rules"
)

// pushed is an event in the reorder buffer with the rules it met.
type pushed struct {
	ev  *event.Event
	ms  []rules.Match
	seq uint64 // order of arrival, for events that compare equal
}

func (a pushed) before(b pushed) bool {
	if c := event.Compare(a.ev, b.ev); c != 0 {
		return c < 0
	}
	return a.seq < b.seq
}

// reorder puts events in order. Input is mostly sorted, or a few sorted streams
// mixed, so it keeps ascending runs: an event goes to a run it extends, or
// starts one. runs[0] has the earliest head (a heap by head).
type reorder struct {
	runs []*run
	last *run // that took the latest event
	n    int
	seq  uint64
	free []*run
	most int // runs: see maxRuns
}

type run struct {
	items []pushed
	head  int
}

func (r *run) first() pushed { return r.items[r.head] }
func (r *run) tail() pushed  { return r.items[len(r.items)-1] }

// maxRuns bounds the search for a run that fits; beyond it events are put in
// their place inside the best one. Each partition is a sorted stream of its own,
// so there may be one run more for each: two thousand files read at once would
// else be inserted event by event.
const maxRuns = 64

func (b *reorder) push(p pushed) {
	b.seq++
	p.seq = b.seq
	b.n++
	if b.last != nil && b.last.tail().before(p) {
		b.last.items = append(b.last.items, p)
		return
	}
	b.most = max(b.most, maxRuns+int(p.ev.Pos.Partition))
	r := b.fitting(p)
	if r == nil && len(b.runs) < b.most {
		b.start(p)
		return
	}
	if r == nil {
		b.insert(p)
		return
	}
	r.items = append(r.items, p)
	b.last = r
}

// fitting is the run with the latest tail that p may follow, nil if none.
func (b *reorder) fitting(p pushed) *run {
	var best *run
	for _, r := range b.runs {
		if r.tail().before(p) && (best == nil || best.tail().before(r.tail())) {
			best = r
		}
	}
	return best
}

func (b *reorder) start(p pushed) {
	var r *run
	if k := len(b.free); k > 0 {
		r, b.free = b.free[k-1], b.free[:k-1]
	} else {
		r = new(run)
	}
	r.items = append(r.items, p)
	b.runs = append(b.runs, r)
	b.last = r
	for i := len(b.runs) - 1; i > 0; {
		parent := (i - 1) / 2
		if !b.runs[i].first().before(b.runs[parent].first()) {
			break
		}
		b.runs[i], b.runs[parent] = b.runs[parent], b.runs[i]
		i = parent
	}
}

// insert puts p in its place in the run with the earliest tail: all tails are
// later than p, so that is the shortest way to move.
func (b *reorder) insert(p pushed) {
	r := b.runs[0]
	for _, x := range b.runs[1:] {
		if x.tail().before(r.tail()) {
			r = x
		}
	}
	i := len(r.items)
	r.items = append(r.items, p)
	for ; i > r.head && p.before(r.items[i-1]); i-- {
		r.items[i] = r.items[i-1]
	}
	r.items[i] = p
	b.heapify()
}

func (b *reorder) heapify() {
	for i := len(b.runs)/2 - 1; i >= 0; i-- {
		b.down(i)
	}
}

func (b *reorder) down(i int) {
	for {
		c := 2*i + 1
		if c >= len(b.runs) {
			return
		}
		if c+1 < len(b.runs) && b.runs[c+1].first().before(b.runs[c].first()) {
			c++
		}
		if !b.runs[c].first().before(b.runs[i].first()) {
			return
		}
		b.runs[i], b.runs[c] = b.runs[c], b.runs[i]
		i = c
	}
}

// next is the time of the earliest event, or never.
func (b *reorder) next() int64 {
	if b.n == 0 {
		return never
	}
	return b.runs[0].first().ev.Time
}

// pop takes the earliest event; there must be one.
func (b *reorder) pop() pushed {
	r := b.runs[0]
	p := r.items[r.head]
	r.items[r.head] = pushed{}
	r.head++
	b.n--
	if r.head == len(r.items) {
		b.drop(r)
	} else if r.head >= 1024 && 2*r.head >= len(r.items) {
		k := copy(r.items, r.items[r.head:])
		clear(r.items[k:])
		r.items, r.head = r.items[:k], 0
	}
	b.down(0)
	return p
}

// drop removes the emptied first run.
func (b *reorder) drop(r *run) {
	k := len(b.runs) - 1
	b.runs[0] = b.runs[k]
	b.runs[k] = nil
	b.runs = b.runs[:k]
	r.items, r.head = r.items[:0], 0
	if b.last == r {
		b.last = nil
	}
	b.free = append(b.free, r)
}

// all is what is held, in order.
func (b *reorder) all() []pushed {
	var ps []pushed
	for _, r := range b.runs {
		ps = append(ps, r.items[r.head:]...)
	}
	slices.SortFunc(ps, comparePushed)
	return ps
}

func comparePushed(a, b pushed) int {
	if c := event.Compare(a.ev, b.ev); c != 0 {
		return c
	}
	return cmp.Compare(a.seq, b.seq)
}
