// Package oracle says again, slowly and obviously, what package correlate must
// do. It keeps every event of a key in a list and, at each instant at which
// something can change, computes windows, aggregates and deadlines anew from
// that list. Its tests compare the two on random rules and streams.
//
// It was written from docs/rules.md, not from the engine, and shares nothing
// with it but the rules package and the Transition record.
package oracle

import (
	"math"
	"slices"

	"corral/correlate"
	"corral/event"
	"corral/rules"
)

// never is an instant that does not come.
const never = math.MaxInt64

// deepest is how many rules over incidents may read one another.
const deepest = 8

// Run returns every transition that set makes of events up to and at end
// (nanoseconds since the epoch), in the order of correlate.Compare. The events
// may come in any order; Run sorts a copy.
func Run(set *rules.Set, events []*event.Event, end int64) []*correlate.Transition {
	return settle(set, episodes(set, events, end))
}

// episodes runs the rules over events, then those over incidents on what came
// out, as often as it takes for nothing new to come.
func episodes(set *rules.Set, events []*event.Event, end int64) []*rev {
	events = slices.Clone(events)
	slices.SortStableFunc(events, event.Compare)
	seen := int64(never)
	if len(events) > 0 {
		seen = events[0].Time
	}
	base := runRules(set, events, false, seen, end)
	all := base
	for range deepest {
		upper := runRules(set, incidentEvents(all), true, seen, end)
		next := sorted(append(slices.Clone(base), upper...))
		if sameRevs(all, next) {
			return next
		}
		all = next
	}
	return all
}

// runRules runs the rules that read incidents, or those that read events.
func runRules(set *rules.Set, events []*event.Event, incidents bool, seen, end int64) []*rev {
	var out []*rev
	matched := matches(set, events)
	for _, r := range set.Rules {
		if r.FromIncidents != incidents {
			continue
		}
		keys := keysOf(r, matched[r.Index], seen)
		for _, k := range keys {
			k.run(end)
		}
		out = append(out, collapsed(r, keys)...)
	}
	return sorted(out)
}

// entry is an event that concerns a rule and key.
type entry struct {
	ev *event.Event
	m  rules.Match
}

func (e *entry) time() int64      { return e.ev.Time }
func (e *entry) fits(p int) bool  { return e.m.Parts&(1<<p) != 0 }
func (e *entry) selected() bool   { return e.m.Selected }
func times(list []*entry) []int64 { return mapped(list, (*entry).time) }

func mapped[A, B any](list []A, f func(A) B) []B {
	out := make([]B, len(list))
	for i, a := range list {
		out[i] = f(a)
	}
	return out
}

func filter[A any](list []A, keep func(A) bool) []A {
	var out []A
	for _, a := range list {
		if keep(a) {
			out = append(out, a)
		}
	}
	return out
}

// matches shows every event to every rule: the entries of each rule, by index.
func matches(set *rules.Set, events []*event.Event) [][]*entry {
	out := make([][]*entry, len(set.Rules))
	matcher := set.Matcher()
	for _, ev := range events {
		for _, m := range matcher.Match(ev, nil) {
			r := m.Rule
			if r.Active != nil && !r.Active.Active(ev.Time) {
				continue
			}
			m.Args = slices.Clone(m.Args)
			out[r.Index] = append(out[r.Index], &entry{ev: ev, m: m})
		}
	}
	return out
}

// keysOf sorts a rule's entries by group key.
func keysOf(r *rules.Rule, entries []*entry, seen int64) []*key {
	var keys []*key
	byName := map[string]*key{}
	add := func(name string, values []string) *key {
		if byName[name] == nil {
			byName[name] = newKey(r, values, seen)
			keys = append(keys, byName[name])
		}
		return byName[name]
	}
	expects := r.Absence != nil && r.Absence.Expect != nil
	if expects && seen != never {
		for _, values := range r.Absence.Expect {
			add(rules.EncodeKey(values), values)
		}
	}
	for _, e := range entries {
		if expects && byName[e.m.Key] == nil {
			continue // only the expected keys are watched
		}
		k := add(e.m.Key, rules.DecodeKey(e.m.Key))
		k.ahead = append(k.ahead, e)
	}
	return keys
}
