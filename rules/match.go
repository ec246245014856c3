package rules

import (
	"math/bits"

	"corral/event"
)

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

// Match appends to out the rules that ev concerns, by Rule.Index. Keys and
// string args may be views on ev: use them before ev's buffer goes, or make the
// matches anew from a clone. Where rules read hops, an event of a trace has a last
// match that only says so.
func (m *Matcher) Match(ev *event.Event, out []Match) []Match {
	m.env.Event = ev
	m.memo.next()
	m.choose(ev)
	for _, i := range m.chosen {
		out = m.plan(&m.set.plans[i], out)
	}
	m.env.Event = nil
	if m.set.hopping != nil && ev.TraceID != "" && ev.Hop == nil && ev.Kind != incidentKind {
		out = append(out, Match{Rule: m.set.hopping, Hops: true})
	}
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
	if !concerned && !(p.strict && sel == tTrue) {
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
