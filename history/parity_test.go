package history

import (
	"strings"
	"testing"
	"time"

	"corral/correlate"
	"corral/rules"
)

func parse(t *testing.T, text string) *rules.Set {
	t.Helper()
	set, diags := rules.Parse([]rules.File{{Name: "test.yaml", Data: []byte(text)}})
	if set == nil {
		var b strings.Builder
		_ = rules.FormatText(&b, diags, rules.TextStyle{})
		t.Fatal(b.String())
	}
	return set
}

const parityRules = `
rules:
  - {id: burst, match: level == "error", group_by: [service], threshold: {window: 1m, condition: count() >= 3}}
  - {id: silent, match: true, group_by: [service], absence: {every: 10m}}
`

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// rev is a revision of an incident of `burst` that began at minute from.
func rev(set *rules.Set, rule, service string, n int, from, at time.Duration, count int) *correlate.Transition {
	fp := correlate.Fingerprint(rule, []string{"service"}, []string{service})
	t := &correlate.Transition{
		IncidentID: correlate.IncidentID(fp, noon.Add(from).UnixNano()), Fingerprint: fp, Rev: n, RuleID: rule, RuleHash: set.Rule(rule).LogicHash, RulesGen: 1,
		Key: map[string]string{"service": service}, State: "open", Cause: "condition", Severity: "error",
		StartedAt: noon.Add(from), OpenedAt: noon.Add(from + time.Minute), LastEventAt: noon.Add(at), ChangedAt: noon.Add(at), EventCount: count, Notified: true,
	}
	if n > 1 {
		end := noon.Add(at)
		t.State, t.Cause, t.ResolvedAt = "resolved", "quiet", &end
	}
	return t
}

func book(ts ...*correlate.Transition) *Book {
	b := &Book{}
	for _, t := range ts {
		b.Add(t)
	}
	return b
}

const minute = time.Minute

func TestCompare(t *testing.T) {
	set := parse(t, parityRules)
	a1, a2 := rev(set, "burst", "a", 1, 0, minute, 3), rev(set, "burst", "a", 2, 0, 5*minute, 9)
	moved := rev(set, "burst", "a", 1, -minute, minute, 4)
	other := *a1
	other.RuleHash = "00ff00ff"
	silent := rev(set, "silent", "a", 1, 0, minute, 0)
	tests := []struct {
		name        string
		live, batch []*correlate.Transition
		in          ParityInput
		want        []string // kind, first reason, a field
		unknown     int
	}{
		{"equal", []*correlate.Transition{a1, a2}, []*correlate.Transition{a1, a2}, ParityInput{}, nil, 0},
		{"in any order", []*correlate.Transition{a2, a1}, []*correlate.Transition{a1, a2}, ParityInput{}, nil, 0},
		{
			"a count",
			[]*correlate.Transition{a1, a2},
			[]*correlate.Transition{a1, rev(set, "burst", "a", 2, 0, 5*minute, 10)},
			ParityInput{},
			[]string{"both unexplained rev 2 event_count 9 10"},
			0,
		},
		{
			"late",
			[]*correlate.Transition{a1, a2},
			[]*correlate.Transition{a1, rev(set, "burst", "a", 2, 0, 5*minute, 10)},
			ParityInput{Lates: []Late{{Rule: "burst", Key: map[string]string{"service": "a"}, At: noon.Add(2 * minute), By: time.Minute, Source: "LOGS/7"}}},
			[]string{"both late rev 2 event_count 9 10"},
			0,
		},
		{
			"late for another key",
			[]*correlate.Transition{a1, a2},
			[]*correlate.Transition{a1, rev(set, "burst", "a", 2, 0, 5*minute, 10)},
			ParityInput{Lates: []Late{{Rule: "burst", Key: map[string]string{"service": "b"}, At: noon.Add(2 * minute), By: time.Minute}}},
			[]string{"both unexplained rev 2 event_count 9 10"},
			0,
		},
		{
			"late, but hours before",
			[]*correlate.Transition{a1, a2},
			[]*correlate.Transition{a1, rev(set, "burst", "a", 2, 0, 5*minute, 10)},
			ParityInput{Lates: []Late{{Rule: "burst", Key: map[string]string{"service": "a"}, At: noon.Add(-time.Hour), By: time.Minute}}},
			[]string{"both unexplained rev 2 event_count 9 10"},
			0,
		},
		{"the start moved", []*correlate.Transition{a1}, []*correlate.Transition{moved}, ParityInput{}, []string{"both unexplained rev 0 incident_id"}, 0},
		{"only live", []*correlate.Transition{a1}, nil, ParityInput{}, []string{"live unexplained"}, 0},
		{"live is behind", nil, []*correlate.Transition{a1}, ParityInput{}, []string{"batch behind"}, 0},
		{"began before", []*correlate.Transition{moved}, []*correlate.Transition{a1}, ParityInput{Begin: noon}, nil, 1},
		{"another version", []*correlate.Transition{&other}, nil, ParityInput{}, []string{"live rules"}, 0},
		{"evicted", []*correlate.Transition{a1}, nil, ParityInput{Evicted: map[string]uint64{"burst": 3}}, []string{"live evicted"}, 0},
		{"memory", []*correlate.Transition{silent}, nil, ParityInput{}, []string{"live memory"}, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.in.Live, tt.in.Batch, tt.in.Rules = book(tt.live...), book(tt.batch...), set
			p := Compare(tt.in)
			if p.Unknown != tt.unknown {
				t.Errorf("%d cannot be compared, want %d", p.Unknown, tt.unknown)
			}
			if len(p.Different) != len(tt.want) {
				t.Fatalf("%d differences, want %d: %+v", len(p.Different), len(tt.want), p.Different)
			}
			for i, d := range p.Different {
				got := d.Kind + " " + d.Why[0].Kind
				if len(d.Fields) > 0 {
					f := d.Fields[0]
					got += " rev " + value(f.Rev) + " " + f.Name
					if f.Name == "event_count" {
						got += " " + f.Live + " " + f.Batch
					}
				}
				if got != tt.want[i] {
					t.Errorf("got %q, want %q", got, tt.want[i])
				}
			}
			var out strings.Builder
			if err := p.Write(&out); err != nil || !strings.Contains(out.String(), "difference") {
				t.Errorf("%v: %s", err, out.String())
			}
		})
	}
}
