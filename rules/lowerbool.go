package rules

import (
	"regexp"

	"github.com/expr-lang/expr/ast"

	"corral/event"
)

// not pushes a negation inward, so that it reaches the loops, whose predicates are
// plainly true or false: `not any(xs, # > 5)` is `all(xs, not (# > 5))`.
func (l *lowering) not(n, of ast.Node) (ast.Node, kindOf) {
	switch x := of.(type) {
	case *ast.UnaryNode:
		if x.Operator == "!" || x.Operator == "not" {
			return l.asBool(x.Node)
		}
	case *ast.BinaryNode:
		switch x.Operator {
		case "&&", "and":
			return l.logic("||", n, negated(x.Left), negated(x.Right))
		case "||", "or":
			return l.logic("&&", n, negated(x.Left), negated(x.Right))
		case "==":
			return l.lower(at(&ast.BinaryNode{Operator: "!=", Left: x.Left, Right: x.Right}, x))
		case "!=":
			return l.lower(at(&ast.BinaryNode{Operator: "==", Left: x.Left, Right: x.Right}, x))
		}
	case *ast.ConditionalNode:
		return l.conditional(at(&ast.ConditionalNode{Ternary: true, Cond: x.Cond, Exp1: negated(x.Exp1), Exp2: negated(x.Exp2)}, x).(*ast.ConditionalNode))
	case *ast.BuiltinNode:
		if dual := notLoop[x.Name]; dual.name != "" {
			return l.builtin(dual.of(x))
		}
	}
	x, k := l.lower(of)
	if k.is(BoolField) {
		return at(&ast.UnaryNode{Operator: "!", Node: x}, n), k
	}
	return call(n, "not", x), maybeBool
}

func negated(n ast.Node) ast.Node { return at(&ast.UnaryNode{Operator: "!", Node: n}, n) }

// notLoop is the loop that is the negation of another, with the predicate negated
// or not.
var notLoop = map[string]dualLoop{
	"any": {"all", true}, "all": {"any", true}, "none": {"any", false},
}

type dualLoop struct {
	name   string
	negate bool
}

func (d dualLoop) of(n *ast.BuiltinNode) *ast.BuiltinNode {
	args := append([]ast.Node(nil), n.Arguments...)
	if p, ok := args[1].(*ast.PredicateNode); ok && d.negate {
		args[1] = at(&ast.PredicateNode{Node: negated(p.Node)}, p)
	}
	return at(&ast.BuiltinNode{Name: d.name, Arguments: args}, n).(*ast.BuiltinNode)
}

// asBool lowers what must be a bool: anything else becomes unknown.
func (l *lowering) asBool(n ast.Node) (ast.Node, kindOf) {
	x, k := l.lower(n)
	if k.typ == BoolField {
		return x, k
	}
	return call(n, "bool", x), maybeBool
}

// decided lowers a condition to plainly true or false.
func (l *lowering) decided(n ast.Node) ast.Node {
	x, k := l.lower(n)
	if k.is(BoolField) {
		return x
	}
	return call(n, "is", x)
}

func (l *lowering) logic(op string, n, left, right ast.Node) (ast.Node, kindOf) {
	x, kx := l.asBool(left)
	y, ky := l.asBool(right)
	if !kx.nil && !ky.nil {
		return at(&ast.BinaryNode{Operator: op, Left: x, Right: y}, n), definite(BoolField)
	}
	return call(n, op, x, y), maybeBool
}

func (l *lowering) matches(n, text, pattern ast.Node) (ast.Node, kindOf) {
	x, k := l.lower(text)
	s, ok := pattern.(*ast.StringNode)
	if !ok { // was reported
		return call(n, "bool", &ast.NilNode{}), maybeBool
	}
	re, err := regexp.Compile(s.Value)
	if err != nil { // was reported
		return call(n, "bool", &ast.NilNode{}), maybeBool
	}
	return call(n, "re", x, constant(pattern, re)), kindOf{BoolField, !k.is(StringField)}
}

func (l *lowering) in(n *ast.BinaryNode) (ast.Node, kindOf) {
	x, k := l.lower(n.Left)
	if r, ok := constRangeOf(n.Right); ok {
		return call(n, "in", x, constant(n.Right, r)), kindOf{BoolField, k.nil}
	}
	if set, ok := constSetOf(n.Right); ok {
		return call(n, "in", x, constant(n.Right, set)), kindOf{BoolField, k.nil}
	}
	return call(n, "within", x, l.only(n.Right)), maybeBool
}

// constSetOf is the right side of `in` where it is a list of constants.
func constSetOf(n ast.Node) (*constSet, bool) {
	switch n := n.(type) {
	case *ast.ConstantNode:
		if list, ok := anyList(n.Value); ok {
			return newConstSet(list), true
		}
	case *ast.ArrayNode:
		values := make([]any, len(n.Nodes))
		for i, e := range n.Nodes {
			v, ok := constValue(e)
			if !ok {
				return nil, false
			}
			values[i] = v
		}
		return newConstSet(values), true
	}
	return nil, false
}

// constRange is the right side of `x in 400..499`.
type constRange struct{ From, To int }

func (r constRange) has(v event.Value) tri {
	switch v.Kind {
	case event.Nil:
		return tUnknown
	case event.Int:
		return triOf(int64(r.From) <= v.Int && v.Int <= int64(r.To))
	case event.Float:
		i := int64(v.Float)
		return triOf(float64(i) == v.Float && int64(r.From) <= i && i <= int64(r.To))
	}
	return tFalse
}

func constRangeOf(n ast.Node) (constRange, bool) {
	b, ok := n.(*ast.BinaryNode)
	if !ok || b.Operator != ".." {
		return constRange{}, false
	}
	from, ok1 := constValue(b.Left)
	to, ok2 := constValue(b.Right)
	f, ok3 := from.(int)
	t, ok4 := to.(int)
	return constRange{f, t}, ok1 && ok2 && ok3 && ok4
}
