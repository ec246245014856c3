package correlate

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"corral/event"
	"corral/rules"
)

// children are the incidents that an incident over incidents is made of, in the
// order they were first read.
type children struct{ list []child }

type child struct {
	id, rule string
	started  int64
	episode  int // nth of its fingerprint in 30 d
}

// maxChildren bounds them; an incident with more is about the rule, not the
// list.
const maxChildren = 1000

func (c *children) add(in *event.Incident) {
	if !c.has(in.ID) && len(c.list) < maxChildren {
		c.list = append(c.list, child{in.ID, in.Rule, in.StartedAt, in.Recurrence})
	}
}

func (c *children) has(id string) bool {
	return slices.ContainsFunc(c.list, func(x child) bool { return x.id == id })
}

func (c *children) ids() []string {
	var ids []string
	for _, x := range c.list {
		ids = append(ids, x.id)
	}
	return ids
}

// shownSuspects bounds the ranked list.
const shownSuspects = 10

// suspects ranks the children: those furthest upstream first, which the fewest
// others explain, then what began first, then what is rarest. explained says
// which rules explain a rule.
func (c *children) suspects(explained map[string][]string) []Suspect {
	var present []string // rules of the children
	for _, x := range c.list {
		if !slices.Contains(present, x.rule) {
			present = append(present, x.rule)
		}
	}
	above := make(map[string][]string, len(present))
	for _, rule := range present {
		for _, by := range explained[rule] {
			if slices.Contains(present, by) {
				above[rule] = append(above[rule], by)
			}
		}
	}
	list := slices.Clone(c.list)
	slices.SortStableFunc(list, func(a, b child) int {
		return cmp.Or(
			cmp.Compare(len(above[a.rule]), len(above[b.rule])), cmp.Compare(a.started, b.started),
			cmp.Compare(a.episode, b.episode), cmp.Compare(a.id, b.id),
		)
	})
	var out []Suspect
	for i, x := range list[:min(len(list), shownSuspects)] {
		out = append(out, Suspect{IncidentID: x.id, Rank: i + 1, Reason: x.reason(above[x.rule], list[0].started)})
	}
	return out
}

// reason says by what a child was ranked.
func (x *child) reason(above []string, first int64) string {
	why := "upstream"
	switch n := len(above); {
	case n == 1:
		why = "downstream of " + above[0]
	case n > 1:
		why = fmt.Sprintf("downstream of %s and %d more", above[0], n-1)
	}
	began := "started " + utc(x.started).Format(time.RFC3339Nano)
	switch d := time.Duration(x.started - first); {
	case d > 0:
		began = fmt.Sprintf("started %v later", d)
	case d < 0:
		began = fmt.Sprintf("started %v earlier", -d)
	}
	return fmt.Sprintf("%s: %s, %s, episode %d in 30d", x.rule, why, began, max(1, x.episode))
}

// explainers are, by rule, the rules that explain it: those that inhibit it, and
// those that inhibit them. So the rules themselves say what is upstream of what.
func explainers(set *rules.Set) map[string][]string {
	all := make(map[string][]string)
	for _, r := range set.Rules {
		var by []string
		for todo := r.InhibitedBy; len(todo) > 0; todo = todo[1:] {
			id := todo[0].Rule
			if id == r.ID || slices.Contains(by, id) {
				continue
			}
			by = append(by, id)
			if other := set.Rule(id); other != nil {
				todo = append(slices.Clone(todo), other.InhibitedBy...)
			}
		}
		all[r.ID] = by
	}
	return all
}
