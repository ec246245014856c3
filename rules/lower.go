package rules

import (
	"regexp"
	"time"

	"github.com/expr-lang/expr/ast"

	"corral/event"
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
