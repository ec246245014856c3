package demo

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"corral/correlate"
)

const restLine = `{"msg":"request","service.name":"gateway","http.route":"/orders","http.response.status_code":504}`

func TestJudge(t *testing.T) {
	injected := time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC)
	fault := &Fault{
		Name:     "worker",
		Expect:   []Expectation{{Rule: "root", Key: map[string]string{"call": "a"}, Evidence: []string{"REST"}, Resolves: true}},
		Symptoms: []string{"burst"},
	}
	at := func(rule, call string, seconds int) *correlate.Transition {
		return &correlate.Transition{
			RuleID: rule, IncidentID: rule + call, Rev: 1, State: "open", Title: "it is " + rule,
			Key: map[string]string{"call": call}, OpenedAt: injected.Add(time.Duration(seconds) * time.Second),
			Evidence: []correlate.Evidence{{Line: restLine}},
		}
	}
	ended := func(tr *correlate.Transition) *correlate.Transition {
		end := *tr
		end.Rev, end.State = 2, "resolved"
		return &end
	}
	root := at("root", "a", 1)
	bare := at("root", "a", 1)
	bare.Evidence = nil
	for name, c := range map[string]struct {
		ts   []*correlate.Transition
		want []string
	}{
		"as expected, with a symptom": {[]*correlate.Transition{root, at("burst", "x", 2), ended(root)}, nil},
		"nothing":                     {nil, []string{"worker: root call=a did not open within 25s"}},
		"another key":                 {[]*correlate.Transition{at("root", "b", 1)}, []string{"worker: root call=a did not open within 25s", "worker: root fired too: it is root"}},
		"too early":                   {[]*correlate.Transition{at("root", "a", -2), ended(root)}, []string{"worker: root call=a opened 2s before the fault"}},
		"still open":                  {[]*correlate.Transition{root}, []string{"worker: root call=a is still open after the fault"}},
		"no evidence":                 {[]*correlate.Transition{bare, ended(bare)}, []string{"worker: root call=a has no evidence of [REST]"}},
		"something else":              {[]*correlate.Transition{root, ended(root), at("other", "", 3)}, []string{"worker: other fired too: it is other"}},
	} {
		t.Run(name, func(t *testing.T) {
			o := &outcome{fault: fault, limit: 25 * time.Second, detected: make([]*correlate.Transition, 1), after: make([]time.Duration, 1)}
			o.detected[0] = fault.Expect[0].find(opened(c.ts))
			o.judge(c.ts, injected)
			if got, want := strings.Join(o.wrong, "\n"), strings.Join(c.want, "\n"); got != want {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
}

func TestUnexpectedWithoutFault(t *testing.T) {
	ts := []*correlate.Transition{{RuleID: "r", Rev: 1, Title: "why"}, {RuleID: "r", Rev: 2}}
	got := unexpected(ts, nil)
	if len(got) != 1 || got[0] != "r fired without a fault: why" {
		t.Errorf("got %q", got)
	}
}

func TestStoryOfAnIncident(t *testing.T) {
	var out bytes.Buffer
	s := &story{w: &out}
	at := time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC)
	tr := &correlate.Transition{
		RuleID: "root", IncidentID: "i", Rev: 1, State: "open", Severity: "error", Title: "it fails",
		Key: map[string]string{"call": "a"}, OpenedAt: at, ChangedAt: at,
		Evidence: []correlate.Evidence{{At: at, Line: restLine, TraceID: "4bf92f3577b34da6a3ce929d0e0e4736"}},
	}
	end := *tr
	end.Rev, end.State, end.DurationMS, end.EventCount, end.ChangedAt = 2, "resolved", 61500, 12, at.Add(time.Minute)
	s.transition(tr)
	s.transition(&end)
	want := `  ● 08:00:00.000  error     root call=a
    it fails
    │ REST 08:00:00.000  gateway      /orders → 504  trace 4bf92f35…
  ✔ 08:01:00.000  resolved  root call=a  after 1m1.5s, 12 events
`
	if out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", out.String(), want)
	}
}

func TestLatestKeepsTheOrderOfOpening(t *testing.T) {
	a1, b1 := &correlate.Transition{IncidentID: "a", Rev: 1}, &correlate.Transition{IncidentID: "b", Rev: 1}
	a2 := &correlate.Transition{IncidentID: "a", Rev: 2}
	got := latest([]*correlate.Transition{a1, b1, a2})
	if len(got) != 2 || got[0] != a2 || got[1] != b1 {
		t.Errorf("got %v", got)
	}
}
