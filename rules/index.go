package rules

import (
	"slices"

	"corral/event"
)

// index finds the rules an event may concern: for each indexed field one look-up,
// instead of one look per rule. It may name rules that the event does not concern,
// and never leaves out one that it does.
//
// It is a tree: the rules that one probe finds are indexed again by what else they
// ask for, so that a text is searched, say, only in events of the level wanted.
type index struct {
	open   []choice // what is left to look at one by one, by gate
	fields []indexField
}

// choice is a rule, and a condition without which this way to it is closed.
type choice struct {
	gate cond // noCond: none
	plan int32
}

// indexField is the probes on one field or attribute, each with what it finds; nil
// where a kind of probe is not used.
type indexField struct {
	id      *ident
	texts   map[string]*index
	numbers map[float64]*index
	atLeast []limit // ascending
	atMost  []limit // descending
	there   *index
	oddText *index
	oddNum  *index
	absent  *index
	needles *needles
	needle  []*index // by needle
}

type limit struct {
	num float64
	sub *index
}

// choose collects the plans the event may concern, in order.
func (m *Matcher) choose(ev *event.Event) {
	m.chosen = m.chosen[:0]
	ix := m.set.events
	switch {
	case ev.Hop != nil:
		ix = m.set.hops
	case ev.Kind == incidentKind:
		ix = m.set.incidents
	}
	m.visit(ix)
	slices.Sort(m.chosen)
}

// visit chooses what is open here and goes where the event's fields lead.
func (m *Matcher) visit(ix *index) {
	if ix == nil {
		return
	}
	gate, closed := noCond, false
	for _, c := range ix.open {
		if c.gate != gate {
			gate, closed = c.gate, m.memo.eval(c.gate, &m.env) == tFalse
		}
		if closed || m.marked[c.plan] == m.memo.epoch {
			continue
		}
		m.marked[c.plan] = m.memo.epoch
		m.chosen = append(m.chosen, c.plan)
	}
	for i := range ix.fields {
		m.probe(&ix.fields[i])
	}
}

// probe looks one field of the event up.
func (m *Matcher) probe(f *indexField) {
	ev := m.env.Event
	if d := f.id.field; d != nil && d.text != nil {
		m.probeText(f, d.text(ev))
		return
	} else if d != nil && d.int != nil {
		m.probeNumber(f, float64(d.int(ev)))
		return
	}
	v := f.id.get(&m.env)
	if v.Kind == event.Nil {
		m.visit(f.absent)
		m.visit(f.oddText)
		m.visit(f.oddNum)
		return
	}
	m.probeAttr(f, v)
}

func (m *Matcher) probeAttr(f *indexField, v event.Value) {
	if v.Kind == event.String {
		m.probeText(f, v.Str)
		m.visit(f.oddNum)
		if v.Str == "" { // of an attribute "" is a value like any other
			m.visit(f.there)
		}
		return
	}
	m.visit(f.oddText)
	n, ok := v.Number()
	if !ok {
		m.visit(f.oddNum)
		m.visit(f.there)
		return
	}
	m.probeNumber(f, n)
	if n == 0 {
		m.visit(f.there)
	}
}

func (m *Matcher) probeText(f *indexField, s string) {
	if f.texts != nil {
		m.visit(f.texts[s])
	}
	if s == "" {
		return // nothing is contained in it, and it is not there
	}
	m.visit(f.there)
	if f.needles == nil {
		return
	}
	// What one text holds is noted behind what outer searches noted.
	at := len(m.hits)
	m.hits = f.needles.find(s, m.hits)
	for i, end := at, len(m.hits); i < end; i++ {
		m.visit(f.needle[m.hits[i]])
	}
	m.hits = m.hits[:at]
}

func (m *Matcher) probeNumber(f *indexField, n float64) {
	if f.numbers != nil {
		m.visit(f.numbers[n])
	}
	if n != 0 {
		m.visit(f.there)
	}
	for _, l := range f.atLeast {
		if l.num > n {
			break
		}
		m.visit(l.sub)
	}
	for _, l := range f.atMost {
		if l.num < n {
			break
		}
		m.visit(l.sub)
	}
}
