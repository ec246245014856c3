package rules

import (
	"time"

	"github.com/expr-lang/expr/ast"
)

// Lowering turns a checked tree into one that cannot fail on any event: where an
// operand may be absent or of another type, the operator becomes a call of one of
// our primitives (their names begin with §), where it cannot, expr's own stays.
// The VM and the closures are both made from the lowered tree.

// kindOf is what is known of a value: its type, and whether it may be nil.
type kindOf struct {
	typ FieldType
	nil bool
}

func definite(t FieldType) kindOf { return kindOf{typ: t} }

var (
	unknownKind = kindOf{AnyField, true}
	maybeBool   = kindOf{BoolField, true}
)

func (k kindOf) is(t FieldType) bool { return k.typ == t && !k.nil }

type lowering struct {
	idents map[string]*ident
	vars   map[string]kindOf
	fresh  int
}

func call(old ast.Node, name string, args ...ast.Node) ast.Node {
	return at(&ast.CallNode{Callee: &ast.IdentifierNode{Value: "§" + name}, Arguments: args}, old)
}

func constant(old ast.Node, v any) ast.Node { return at(&ast.ConstantNode{Value: v}, old) }

func (l *lowering) lower(n ast.Node) (ast.Node, kindOf) {
	switch n := n.(type) {
	case *ast.IdentifierNode:
		return n, l.nameKind(n.Value)
	case *ast.NilNode:
		return n, unknownKind
	case *ast.IntegerNode:
		return at(&ast.IntegerNode{Value: n.Value}, n), definite(IntField)
	case *ast.FloatNode:
		return at(&ast.FloatNode{Value: n.Value}, n), definite(FloatField)
	case *ast.BoolNode:
		return n, definite(BoolField)
	case *ast.StringNode:
		return n, definite(StringField)
	case *ast.ConstantNode:
		return n, constKind(n.Value)
	case *ast.UnaryNode:
		return l.unary(n)
	case *ast.BinaryNode:
		return l.binary(n)
	case *ast.ConditionalNode:
		return l.conditional(n)
	case *ast.MemberNode:
		base, _ := l.lower(n.Node)
		prop, _ := l.lower(n.Property)
		return call(n, "get", base, prop), unknownKind
	case *ast.SliceNode:
		return l.slice(n), unknownKind
	case *ast.CallNode:
		return l.call(n)
	case *ast.BuiltinNode:
		return l.builtin(n)
	case *ast.VariableDeclaratorNode:
		return l.let(n)
	case *ast.SequenceNode:
		return l.sequence(n)
	case *ast.MapNode:
		return mapChildren(n, l.pair), definite(MapField)
	case *ast.ArrayNode:
		return mapChildren(n, l.only), definite(ListField)
	}
	return mapChildren(n, l.only), unknownKind
}

func (l *lowering) only(n ast.Node) ast.Node {
	m, _ := l.lower(n)
	return m
}

func (l *lowering) nameKind(name string) kindOf {
	if k, ok := l.vars[name]; ok {
		return k
	}
	if id := l.idents[name]; id != nil {
		return kindOf{id.typ, id.nilable}
	}
	return unknownKind
}

func constKind(v any) kindOf {
	switch v.(type) {
	case nil:
		return unknownKind
	case time.Duration:
		return definite(DurationField)
	case []string, []int, []any:
		return definite(ListField)
	case string:
		return definite(StringField)
	case int:
		return definite(IntField)
	case float64:
		return definite(FloatField)
	case bool:
		return definite(BoolField)
	}
	return unknownKind
}

// pair lowers an entry of a map; expr takes texts for keys only.
func (l *lowering) pair(n ast.Node) ast.Node {
	p := n.(*ast.PairNode)
	key := p.Key
	if _, ok := key.(*ast.StringNode); !ok {
		key = call(key, "text", l.only(key))
	}
	return at(&ast.PairNode{Key: key, Value: l.only(p.Value)}, n)
}

func (l *lowering) unary(n *ast.UnaryNode) (ast.Node, kindOf) {
	if n.Operator == "!" || n.Operator == "not" {
		return l.not(n, n.Node)
	}
	x, k := l.lower(n.Node)
	if k.is(IntField) || k.is(FloatField) {
		return at(&ast.UnaryNode{Operator: n.Operator, Node: x}, n), k
	}
	if n.Operator == "+" {
		return call(n, "plus", x), unknownKind
	}
	return call(n, "neg", x), unknownKind
}

func (l *lowering) binary(n *ast.BinaryNode) (ast.Node, kindOf) {
	switch n.Operator {
	case "&&", "and":
		return l.logic("&&", n, n.Left, n.Right)
	case "||", "or":
		return l.logic("||", n, n.Left, n.Right)
	case "==", "!=":
		if _, isConst := constValue(n.Left); isConst { // one form for both orders
			n = at(&ast.BinaryNode{Operator: n.Operator, Left: n.Right, Right: n.Left}, n).(*ast.BinaryNode)
		}
		return at(&ast.BinaryNode{Operator: n.Operator, Left: l.only(n.Left), Right: l.only(n.Right)}, n), definite(BoolField)
	case "matches":
		return l.matches(n, n.Left, n.Right)
	case "in":
		return l.in(n)
	case "..":
		return l.makeRange(n)
	case "??":
		x, kx := l.lower(n.Left)
		y, ky := l.lower(n.Right)
		k := kindOf{ky.typ, ky.nil}
		if kx.typ != ky.typ {
			k.typ = AnyField
		}
		return at(&ast.BinaryNode{Operator: "??", Left: x, Right: y}, n), k
	}
	return l.operator(n)
}

// operator lowers comparisons, text operators and arithmetic.
func (l *lowering) operator(n *ast.BinaryNode) (ast.Node, kindOf) {
	x, kx := l.lower(n.Left)
	y, ky := l.lower(n.Right)
	ints := kx.is(IntField) && ky.is(IntField)
	texts := kx.is(StringField) && ky.is(StringField)
	native := at(&ast.BinaryNode{Operator: n.Operator, Left: x, Right: y}, n)
	switch n.Operator {
	case "<", "<=", ">", ">=":
		if ints || texts { // floats may be NaN
			return native, definite(BoolField)
		}
		return call(n, n.Operator, x, y), maybeBool
	case "contains", "startsWith", "endsWith":
		if texts {
			return native, definite(BoolField)
		}
		return call(n, n.Operator, x, y), maybeBool
	case "+":
		if texts {
			return native, definite(StringField)
		}
		fallthrough
	case "-", "*":
		if ints {
			return native, definite(IntField)
		}
	}
	return call(n, n.Operator, x, y), unknownKind
}

// constValue is the value of a literal.
func constValue(n ast.Node) (any, bool) {
	switch n := n.(type) {
	case *ast.StringNode:
		return n.Value, true
	case *ast.IntegerNode:
		return n.Value, true
	case *ast.FloatNode:
		return n.Value, true
	case *ast.BoolNode:
		return n.Value, true
	case *ast.ConstantNode:
		return n.Value, true
	case *ast.UnaryNode:
		if n.Operator != "-" {
			return nil, false
		}
		switch x := n.Node.(type) {
		case *ast.IntegerNode:
			return -x.Value, true
		case *ast.FloatNode:
			return -x.Value, true
		}
	}
	return nil, false
}

// anyList gives typed lists the one form that the primitives know.
func anyList(v any) ([]any, bool) {
	switch v := v.(type) {
	case []any:
		return v, true
	case []string:
		return boxed(v), true
	case []int:
		return boxed(v), true
	case []float64:
		return boxed(v), true
	}
	return nil, false
}

func boxed[T any](list []T) []any {
	out := make([]any, len(list))
	for i, x := range list {
		out[i] = x
	}
	return out
}

func (l *lowering) makeRange(n *ast.BinaryNode) (ast.Node, kindOf) {
	return call(n, "range", l.only(n.Left), l.only(n.Right)), unknownKind
}

func (l *lowering) conditional(n *ast.ConditionalNode) (ast.Node, kindOf) {
	cond := l.decided(n.Cond)
	x, kx := l.lower(n.Exp1)
	y, ky := l.lower(n.Exp2)
	k := kindOf{kx.typ, kx.nil || ky.nil}
	if kx.typ != ky.typ {
		k.typ = AnyField
	}
	return at(&ast.ConditionalNode{Ternary: true, Cond: cond, Exp1: x, Exp2: y}, n), k
}

func (l *lowering) slice(n *ast.SliceNode) ast.Node {
	bound := func(b ast.Node) ast.Node {
		if b == nil {
			return &ast.NilNode{}
		}
		return l.only(b)
	}
	return call(n, "slice", l.only(n.Node), bound(n.From), bound(n.To))
}

func (l *lowering) let(n *ast.VariableDeclaratorNode) (ast.Node, kindOf) {
	value, k := l.lower(n.Value)
	old, had := l.vars[n.Name]
	l.vars[n.Name] = k
	body, kb := l.lower(n.Expr)
	delete(l.vars, n.Name)
	if had {
		l.vars[n.Name] = old
	}
	return at(&ast.VariableDeclaratorNode{Name: n.Name, Value: value, Expr: body}, n), kb
}

func (l *lowering) sequence(n *ast.SequenceNode) (ast.Node, kindOf) {
	c := copyNode(n).(*ast.SequenceNode)
	k := unknownKind
	for i, x := range c.Nodes {
		c.Nodes[i], k = l.lower(x)
	}
	return c, k
}
