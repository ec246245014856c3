package rules

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/builtin"
)

// ownFunctions are the functions of the rule language besides expr's own, with
// their types for the checker.
var ownFunctions = map[string][]any{
	"has":     {func(any) bool { return false }},
	"cidr":    {func(string, string) bool { return false }, func(string, []string) bool { return false }, func(string, []any) bool { return false }},
	"re":      {func(string, string) bool { return false }},
	"hour":    {func(time.Time, string) int { return 0 }, func(time.Time) int { return 0 }},
	"weekday": {func(time.Time, string) string { return "" }, func(time.Time) string { return "" }},
}

// forbidden are functions of expr that rules may not use, with the reason.
var forbidden = map[string]string{
	"now": "a rule knows no clock but the event's: use `time`",
}

// FunctionDoc is a function of the rule language beyond expr's own.
type FunctionDoc struct{ Name, Signature, Doc string }

// Functions lists the functions and aggregates rules may call besides expr's own.
func Functions() []FunctionDoc {
	return []FunctionDoc{
		{"has", "has(x)", "x is there: an attribute that is not nil, a field that is not \"\" or 0"},
		{"cidr", "cidr(ip, net)", "the address is in the network; net is \"10.0.0.0/8\" or a list of networks"},
		{"re", "re(text, pattern)", "the text matches the RE2 pattern, a constant"},
		{"hour", "hour(time, zone)", "0–23 in the IANA zone (default UTC)"},
		{"weekday", "weekday(time, zone)", "\"Mon\" … \"Sun\" in the IANA zone (default UTC)"},
		{"duration", "duration(text)", "a span: duration(\"5m\"), also with d and w"},
		{"count", "count() · count(pred)", "events in the window (that satisfy pred)"},
		{"sum", "sum(x)", "sum of x over the window"},
		{"avg", "avg(x)", "mean of x; undefined for an empty window"},
		{"min", "min(x)", "least x; undefined for an empty window"},
		{"max", "max(x)", "greatest x; undefined for an empty window"},
		{"stddev", "stddev(x)", "population standard deviation of x"},
		{"quantile", "quantile(q, x)", "q-quantile of x, 0 ≤ q ≤ 1"},
		{"distinct", "distinct(x)", "number of different values of x"},
		{"rate", "rate()", "events per second of window"},
		{"first", "first(x)", "x of the first event in the window"},
		{"last", "last(x)", "x of the last event in the window"},
		{"previous", "previous(agg)", "the same aggregate over the window before"},
		{"baseline", "baseline(agg, offset, n)", "mean of the aggregate at the same time 1…n offsets ago"},
	}
}

func (a *analysis) resolveCall(n *ast.CallNode) ast.Node {
	callee, ok := n.Callee.(*ast.IdentifierNode)
	if !ok { // time.Format("15:04")
		return mapChildren(n, a.resolve)
	}
	name := callee.Value
	loc := callee.Location()
	switch {
	case ofSeveral(n, name):
		return a.resolveBuiltin(at(&ast.BuiltinNode{Name: name, Arguments: n.Arguments}, n).(*ast.BuiltinNode))
	case aggNames[name] != 0 && a.sc.aggs != nil:
		return a.resolveAggregate(n, name)
	case aggNames[name] != 0:
		from, to := a.nodeSpan(n)
		a.failAggregateHere(from, to, name)
		return a.any(n)
	case ownFunctions[name] != nil:
		return a.resolveOwn(n, name)
	}
	note := didYouMean(name, functionNames())
	if s := functionAliases[strings.ToLower(name)]; s != "" {
		note = "did you mean " + s + "?"
	}
	a.fail(loc.From, loc.To, codeFunc, fmt.Sprintf("unknown function %q", name), note, "")
	if s := Nearest(name, functionNames()); s != "" {
		c := *n
		c.Callee = at(&ast.IdentifierNode{Value: s}, callee)
		if ownFunctions[s] != nil || aggNames[s] != 0 && a.sc.aggs != nil {
			return a.resolveCall(&c)
		}
	}
	for _, arg := range n.Arguments {
		a.resolve(arg)
	}
	return a.any(n)
}

// functionAliases are names other languages have, with what it is called here.
var functionAliases = map[string]string{
	"length": "len(x)", "lenght": "len(x)", "size": "len(x)", "tolower": "lower(x)", "toupper": "upper(x)", "exists": "has(x)",
	"isset": "has(x)", "includes": "`x contains y`", "contains": "`x contains y`", "startswith": "`x startsWith y`",
	"endswith": "`x endsWith y`", "regex": "re(text, pattern)", "match": "re(text, pattern)", "regexp": "re(text, pattern)", "percentile": "quantile(0.99, x)",
	"p99": "quantile(0.99, x)", "mean": "avg(x)", "count_distinct": "distinct(x)", "uniq": "distinct(x)", "dcount": "distinct(x)",
}

func functionNames() []string {
	var names []string
	for name := range ownFunctions {
		names = append(names, name)
	}
	for name := range aggNames {
		names = append(names, name)
	}
	for _, f := range builtin.Builtins {
		if forbidden[f.Name] == "" {
			names = append(names, f.Name)
		}
	}
	return slices.Compact(sorted(names))
}

func (a *analysis) resolveBuiltin(n *ast.BuiltinNode) ast.Node {
	if why := forbidden[n.Name]; why != "" {
		loc := n.Location()
		a.fail(loc.From, loc.To, codeFunc, fmt.Sprintf("%s() may not be used in rules", n.Name), "", "help: "+why)
		return a.any(n)
	}
	switch n.Name {
	case "duration":
		a.checkSpan(n)
	case "get": // get(x, "name") is x["name"]: absent is nil either way
		if len(n.Arguments) == 2 {
			return a.resolve(at(&ast.MemberNode{Node: n.Arguments[0], Property: n.Arguments[1]}, n))
		}
	}
	if a.sc.aggs == nil && aggNames[n.Name] != 0 && len(n.Arguments) == 1 && compares(n.Arguments[0]) {
		from, to := a.nodeSpan(n)
		a.failAggregateHere(from, to, n.Name)
		return a.any(n)
	}
	c := *n
	c.Arguments = slices.Clone(n.Arguments)
	for i, arg := range n.Arguments {
		p, ok := arg.(*ast.PredicateNode)
		if !ok {
			c.Arguments[i] = a.resolve(arg)
			continue
		}
		if len(a.loops) == maxLoopDepth {
			a.failNode(n, codeTooLarge, fmt.Sprintf("loops are nested more than %d deep", maxLoopDepth), "", "")
			return a.any(n)
		}
		a.loops = append(a.loops, loop{events: a.listsEvents(c.Arguments[0])})
		q := *p
		q.Node = a.resolve(p.Node)
		c.Arguments[i] = &q
		a.loops = a.loops[:len(a.loops)-1]
	}
	return &c
}

// compares says that a node is a condition, which no function of lists takes.
func compares(n ast.Node) bool {
	b, ok := n.(*ast.BinaryNode)
	return ok && (mirrored[b.Operator] != "" || slices.Contains([]string{"==", "!=", "&&", "||", "and", "or", "contains", "matches", "in"}, b.Operator))
}

// listsEvents says whether the list is one of events: step.all, filtered or not.
func (a *analysis) listsEvents(n ast.Node) bool {
	switch n := n.(type) {
	case *ast.IdentifierNode:
		return strings.HasPrefix(n.Value, "step:") && strings.HasSuffix(n.Value, ".all")
	case *ast.BuiltinNode:
		return (n.Name == "filter" || n.Name == "reverse" || n.Name == "take") && a.listsEvents(n.Arguments[0])
	}
	return false
}
