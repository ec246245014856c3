package rules

import (
	"fmt"
	"slices"
	"strings"

	"github.com/expr-lang/expr/ast"

	"corral/event"
)

// Outcome of a condition: a comparison that meets nil or a wrong type is neither
// true nor false.
type Outcome uint8

const (
	False Outcome = iota
	True
	Undefined
)

func (o Outcome) String() string { return [...]string{"false", "true", "undefined"}[o] }

// Node is one sub-expression of an evaluated condition. The tree has the form the
// author wrote: operands of && || ! and ?: are nodes, and so is each comparison.
type Node struct {
	ID   int    // number in the tree, from 0 for the whole; the same at every evaluation
	Op   string // "&&", "||", "!", "?:", "" for a condition that is put together of none
	Text string // as written, on one line
	File string
	Line int // place of its first rune
	Col  int

	Outcome Outcome
	Value   event.Value // what it evaluates to
	Reads   []Read      // what a condition of its own looked at; empty for && || ! ?:
	Reason  string      // "http.status is absent", "attrs.n is a string, no number"
	// Cmp is the operator of a comparison of numbers, ">=" as an example, with what
	// stands on its two sides; "" else. Const says that the right one is a number as
	// written.
	Cmp         string
	Left, Right event.Value
	LeftText    string
	Const       bool
	Kids        []*Node
}

// Read is a name that a condition looked at, with the value it had.
type Read struct {
	Name   string
	Value  event.Value
	Absent bool // nil, or a field that is "" or 0
}

// Walk calls f for the node and all below it, in the order written.
func (n *Node) Walk(f func(*Node)) {
	f(n)
	for _, k := range n.Kids {
		k.Walk(f)
	}
}

// Match is the rule's `match`, nil if it reads everything.
func (r *Rule) Match() *Expr { return r.match }

// Condition is what a threshold or temporal rule asks of its window; nil for the
// other kinds, which have none.
func (r *Rule) Condition() *Expr {
	switch {
	case r.Threshold != nil:
		return r.Threshold.Condition
	case r.Temporal != nil:
		return r.Temporal.Condition
	}
	return nil
}

// GroupBy returns the expressions of a group key, by step or event type where they
// differ (then under its name, else under "").
func (r *Rule) GroupBy(i int) map[string]*Expr {
	g := r.groupBy[i]
	if g.all != nil {
		return map[string]*Expr{"": g.all}
	}
	return g.byName
}

// Explain evaluates the expression and everything in it.
func (x *Expr) Explain(env *Env) *Node { return x.explainer().explain(env) }

// explained is a sub-expression compiled by itself.
type explained struct {
	node  Node // without what an evaluation fills in
	value valueFn
	bool  boolFn
	reads []namedIdent
	kids  []*explained
	sides [2]valueFn // of a comparison
}

type namedIdent struct {
	name string
	id   *ident
}

// newExplainer compiles the sub-expressions of x.
func newExplainer(x *Expr) *explained {
	id := 0
	return x.explained(x.root, &id)
}

func (x *Expr) explained(n ast.Node, id *int) *explained {
	e := &explained{node: x.placed(n, *id)}
	*id++
	l := &lowering{idents: x.names, vars: map[string]kindOf{}}
	low, _ := l.lower(n)
	c := &closures{idents: x.names}
	e.bool, e.value = c.bool(low), c.value(low)
	var kids []ast.Node
	if !infixNot(n, e.node.Text) {
		kids = e.structure(n)
	}
	for _, k := range kids {
		e.kids = append(e.kids, x.explained(k, id))
	}
	if len(kids) == 0 {
		e.reads = x.readsOf(n)
		e.compares(x, n)
	}
	return e
}

// compares notes the sides of a comparison.
func (e *explained) compares(x *Expr, n ast.Node) {
	b, ok := n.(*ast.BinaryNode)
	if !ok || !slices.Contains([]string{">", ">=", "<", "<=", "=="}, b.Operator) {
		return
	}
	for i, side := range []ast.Node{b.Left, b.Right} {
		l := &lowering{idents: x.names, vars: map[string]kindOf{}}
		low, _ := l.lower(side)
		c := &closures{idents: x.names}
		e.sides[i] = c.value(low)
		if c.err != nil {
			return
		}
	}
	_, e.node.Const = constNumber(b.Right)
	e.node.Cmp = b.Operator
	e.node.LeftText = x.snippet(x.in.nodeSpan(b.Left))
}

// infixNot tells x not in y from not (x in y): the first is one condition, as
// written.
func infixNot(n ast.Node, text string) bool {
	u, ok := n.(*ast.UnaryNode)
	return ok && u.Operator == "not" && !strings.HasPrefix(text, "not") && !strings.HasPrefix(text, "!")
}

// placed is the node's text and place.
func (x *Expr) placed(n ast.Node, id int) Node {
	from, to := x.in.nodeSpan(n)
	out := Node{ID: id, Text: x.snippet(from, to), File: x.in.text.src.name}
	if x.in.text.node != nil {
		at := x.in.text.span(from, to).from
		out.Line, out.Col = at.line, at.col
	}
	return out
}

func (x *Expr) snippet(from, to int) string {
	text := []rune(x.in.text.text)
	if from < 0 || to > len(text) || from > to {
		return ""
	}
	return strings.Join(strings.Fields(string(text[from:to])), " ")
}

// structure is the operands of what puts conditions together.
func (e *explained) structure(n ast.Node) []ast.Node {
	switch n := n.(type) {
	case *ast.BinaryNode:
		switch n.Operator {
		case "&&", "and":
			e.node.Op = "&&"
			return []ast.Node{n.Left, n.Right}
		case "||", "or":
			e.node.Op = "||"
			return []ast.Node{n.Left, n.Right}
		}
	case *ast.UnaryNode:
		if n.Operator == "!" || n.Operator == "not" {
			e.node.Op = "!"
			return []ast.Node{n.Node}
		}
	case *ast.ConditionalNode:
		e.node.Op = "?:"
		return []ast.Node{n.Cond, n.Exp1, n.Exp2}
	}
	return nil
}

// readsOf are the names in a sub-expression, each once.
func (x *Expr) readsOf(n ast.Node) []namedIdent {
	var out []namedIdent
	seen := map[string]bool{}
	anyNode(n, func(n ast.Node) bool {
		id, ok := n.(*ast.IdentifierNode)
		if !ok || x.names[id.Value] == nil || seen[id.Value] {
			return false
		}
		seen[id.Value] = true
		from, to := x.in.nodeSpan(n)
		out = append(out, namedIdent{x.snippet(from, to), x.names[id.Value]})
		return false
	})
	return out
}

func (e *explained) explain(env *Env) *Node {
	n := e.node
	n.Value = e.value(env)
	n.Outcome = Outcome(e.bool(env))
	if n.Cmp != "" {
		n.Left, n.Right = e.sides[0](env), e.sides[1](env)
	}
	for _, r := range e.reads {
		v := r.id.get(env)
		absent := v.Kind == event.Nil || r.id.agg < 0 && !r.id.nilable && isZero(v)
		n.Reads = append(n.Reads, Read{r.name, v, absent})
	}
	for _, k := range e.kids {
		n.Kids = append(n.Kids, k.explain(env))
	}
	if e.kids == nil && n.Outcome != True {
		n.Reason = reason(n.Reads, n.Outcome)
	}
	return &n
}

// reason says what a condition that does not hold looked at.
func reason(reads []Read, o Outcome) string {
	var parts []string
	for _, r := range reads {
		switch {
		case r.Absent:
			parts = append(parts, r.Name+" is absent")
		case o == Undefined:
			parts = append(parts, fmt.Sprintf("%s is %s (%s)", r.Name, shortValue(r.Value), kindWord(r.Value)))
		default:
			parts = append(parts, fmt.Sprintf("%s is %s", r.Name, shortValue(r.Value)))
		}
	}
	return strings.Join(parts, ", ")
}

func kindWord(v event.Value) string {
	return [...]string{"nil", "a bool", "a number", "a number", "a string", "a list or map"}[v.Kind]
}

// shortValue is a value for people, texts quoted and cut.
func shortValue(v event.Value) string {
	const most = 60
	s := rendered(v)
	if r := []rune(s); len(r) > most {
		s = string(r[:most]) + "…"
	}
	if v.Kind == event.String {
		return fmt.Sprintf("%q", s)
	}
	return s
}
