package rules

import (
	"math/bits"
	"slices"

	"github.com/cespare/xxhash/v2"

	"corral/event"
)

// groupKey is one name of group_by with its expression, by step where steps differ.
type groupKey struct {
	all    *Expr // nil: by step
	byName map[string]*Expr
	byPart []*Expr // by part index; nil for parts that are no steps
	order  []*Expr // in the order written: for events that are no step
}

// plan is how the matcher decides about one rule.
type plan struct {
	rule   *Rule
	match  cond // noCond: everything
	parts  []cond
	answer cond   // resolve.when; noCond: none
	steps  uint64 // parts of which one must hold: steps, event types
	always uint64 // parts looked at even if `match` does not hold: until, start, end
	preds  uint64 // parts looked at only for selected events: predicates of count
	strict bool   // every event of the key concerns the rule
	byStep bool   // keys differ by step
}

func newPlan(r *Rule, t *atomTable) plan {
	p := plan{rule: r, match: t.add(r.match), answer: t.add(r.ResolveWhen)}
	for i := range r.Parts {
		p.parts = append(p.parts, t.add(r.Parts[i].Expr))
		bit := uint64(1) << i
		switch {
		case r.isAlways(i):
			p.always |= bit
		case r.isStep(i):
			p.steps |= bit
		default:
			p.preds |= bit
		}
	}
	p.strict = r.Sequence != nil && r.Sequence.Contiguity == Strict
	p.byStep = slices.ContainsFunc(r.groupBy, func(g groupKey) bool { return g.all == nil })
	return p
}

func (r *Rule) isAlways(part int) bool {
	return r.Sequence != nil && part == r.Sequence.UntilPart ||
		r.Threshold != nil && (part == r.Threshold.StartPart || part == r.Threshold.EndPart)
}

func (r *Rule) isStep(part int) bool {
	switch r.Kind {
	case SequenceKind:
		return part < len(r.Sequence.Steps)
	case TemporalKind:
		return slices.Contains(r.Temporal.Events, part)
	}
	return false
}

// bindKeys gives the keys that differ by step their part indexes.
func (r *Rule) bindKeys() {
	for i := range r.groupBy {
		g := &r.groupBy[i]
		if g.all != nil {
			continue
		}
		g.byPart = make([]*Expr, len(r.Parts))
		for part, p := range r.Parts {
			if r.isStep(part) {
				g.byPart[part] = g.byName[p.Name]
			}
		}
	}
}

// Matcher returns a new matcher for one goroutine.
func (s *Set) Matcher() *Matcher {
	return &Matcher{
		set: s, Errors: make([]uint64, len(s.Rules)), NoKey: make([]uint64, len(s.Rules)),
		matcherState: matcherState{
			keys: newKeyTable(), memo: newMemo(s.atoms), marked: make([]uint32, len(s.plans)),
		},
	}
}

type matcherState struct {
	env    Env
	memo   memo
	chosen []int32  // plans the event may concern
	marked []uint32 // by plan: epoch in which it was chosen
	hits   []int32  // needles found in one text
	keys   *keyTable
	buf    []byte
	args   []event.Value // storage of Match.Args, handed out in pieces
	found  []keyParts
}

// keyParts is one group key of an event, with the parts that have it.
type keyParts struct {
	key   string
	parts uint64
}

// Match appends to out the rules that ev concerns, by Rule.Index. Keys and
// string args may be views on ev: use them before ev's buffer goes, or make the
// matches anew from a clone.
func (m *Matcher) Match(ev *event.Event, out []Match) []Match {
	m.env.Event = ev
	m.memo.next()
	m.choose(ev)
	for _, i := range m.chosen {
		out = m.plan(&m.set.plans[i], out)
	}
	m.env.Event = nil
	return out
}

const incidentKind = "incident"

// plan decides about one rule.
func (m *Matcher) plan(p *plan, out []Match) []Match {
	r := p.rule
	sel := tTrue
	if p.match != noCond {
		sel = m.memo.eval(p.match, &m.env)
	}
	parts, chosen := m.parts(p, sel)
	match := Match{Rule: r, Selected: chosen == tTrue, Parts: parts}
	match.Resolve = p.answer != noCond && m.memo.eval(p.answer, &m.env) == tTrue
	if chosen == tUnknown {
		m.Errors[r.Index]++
	}
	concerned := match.Selected || match.Resolve || parts&p.always != 0
	if !concerned && !p.strict {
		return out
	}
	if match.Selected {
		match.Args = m.argsOf(r)
	}
	return m.keyed(p, match, concerned, out)
}

// parts evaluates the selections of a rule whose match came out as sel, and says
// whether the event is one the rule counts.
func (m *Matcher) parts(p *plan, sel tri) (parts uint64, chosen tri) {
	parts = m.holding(p, p.always)
	chosen = sel
	if p.steps != 0 {
		if sel == tFalse {
			return parts, tFalse
		}
		steps, some := m.holdingAny(p, p.steps)
		if chosen = and(sel, some); chosen == tTrue {
			parts |= steps
		}
	}
	if chosen == tTrue {
		parts |= m.holding(p, p.preds)
	}
	return parts, chosen
}

// holding returns those of the parts that hold.
func (m *Matcher) holding(p *plan, which uint64) uint64 {
	held, _ := m.holdingAny(p, which)
	return held
}

func (m *Matcher) holdingAny(p *plan, which uint64) (held uint64, some tri) {
	for w := which; w != 0; w &= w - 1 {
		i := bits.TrailingZeros64(w)
		t := m.memo.eval(p.parts[i], &m.env)
		if t == tTrue {
			held |= 1 << i
		}
		some = or(some, t)
	}
	return held, some
}

// argsOf evaluates the expressions whose values the state keeps.
func (m *Matcher) argsOf(r *Rule) []event.Value {
	n := len(r.Args)
	if n == 0 {
		return nil
	}
	const chunk = 256
	if cap(m.args)-len(m.args) < n {
		m.args = make([]event.Value, 0, max(chunk, n))
	}
	at := len(m.args)
	for _, x := range r.Args {
		m.args = append(m.args, x.value(&m.env))
	}
	return m.args[at:len(m.args):len(m.args)]
}

// keyed gives the match its group key, or makes one match of each where steps
// call it differently.
func (m *Matcher) keyed(p *plan, match Match, concerned bool, out []Match) []Match {
	if !p.byStep {
		key, ok := m.key(p.rule, -1)
		if !ok {
			if concerned {
				m.NoKey[p.rule.Index]++
			}
			return out
		}
		return append(out, m.finish(match, key))
	}
	m.found = m.found[:0]
	for w := match.Parts & p.steps; w != 0; w &= w - 1 {
		i := bits.TrailingZeros64(w)
		if key, ok := m.key(p.rule, i); ok {
			m.note(key, 1<<i)
		}
	}
	return m.perKey(p, match, concerned, out)
}

// perKey makes the matches of a rule whose steps have keys of their own. What is
// no step (resolve.when, until, another event under strict contiguity) concerns
// every key that one of the expressions finds in the event.
func (m *Matcher) perKey(p *plan, match Match, concerned bool, out []Match) []Match {
	stepped := len(m.found)
	if match.Resolve || match.Parts&p.always != 0 || p.strict {
		for i := range p.rule.Parts {
			if p.steps&(1<<i) == 0 {
				continue
			}
			if key, ok := m.key(p.rule, i); ok {
				m.note(key, 0)
			}
		}
	}
	if len(m.found) == 0 && concerned || stepped == 0 && match.Selected {
		m.NoKey[p.rule.Index]++
	}
	for _, f := range m.found {
		each := match
		each.Parts = f.parts | match.Parts&p.always
		each.Selected = match.Selected && f.parts != 0
		if !each.Selected {
			each.Args = nil
		}
		out = append(out, m.finish(each, f.key))
	}
	return out
}

func (m *Matcher) note(key string, parts uint64) {
	for i := range m.found {
		if m.found[i].key == key {
			m.found[i].parts |= parts
			return
		}
	}
	m.found = append(m.found, keyParts{key, parts})
}

// key encodes the group key of the event, as part i calls it; false if a value is
// absent.
func (m *Matcher) key(r *Rule, part int) (string, bool) {
	if len(r.groupBy) == 0 {
		return "", true
	}
	m.buf = m.buf[:0]
	for i := range r.groupBy {
		x := r.groupBy[i].all
		if x == nil {
			x = r.groupBy[i].byPart[part]
		}
		v := x.value(&m.env)
		if v.Kind == event.String { // most are: spare them the text
			if v.Str == "" {
				return "", false
			}
			m.buf = appendKey(m.buf, v.Str)
			continue
		}
		text, ok := keyText(v)
		if !ok {
			return "", false
		}
		m.buf = appendKey(m.buf, text)
	}
	return m.keys.intern(m.buf), true
}

func (m *Matcher) finish(match Match, key string) Match {
	match.Key = key
	match.Hash = xxhash.Sum64String(key)
	return match
}

// keyTable holds the keys seen lately, so that a key that comes again needs no new
// string.
type keyTable struct{ seen map[string]string }

const maxInterned = 1 << 16

func newKeyTable() *keyTable { return &keyTable{seen: map[string]string{}} }

func (t *keyTable) intern(b []byte) string {
	if s, ok := t.seen[string(b)]; ok {
		return s
	}
	if len(t.seen) >= maxInterned {
		clear(t.seen)
	}
	s := string(b)
	t.seen[s] = s
	return s
}
