package rules

import (
	"math/bits"

	"github.com/cespare/xxhash/v2"

	"corral/event"
)

// keyParts is one group key of an event, with the parts that have it.
type keyParts struct {
	key   string
	parts uint64
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
