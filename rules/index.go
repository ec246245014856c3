package rules

import (
	"cmp"
	"maps"
	"slices"

	"corral/event"
)

// index finds the rules an event may concern: for each indexed field one look-up,
// instead of one look per rule. It may name rules that the event does not concern,
// and never leaves out one that it does.
type index struct {
	open    []cluster // rules without a witness
	fields  []indexField
	buckets [][]cluster
}

// cluster is rules of one bucket with a gate: an atom without which none of them
// matches.
type cluster struct {
	gate  int32 // noGate: none
	plans []int32
}

const (
	noGate   = -1
	noBucket = -1
)

// indexField is the probes on one field or attribute, each with its bucket.
type indexField struct {
	id      *ident
	texts   map[string]int32
	numbers map[float64]int32
	atLeast []limit // ascending
	atMost  []limit // descending
	there   int32
	oddText int32
	oddNum  int32
	absent  int32
	groups  []needleGroup
}

type limit struct {
	num    float64
	bucket int32
}

// needleGroup are the needles of a field that one gate guards.
type needleGroup struct {
	gate    int32
	needles *needles
	buckets []int32 // by needle
}

// choose collects the plans the event may concern, in order.
func (m *Matcher) choose(ev *event.Event) {
	m.chosen = m.chosen[:0]
	ix := m.set.events
	if ev.Kind == incidentKind {
		ix = m.set.incidents
	}
	m.visit(ix.open)
	for i := range ix.fields {
		m.probe(ix, &ix.fields[i], ev)
	}
	slices.Sort(m.chosen)
}

// visit chooses the plans of clusters whose gate is not shut.
func (m *Matcher) visit(clusters []cluster) {
	for i := range clusters {
		c := &clusters[i]
		if c.gate != noGate && m.memo.atom(c.gate, &m.env) == tFalse {
			continue
		}
		for _, p := range c.plans {
			if m.marked[p] != m.memo.epoch {
				m.marked[p] = m.memo.epoch
				m.chosen = append(m.chosen, p)
			}
		}
	}
}

func (m *Matcher) hit(ix *index, bucket int32) {
	if bucket != noBucket {
		m.visit(ix.buckets[bucket])
	}
}

// probe looks one field of the event up.
func (m *Matcher) probe(ix *index, f *indexField, ev *event.Event) {
	if f.id.field != nil && f.id.field.text != nil {
		m.probeText(ix, f, f.id.field.text(ev))
		return
	}
	if f.id.field != nil && f.id.field.int != nil {
		n := f.id.field.int(ev)
		m.probeNumber(ix, f, float64(n))
		return
	}
	v := f.id.get(&m.env)
	if v.Kind == event.Nil {
		m.hit(ix, f.absent)
		m.hit(ix, f.oddText)
		m.hit(ix, f.oddNum)
		return
	}
	m.probeAttr(ix, f, v)
}

func (m *Matcher) probeAttr(ix *index, f *indexField, v event.Value) {
	if v.Kind == event.String {
		m.probeText(ix, f, v.Str)
		m.hit(ix, f.oddNum)
		if v.Str == "" { // of an attribute "" is a value like any other
			m.hit(ix, f.there)
		}
		return
	}
	m.hit(ix, f.oddText)
	n, ok := number(v)
	if !ok {
		m.hit(ix, f.oddNum)
		m.hit(ix, f.there)
		return
	}
	m.probeNumber(ix, f, n)
	if n == 0 {
		m.hit(ix, f.there)
	}
}

func (m *Matcher) probeText(ix *index, f *indexField, s string) {
	if b, ok := f.texts[s]; ok {
		m.hit(ix, b)
	}
	if s == "" {
		return // nothing is contained in it, and it is not there
	}
	m.hit(ix, f.there)
	for i := range f.groups {
		m.probeNeedles(ix, &f.groups[i], s)
	}
}

func (m *Matcher) probeNeedles(ix *index, g *needleGroup, s string) {
	if g.gate != noGate && m.memo.atom(g.gate, &m.env) == tFalse {
		return
	}
	m.hits = g.needles.find(s, m.hits[:0])
	for _, n := range m.hits {
		m.hit(ix, g.buckets[n])
	}
}

func (m *Matcher) probeNumber(ix *index, f *indexField, n float64) {
	if f.numbers != nil {
		if b, ok := f.numbers[n]; ok {
			m.hit(ix, b)
		}
	}
	if n != 0 {
		m.hit(ix, f.there)
	}
	for _, l := range f.atLeast {
		if l.num > n {
			break
		}
		m.hit(ix, l.bucket)
	}
	for _, l := range f.atMost {
		if l.num < n {
			break
		}
		m.hit(ix, l.bucket)
	}
}

// indexBuilder gathers probes until their order and tables can be made.
type indexBuilder struct {
	table   *atomTable
	open    map[int32][]int32 // gate → plans
	entries map[entryKey][]int32
	gates   map[entryKey][]int32 // parallel to entries
	ids     map[string]*ident
}

// entryKey is a probe with, for needles, its gate.
type entryKey struct {
	kind probeKind
	id   string
	text string
	num  float64
	gate int32
}

// buildIndexes indexes the plans of rules over events and of those over incidents.
func buildIndexes(plans []plan, t *atomTable) (events, incidents *index) {
	e, i := newIndexBuilder(t), newIndexBuilder(t)
	for n := range plans {
		if plans[n].rule.FromIncidents {
			i.add(int32(n), &plans[n])
			continue
		}
		e.add(int32(n), &plans[n])
	}
	return e.build(), i.build()
}

func newIndexBuilder(t *atomTable) *indexBuilder {
	return &indexBuilder{
		table: t, open: map[int32][]int32{}, entries: map[entryKey][]int32{}, gates: map[entryKey][]int32{}, ids: map[string]*ident{},
	}
}

// trigger is the witness of everything that makes an event concern a rule.
func (p *plan) trigger(t *atomTable) witness {
	if p.strict {
		return noWitness
	}
	w := t.witness(p.match)
	if p.steps != 0 {
		steps := make([]witness, 0, len(p.parts))
		for i, c := range p.parts {
			if p.steps&(1<<i) != 0 {
				steps = append(steps, t.witness(c))
			}
		}
		if s := either(steps...); s.better(w) {
			w = s
		}
	}
	all := []witness{w}
	if p.answer != noCond {
		all = append(all, t.witness(p.answer))
	}
	for i, c := range p.parts {
		if p.always&(1<<i) != 0 {
			all = append(all, t.witness(c))
		}
	}
	return either(all...)
}

func (b *indexBuilder) add(n int32, p *plan) {
	w := p.trigger(b.table)
	gate := b.gate(p, w)
	if !w.ok {
		b.open[gate] = append(b.open[gate], n)
		return
	}
	for _, pr := range w.probes {
		k := entryKey{kind: pr.kind, id: pr.id.name, text: pr.text, num: pr.num, gate: noGate}
		if pr.kind == probeNeedle {
			k.gate = gate
		}
		b.ids[pr.id.name] = pr.id
		b.entries[k] = append(b.entries[k], n)
		b.gates[k] = append(b.gates[k], gate)
	}
}

const cheapAtom = 5 // highest cost of an atom that is worth asking first

// gate picks the most selective cheap atom without which the rule cannot match,
// other than the witness itself.
func (b *indexBuilder) gate(p *plan, w witness) int32 {
	if p.strict || p.answer != noCond || p.always != 0 {
		return noGate
	}
	best, share := int32(noGate), 0.9
	for _, a := range b.table.gates(p.match) {
		at := &b.table.atoms[a]
		g := atomWitness(*at)
		if !g.ok || at.cost > cheapAtom || g.share >= share || sameProbes(g.probes, w.probes) {
			continue
		}
		best, share = a, g.share
	}
	return best
}

func sameProbes(a, b []probe) bool {
	return slices.EqualFunc(a, b, func(x, y probe) bool {
		return x.kind == y.kind && x.id.name == y.id.name && x.text == y.text && x.num == y.num
	})
}

// clusters groups plans by gate, in order.
func clusters(plans, gates []int32) []cluster {
	var out []cluster
	at := map[int32]int{}
	for i, p := range plans {
		c, ok := at[gates[i]]
		if !ok {
			c = len(out)
			at[gates[i]] = c
			out = append(out, cluster{gate: gates[i]})
		}
		if l := out[c].plans; len(l) == 0 || l[len(l)-1] != p {
			out[c].plans = append(l, p)
		}
	}
	return out
}

func (b *indexBuilder) build() *index {
	ix := &index{}
	for _, gate := range slices.Sorted(maps.Keys(b.open)) {
		ix.open = append(ix.open, cluster{gate, b.open[gate]})
	}
	fields := map[string]*indexField{}
	groups := map[string]map[int32][]entryKey{}
	for _, k := range sortedEntries(b.entries) {
		f := fields[k.id]
		if f == nil {
			f = &indexField{id: b.ids[k.id], there: noBucket, oddText: noBucket, oddNum: noBucket, absent: noBucket}
			fields[k.id] = f
			groups[k.id] = map[int32][]entryKey{}
		}
		if k.kind == probeNeedle {
			groups[k.id][k.gate] = append(groups[k.id][k.gate], k)
			continue
		}
		f.put(k, ix.bucket(clusters(b.entries[k], b.gates[k])))
	}
	for _, id := range slices.Sorted(maps.Keys(fields)) {
		f := fields[id]
		b.addGroups(ix, f, groups[id])
		f.sort()
		ix.fields = append(ix.fields, *f)
	}
	return ix
}

func (ix *index) bucket(c []cluster) int32 {
	ix.buckets = append(ix.buckets, c)
	return int32(len(ix.buckets) - 1)
}

func sortedEntries(m map[entryKey][]int32) []entryKey {
	return slices.SortedFunc(maps.Keys(m), func(a, b entryKey) int {
		return cmp.Or(cmp.Compare(a.id, b.id), cmp.Compare(a.kind, b.kind), cmp.Compare(a.gate, b.gate),
			cmp.Compare(a.text, b.text), cmp.Compare(a.num, b.num))
	})
}

func (f *indexField) put(k entryKey, bucket int32) {
	switch k.kind {
	case probeText:
		if f.texts == nil {
			f.texts = map[string]int32{}
		}
		f.texts[k.text] = bucket
	case probeNumber:
		if f.numbers == nil {
			f.numbers = map[float64]int32{}
		}
		f.numbers[k.num] = bucket
	case probeAtLeast:
		f.atLeast = append(f.atLeast, limit{k.num, bucket})
	case probeAtMost:
		f.atMost = append(f.atMost, limit{k.num, bucket})
	case probeThere:
		f.there = bucket
	case probeOddText:
		f.oddText = bucket
	case probeOddNum:
		f.oddNum = bucket
	case probeAbsent:
		f.absent = bucket
	}
}

func (f *indexField) sort() {
	slices.SortFunc(f.atLeast, func(a, b limit) int { return cmp.Compare(a.num, b.num) })
	slices.SortFunc(f.atMost, func(a, b limit) int { return cmp.Compare(b.num, a.num) })
}

func (b *indexBuilder) addGroups(ix *index, f *indexField, groups map[int32][]entryKey) {
	for _, gate := range slices.Sorted(maps.Keys(groups)) {
		g := needleGroup{gate: gate}
		var texts []string
		for _, k := range groups[gate] {
			texts = append(texts, k.text)
			g.buckets = append(g.buckets, ix.bucket(clusters(b.entries[k], b.gates[k])))
		}
		g.needles = newNeedles(texts)
		f.groups = append(f.groups, g)
	}
}
