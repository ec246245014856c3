package correlate

// aged are the older events of a window that holds very many, in groups: a group
// leaves when its last event does. Groups grow with their number, so that a
// window takes bounded memory and its count is off by one group at most, one in
// some thirty thousand.
type aged struct {
	groups fifo[group]
	size   int // events of a new group
	total  int
}

type group struct {
	at int64 // of its last event
	n  int
}

// maxGroups bounds the groups of a window; exactEvents is how many of its newest
// events a counter knows one by one, if its condition does not ask for more.
const (
	maxGroups   = 1 << 16
	exactEvents = 1 << 16
)

// add takes in the next event, not older than any.
func (a *aged) add(t int64) {
	a.total++
	if a.groups.n > 0 && a.groups.back().n < a.size {
		*a.groups.back() = group{t, a.groups.back().n + 1}
		return
	}
	if a.groups.n == maxGroups {
		a.merge()
	}
	a.groups.push(group{t, 1})
}

// merge makes one group of each two.
func (a *aged) merge() {
	var merged fifo[group]
	for i := 0; i+1 < a.groups.n; i += 2 {
		merged.push(group{a.groups.at(i + 1).at, a.groups.at(i).n + a.groups.at(i+1).n})
	}
	a.groups = merged
	a.size *= 2
}

// leave drops the groups that have left a window of length w.
func (a *aged) leave(c *call, w int64) {
	for a.groups.n > 0 && c.leaves(a.groups.front().at, w) {
		a.total -= a.groups.pop().n
	}
}

func (a *aged) encode(e *encoder) {
	e.len(a.size)
	encodeFifo(e, &a.groups, func(g group) {
		e.int(g.at)
		e.len(g.n)
	})
}

func (a *aged) decode(d *decoder) {
	a.size = int(d.uint())
	decodeFifo(d, &a.groups, func() group {
		g := group{d.int(), int(d.uint())}
		a.total += g.n
		return g
	})
}
