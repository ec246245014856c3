package correlate

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"corral/event"
)

// children are the incidents that an incident over incidents is made of, in the
// order they were first read.
type children struct{ list []child }

type child struct {
	id      string
	started int64
	revs    int // transitions read
}

// maxChildren bounds them; an incident with more is about the rule, not the
// list.
const maxChildren = 1000

func (c *children) add(in *event.Incident) {
	for i := range c.list {
		if c.list[i].id == in.ID {
			c.list[i].revs++
			return
		}
	}
	if len(c.list) < maxChildren {
		c.list = append(c.list, child{in.ID, in.StartedAt, 1})
	}
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

// suspects ranks the children: what began first first, then what was read least
// often, which is the rarer.
func (c *children) suspects() []Suspect {
	list := slices.Clone(c.list)
	slices.SortStableFunc(list, func(a, b child) int {
		return cmp.Or(cmp.Compare(a.started, b.started), cmp.Compare(a.revs, b.revs), cmp.Compare(a.id, b.id))
	})
	var out []Suspect
	for i, x := range list[:min(len(list), shownSuspects)] {
		reason := "started " + utc(x.started).Format(time.RFC3339Nano)
		if i > 0 {
			reason = fmt.Sprintf("started %v after the first", time.Duration(x.started-list[0].started))
		}
		out = append(out, Suspect{IncidentID: x.id, Rank: i + 1, Reason: reason})
	}
	return out
}
