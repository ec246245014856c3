package correlate

import (
	"cmp"
	"encoding/json"
	"math"
	"slices"
)

// news is a firing of a rule with `context`: something changed.
type news struct {
	at, until int64 // shown in incidents that started no later than until
	rule, key string
	shown     Evidence
}

// announce makes news of what was found true now, if the rule's firings are news.
// Without an event there is nothing to show.
func (r *ruleState) announce(c *call) {
	ev := r.env.Event
	if r.rule.Context <= 0 || ev == nil {
		return
	}
	shown := evidenceOf(ev, "member", "")
	if ev.Message != "" {
		shown.Line = visible(ev.Message)
	}
	r.news = append(r.news, news{
		at: c.now, until: plus(c.now, int64(r.rule.Context)), rule: r.rule.ID, key: r.keys.name(c.key), shown: shown,
	})
}

// context is what changed of late, for the incidents that may come of it.
type context struct {
	coming []news // collected, not passed yet; by instant
	recent []news // by instant; of each rule and key the latest
}

const (
	maxRecent = 64 // news remembered
	maxShown  = 12 // news in one incident, the latest
)

// add takes what r has found. Of one instant the order is that of the rules.
func (x *context) add(r *ruleState) {
	x.coming = append(x.coming, r.news...)
	clear(r.news)
	r.news = r.news[:0]
}

func (x *context) sort() {
	slices.SortStableFunc(x.coming, func(a, b news) int { return cmp.Compare(a.at, b.at) })
}

// pass lets the news up to and at an instant be known. What is remembered then
// depends on the news alone, not on how they were collected.
func (x *context) pass(at int64) {
	n := 0
	for ; n < len(x.coming) && x.coming[n].at <= at; n++ {
		now := &x.coming[n]
		x.recent = slices.DeleteFunc(x.recent, func(old news) bool { return old.rule == now.rule && old.key == now.key })
		x.recent = append(x.recent, *now)
		if len(x.recent) > maxRecent {
			x.recent = slices.Delete(x.recent, 0, 1)
		}
	}
	x.coming = slices.Delete(x.coming, 0, n)
}

// before are the latest news that an incident which started then is to show.
func (x *context) before(started int64) []Evidence {
	var list []Evidence
	for i := range x.recent {
		if x.recent[i].until >= started {
			list = append(list, x.recent[i].shown)
		}
	}
	return list[max(0, len(list)-maxShown):]
}

// contextOf is what changed before d's incident opened: what its first revision
// said, all say. Rules with `context` are what changed, and say nothing of others.
func (s *stage) contextOf(d *draft, l *listed) []Evidence {
	t := d.t
	switch old := s.open[t.RotatedFrom]; {
	case d.rule.rule.Context > 0:
		return nil
	case l.last != nil:
		return l.last.Context
	case old != nil:
		return old.last.Context
	}
	return s.context.before(t.StartedAt.UnixNano())
}

func (x *context) encode(e *encoder) {
	e.len(len(x.recent))
	for i := range x.recent {
		n := &x.recent[i]
		e.int(n.at)
		e.int(n.until)
		e.str(n.rule)
		e.str(n.key)
		shown, err := json.Marshal(n.shown)
		if err != nil {
			panic(err) // plain data
		}
		e.str(string(shown))
	}
}

func (x *context) decode(d *decoder) {
	last := int64(math.MinInt64)
	for range d.len() {
		n := news{at: d.int(), until: d.int(), rule: d.str(), key: d.str()}
		shown := d.bytes()
		if d.err != nil {
			return
		}
		if n.at < last || json.Unmarshal(shown, &n.shown) != nil {
			d.fail()
			return
		}
		last = n.at
		x.recent = append(x.recent, n)
	}
}
