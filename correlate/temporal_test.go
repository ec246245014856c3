package correlate

import "testing"

const sickNode = `
match: attrs.node == "n1"
temporal:
  window: 10s
  events:
    oom: attrs.type == "oom"
    evict: attrs.type == "evict"
    drain: attrs.type == "drain"
`

func TestTemporal(t *testing.T) {
	for _, x := range []struct{ name, condition, lines, want, releases string }{
		{
			"all of them, in any order", "oom > 0 && evict > 0 && drain > 0",
			"0 drain\n 1 oom\n 2 evict", "drain oom evict@2", "10",
		},
		{
			"the span is closed", "oom > 0 && evict > 0",
			"0 oom\n 10 evict\n 30 oom\n 41 evict", "oom evict@10", "10",
		},
		{
			"counts", "oom >= 2 && evict > 0",
			"0 evict\n 1 oom\n 2 evict\n 3 oom\n 20 oom", "evict oom evict oom@3", "11",
		},
		{
			"m of n", "(oom > 0 ? 1 : 0) + (evict > 0 ? 1 : 0) + (drain > 0 ? 1 : 0) >= 2",
			"0 oom\n 5 oom\n 12 drain", "oom drain@12", "15",
		},
		{
			"again while it holds is one", "oom > 0 && evict > 0",
			"0 oom\n 1 evict\n 5 oom\n 6 evict", "oom evict@1", "15",
		},
		{
			"decided at close: none came", "oom >= 1 && drain == 0",
			"0 evict\n 4 oom\n 9 oom", "evict oom oom@10", "",
		},
		{
			"decided at close: one at its end still counts", "oom >= 1 && drain == 0",
			"0 oom\n 10 drain", "", "",
		},
		{
			"decided at close: the next window begins with the next event", "oom >= 1 && drain == 0",
			"0 drain\n 10 oom\n 11 oom\n 30 evict\n 35 oom", "oom@21, evict oom@40", "",
		},
	} {
		t.Run(x.name, func(t *testing.T) {
			r := ruleOf(t, sickNode+"  condition: '"+x.condition+"'")
			for _, restart := range []bool{false, true} {
				b := newSolo(r)
				b.restart, b.recount = restart, true
				for _, in := range inputs(t, r, nodes(x.lines)) {
					b.feed(in)
				}
				b.advance(never)
				expect(t, b.timed(), x.want)
				expect(t, b.released(), x.releases)
				if !b.m.idle() {
					t.Error("state is left behind")
				}
			}
		})
	}
}
