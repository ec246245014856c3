package rules

import (
	"maps"

	"github.com/expr-lang/expr/ast"
)

// absenceHelps says whether events that do not come could make a condition true:
// `count() < 5`, `drain == 0`, `!(count() > 3)`, `10 > count()`. Such a condition
// is decided when the window ends, never "not yet".
//
// Counts only fall when events stay away, so the question is whether a comparison
// can become true as a count falls. A ratio is no count: 0/0 is undefined, and a
// comparison with it is false.
func absenceHelps(x *Expr, aggs []Agg) bool {
	p := polarity{names: x.names, aggs: aggs}
	return p.helps(x.root, false)
}

type polarity struct {
	names map[string]*ident
	aggs  []Agg
	most  int              // that a window holds; 0: any number
	lets  map[string]bound // variables in scope
}

// bound is what is known of a variable: how it moves with counts, and whether
// falling counts can make it true, or false.
type bound struct {
	signs        signs
	rises, falls bool
}

// let is p with one more variable.
func (p polarity) let(n *ast.VariableDeclaratorNode) polarity {
	lets := map[string]bound{}
	maps.Copy(lets, p.lets)
	lets[n.Name] = bound{p.counts(n.Value), p.helps(n.Value, false), p.helps(n.Value, true)}
	p.lets = lets
	return p
}

// helps says whether falling counts can make n true; negated: make it false.
func (p polarity) helps(n ast.Node, negated bool) bool {
	switch n := n.(type) {
	case *ast.IdentifierNode:
		if negated {
			return p.lets[n.Value].falls
		}
		return p.lets[n.Value].rises
	case *ast.UnaryNode:
		if n.Operator == "!" || n.Operator == "not" {
			return p.helps(n.Node, !negated)
		}
	case *ast.BinaryNode:
		return p.binary(n, negated)
	case *ast.ConditionalNode:
		return p.choice(n, negated)
	case *ast.VariableDeclaratorNode:
		return p.let(n).helps(n.Expr, negated)
	}
	return false
}

// choice: c ? a : b is c && a || !c && b.
func (p polarity) choice(n *ast.ConditionalNode, negated bool) bool {
	never := triOf(negated)
	return p.helps(n.Exp1, negated) || p.helps(n.Exp2, negated) ||
		p.fixed(n.Exp1) != never && p.helps(n.Cond, false) || p.fixed(n.Exp2) != never && p.helps(n.Cond, true)
}

// mayHoldZero says whether a count of 0 may be in a list or range; negated: not
// in it. As with ==, what matters is what holds without events.
func mayHoldZero(n ast.Node, negated bool) bool {
	switch n := n.(type) {
	case *ast.BinaryNode:
		from, ok1 := constNumber(n.Left)
		to, ok2 := constNumber(n.Right)
		if n.Operator == ".." && ok1 && ok2 {
			return (from <= 0 && 0 <= to) != negated
		}
	case *ast.ArrayNode:
		zero := false
		for _, e := range n.Nodes {
			v, ok := constNumber(e)
			if !ok {
				return true
			}
			zero = zero || v == 0
		}
		return zero != negated
	}
	return true
}

func (p polarity) binary(n *ast.BinaryNode, negated bool) bool {
	switch n.Operator {
	case "&&", "and", "||", "or":
		return p.helps(n.Left, negated) || p.helps(n.Right, negated)
	case "==", "!=":
		return p.equality(n, (n.Operator == "==") != negated)
	case "in":
		return p.counts(n.Left).any() && mayHoldZero(n.Right, negated)
	case "<", "<=":
		return p.falls(n.Left, n.Right, negated)
	case ">", ">=":
		return p.falls(n.Right, n.Left, negated)
	}
	return false
}

// falls says whether `small < large` can become true as counts fall.
func (p polarity) falls(small, large ast.Node, negated bool) bool {
	s, l := p.counts(small), p.counts(large)
	if negated { // large <= small
		s, l = l, s
	}
	return s.up || l.down
}

// equality: == 0 holds without events, == 5 does not; != 5 does, != 0 does not.
func (p polarity) equality(n *ast.BinaryNode, equal bool) bool {
	side, other := n.Left, n.Right
	if !p.counts(side).any() {
		side, other = other, side
	}
	if !p.counts(side).any() {
		return false
	}
	v, isConst := constValue(other)
	zero := isConst && (v == 0 || v == 0.0)
	if equal {
		return zero || !isConst
	}
	return !zero
}

// signs says how a value moves with the counts in it: up when they rise, down when
// they rise, or both.
type signs struct{ up, down bool }

func (s signs) any() bool { return s.up || s.down }

func (p polarity) counts(n ast.Node) signs {
	switch n := n.(type) {
	case *ast.IdentifierNode:
		if v, ok := p.lets[n.Value]; ok {
			return v.signs
		}
		id := p.names[n.Value]
		return signs{up: id != nil && id.agg >= 0 && countLike(p.aggs[id.agg].Fn)}
	case *ast.UnaryNode:
		s := p.counts(n.Node)
		if n.Operator == "-" {
			return signs{s.down, s.up}
		}
		return s
	case *ast.BinaryNode:
		return p.arith(n)
	case *ast.ConditionalNode:
		a, b := p.counts(n.Exp1), p.counts(n.Exp2)
		return signs{a.up || b.up, a.down || b.down}
	case *ast.BuiltinNode:
		return p.function(n)
	}
	return signs{}
}

func (p polarity) arith(n *ast.BinaryNode) signs {
	a, b := p.counts(n.Left), p.counts(n.Right)
	switch n.Operator {
	case "+":
		return signs{a.up || b.up, a.down || b.down}
	case "-":
		return signs{a.up || b.down, a.down || b.up}
	case "*":
		return p.product(n, a, b)
	case "/":
		if _, ok := constValue(n.Right); ok {
			return p.product(n, a, b)
		}
	}
	return signs{}
}

// product turns a count around if it is multiplied by a negative constant.
func (p polarity) product(n *ast.BinaryNode, a, b signs) signs {
	s := signs{a.up || b.up, a.down || b.down}
	for _, side := range []ast.Node{n.Left, n.Right} {
		v, _ := constValue(side)
		i, isInt := v.(int)
		f, isFloat := v.(float64)
		if isInt && i < 0 || isFloat && f < 0 {
			return signs{s.down, s.up}
		}
	}
	return s
}

// function passes the counts in min, max and the like through.
func (p polarity) function(n *ast.BuiltinNode) signs {
	var s signs
	for _, arg := range n.Arguments {
		a := p.counts(arg)
		s.up, s.down = s.up || a.up, s.down || a.down
	}
	return s
}

func countLike(fn AggFn) bool {
	return fn == Count || fn == Distinct || fn == Rate || fn == Sum
}

// fixed says what a condition comes out as whatever is counted: counts are never
// below 0. Unknown where that depends on the events.
func (p polarity) fixed(n ast.Node) tri {
	switch n := n.(type) {
	case *ast.BoolNode:
		return triOf(n.Value)
	case *ast.UnaryNode:
		if n.Operator == "!" || n.Operator == "not" {
			return p.fixed(n.Node).not()
		}
	case *ast.BinaryNode:
		switch n.Operator {
		case "&&", "and":
			return and(p.fixed(n.Left), p.fixed(n.Right))
		case "||", "or":
			return or(p.fixed(n.Left), p.fixed(n.Right))
		}
		return p.fixedComparison(n)
	}
	return tUnknown
}

// fixedComparison knows count() >= 0, 0 > count() and the like, and of the last
// ten events that no eleven are counted.
func (p polarity) fixedComparison(n *ast.BinaryNode) tri {
	op, side, other := n.Operator, n.Left, n.Right
	if _, isConst := constValue(side); isConst {
		side, other = other, side
		if mirrored[op] != "" {
			op = mirrored[op]
		}
	}
	v, _ := constValue(other)
	c, ok := fromVM(v).Number()
	id, isName := side.(*ast.IdentifierNode)
	if !ok || !isName || !p.neverNegative(id.Value) {
		return tUnknown
	}
	if most := float64(p.most); p.most > 0 && p.aggs[p.names[id.Value].agg].Fn != Rate {
		switch {
		case op == ">" && c >= most, (op == ">=" || op == "==") && c > most:
			return tFalse
		case op == "<" && c > most, op == "<=" && c >= most, op == "!=" && c > most:
			return tTrue
		}
	}
	switch {
	case op == ">=" && c <= 0, op == ">" && c < 0, op == "!=" && c < 0:
		return tTrue
	case op == "<" && c <= 0, op == "<=" && c < 0, op == "==" && c < 0:
		return tFalse
	}
	return tUnknown
}

func (p polarity) neverNegative(name string) bool {
	id := p.names[name]
	if id == nil || id.agg < 0 {
		return false
	}
	switch p.aggs[id.agg].Fn {
	case Count, Distinct, Rate:
		return true
	}
	return false
}
