package correlate

import (
	"math"
	"strconv"
	"strings"

	"corral/event"
	"corral/rules"
)

// counter holds the machines of a rule whose condition is `count() >= k` over a
// sliding window: for each key the times of the events in the window, in a ring.
// Before the rule fires that are fewer than k; there are no pointers unless
// events are kept for evidence.
type counter struct {
	rule  *rules.Rule
	k     int
	width int64
	keys  []counted        // by key number
	rings ringSlab         // times
	kept  [][]*event.Event // by key number: the newest of the window, if evidence is wanted
	aged  map[uint32]*aged // by key number: what a window holds beyond exact
	exact int
	view  counterKey // the machine handed out by at
}

// counted is the state of one key.
type counted struct{ ring ring }

// maxKept bounds the events kept for the evidence of an episode that has not
// begun.
const maxKept = 64

// countsOnly reports whether r is a rule for a counter, and its k.
func countsOnly(r *rules.Rule) (k int, ok bool) {
	t := r.Threshold
	if t == nil || t.Window != rules.Sliding || t.Clear != nil {
		return 0, false
	}
	for _, a := range r.Aggs {
		if a.Part >= 0 || (a.Fn != rules.Count && a.Fn != rules.Rate) {
			return 0, false
		}
	}
	return atLeast(t.Condition.Text())
}

// atLeast reads `count() >= k` and `count() > k`.
func atLeast(cond string) (int, bool) {
	s, ok := strings.CutPrefix(strings.Join(strings.Fields(cond), ""), "count()>")
	if !ok {
		return 0, false
	}
	s, orEqual := strings.CutPrefix(s, "=")
	k, err := strconv.Atoi(s)
	if !orEqual {
		k++
	}
	return k, err == nil && k > 0
}

func newCounter(r *rules.Rule, k int) *counter {
	n := &counter{rule: r, k: k, width: int64(r.Threshold.Size), aged: map[uint32]*aged{}, exact: max(exactEvents, 4*k)}
	n.view.counter = n
	return n
}

func (n *counter) at(k uint32) machine {
	n.view.key = k
	return &n.view
}

func (n *counter) make(k uint32) {
	if int(k) == len(n.keys) {
		n.keys = append(room(n.keys), counted{})
		if n.rule.Evidence > 0 {
			n.kept = append(room(n.kept), nil)
		}
	}
	n.keys[k] = counted{}
}

func (n *counter) free(k uint32) {
	n.rings.free(&n.keys[k].ring)
	delete(n.aged, k)
	n.keys[k] = counted{}
	if n.kept != nil {
		n.kept[k] = nil
	}
}

// latest is the time of the newest event of key k in the window.
func (n *counter) latest(k uint32) int64 {
	if r := n.keys[k].ring; r.n > 0 {
		return n.rings.get(r, int(r.n)-1)
	}
	return math.MinInt64
}

// counterKey is one key of a counter as a machine.
type counterKey struct {
	*counter
	key uint32
}

func (m *counterKey) state() *counted { return &m.keys[m.key] }

func (m *counterKey) event(c *call, in *input) {
	if !in.selected {
		return
	}
	s := m.state()
	m.expire(c)
	m.rings.push(&s.ring, c.now)
	if int(s.ring.n) > m.exact {
		m.age(s)
	}
	m.retain(s, in.ev)
	if m.count() >= m.k {
		s.ring.hold = true
		c.hold()
	}
}

// count is the number of events in the window.
func (m *counterKey) count() int {
	n := int(m.state().ring.n)
	if len(m.aged) > 0 {
		if a := m.aged[m.key]; a != nil {
			n += a.total
		}
	}
	return n
}

// age puts the older half of the events into groups.
func (m *counterKey) age(s *counted) {
	a := m.aged[m.key]
	if a == nil {
		a = &aged{size: 1}
		m.aged[m.key] = a
	}
	for int(s.ring.n) > m.exact/2 {
		a.add(m.rings.get(s.ring, 0))
		m.rings.shift(&s.ring)
	}
}

// first is the time of the oldest event in the window.
func (m *counterKey) first() int64 {
	if a := m.aged[m.key]; a != nil {
		return a.groups.front().at
	}
	return m.rings.get(m.state().ring, 0)
}

// expire drops what has left the window.
func (m *counterKey) expire(c *call) {
	s := m.state()
	if len(m.aged) > 0 {
		if a := m.aged[m.key]; a != nil {
			if a.leave(c, m.width); a.total == 0 {
				delete(m.aged, m.key)
			}
		}
	}
	for s.ring.n > 0 && c.leaves(m.rings.get(s.ring, 0), m.width) {
		m.rings.shift(&s.ring)
	}
}

// retain keeps the newest events of the window for the evidence of an episode
// that has not begun.
func (m *counterKey) retain(s *counted, ev *event.Event) {
	if m.kept != nil {
		m.kept[m.key] = append(trim(m.kept[m.key], min(int(s.ring.n), maxKept)-1), ev)
	}
}

// trim drops all but the last n.
func trim(evs []*event.Event, n int) []*event.Event {
	if excess := len(evs) - n; excess > 0 {
		clear(evs[:excess])
		return evs[excess:]
	}
	return evs
}

func (m *counterKey) timer(c *call) {
	s := m.state()
	m.expire(c)
	switch {
	case s.ring.hold && m.count() < m.k:
		s.ring.hold = false
		c.release(c.now)
	case s.ring.hold:
		c.hold()
	}
}

// next is when the count falls below k while the condition holds, or at all if
// the severity may depend on that, else when the window is empty.
func (m *counterKey) next() int64 {
	s := m.state()
	switch n := int(s.ring.n); {
	case n == 0:
		return never
	case s.ring.hold && (len(m.rule.Severity) > 1 || n < m.k):
		return plus(m.first(), m.width)
	case s.ring.hold:
		return plus(m.rings.get(s.ring, n-m.k), m.width)
	default:
		return plus(m.rings.get(s.ring, n-1), m.width)
	}
}

func (m *counterKey) content(c *call) firing {
	s := m.state()
	f := firing{start: m.first(), count: m.count()}
	if m.kept != nil {
		m.kept[m.key] = trim(m.kept[m.key], int(s.ring.n))
		f.events = m.kept[m.key]
	}
	return f
}

func (m *counterKey) aggs(c *call, out []event.Value) {
	m.expire(c)
	n := m.count()
	for i, a := range m.rule.Aggs {
		if a.Fn == rules.Rate {
			out[i] = rateOf(n, m.width)
			continue
		}
		out[i] = event.Value{Kind: event.Int, Int: int64(n)}
	}
}

// rateOf is n events per second of a span of d nanoseconds.
func rateOf(n int, d int64) event.Value {
	if d <= 0 {
		return event.Value{}
	}
	return event.Value{Kind: event.Float, Float: float64(n) / (float64(d) / 1e9)}
}

func (m *counterKey) idle() bool { return m.state().ring.n == 0 }

func (m *counterKey) reset(*call) {
	m.free(m.key)
}

// rejudge evaluates a condition that was changed.
func (m *counterKey) rejudge(c *call) {
	s := m.state()
	m.expire(c)
	switch holds := m.count() >= m.k; {
	case holds:
		s.ring.hold = true
		c.hold()
	case s.ring.hold:
		s.ring.hold = false
		c.release(c.now)
	}
}

func (m *counterKey) encode(e *encoder) {
	s := m.state()
	e.bool(s.ring.hold)
	e.len(int(s.ring.n))
	before := int64(0)
	for i := range int(s.ring.n) {
		t := m.rings.get(s.ring, i)
		e.int(t - before)
		before = t
	}
	a := m.aged[m.key]
	e.bool(a != nil)
	if a != nil {
		a.encode(e)
	}
	if m.kept == nil {
		e.eventList(nil)
		return
	}
	e.eventList(trim(m.kept[m.key], int(s.ring.n)))
}

func (m *counterKey) decode(d *decoder) {
	s := m.state()
	s.ring.hold = d.bool()
	t := int64(0)
	for range d.len() {
		t += d.int()
		m.rings.push(&s.ring, t)
	}
	if d.bool() {
		a := new(aged)
		if a.decode(d); a.groups.n == 0 || a.size < 1 {
			d.fail()
			return
		}
		m.aged[m.key] = a
	}
	if kept := d.eventList(); m.kept != nil {
		m.kept[m.key] = kept
	}
}

// size is what the counter takes.
func (n *counter) size() int {
	size := n.rings.size()
	for _, evs := range n.kept {
		size += 24 + eventSize*len(evs)
	}
	for _, a := range n.aged {
		size += 16 * len(a.groups.buf)
	}
	return size
}

// note says so where the count is not exact.
func (m *counterKey) note(vars map[string]string) {
	if a := m.aged[m.key]; a != nil && a.size > 1 {
		vars["count() error"] = strconv.Itoa(a.size)
	}
}
