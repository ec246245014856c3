package rules

import (
	"fmt"
	"math"
	"reflect"
	"time"

	"github.com/expr-lang/expr/ast"
)

var aggNames = map[string]AggFn{
	"count": Count, "sum": Sum, "avg": Avg, "min": Min, "max": Max, "stddev": Stddev, "quantile": Quantile,
	"distinct": Distinct, "rate": Rate, "first": First, "last": Last, "previous": Previous, "baseline": Baseline,
}

// String is the name of the aggregate in the rule language.
func (f AggFn) String() string {
	for name, fn := range aggNames {
		if fn == f {
			return name
		}
	}
	return ""
}

// aggregates collects the aggregates of a rule from its expressions. What is
// written twice is kept once.
type aggregates struct {
	rule    *Rule
	scope   *scope // of the arguments: one event
	history bool   // previous and baseline have a meaning
	byText  map[string]int
	partIdx map[string]int
	argIdx  map[string]int
}

func newAggregates(r *Rule, sc *scope, history bool) *aggregates {
	return &aggregates{rule: r, scope: sc, history: history, byText: map[string]int{}, partIdx: map[string]int{}, argIdx: map[string]int{}}
}

// resolveAggregate replaces an aggregate call by the name of its value.
func (a *analysis) resolveAggregate(n *ast.CallNode, name string) ast.Node {
	if ofSeveral(n, name) {
		return a.resolveBuiltin(at(&ast.BuiltinNode{Name: name, Arguments: n.Arguments}, n).(*ast.BuiltinNode))
	}
	i, ok := a.aggregate(n, name)
	if !ok {
		return a.any(n)
	}
	return a.use(aggIdent(i, aggType(a.sc.aggs.rule.Aggs, i)), n)
}

// aggType is the type of an aggregate's value.
func aggType(aggs []Agg, i int) FieldType {
	switch aggs[i].Fn {
	case Count, Distinct:
		return IntField
	case First, Last, Min, Max, Sum:
		return AnyField
	}
	return FloatField
}

// aggregate finds or adds the aggregate of a call; its errors are reported.
func (a *analysis) aggregate(n *ast.CallNode, name string) (int, bool) {
	fn := aggNames[name]
	if !a.aggArity(n, name) {
		return 0, false
	}
	g := Agg{Fn: fn, Text: nodeText(n), Arg: -1, Part: -1}
	if i, ok := a.sc.aggs.byText[g.Text]; ok {
		return i, true
	}
	ok := true
	switch fn {
	case Rate:
	case Count:
		if len(n.Arguments) == 1 {
			g.Part, ok = a.aggPart(n.Arguments[0])
		}
	case Quantile:
		g.Q, ok = a.aggQuantile(n.Arguments[0])
		if ok {
			g.Arg, ok = a.aggArg(n.Arguments[1], fn)
		}
	case Previous, Baseline:
		ok = a.aggHistory(n, name, &g)
	default:
		g.Arg, ok = a.aggArg(n.Arguments[0], fn)
	}
	if !ok {
		return 0, false
	}
	return a.sc.aggs.add(g), true
}

func (s *aggregates) add(g Agg) int {
	s.rule.Aggs = append(s.rule.Aggs, g)
	s.byText[g.Text] = len(s.rule.Aggs) - 1
	return len(s.rule.Aggs) - 1
}

var aggArgs = map[AggFn]struct {
	min, max int
	form     string
}{
	Count: {0, 1, "count() or count(predicate)"}, Rate: {0, 0, "rate()"}, Sum: {1, 1, "sum(x)"}, Avg: {1, 1, "avg(x)"},
	Min: {1, 1, "min(x)"}, Max: {1, 1, "max(x)"}, Stddev: {1, 1, "stddev(x)"}, Distinct: {1, 1, "distinct(x)"},
	First: {1, 1, "first(x)"}, Last: {1, 1, "last(x)"}, Quantile: {2, 2, "quantile(0.99, x)"},
	Previous: {1, 1, "previous(count())"}, Baseline: {3, 3, "baseline(count(), 7d, 4)"},
}

func (a *analysis) aggArity(n *ast.CallNode, name string) bool {
	want := aggArgs[aggNames[name]]
	if len(n.Arguments) >= want.min && len(n.Arguments) <= want.max {
		return true
	}
	a.failNode(n, codeArgs, fmt.Sprintf("%s takes other arguments", name), "", "help: "+want.form)
	return false
}

// inner analyses the argument of an aggregate, an expression about one event.
func (a *analysis) inner(n ast.Node) (*analysis, ast.Node) {
	in := newAnalysis(a.rep, a.text, a.sc.aggs.scope)
	in.tokens = a.tokens
	if call := findAggregate(n); call != nil {
		from, to := in.nodeSpan(call)
		in.fail(from, to, codeAggregate, "an aggregate may not be inside another", "", "help: only previous(…) and baseline(…) take one; expr's own function of a list is ::"+call.(*ast.CallNode).Callee.String()+"(…)")
		return in, nil
	}
	return in, in.resolve(n)
}

// findAggregate is the first aggregate call in n, nil if there is none. The least
// or greatest of several values, min(x, y), is no aggregate.
func findAggregate(n ast.Node) ast.Node {
	var found ast.Node
	anyNode(n, func(n ast.Node) bool {
		if c, ok := n.(*ast.CallNode); ok {
			id, ok := c.Callee.(*ast.IdentifierNode)
			if ok && aggNames[id.Value] != 0 && !ofSeveral(c, id.Value) {
				found = n
				return true
			}
		}
		return false
	})
	return found
}

func ofSeveral(c *ast.CallNode, name string) bool {
	return (name == "min" || name == "max") && len(c.Arguments) > 1
}

// aggPart is the index of the predicate of count(pred) in Rule.Parts.
func (a *analysis) aggPart(n ast.Node) (int, bool) {
	s := a.sc.aggs
	text := nodeText(n)
	if i, ok := s.partIdx[text]; ok {
		return i, true
	}
	in, root := a.inner(n)
	x := in.finish(root, n, wantBool, "the predicate of count(…)")
	if x == nil {
		a.failed = true
		return 0, false
	}
	s.rule.Parts = append(s.rule.Parts, Part{Name: text, Expr: x})
	s.partIdx[text] = len(s.rule.Parts) - 1
	return s.partIdx[text], true
}

// aggArg is the index of an aggregate's argument in Rule.Args.
func (a *analysis) aggArg(n ast.Node, fn AggFn) (int, bool) {
	s := a.sc.aggs
	text := nodeText(n)
	if i, ok := s.argIdx[text]; ok {
		return i, a.aggNumeric(n, s.rule.Args[i], fn)
	}
	in, root := a.inner(n)
	x := in.finish(root, n, wantAny, "")
	if x == nil {
		a.failed = true
		return 0, false
	}
	if !a.aggNumeric(n, x, fn) {
		return 0, false
	}
	s.rule.Args = append(s.rule.Args, x)
	s.argIdx[text] = len(s.rule.Args) - 1
	return s.argIdx[text], true
}

// aggNumeric reports a text where numbers are summed up.
func (a *analysis) aggNumeric(n ast.Node, x *Expr, fn AggFn) bool {
	if x.typ == nil || x.typ.Kind() == reflect.Interface {
		return true
	}
	switch fn {
	case Sum, Avg, Min, Max, Stddev, Quantile:
		if k := x.typ.Kind(); k == reflect.Int || k == reflect.Float64 {
			return true
		}
		a.failNode(n, codeNotValue, fmt.Sprintf("%s needs numbers, this is %s", fn, withArticle(typeName(x.typ))), "", "")
		return false
	}
	if scalarType(x.typ) {
		return true
	}
	a.failNode(n, codeNotValue, fmt.Sprintf("%s needs a number or a text, this is %s", fn, withArticle(typeName(x.typ))), "", "")
	return false
}

// scalarType says that values of the type can be told apart and remembered.
func scalarType(t reflect.Type) bool {
	if t == nil {
		return true
	}
	switch t.Kind() {
	case reflect.Interface, reflect.Int, reflect.Float64, reflect.String, reflect.Bool:
		return true
	}
	return false
}

func (a *analysis) aggQuantile(n ast.Node) (float64, bool) {
	var q float64
	switch c := n.(type) {
	case *ast.FloatNode:
		q = c.Value
	case *ast.IntegerNode:
		q = float64(c.Value)
	default:
		q = math.NaN()
	}
	if q >= 0 && q <= 1 {
		return q, true
	}
	a.failNode(n, codeConstant, "the first argument of quantile is a constant from 0 to 1", "", "help: quantile(0.99, http.duration_ms)")
	return 0, false
}

// aggHistory fills in previous(agg) and baseline(agg, offset, n).
func (a *analysis) aggHistory(n *ast.CallNode, name string, g *Agg) bool {
	if !a.sc.aggs.history {
		a.failNode(n, codeNotHere, name+"(…) needs a sliding or tumbling window: only those have one before", "", "")
		return false
	}
	of, ok := n.Arguments[0].(*ast.CallNode)
	if ok {
		id, isName := of.Callee.(*ast.IdentifierNode)
		ok = isName && aggNames[id.Value] != 0 && aggNames[id.Value] < Previous
	}
	if !ok {
		a.failNode(n.Arguments[0], codeAggregate, name+"(…) takes an aggregate", "", "help: "+aggArgs[g.Fn].form)
		return false
	}
	i, ok := a.aggregate(of, of.Callee.(*ast.IdentifierNode).Value)
	if !ok {
		return false
	}
	g.Of = i
	return g.Fn == Previous || a.aggBaseline(n, g)
}

const maxBaseline = 52 // values a baseline may need, per key and window length

func (a *analysis) aggBaseline(n *ast.CallNode, g *Agg) bool {
	offset, ok := constDuration(n.Arguments[1])
	if !ok || offset <= 0 {
		a.failNode(n.Arguments[1], codeConstant, "the offset of baseline is a constant duration", "", `help: baseline(count(), 7d, 4)`)
		return false
	}
	count, ok := n.Arguments[2].(*ast.IntegerNode)
	if !ok || count.Value < 1 || count.Value > maxBaseline {
		a.failNode(n.Arguments[2], codeConstant, fmt.Sprintf("baseline looks at 1 to %d windows back", maxBaseline), "", "help: baseline(count(), 7d, 4)")
		return false
	}
	g.Offset, g.N = offset, count.Value
	return true
}

// constDuration reads 7d, "7d" or duration("7d").
func constDuration(n ast.Node) (time.Duration, bool) {
	if id, ok := n.(*ast.IdentifierNode); ok {
		text, _ := spanLiteral(id.Value)
		d, err := ParseDuration(text)
		return d, err == nil
	}
	if b, ok := n.(*ast.BuiltinNode); ok && b.Name == "duration" && len(b.Arguments) == 1 {
		n = b.Arguments[0]
	}
	s, ok := n.(*ast.StringNode)
	if !ok {
		return 0, false
	}
	d, err := ParseDuration(s.Value)
	return d, err == nil
}
