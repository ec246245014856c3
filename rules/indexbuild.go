package rules

import (
	"cmp"
	"maps"
	"slices"
)

// way is one way for an event to concern a rule, as conditions that must all hold:
// `match` with one of the steps, `resolve.when`, `until`. Each is indexed by itself.
type way struct {
	plan  int32
	conds []cond
}

// ways lists them for one rule.
func (p *plan) ways(n int32, t *atomTable) []way {
	main := way{plan: n}
	if p.match != noCond {
		main.conds = t.conjuncts(p.match, nil)
	}
	if steps := p.some(p.steps); len(steps) > 0 && !p.strict {
		main.conds = append(main.conds, t.either(steps))
	}
	all := []way{main}
	if p.answer != noCond {
		all = append(all, way{n, t.conjuncts(p.answer, nil)})
	}
	for _, c := range p.some(p.always) {
		all = append(all, way{n, t.conjuncts(c, nil)})
	}
	return all
}

// some returns the conditions of the parts in a set.
func (p *plan) some(set uint64) []cond {
	var out []cond
	for i, c := range p.parts {
		if set&(1<<i) != 0 {
			out = append(out, c)
		}
	}
	return out
}

// conjuncts appends the conditions that c asks for all of.
func (t *atomTable) conjuncts(c cond, out []cond) []cond {
	if n := t.nodes[c]; n.op == opAnd {
		return append(out, n.kids...)
	}
	return append(out, c)
}

// either is the condition that one of several holds.
func (t *atomTable) either(kids []cond) cond {
	if len(kids) == 1 {
		return kids[0]
	}
	t.nodes = append(t.nodes, condNode{op: opOr, kids: kids})
	return cond(len(t.nodes) - 1)
}

// index indexes the rules by what they read.
func (s *Set) index() {
	var events, incidents, hops []way
	for n := range s.plans {
		r, ways := s.plans[n].rule, s.plans[n].ways(int32(n), s.atoms)
		switch {
		case r.FromIncidents:
			incidents = append(incidents, ways...)
		case r.FromHops:
			s.hopping = r
			hops = append(hops, ways...)
		default:
			events = append(events, ways...)
		}
	}
	s.events, s.incidents = s.atoms.index(events, maxIndexDepth), s.atoms.index(incidents, maxIndexDepth)
	s.hops = s.atoms.index(hops, maxIndexDepth)
}

const (
	maxIndexDepth = 4
	fewWays       = 6 // are looked at one by one, unless that is a search for each
)

// index builds the tree over some ways.
func (t *atomTable) index(ways []way, depth int) *index {
	ix := &index{}
	var open []way
	found := map[probe][]way{}
	for _, w := range ways {
		at := -1
		best := noWitness
		if depth > 0 && (len(ways) > 1 || depth == maxIndexDepth) {
			at, best = t.best(w.conds)
		}
		if at < 0 || len(ways) <= fewWays && depth < maxIndexDepth && !best.search() {
			open = append(open, w)
			continue
		}
		rest := way{w.plan, slices.Delete(slices.Clone(w.conds), at, at+1)}
		for _, p := range best.probes {
			p.id = t.sameIdent(p.id)
			found[p] = append(found[p], rest)
		}
	}
	ix.open = t.gated(open)
	ix.fields = t.fields(found, depth)
	return ix
}

// gated gives every way that is open a gate, if there is a good one, those with
// the same one after another: it is asked once.
func (t *atomTable) gated(open []way) []choice {
	uses := map[cond]int{}
	for _, w := range open {
		for _, c := range w.conds {
			uses[c]++
		}
	}
	var out []choice
	for _, w := range open {
		gate := t.gate(w.conds)
		if gate == noCond {
			gate = mostUsed(w.conds, uses)
		}
		out = append(out, choice{gate, w.plan})
	}
	slices.SortStableFunc(out, func(a, b choice) int { return cmp.Compare(a.gate, b.gate) })
	return out
}

// mostUsed is the condition that closes the most ways when it does not hold,
// noCond if each closes only one.
func mostUsed(conds []cond, uses map[cond]int) cond {
	best, n := noCond, 1
	for _, c := range conds {
		if uses[c] > n {
			best, n = c, uses[c]
		}
	}
	return best
}

// sameIdent is the one ident of a name: every expression has its own.
func (t *atomTable) sameIdent(id *ident) *ident {
	if had := t.idents[id.name]; had != nil {
		return had
	}
	t.idents[id.name] = id
	return id
}

// best picks the condition with the most selective witness; -1 if none has one.
func (t *atomTable) best(conds []cond) (int, witness) {
	at, best := -1, noWitness
	for i, c := range conds {
		if w := t.witness(c); w.better(best) {
			at, best = i, w
		}
	}
	return at, best
}

const cheapAtom = 5 // highest cost of an atom that is worth asking first

// gate picks the most selective cheap atom among the conditions, noCond if there
// is none.
func (t *atomTable) gate(conds []cond) cond {
	best, share := noCond, 0.9
	for _, c := range conds {
		n := t.nodes[c]
		if n.op != opAtom || t.atoms[n.atom].cost > cheapAtom {
			continue
		}
		if w := atomWitness(t.atoms[n.atom]); w.ok && w.share < share {
			best, share = c, w.share
		}
	}
	return best
}

// fields makes the tables of what the probes found.
func (t *atomTable) fields(found map[probe][]way, depth int) []indexField {
	fields := map[string]*indexField{}
	for _, p := range slices.SortedFunc(maps.Keys(found), compareProbes) {
		f := fields[p.id.name]
		if f == nil {
			f = &indexField{id: p.id}
			fields[p.id.name] = f
		}
		f.put(p, t.index(found[p], depth-1))
	}
	var out []indexField
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		f := fields[name]
		if f.needles != nil {
			f.needles.prepare()
		}
		slices.SortFunc(f.atMost, func(a, b limit) int { return cmp.Compare(b.num, a.num) })
		out = append(out, *f)
	}
	return out
}

func compareProbes(a, b probe) int {
	return cmp.Or(cmp.Compare(a.id.name, b.id.name), cmp.Compare(a.kind, b.kind), cmp.Compare(a.text, b.text), cmp.Compare(a.num, b.num))
}

// put enters what a probe finds. Probes come in order, so limits are ascending.
func (f *indexField) put(p probe, sub *index) {
	switch p.kind {
	case probeText:
		if f.texts == nil {
			f.texts = map[string]*index{}
		}
		f.texts[p.text] = sub
	case probeNumber:
		if f.numbers == nil {
			f.numbers = map[float64]*index{}
		}
		f.numbers[p.num] = sub
	case probeNeedle:
		if f.needles == nil {
			f.needles = &needles{}
		}
		f.needles.texts = append(f.needles.texts, p.text)
		f.needle = append(f.needle, sub)
	case probeAtLeast:
		f.atLeast = append(f.atLeast, limit{p.num, sub})
	case probeAtMost:
		f.atMost = append(f.atMost, limit{p.num, sub})
	case probeThere:
		f.there = sub
	case probeOddText:
		f.oddText = sub
	case probeOddNum:
		f.oddNum = sub
	case probeAbsent:
		f.absent = sub
	}
}
