package rules

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"corral/event"
)

// tree writes an explanation, one line per node.
func tree(n *Node) string {
	var b strings.Builder
	var write func(*Node, int)
	write = func(n *Node, depth int) {
		fmt.Fprintf(&b, "%s%d %s%s: %s", strings.Repeat("  ", depth), n.ID, n.Op, map[bool]string{true: " ", false: ""}[n.Op != ""]+n.Text, n.Outcome)
		if n.Reason != "" {
			b.WriteString(" (" + n.Reason + ")")
		}
		b.WriteByte('\n')
		for _, k := range n.Kids {
			write(k, depth+1)
		}
	}
	write(n, 0)
	return b.String()
}

func TestExplainShowsWhatWasCompared(t *testing.T) {
	set := mustParse(t, `
version: 1
rules:
  - id: a
    match: >
      service == "pay" and
      (http.status >= 500 || attrs.amount > 100) &&
      not (message contains "ok")
    event: {}
`)
	ev := &event.Event{Service: "pay", Message: "not ok"}
	ev.SetAttrs(map[string]any{"amount": "12"})
	got := tree(set.Rule("a").Match().Explain(&Env{Event: ev}))
	want := `0 && service == "pay" and (http.status >= 500 || attrs.amount > 100) && not (message contains "ok"): false
  1 && service == "pay" and (http.status >= 500 || attrs.amount > 100): undefined
    2 service == "pay": true
    3 || http.status >= 500 || attrs.amount > 100: undefined
      4 http.status >= 500: false (http.status is absent)
      5 attrs.amount > 100: undefined (attrs.amount is "12" (a string))
  6 ! not (message contains "ok"): false
    7 message contains "ok": true
`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// What a node of the tree comes out as must be what the expression makes of it:
// the whole agrees with Bool, and && || ! follow from their operands.
func TestExplainAgreesWithEvaluation(t *testing.T) {
	sc := testScope()
	r := rand.New(rand.NewPCG(3, 4))
	for _, text := range trapExpressions {
		x := compileTest(t, text, sc, wantAny)
		for range 30 {
			env := &Env{Event: anyEvent(r)}
			n := x.Explain(env)
			if want := x.bool(env); tri(n.Outcome) != want {
				t.Fatalf("%s: explained as %s, is %v", text, n.Outcome, want)
			}
			n.Walk(func(n *Node) { checkNode(t, n) })
		}
	}
}

func checkNode(t *testing.T, n *Node) {
	t.Helper()
	want := tri(n.Outcome)
	switch n.Op {
	case "&&":
		want = and(tri(n.Kids[0].Outcome), tri(n.Kids[1].Outcome))
	case "||":
		want = or(tri(n.Kids[0].Outcome), tri(n.Kids[1].Outcome))
	}
	if tri(n.Outcome) != want {
		t.Errorf("%s is %s, its operands say otherwise", n.Text, n.Outcome)
	}
}
