package rules

import (
	"math/rand/v2"
	"testing"

	"github.com/expr-lang/expr/ast"

	"corral/event"
)

var fuzzEvent = func() *event.Event {
	ev := &event.Event{Kind: "log", Service: "pay", Message: "timed out", HTTP: event.HTTP{Status: 503}}
	ev.SetAttrs(map[string]any{"a": 1, "list": []any{"a", 3, nil}, "tree": map[string]any{"k": "v"}})
	return ev
}()

// FuzzExpr compiles any text as an expression of each scope: no panic, no hang,
// and what compiles evaluates the same in the VM and in closures.
func FuzzExpr(f *testing.F) {
	for _, text := range trapExpressions {
		f.Add(text, uint64(1))
	}
	for _, text := range []string{"count() > 3 && avg(attrs.a) < 2", "a > 3 && !(b == 0)", "step.all[0].service", "baseline(count(), 7d, 4)", "1..100000000", "any(1..1000, any(1..1000, any(1..1000, # > 5)))", "[" + "[[[[", "repeat('x', 1000000)", "a ? b : c", "/* x", "// y", "'\\x", "let x = 1; x", "#", ".x", "{a: 1}", "::count([1], # > 0)"} {
		f.Add(text, uint64(2))
	}
	f.Fuzz(func(t *testing.T, text string, seed uint64) {
		rep := &report{}
		at := exprText{src: newSource("f.yaml", []byte(text)), text: text}
		if x := compileExpr(rep, at, testScope(), wantAny); x != nil && !partial(x) {
			r := rand.New(rand.NewPCG(seed, 1))
			agree(t, x, fuzzEvent)
			agree(t, x, anyEvent(r))
			x.Explain(&Env{Event: fuzzEvent})
		}
		rule := &Rule{Kind: ThresholdKind}
		sc := &scope{what: "`condition`", lists: testScope().lists, counts: map[string]int{"a": 0}, keys: []keyName{{name: "service", path: true}}, steps: []string{"step"}, window: true}
		sc.aggs = newAggregates(rule, testScope(), true)
		rule.Aggs = []Agg{{Fn: Count, Text: "a"}}
		if x := compileExpr(rep, at, sc, wantAny); x != nil {
			env := &Env{Aggs: make([]event.Value, len(rule.Aggs)), Key: []string{"k"}, Steps: [][]*event.Event{{fuzzEvent}}}
			x.Value(env)
			absenceHelps(x, rule.Aggs)
		}
		for _, d := range rep.diags {
			if d.Code == "" || d.Message == "" {
				t.Fatalf("odd finding %+v", d)
			}
		}
	})
}

// partial says that an expression may use up the VM's budget: then the whole fails
// in the VM, and only the part that did in the closures.
func partial(x *Expr) bool {
	return len(x.canon) > 2000 || anyNode(x.low, func(n ast.Node) bool {
		name, _ := callOf(n)
		return name == "range" || name == "turn" || name == "turnIs"
	})
}
