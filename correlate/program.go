package correlate

import (
	"cmp"
	"math"
	"math/bits"
	"slices"
	"strings"
	"time"

	"corral/event"
	"corral/rules"
)

// program is a sequence rule made ready to run, shared by the machines of all its
// keys. Sets of steps are bit masks by step index.
type program struct {
	steps      []step
	first      uint64 // steps a match may begin with
	leading    uint64 // absent steps that a match's first event looks back on
	greedy     uint64
	until      uint64 // bit in Match.Parts; 0: none
	within     int64  // from the first event of a match to its last
	contiguity rules.Contiguity
	skip       rules.Skip
	timeouts   bool // an unfinished match is told
	timed      bool // something is decided at an instant without an event
	limit      int  // partial matches of a key

	// A partial match keeps the first event of each step, and head and tail events
	// at its ends for evidence. If anything reads `step.all` it keeps them all, up to
	// keepAll.
	head, tail int
	keepsAll   bool
	readsAll   bool // a `where` reads `step.all`

	// Of the call being made; the machines of a rule are called one at a time.
	matches []*partial // became matches
	fresh   []*partial // branched off
	waiting []*partial // began to wait for an absence
	free    []*partial // to be used again
	view    stepsView
}

// keepAll bounds what `step.all` holds of one partial match.
const keepAll = 1024

// step is one step of a program. An unset within is never.
type step struct {
	part     uint64 // bit in Match.Parts
	min, max int
	within   int64
	where    *rules.Expr
	optional bool
	greedy   bool
	absent   bool

	later   uint64 // all steps after this one
	next    uint64 // those that may be filled next once this one has its minimum
	absents uint64 // the absent ones of later
	wants   uint64 // parts of all that may follow
	last    bool   // a match may end with it
	waits   bool   // … but only after the absences behind it have held for their time
	ownWait bool   // one of those has its own within

	// What may tell two partial matches apart that differ only in what they took so
	// far; see sequence.spare.
	whereLater  bool // a later step has a `where`
	longerHurts bool // a later within does harm while it runs: of an absence before others, of a greedy step
	settled     bool // later steps are plain
}

// plain steps are met by the next events of their part, whatever came before, and
// to be there sooner is never worse. It is with a step that may be left out but,
// being greedy, takes an event and then needs more of them.
func (s *step) plain() bool {
	trap := s.greedy && s.optional && s.min > 1
	return s.where == nil && s.within == never && !s.absent && !trap
}

func compileSequence(r *rules.Rule) *program {
	s := r.Sequence
	p := &program{
		steps:      make([]step, len(s.Steps)),
		within:     limitOf(s.Within),
		contiguity: s.Contiguity,
		skip:       s.Skip,
		timeouts:   s.EmitOnTimeout,
		limit:      cmp.Or(max(r.Limits.Partials, 0), 100),
		head:       (r.Evidence + 1) / 2,
		tail:       r.Evidence / 2,
	}
	if s.UntilPart >= 0 {
		p.until = 1 << s.UntilPart
	}
	for i := range s.Steps {
		p.steps[i] = compileStep(&s.Steps[i])
		p.readsAll = p.readsAll || readsAll(p.steps[i].where)
	}
	p.keepsAll = p.readsAll || tellsAll(r)
	p.link()
	p.first, _ = p.following(-1)
	p.leading = p.absentBefore(63 - bits.LeadingZeros64(p.first))
	p.timed = p.timeouts
	for i := range p.steps {
		p.timed = p.timed || p.steps[i].waits
		if p.steps[i].greedy {
			p.greedy |= 1 << i
		}
	}
	return p
}

func compileStep(s *rules.Step) step {
	t := step{
		part: 1 << s.Part, min: s.Min, max: s.Max, within: limitOf(s.Within), where: s.Where,
		optional: s.Optional || s.Min == 0, greedy: s.Greedy, absent: s.Absent,
	}
	t.min = max(t.min, 1)
	if t.max == 0 {
		t.max = math.MaxInt
	}
	return t
}

// link works out what each step needs to know of those behind it, last first.
func (p *program) link() {
	var later, absents uint64
	whereLater, ownWait, longerHurts, plain, filled := false, false, false, true, false
	for i := len(p.steps) - 1; i >= 0; i-- {
		s := &p.steps[i]
		s.later, s.absents = later, absents
		s.whereLater, s.longerHurts, s.settled = whereLater, longerHurts, plain
		s.next, s.last = p.following(i)
		s.wants = p.parts(s.next | absents)
		if s.max > 1 {
			s.wants |= s.part
		}
		s.waits = s.last && absents != 0
		s.ownWait = ownWait

		later |= 1 << i
		if s.absent {
			absents |= 1 << i
			ownWait = ownWait || s.within != never
		}
		longerHurts = longerHurts || s.within != never && (s.absent && filled || s.greedy)
		filled = filled || !s.absent
		whereLater = whereLater || s.where != nil
		plain = plain && s.plain()
	}
}

// following returns the steps that may be filled next once step i is met (-1: at
// the beginning), and whether a match may end there.
func (p *program) following(i int) (next uint64, end bool) {
	for k := i + 1; k < len(p.steps); k++ {
		s := &p.steps[k]
		if s.absent {
			continue
		}
		next |= 1 << k
		if !s.optional {
			return next, false
		}
	}
	return next, true
}

func (p *program) parts(steps uint64) (parts uint64) {
	for ; steps != 0; steps &= steps - 1 {
		parts |= p.steps[bits.TrailingZeros64(steps)].part
	}
	return parts
}

func (p *program) absentBefore(i int) (set uint64) {
	for k := range i {
		if p.steps[k].absent {
			set |= 1 << k
		}
	}
	return set
}

// lookBack is how long before a match's beginning a leading absence must hold.
func (p *program) lookBack(i int) int64 { return min(p.steps[i].within, p.within) }

// reach is the last instant at which m may take an event for step k, which is in
// m.open.
func (p *program) reach(m *partial, k int) int64 {
	from := m.last
	if k == m.cur {
		from = m.prev
	}
	return min(plus(m.start, p.within), plus(from, p.steps[k].within))
}

// due is the instant at which a match that has all its events is known to be one.
// An absence with a time of its own may outlast the sequence's: else an event that
// comes in that time would have come too late to stop a false alarm.
func (p *program) due(m *partial) int64 {
	due := m.last
	for b := p.steps[m.cur].absents; b != 0; b &= b - 1 {
		at := plus(m.start, p.within)
		if s := &p.steps[bits.TrailingZeros64(b)]; s.within != never {
			at = plus(m.last, s.within)
		}
		due = max(due, at)
	}
	return due
}

// death is the last instant at which m may still take an event.
func (p *program) death(m *partial) int64 {
	death := int64(math.MinInt64)
	for b := m.open; b != 0; b &= b - 1 {
		death = max(death, p.reach(m, bits.TrailingZeros64(b)))
	}
	return death
}

// instant is when m changes without an event: it is known to be a match, or may
// take no more.
func (p *program) instant(m *partial) int64 {
	t := int64(never)
	if m.open != 0 {
		t = p.death(m)
	}
	if m.ending {
		t = min(t, p.due(m))
	}
	return t
}

// take lets an event fill step k of m.
func (p *program) take(m *partial, k int, ev *event.Event) {
	if k != m.cur || m.size == 0 {
		m.prev, m.cur, m.n = m.last, k, 0
		if m.size == 0 {
			m.prev = ev.Time
		}
	}
	m.n++
	m.last = ev.Time
	p.keep(m, fill{ev, uint8(k), m.n == 1})
	s := &p.steps[k]
	m.open, m.ending, m.done = 0, false, false
	if m.n < s.max {
		m.open |= 1 << k
	}
	if m.n >= s.min {
		m.open |= s.next
		m.ending = s.waits
		m.done = s.last && !s.waits
	}
	m.wants = s.wants
}

// keep adds an event to those m holds. One that is then in neither end, nor the
// first of its step, goes: it is the one that leaves the tail.
func (p *program) keep(m *partial, t fill) {
	m.size++
	m.events = append(m.events, t)
	if p.keepsAll && len(m.events) <= keepAll {
		return
	}
	i := len(m.events) - 1 - p.tail
	if i >= p.head && !m.events[i].first {
		copy(m.events[i:], m.events[i+1:])
		m.events[len(m.events)-1] = fill{}
		m.events = m.events[:len(m.events)-1]
	}
}

// stepsView is the storage in which a partial match is shown to expressions.
type stepsView struct {
	events []*event.Event
	steps  [][]*event.Event
}

// show makes the events of a partial match readable by step; valid until the next
// call. nil is a match that has none yet.
func (p *program) show(m *partial) [][]*event.Event {
	v := &p.view
	v.events = v.events[:0]
	v.steps = append(v.steps[:0], make([][]*event.Event, len(p.steps))...)
	if m == nil {
		return v.steps
	}
	for _, t := range m.events {
		v.events = append(v.events, t.ev)
	}
	m.byStep(v.events, v.steps)
	return v.steps
}

// firing is what a match, or one that was not finished, amounts to.
func (p *program) firing(c *call, m *partial, cause string) firing {
	f := firing{start: m.start, count: c.tally.since(m.before), cause: cause}
	f.events = make([]*event.Event, len(m.events))
	f.steps = make([][]*event.Event, len(p.steps))
	for i, t := range m.events {
		f.events[i] = t.ev
	}
	m.byStep(f.events, f.steps)
	return f
}

func limitOf(d time.Duration) int64 {
	if d <= 0 {
		return never
	}
	return int64(d)
}

// readsAll says, erring on the side of yes, that an expression reads the list of
// all events of a step.
func readsAll(x *rules.Expr) bool { return x != nil && strings.Contains(x.Text(), ".all") }

// tellsAll says the same of what a rule tells of its incidents.
func tellsAll(r *rules.Rule) bool {
	told := []*rules.Template{r.Title, r.Summary}
	for _, l := range r.Labels {
		told = append(told, l)
	}
	for _, t := range told {
		if t != nil && strings.Contains(t.Text(), ".all") {
			return true
		}
	}
	return slices.ContainsFunc(r.Severity, func(s rules.SeverityStep) bool { return readsAll(s.When) })
}
