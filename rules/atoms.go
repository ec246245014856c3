package rules

import (
	"slices"

	"github.com/expr-lang/expr/ast"
)

// Conditions of all rules are cut into atoms, which rules share: an atom is
// evaluated at most once per event, whatever number of rules ask for it.

// cond is a condition over atoms: a node of atomTable.nodes.
type cond int32

const noCond cond = -1

type condOp uint8

const (
	opAtom condOp = iota
	opAnd
	opOr
	opNot
	opConst
)

type condNode struct {
	op    condOp
	konst tri
	atom  int32
	kids  []cond
}

// atom is a condition that is not put together of others.
type atom struct {
	eval  boolFn
	node  ast.Node
	names map[string]*ident
	cost  int // rank in which it is evaluated among others: cheap first
}

// atomTable interns the atoms and conditions of a set.
type atomTable struct {
	atoms  []atom
	nodes  []condNode
	byText map[string]cond
	idents map[string]*ident
}

func newAtomTable() *atomTable {
	return &atomTable{byText: map[string]cond{}, idents: map[string]*ident{}}
}

// add interns an expression's condition.
func (t *atomTable) add(x *Expr) cond {
	if x == nil {
		return noCond
	}
	return t.node(x.low, x.names)
}

func (t *atomTable) node(n ast.Node, names map[string]*ident) cond {
	text := canonical(n)
	if c, ok := t.byText[text]; ok {
		return c
	}
	node := t.build(n, names)
	t.nodes = append(t.nodes, node)
	c := cond(len(t.nodes) - 1)
	t.byText[text] = c
	return c
}

func (t *atomTable) build(n ast.Node, names map[string]*ident) condNode {
	switch op := logicOf(n); op {
	case "&&", "||":
		kids := t.flat(n, op, names, nil)
		slices.SortStableFunc(kids, func(a, b cond) int { return t.cost(a) - t.cost(b) })
		if op == "&&" {
			return condNode{op: opAnd, kids: kids}
		}
		return condNode{op: opOr, kids: kids}
	case "!":
		return condNode{op: opNot, kids: []cond{t.node(operands(n)[0], names)}}
	}
	if b, ok := n.(*ast.BoolNode); ok {
		return condNode{op: opConst, konst: triOf(b.Value)}
	}
	c := &closures{idents: names}
	t.atoms = append(t.atoms, atom{eval: c.bool(n), node: n, names: names, cost: atomCost(n)})
	return condNode{op: opAtom, atom: int32(len(t.atoms) - 1)}
}

// flat gathers the operands of a chain of one operator.
func (t *atomTable) flat(n ast.Node, op string, names map[string]*ident, kids []cond) []cond {
	for _, k := range operands(n) {
		if logicOf(k) == op {
			kids = t.flat(k, op, names, kids)
			continue
		}
		kids = append(kids, t.node(k, names))
	}
	return kids
}

// logicOf is && || or ! for a node that puts conditions together, "" for others.
func logicOf(n ast.Node) string {
	switch n := n.(type) {
	case *ast.BinaryNode:
		if n.Operator == "&&" || n.Operator == "||" {
			return n.Operator
		}
	case *ast.UnaryNode:
		if n.Operator == "!" {
			return "!"
		}
	case *ast.CallNode:
		switch name, _ := callOf(n); name {
		case "&&", "||":
			return name
		case "not":
			return "!"
		}
	}
	return ""
}

func operands(n ast.Node) []ast.Node {
	if _, args := callOf(n); args != nil {
		return args
	}
	return children(n)
}

// atomCost ranks atoms by what they take: a comparison of a field, of an
// attribute, a search in a text, a pattern, the rest.
func atomCost(n ast.Node) int {
	cost := 1
	anyNode(n, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.BuiltinNode, *ast.VariableDeclaratorNode:
			cost += 100
		case *ast.CallNode:
			switch name, _ := callOf(n); name {
			case "re":
				cost += 50
			case "contains":
				cost += 10
			case "lower", "upper", "cidr", "hour", "weekday":
				cost += 20
			default:
				cost += 3
			}
		case *ast.BinaryNode:
			if n.Operator == "contains" {
				cost += 8
			}
		}
		return false
	})
	return cost
}

func (t *atomTable) cost(c cond) int {
	n := t.nodes[c]
	if n.op == opAtom {
		return t.atoms[n.atom].cost
	}
	cost := 0
	for _, k := range n.kids {
		cost += t.cost(k)
	}
	return cost
}

// memo holds what the atoms came out as on one event.
type memo struct {
	table *atomTable
	known []uint32 // epoch in which the outcome was found
	value []tri
	epoch uint32
}

func newMemo(t *atomTable) memo {
	return memo{table: t, known: make([]uint32, len(t.atoms)), value: make([]tri, len(t.atoms))}
}

// next forgets the outcomes of the event before.
func (m *memo) next() {
	m.epoch++
	if m.epoch == 0 { // wrapped around
		clear(m.known)
		m.epoch = 1
	}
}

func (m *memo) eval(c cond, env *Env) tri {
	n := &m.table.nodes[c]
	switch n.op {
	case opAtom:
		return m.atom(n.atom, env)
	case opAnd:
		out := tTrue
		for _, k := range n.kids {
			switch m.eval(k, env) {
			case tFalse:
				return tFalse
			case tUnknown:
				out = tUnknown
			}
		}
		return out
	case opOr:
		out := tFalse
		for _, k := range n.kids {
			switch m.eval(k, env) {
			case tTrue:
				return tTrue
			case tUnknown:
				out = tUnknown
			}
		}
		return out
	case opNot:
		return m.eval(n.kids[0], env).not()
	}
	return n.konst
}

func (m *memo) atom(i int32, env *Env) tri {
	if m.known[i] == m.epoch {
		return m.value[i]
	}
	t := m.table.atoms[i].eval(env)
	m.known[i], m.value[i] = m.epoch, t
	return t
}
