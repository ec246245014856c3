package correlate

// What a snapshot has of one rule: its keys, their machines and episodes, the
// history of its fingerprints, its storm and its counts.

import (
	"fmt"
	"maps"
	"slices"

	"github.com/axiomhq/hyperloglog"

	"corral/event"
	"corral/rules"
)

// shape names the rules that can go on with each other's state: those of one
// SelectHash and, among temporal rules, of one machine.
func shape(r *rules.Rule) string {
	closes := r.Temporal != nil && r.Temporal.AtClose
	return fmt.Sprint(r.SelectHash, " ", closes)
}

// encode writes the state of the rule.
func (r *ruleState) encode(e *encoder) {
	e.uint(r.clock)
	r.stats.encode(e)
	r.past.encode(e)
	order := r.keys.live() // of any order: sorting many keys takes longer than the rest
	e.len(len(order))
	for _, k := range order {
		e.str(r.keys.name(k))
		e.uint(r.keys.entries[k].touched)
		if r.counter == nil {
			t := r.boxes[k].tally
			e.uint(t.seen)
			e.uint(t.before)
			e.int(t.at)
		}
		r.machine(k).encode(e)
		ep := r.episode(k)
		e.bool(ep != nil)
		if ep != nil {
			ep.encode(e)
		}
	}
	e.bool(r.storm != nil)
	if r.storm != nil {
		r.storm.encode(e)
	}
}

// decode reads the state of the rule, written by l, into an empty one.
func (r *ruleState) decode(d *decoder, l layout) {
	r.clock = d.uint()
	r.stats.decode(d)
	r.past.decode(d)
	if r.counter == nil {
		if w, ok := r.make().(windowed); ok { // they share their plan
			w.setup().read(l)
			defer w.setup().read(layoutOf(r.rule))
		}
	}
	for range d.len() {
		r.decodeKey(d, l)
		if d.err != nil {
			return
		}
	}
	if d.bool() {
		r.storm = new(storm)
		r.storm.decode(d)
	}
}

func (r *ruleState) decodeKey(d *decoder, l layout) {
	name := d.str()
	hash := hashKey(name)
	if _, ok := r.keys.find(name, hash); ok || d.err != nil || len(name) > maxKey {
		d.fail()
		return
	}
	k := r.enter(name, hash)
	r.keys.entries[k].touched = d.uint()
	r.decodeMachine(d, k, l)
	if !d.bool() || d.err != nil {
		return
	}
	ep := &episode{key: k}
	ep.decode(d)
	r.keep(ep)
	if ep.open && !ep.collapsed {
		r.open++
	}
}

// decodeMachine reads the tally and the machine of a key.
func (r *ruleState) decodeMachine(d *decoder, k uint32, l layout) {
	var t tally
	if !l.counter {
		t = tally{seen: d.uint(), before: d.uint(), at: d.int()}
	}
	switch m := r.machine(k).(type) {
	case *counterKey:
		if l.counter {
			m.decode(d)
		} else {
			m.decodeWindow(d, l)
		}
		return
	case *sliding:
		if l.counter {
			m.decodeCounted(d, &t)
		} else {
			m.decode(d)
		}
	default:
		m.decode(d)
	}
	r.boxes[k].tally = t
}

// fields are the parts of an episode that are single values.
func (ep *episode) fields() (flags []*bool, ints []*int64, counts []*int, texts []*string) {
	flags = []*bool{&ep.open, &ep.holding, &ep.collapsed, &ep.flapping, &ep.flapStart}
	ints = []*int64{
		&ep.began, &ep.startedAt, &ep.anchor, &ep.openedAt, &ep.due, &ep.lastTrue, &ep.lastEvent, &ep.changedAt, &ep.keep,
	}
	counts = []*int{&ep.count, &ep.firings, &ep.relapses, &ep.rev, &ep.recurrence, &ep.depth, &ep.evidence.limit, &ep.evidence.at}
	texts = []*string{&ep.id, &ep.fingerprint, &ep.previousID, &ep.rotatedFrom, &ep.endCause, &ep.cause, &ep.title, &ep.summary}
	return flags, ints, counts, texts
}

func (ep *episode) encode(e *encoder) {
	flags, ints, counts, texts := ep.fields()
	for _, v := range flags {
		e.bool(*v)
	}
	for _, v := range ints {
		e.int(*v)
	}
	for _, v := range counts {
		e.int(int64(*v))
	}
	for _, v := range texts {
		e.str(*v)
	}
	e.uint(uint64(ep.severity))
	e.uint(uint64(ep.severityNow))
	e.uint(ep.firstSeq)
	e.uint(ep.lastSeq)
	e.eventList(ep.evidence.first)
	e.eventList(ep.evidence.last)
	e.bool(ep.steps != nil)
	e.len(len(ep.steps))
	for _, s := range ep.steps {
		e.eventList(s)
	}
	e.event(ep.trigger)
	e.event(ep.clear)
	e.event(ep.last)
	e.len(len(ep.children.list))
	for _, c := range ep.children.list {
		e.str(c.id)
		e.str(c.rule)
		e.int(c.started)
		e.int(int64(c.episode))
	}
}

func (ep *episode) decode(d *decoder) {
	flags, ints, counts, texts := ep.fields()
	for _, v := range flags {
		*v = d.bool()
	}
	for _, v := range ints {
		*v = d.int()
	}
	for _, v := range counts {
		*v = int(d.int())
	}
	for _, v := range texts {
		*v = d.str()
	}
	ep.severity, ep.severityNow = rules.Severity(d.uint()), rules.Severity(d.uint())
	ep.firstSeq, ep.lastSeq = d.uint(), d.uint()
	ep.evidence.first, ep.evidence.last = d.eventList(), d.eventList()
	some := d.bool()
	if n := d.len(); some {
		ep.steps = make([][]*event.Event, n)
	}
	for i := range ep.steps {
		ep.steps[i] = d.eventList()
	}
	ep.trigger, ep.clear, ep.last = d.event(), d.event(), d.event()
	for range d.len() {
		ep.children.list = append(ep.children.list, child{d.str(), d.str(), d.int(), int(d.int())})
	}
	ring := len(ep.evidence.last)
	if ep.severity > rules.Critical || ep.severityNow > rules.Critical ||
		ep.evidence.at < 0 || (ep.evidence.at > 0 && ep.evidence.at >= ring) || len(ep.evidence.first)+ring > max(0, ep.evidence.limit) {
		d.fail()
	}
}

func (h *history) encode(e *encoder) {
	names := slices.Sorted(maps.Keys(h.past))
	e.len(len(names))
	for _, name := range names {
		p := h.past[name]
		e.str(name)
		e.str(p.id)
		e.int(p.anchor)
		e.int(int64(p.recurrence))
		e.bool(p.over)
		e.int(p.resolvedAt)
		e.bool(p.flapping)
		for _, t := range p.opens {
			e.int(t)
		}
	}
	e.len(len(h.ended))
	for _, x := range h.ended {
		e.str(x.key)
		e.int(x.at)
	}
}

func (h *history) decode(d *decoder) {
	for range d.len() {
		p := h.get(d.str())
		p.id, p.anchor, p.recurrence = d.str(), d.int(), int(d.int())
		p.over, p.resolvedAt, p.flapping = d.bool(), d.int(), d.bool()
		for i := range p.opens {
			p.opens[i] = d.int()
		}
	}
	for range d.len() {
		h.ended = append(h.ended, ended{d.str(), d.int()})
	}
}

func (s *storm) encode(e *encoder) {
	s.ep.encode(e)
	e.int(int64(s.live))
	e.int(s.until)
	e.bool(s.seen.sketch != nil)
	if s.seen.sketch != nil {
		b, err := s.seen.sketch.MarshalBinary()
		if err != nil {
			panic(err) // it never fails
		}
		e.str(string(b))
	} else {
		hashes := sortedHashes(s.seen.exact)
		e.len(len(hashes))
		for _, h := range hashes {
			e.uint(h)
		}
	}
	s.top.encode(e)
}

func (s *storm) decode(d *decoder) {
	s.ep.decode(d)
	s.live, s.until = int(d.int()), d.int()
	if d.bool() {
		s.seen.sketch = hyperloglog.New14()
		if err := unmarshalSketch(s.seen.sketch, d.bytes()); err != nil {
			d.fail()
		}
	} else {
		for range d.len() {
			s.seen.add(d.uint())
		}
	}
	s.top.decode(d)
}

// unmarshalSketch keeps a damaged sketch from ending the process.
func unmarshalSketch(s *hyperloglog.Sketch, b []byte) (err error) {
	defer func() {
		if recover() != nil {
			err = errCorrupt
		}
	}()
	return s.UnmarshalBinary(b)
}

// counts are the numbers of s that go on over a restart.
func (s *RuleStats) counts() []*uint64 {
	return []*uint64{
		&s.Matched, &s.Fired, &s.Opened, &s.Resolved, &s.PendingDropped, &s.Suppressed, &s.Inactive,
		&s.Evicted, &s.Refused, &s.Oversize, &s.Errors,
	}
}

func (s *RuleStats) encode(e *encoder) {
	for _, n := range s.counts() {
		e.uint(*n)
	}
}

func (s *RuleStats) decode(d *decoder) {
	for _, n := range s.counts() {
		*n = d.uint()
	}
}
