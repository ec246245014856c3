package rules

import (
	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/parser/lexer"
)

// nodeSpan is the stretch of the text a node was read from, in runes, with the
// parentheses that belong to its parts.
func (a *analysis) nodeSpan(n ast.Node) (from, to int) {
	from, to = a.extent(n)
	return a.balanced(from, to)
}

// balanced widens a stretch until every bracket in it has its other half.
func (a *analysis) balanced(from, to int) (int, int) {
	open, missing := 0, 0
	for _, t := range a.tokens {
		if t.From < from || t.To > to || !t.Is(lexer.Bracket) {
			continue
		}
		switch t.Value {
		case "(", "[", "{":
			open++
		default:
			if open == 0 {
				missing++
				continue
			}
			open--
		}
	}
	for i := len(a.tokens) - 1; i >= 0 && missing > 0; i-- {
		if t := a.tokens[i]; t.To <= from && t.Is(lexer.Bracket) {
			from = t.From
			missing--
		}
	}
	for _, t := range a.tokens {
		if open > 0 && t.From >= to && t.Is(lexer.Bracket) {
			to = t.To
			open--
		}
	}
	return from, to
}

// extent is nodeSpan without parentheses. expr keeps one token per node (of a
// comparison the operator), so it is put together from those of the parts.
func (a *analysis) extent(n ast.Node) (from, to int) {
	from, to = n.Location().From, n.Location().To
	for _, c := range children(n) {
		f, t := a.extent(c)
		from, to = min(from, f), max(to, t)
	}
	switch x := n.(type) {
	case *ast.CallNode, *ast.BuiltinNode:
		to = max(to, a.closing(from, to))
	case *ast.MemberNode:
		if _, dotted := x.Property.(*ast.StringNode); !dotted || x.Location().From < x.Property.Location().From {
			to = max(to, a.closingBracket(to))
		}
	case *ast.ConditionalNode:
		// Its own token is whatever follows.
		from, _ = a.extent(x.Cond)
		_, to = a.extent(x.Exp2)
	case *ast.ArrayNode, *ast.MapNode, *ast.SliceNode:
		to = max(to, a.closingBracket(to))
	}
	return from, to
}

// closing is the end of the call whose name begins at from, past its parenthesis.
func (a *analysis) closing(from, to int) int {
	depth := 0
	for _, t := range a.tokens {
		if t.From < from || !t.Is(lexer.Bracket) {
			continue
		}
		switch t.Value {
		case "(", "[", "{":
			depth++
		default:
			depth--
		}
		if depth <= 0 && t.To > to-1 {
			return t.To
		}
	}
	return to
}

// closingBracket is the end of the next token at or after to, if it is a bracket.
func (a *analysis) closingBracket(to int) int {
	for _, t := range a.tokens {
		if t.From >= to && t.Is(lexer.Bracket) && (t.Value == "]" || t.Value == "}") {
			return t.To
		}
		if t.From >= to {
			break
		}
	}
	return to
}

// children are a node's parts in the order they are written.
func children(n ast.Node) []ast.Node {
	var c []ast.Node
	eachChild(n, func(p *ast.Node) { c = append(c, *p) })
	return c
}

func eachChild(n ast.Node, f func(*ast.Node)) {
	visit := func(p *ast.Node) {
		if *p != nil {
			f(p)
		}
	}
	list := func(nodes []ast.Node) {
		for i := range nodes {
			visit(&nodes[i])
		}
	}
	switch n := n.(type) {
	case *ast.UnaryNode:
		visit(&n.Node)
	case *ast.BinaryNode:
		visit(&n.Left)
		visit(&n.Right)
	case *ast.ChainNode:
		visit(&n.Node)
	case *ast.MemberNode:
		visit(&n.Node)
		visit(&n.Property)
	case *ast.SliceNode:
		visit(&n.Node)
		visit(&n.From)
		visit(&n.To)
	case *ast.CallNode:
		visit(&n.Callee)
		list(n.Arguments)
	case *ast.BuiltinNode:
		list(n.Arguments)
	case *ast.PredicateNode:
		visit(&n.Node)
	case *ast.VariableDeclaratorNode:
		visit(&n.Value)
		visit(&n.Expr)
	case *ast.SequenceNode:
		list(n.Nodes)
	case *ast.ConditionalNode:
		visit(&n.Cond)
		visit(&n.Exp1)
		visit(&n.Exp2)
	case *ast.ArrayNode:
		list(n.Nodes)
	case *ast.MapNode:
		list(n.Pairs)
	case *ast.PairNode:
		visit(&n.Key)
		visit(&n.Value)
	}
}

// copyNode is n with its own child pointers: a chain of comparisons (1 < x < 9)
// shares x between two nodes, so nothing is changed in place.
func copyNode(n ast.Node) ast.Node {
	switch n := n.(type) {
	case *ast.UnaryNode:
		c := *n
		return &c
	case *ast.BinaryNode:
		c := *n
		return &c
	case *ast.ChainNode:
		c := *n
		return &c
	case *ast.MemberNode:
		c := *n
		return &c
	case *ast.SliceNode:
		c := *n
		return &c
	case *ast.CallNode:
		c := *n
		c.Arguments = append([]ast.Node(nil), n.Arguments...)
		return &c
	case *ast.BuiltinNode:
		c := *n
		c.Arguments = append([]ast.Node(nil), n.Arguments...)
		return &c
	case *ast.PredicateNode:
		c := *n
		return &c
	case *ast.VariableDeclaratorNode:
		c := *n
		return &c
	case *ast.SequenceNode:
		c := *n
		c.Nodes = append([]ast.Node(nil), n.Nodes...)
		return &c
	case *ast.ConditionalNode:
		c := *n
		return &c
	case *ast.ArrayNode:
		c := *n
		c.Nodes = append([]ast.Node(nil), n.Nodes...)
		return &c
	case *ast.MapNode:
		c := *n
		c.Pairs = append([]ast.Node(nil), n.Pairs...)
		return &c
	case *ast.PairNode:
		c := *n
		return &c
	}
	return n
}

// mapChildren returns a copy of n with f applied to its parts.
func mapChildren(n ast.Node, f func(ast.Node) ast.Node) ast.Node {
	c := copyNode(n)
	eachChild(c, func(p *ast.Node) { *p = f(*p) })
	return c
}

// replaceNode returns root with old replaced wherever it occurs.
func replaceNode(root, old, with ast.Node) ast.Node {
	if root == old {
		return with
	}
	return mapChildren(root, func(c ast.Node) ast.Node { return replaceNode(c, old, with) })
}

// findNode is the outermost node a type error is about.
func findNode(root ast.Node, e *file.Error) ast.Node {
	if root.Location() == e.Location {
		if _, pred := root.(*ast.PredicateNode); !pred {
			return root
		}
	}
	for _, c := range children(root) {
		if n := findNode(c, e); n != nil {
			return n
		}
	}
	return nil
}

// anyNode says whether f holds for a node of the tree.
func anyNode(n ast.Node, f func(ast.Node) bool) bool {
	if n == nil {
		return false
	}
	if f(n) {
		return true
	}
	for _, c := range children(n) {
		if anyNode(c, f) {
			return true
		}
	}
	return false
}
