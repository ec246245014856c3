package rules

import (
	"time"

	"github.com/expr-lang/expr/ast"
)

// call lowers a call of one of our functions, or of a method of a time.
func (l *lowering) call(n *ast.CallNode) (ast.Node, kindOf) {
	id, ok := n.Callee.(*ast.IdentifierNode)
	if !ok {
		return l.method(n), unknownKind
	}
	switch id.Value {
	case "has":
		return l.has(n)
	case "cidr":
		return call(n, "cidr", l.only(n.Arguments[0]), constant(n, networksOf(n.Arguments[1]))), maybeBool
	case "re":
		return l.matches(n, n.Arguments[0], n.Arguments[1])
	case "hour":
		return call(n, "hour", l.only(n.Arguments[0]), constant(n, zoneOf(n))), kindOf{IntField, true}
	case "weekday":
		return call(n, "weekday", l.only(n.Arguments[0]), constant(n, zoneOf(n))), kindOf{StringField, true}
	}
	return mapChildren(n, l.only), unknownKind
}

func zoneOf(n *ast.CallNode) *time.Location {
	if len(n.Arguments) > 1 {
		if s, ok := n.Arguments[1].(*ast.StringNode); ok {
			if loc, err := loadZone(s.Value); err == nil {
				return loc
			}
		}
	}
	return time.UTC
}

// networksOf are the networks of cidr's second argument; what is none was reported.
func networksOf(n ast.Node) prefixes {
	var texts []string
	switch n := n.(type) {
	case *ast.StringNode:
		texts = []string{n.Value}
	case *ast.ArrayNode:
		for _, e := range n.Nodes {
			if s, ok := e.(*ast.StringNode); ok {
				texts = append(texts, s.Value)
			}
		}
	case *ast.ConstantNode:
		texts, _ = n.Value.([]string)
	}
	var p prefixes
	for _, text := range texts {
		if net, err := parsePrefix(text); err == nil {
			p = append(p, net)
		}
	}
	return p
}

func (l *lowering) method(n *ast.CallNode) ast.Node {
	m, ok := n.Callee.(*ast.MemberNode)
	if !ok {
		return call(n, "bool", &ast.NilNode{})
	}
	args := []ast.Node{l.only(m.Node), m.Property}
	for _, arg := range n.Arguments {
		args = append(args, l.only(arg))
	}
	return call(n, "method", args...)
}

// has lowers has(x): a typed field is there if it is not "" or 0, anything else if
// it is not nil.
func (l *lowering) has(n *ast.CallNode) (ast.Node, kindOf) {
	x, k := l.lower(n.Arguments[0])
	var none ast.Node = &ast.NilNode{}
	switch {
	case k.is(StringField):
		none = &ast.StringNode{}
	case k.is(IntField):
		none = &ast.IntegerNode{}
	case k.is(FloatField):
		none = &ast.FloatNode{}
	}
	return at(&ast.BinaryNode{Operator: "!=", Left: x, Right: at(none, n)}, n), definite(BoolField)
}

// loops whose predicate is a condition.
var conditionLoops = map[string]bool{
	"all": true, "none": true, "any": true, "one": true, "filter": true, "find": true, "findIndex": true,
	"findLast": true, "findLastIndex": true, "count": true,
}

func (l *lowering) builtin(n *ast.BuiltinNode) (ast.Node, kindOf) {
	loop := len(n.Arguments) > 1 && isPredicate(n.Arguments[1]) || conditionLoops[n.Name] || n.Name == "sum"
	switch {
	case loop:
		return l.loop(n)
	case n.Name == "duration":
		if d, ok := constDuration(n); ok {
			return constant(n, d), definite(DurationField)
		}
	case n.Name == "len" || n.Name == "lower" || n.Name == "upper" || n.Name == "trim" && len(n.Arguments) == 1:
		x, k := l.lower(n.Arguments[0])
		result := kindOf{StringField, !k.is(StringField)}
		if n.Name == "len" {
			result = kindOf{IntField, !k.is(StringField) && !k.is(ListField)}
		}
		return call(n, n.Name, x), result
	}
	args := make([]ast.Node, len(n.Arguments))
	for i, arg := range n.Arguments {
		args[i] = l.only(arg)
	}
	return call(n, n.Name, args...), unknownKind
}

func isPredicate(n ast.Node) bool {
	_, ok := n.(*ast.PredicateNode)
	return ok
}

// loop lowers a loop over a list. What is no list makes it nil: the list goes into
// a variable first, so that it is read once.
func (l *lowering) loop(n *ast.BuiltinNode) (ast.Node, kindOf) {
	if n.Name == "sum" || n.Name == "sortBy" {
		return l.loopFunction(n), unknownKind
	}
	list, k := l.lower(n.Arguments[0])
	c := copyNode(n).(*ast.BuiltinNode)
	for i, arg := range n.Arguments[1:] {
		c.Arguments[i+1] = l.predicate(n.Name, arg)
	}
	result := l.loopKind(n.Name)
	if k.is(ListField) {
		c.Arguments[0] = list
		return c, result
	}
	l.fresh++
	name := "§list" + string(rune('a'+l.fresh%26)) + string(rune('a'+l.fresh/26%26))
	v := &ast.IdentifierNode{Value: name}
	c.Arguments[0] = v
	cond := &ast.BinaryNode{Operator: "!=", Left: v, Right: &ast.NilNode{}}
	body := &ast.ConditionalNode{Ternary: true, Cond: cond, Exp1: c, Exp2: &ast.NilNode{}}
	result.nil = true
	return at(&ast.VariableDeclaratorNode{Name: name, Value: call(n, "list", list), Expr: body}, n), result
}

// loopFunction lowers sum and sortBy, which in expr fail on a value of another type
// than the rest: what the predicate yields goes into a list, and the list into one
// of our primitives. sortBy(xs, p) is §sortBy(xs, map(xs, p)).
func (l *lowering) loopFunction(n *ast.BuiltinNode) ast.Node {
	list := n.Arguments[0]
	values := list
	if len(n.Arguments) > 1 {
		values = at(&ast.BuiltinNode{Name: "map", Arguments: []ast.Node{list, n.Arguments[1]}}, n)
	}
	if n.Name == "sum" {
		return call(n, "sum", l.only(values))
	}
	args := []ast.Node{l.only(list), l.only(values)}
	for _, order := range n.Arguments[min(2, len(n.Arguments)):] {
		args = append(args, l.only(order))
	}
	return call(n, "sortBy", args...)
}

func (l *lowering) loopKind(name string) kindOf {
	switch name {
	case "all", "none", "any", "one":
		return definite(BoolField)
	case "count", "findIndex", "findLastIndex":
		return definite(IntField)
	case "filter", "map":
		return definite(ListField)
	}
	return unknownKind
}

// predicate lowers the body of a loop; each turn is counted, so that no nest of
// loops can go on for long.
func (l *lowering) predicate(loop string, n ast.Node) ast.Node {
	p, ok := n.(*ast.PredicateNode)
	if !ok {
		return l.only(n)
	}
	var body ast.Node
	switch {
	case conditionLoops[loop]:
		return at(&ast.PredicateNode{Node: call(p.Node, "turnIs", &ast.IdentifierNode{Value: budgetName}, l.decided(p.Node))}, n)
	case loop == "groupBy":
		body = call(p.Node, "text", l.only(p.Node))
	default:
		body = l.only(p.Node)
	}
	return at(&ast.PredicateNode{Node: call(p.Node, "turn", &ast.IdentifierNode{Value: budgetName}, body)}, n)
}
