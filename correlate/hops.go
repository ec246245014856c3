package correlate

import (
	"slices"
	"strings"
	"time"

	"corral/event"
	"corral/rules"
)

// hops makes of the events of traces, in order, what rules with `from: hops`
// read, and learns what is usual: how long it takes from one statement to the
// next, and which one follows. A statement is a service and its logger. What was
// learned has no age: it is the last so many times, whenever that was.
type hops struct {
	matcher *rules.Matcher // nil: no rule reads hops
	matches []rules.Match
	traces  map[string]*event.Event // the last event of each
	order   fifo[idAt]              // traces by the time of that; entries may be out of date
	known   map[statement]*departures
	clock   uint64 // counts events: departures.used
}

// What is remembered.
const (
	hopReach      = int64(time.Minute) // longest gap of a hop
	maxTraces     = 100_000
	maxStatements = 10_000
	maxDepartures = 500 // of a statement
	maxGaps       = 200 // of a hop
	gapRun        = 20  // gaps of which one 0.9 quantile is taken
	shareRun      = 20  // departures of which one share is taken
	someRuns      = 3   // from which on the median over runs counts
)

type statement struct{ service, logger string }

func (s statement) String() string { return s.service + "/" + s.logger }

func statementOf(ev *event.Event) statement { return statement{ev.Service, ev.Logger} }

// departures are the last times that something followed a statement.
type departures struct {
	name  statement
	used  uint64
	next  map[statement]*arrival
	list  []*arrival     // the same, in the order in which they came up
	ring  fifo[*arrival] // by departure, at most maxDepartures
	usual *arrival       // followed most often; of several the one that did so first
	inRun int            // departures in the run that is not full
	runs  int            // full ones, at most maxDepartures/shareRun
}

// arrival is a statement that followed another.
type arrival struct {
	to     statement
	step   string
	n      int           // times in the ring
	gaps   fifo[float64] // the last ones, milliseconds
	sorted []float64     // the same
	// What is usually slow is the median over the last runs of their quantiles: a
	// fault spoils the runs it lasts for, and does not become what is usual.
	run  []float64     // gaps of the run that is not full
	runs fifo[float64] // 0.9 quantiles of those that were
	// … and how often it follows, the median over the last runs of departures.
	inRun  int // times in the run that is not full
	shares fifo[float64]
	share  float64
}

// rewire takes the rules of a set; without one that reads hops nothing is kept.
func (h *hops) rewire(set *rules.Set) {
	if !set.ReadsHops() {
		*h = hops{}
		return
	}
	h.matcher = set.Matcher()
	if h.traces == nil {
		h.traces, h.known = make(map[string]*event.Event), make(map[statement]*departures)
	}
}

// hop takes the next event of a trace, and gives the rules over hops theirs.
func (e *Engine) hop(ev *event.Event) {
	for _, hop := range e.hops.read(ev) {
		h := &e.hops
		h.matches = h.matcher.Match(hop, h.matches[:0])
		kept := e.copy(h.matches)
		for i := range kept {
			r := e.rules[kept[i].Rule.Index]
			r.inbox = append(r.inbox, work{hop, &kept[i]})
		}
	}
}

// read returns the hop to ev as each of its services sees it. A line that was
// recorded twice is one.
func (h *hops) read(ev *event.Event) []*event.Event {
	h.expire(ev.Time)
	prev := h.traces[ev.TraceID]
	if prev != nil && prev.Time == ev.Time && prev.Raw == ev.Raw && prev.Service == ev.Service {
		return nil
	}
	h.traces[ev.TraceID] = ev
	h.order.push(idAt{ev.TraceID, ev.Time})
	if prev == nil {
		return nil
	}
	gap := float64(ev.Time-prev.Time) / float64(time.Millisecond)
	from := h.departures(statementOf(prev))
	to := from.arrival(statementOf(ev))
	out := from.hop(to, prev, ev, gap)
	from.learn(to, gap)
	if to.run = append(to.run, gap); len(to.run) == gapRun {
		to.endRun()
	}
	return out
}

// expire forgets traces whose last event is too old to be hopped from.
func (h *hops) expire(now int64) {
	for h.order.n > 0 {
		x := h.order.front()
		if plus(x.at, hopReach) >= now && len(h.traces) <= maxTraces {
			return
		}
		if last := h.traces[x.id]; last != nil && last.Time == x.at {
			delete(h.traces, x.id)
		}
		h.order.pop()
	}
}

// departures of a statement; of too many the ones used longest ago are forgotten.
func (h *hops) departures(s statement) *departures {
	h.clock++
	d := h.known[s]
	if d == nil {
		if len(h.known) >= maxStatements {
			h.shed()
		}
		s = statement{strings.Clone(s.service), strings.Clone(s.logger)}
		d = &departures{name: s, next: make(map[statement]*arrival)}
		h.known[s] = d
	}
	d.used = h.clock
	return d
}

func (h *hops) shed() {
	all := h.byUse()
	for _, d := range all[:len(all)/8+1] {
		delete(h.known, d.name)
	}
}

// byUse lists what is known, what was used longest ago first.
func (h *hops) byUse() []*departures {
	all := make([]*departures, 0, len(h.known))
	for _, d := range h.known {
		all = append(all, d)
	}
	slices.SortFunc(all, func(a, b *departures) int { return int(int64(a.used - b.used)) })
	return all
}

func (d *departures) arrival(s statement) *arrival {
	a := d.next[s]
	if a == nil {
		s = statement{strings.Clone(s.service), strings.Clone(s.logger)}
		a = &arrival{to: s, step: d.name.String() + " > " + s.String()}
		for range d.runs {
			a.shares.push(0)
		}
		d.next[s] = a
		d.list = append(d.list, a)
	}
	return a
}

// hop is the step from prev to ev with what is known of such steps so far, told
// of the service of ev, and of that of prev if it is another.
func (d *departures) hop(a *arrival, prev, ev *event.Event, gap float64) []*event.Event {
	hop := event.Hop{
		Side: "to", Step: a.step, FromService: prev.Service, FromLogger: prev.Logger, GapMS: gap,
		Seen: a.gaps.n, Known: d.ring.n,
	}
	if a.gaps.n > 0 {
		hop.P50MS, hop.P90MS = interpolate(a.sorted, 0.5), a.p90()
	}
	if d.usual != nil {
		hop.Share, hop.UsualShare = d.share(a), d.share(d.usual)
		hop.UsualService, hop.UsualLogger = d.usual.to.service, d.usual.to.logger
	}
	to := *ev
	to.Hop = &hop
	if prev.Service == ev.Service {
		return []*event.Event{&to}
	}
	hop.Peer = prev.Service
	from, other := *ev, hop
	other.Side, other.Peer = "from", ev.Service
	from.Hop = &other
	from.Service, from.Instance, from.Host = prev.Service, prev.Instance, prev.Host
	return []*event.Event{&to, &from}
}

// learn notes a step.
func (d *departures) learn(a *arrival, gap float64) {
	d.ring.push(a)
	a.n++
	a.note(gap)
	if d.usual == nil || d.runs < someRuns && a.n > d.usual.n {
		d.usual = a
	}
	a.inRun++
	if d.inRun++; d.inRun == shareRun {
		d.endRun()
	}
	if d.ring.n > maxDepartures {
		d.forget(d.ring.pop())
	}
}

// share is the part of the departures that an arrival usually has.
func (d *departures) share(a *arrival) float64 {
	if d.runs < someRuns {
		return float64(a.n) / float64(d.ring.n)
	}
	return a.share
}

// endRun takes the shares of a full run, and finds out what is usual now.
func (d *departures) endRun() {
	d.inRun = 0
	d.runs = min(d.runs+1, maxDepartures/shareRun)
	for _, a := range d.list {
		a.shares.push(float64(a.inRun) / shareRun)
		a.inRun = 0
		if a.shares.n > d.runs {
			a.shares.pop()
		}
		a.share = median(&a.shares)
	}
	if d.runs < someRuns {
		return
	}
	for _, a := range d.list {
		if a.share > d.usual.share {
			d.usual = a
		}
	}
}

// median of what is not empty; of two in the middle the lower one.
func median(q *fifo[float64]) float64 {
	all := make([]float64, q.n)
	for i := range all {
		all[i] = *q.at(i)
	}
	slices.Sort(all)
	return all[(len(all)-1)/2]
}

// forget takes the oldest departure out.
func (d *departures) forget(a *arrival) {
	a.n--
	if a.gaps.n > a.n {
		a.drop()
	}
	if a.n == 0 {
		delete(d.next, a.to)
		d.list = slices.DeleteFunc(d.list, func(x *arrival) bool { return x == a })
	}
	if a == d.usual && (a.n == 0 || d.runs < someRuns) {
		for _, x := range d.list {
			if x.n > d.usual.n {
				d.usual = x
			}
		}
	}
}

// note remembers a gap.
func (a *arrival) note(gap float64) {
	if a.gaps.n == maxGaps {
		a.drop()
	}
	a.gaps.push(gap)
	i, _ := slices.BinarySearch(a.sorted, gap)
	a.sorted = slices.Insert(a.sorted, i, gap)
}

// p90 is what nine of ten gaps usually stay below.
func (a *arrival) p90() float64 {
	if a.runs.n == 0 {
		return interpolate(a.sorted, 0.9)
	}
	return median(&a.runs)
}

// endRun takes the quantile of a full run.
func (a *arrival) endRun() {
	slices.Sort(a.run)
	if a.runs.n == maxGaps/gapRun {
		a.runs.pop()
	}
	a.runs.push(interpolate(a.run, 0.9))
	a.run = a.run[:0]
}

func (a *arrival) drop() {
	i, _ := slices.BinarySearch(a.sorted, a.gaps.pop())
	a.sorted = slices.Delete(a.sorted, i, i+1)
}

func (h *hops) encode(e *encoder) {
	e.uint(h.clock)
	h.encodeTraces(e)
	all := h.byUse()
	e.len(len(all))
	for _, d := range all {
		d.encode(e)
	}
}

func (h *hops) encodeTraces(e *encoder) {
	var last []*event.Event
	for i := range h.order.n {
		x := h.order.at(i)
		if ev := h.traces[x.id]; ev != nil && ev.Time == x.at {
			last = append(last, ev)
		}
	}
	e.eventList(last)
}

func (h *hops) decode(d *decoder) {
	h.clock = d.uint()
	h.traces, h.known = make(map[string]*event.Event), make(map[statement]*departures)
	for _, ev := range d.eventList() {
		if ev == nil {
			return
		}
		h.traces[ev.TraceID] = ev
		h.order.push(idAt{ev.TraceID, ev.Time})
	}
	for range d.len() {
		x := &departures{next: make(map[statement]*arrival)}
		x.decode(d)
		if d.err != nil {
			return
		}
		h.known[x.name] = x
	}
}

func (d *departures) encode(e *encoder) {
	e.str(d.name.service)
	e.str(d.name.logger)
	e.uint(d.used)
	e.len(len(d.list))
	number := make(map[*arrival]uint64, len(d.list))
	for i, a := range d.list {
		number[a] = uint64(i)
		e.str(a.to.service)
		e.str(a.to.logger)
		e.gaps(&a.gaps)
		e.len(len(a.run))
		for _, gap := range a.run {
			e.float(gap)
		}
		e.gaps(&a.runs)
		e.len(a.inRun)
		e.gaps(&a.shares)
	}
	e.len(d.inRun)
	e.len(d.runs)
	e.len(d.ring.n)
	for i := range d.ring.n {
		e.uint(number[*d.ring.at(i)])
	}
	e.uint(number[d.usual])
}

func (d *departures) decode(dec *decoder) {
	d.name = statement{dec.str(), dec.str()}
	d.used = dec.uint()
	for range dec.len() {
		a := d.arrival(statement{dec.str(), dec.str()})
		for _, gap := range dec.gaps(maxGaps) {
			a.note(gap)
		}
		a.run = dec.gaps(gapRun - 1)
		for _, gap := range dec.gaps(maxGaps / gapRun) {
			a.runs.push(gap)
		}
		a.inRun = int(dec.uint())
		for _, share := range dec.gaps(maxDepartures / shareRun) {
			a.shares.push(share)
		}
		if a.shares.n > 0 {
			a.share = median(&a.shares)
		}
	}
	d.inRun, d.runs = int(dec.uint()), int(dec.uint())
	for range dec.len() {
		a := d.numbered(dec)
		if dec.err != nil {
			return
		}
		d.ring.push(a)
		a.n++
	}
	d.usual = d.numbered(dec)
	whole := d.inRun >= 0 && d.inRun < shareRun && d.runs <= maxDepartures/shareRun && d.ring.n > 0 && d.ring.n <= maxDepartures
	if !whole || slices.ContainsFunc(d.list, func(a *arrival) bool {
		return a.gaps.n > a.n || a.n == 0 || a.inRun < 0 || a.inRun > d.inRun || a.shares.n != d.runs
	}) {
		dec.fail()
	}
}

// gaps reads at most so many lengths.
func (d *decoder) gaps(limit int) []float64 {
	n := d.len()
	if n > limit {
		d.fail()
		return nil
	}
	list := make([]float64, 0, n)
	for range n {
		x := d.float()
		if !(x >= 0) { // NaN has no place in an order
			d.fail()
		}
		list = append(list, x)
	}
	return list
}

func (e *encoder) gaps(q *fifo[float64]) {
	e.len(q.n)
	for i := range q.n {
		e.float(*q.at(i))
	}
}

// numbered reads an arrival by its place in the list.
func (d *departures) numbered(dec *decoder) *arrival {
	i := dec.uint()
	if i >= uint64(len(d.list)) {
		dec.fail()
		return nil
	}
	return d.list[i]
}
