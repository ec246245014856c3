package rules

import (
	"regexp"
	"strings"

	"github.com/expr-lang/expr/ast"

	"corral/event"
)

// The fast path: a lowered tree becomes a tree of closures over the event's typed
// fields. They allocate nothing. What they do not cover (loops, variables, most of
// expr's functions) is left to the VM, sub-expression by sub-expression.

type (
	boolFn  func(*Env) tri
	valueFn func(*Env) event.Value
	textFn  func(*Env) string
	intFn   func(*Env) int
)

// closures compiles lowered trees that read idents.
type closures struct {
	idents map[string]*ident
	err    error
}

// callOf returns the primitive's name and arguments if n is a call of one.
func callOf(n ast.Node) (string, []ast.Node) {
	c, ok := n.(*ast.CallNode)
	if !ok {
		return "", nil
	}
	id, ok := c.Callee.(*ast.IdentifierNode)
	if !ok {
		return "", nil
	}
	return strings.TrimPrefix(id.Value, "§"), c.Arguments
}

func (c *closures) bool(n ast.Node) boolFn {
	switch n := n.(type) {
	case *ast.BoolNode:
		t := triOf(n.Value)
		return func(*Env) tri { return t }
	case *ast.UnaryNode:
		if n.Operator == "!" {
			f := c.bool(n.Node)
			return func(env *Env) tri { return f(env).not() }
		}
	case *ast.BinaryNode:
		if f := c.boolBinary(n); f != nil {
			return f
		}
	case *ast.ConditionalNode:
		cond, yes, no := c.bool(n.Cond), c.bool(n.Exp1), c.bool(n.Exp2)
		return func(env *Env) tri {
			if cond(env) == tTrue {
				return yes(env)
			}
			return no(env)
		}
	case *ast.CallNode:
		if f := c.boolCall(n); f != nil {
			return f
		}
	}
	f := c.value(n)
	return func(env *Env) tri { return truth(f(env)) }
}

func (c *closures) boolBinary(n *ast.BinaryNode) boolFn {
	switch n.Operator {
	case "&&":
		return c.and(n.Left, n.Right)
	case "||":
		return c.or(n.Left, n.Right)
	case "==":
		return c.equal(n.Left, n.Right)
	case "!=":
		f := c.equal(n.Left, n.Right)
		return func(env *Env) tri { return f(env).not() }
	case "<", "<=", ">", ">=":
		return c.compare(n.Operator, n.Left, n.Right)
	case "contains", "startsWith", "endsWith":
		return c.textOp(n.Operator, n.Left, n.Right)
	}
	return nil
}

func (c *closures) and(left, right ast.Node) boolFn {
	l, r := c.bool(left), c.bool(right)
	return func(env *Env) tri {
		t := l(env)
		if t == tFalse {
			return tFalse
		}
		return and(t, r(env))
	}
}

func (c *closures) or(left, right ast.Node) boolFn {
	l, r := c.bool(left), c.bool(right)
	return func(env *Env) tri {
		t := l(env)
		if t == tTrue {
			return tTrue
		}
		return or(t, r(env))
	}
}

func (c *closures) boolCall(n *ast.CallNode) boolFn {
	name, args := callOf(n)
	switch name {
	case "&&":
		return c.and(args[0], args[1])
	case "||":
		return c.or(args[0], args[1])
	case "not":
		f := c.bool(args[0])
		return func(env *Env) tri { return f(env).not() }
	case "bool":
		return c.bool(args[0])
	case "is":
		f := c.bool(args[0])
		return func(env *Env) tri { return triOf(f(env) == tTrue) }
	case "<", "<=", ">", ">=":
		return c.compare(name, args[0], args[1])
	case "contains", "startsWith", "endsWith":
		return c.textOp(name, args[0], args[1])
	case "in", "cidr":
		f, set := c.value(args[0]), args[1].(*ast.ConstantNode).Value.(membership)
		return func(env *Env) tri { return set.has(f(env)) }
	case "re":
		return c.match(args[0], args[1].(*ast.ConstantNode).Value.(*regexp.Regexp))
	case "within":
		a, b := c.value(args[0]), c.value(args[1])
		return func(env *Env) tri { return within(a(env), b(env)) }
	}
	return nil
}

// equal compares; the usual forms, a field with a constant, without boxing.
func (c *closures) equal(left, right ast.Node) boolFn {
	if _, isConst := constValue(left); isConst {
		left, right = right, left
	}
	if v, ok := constValue(right); ok {
		switch want := v.(type) {
		case string:
			if f := c.text(left); f != nil {
				return func(env *Env) tri { return triOf(f(env) == want) }
			}
		case int:
			if f := c.int(left); f != nil {
				return func(env *Env) tri { return triOf(f(env) == want) }
			}
		}
		f, want := c.value(left), fromVM(v)
		return func(env *Env) tri { return triOf(equal(f(env), want)) }
	}
	a, b := c.value(left), c.value(right)
	return func(env *Env) tri { return triOf(equal(a(env), b(env))) }
}

func (c *closures) compare(op string, left, right ast.Node) boolFn {
	if want, ok := right.(*ast.IntegerNode); ok {
		if f := c.int(left); f != nil {
			return compareInt(op, f, want.Value)
		}
	}
	if v, ok := constValue(right); ok {
		f, want := c.value(left), fromVM(v)
		return func(env *Env) tri { return compare(op, f(env), want) }
	}
	a, b := c.value(left), c.value(right)
	return func(env *Env) tri { return compare(op, a(env), b(env)) }
}

func compareInt(op string, f intFn, want int) boolFn {
	switch op {
	case "<":
		return func(env *Env) tri { return triOf(f(env) < want) }
	case "<=":
		return func(env *Env) tri { return triOf(f(env) <= want) }
	case ">":
		return func(env *Env) tri { return triOf(f(env) > want) }
	}
	return func(env *Env) tri { return triOf(f(env) >= want) }
}

func (c *closures) textOp(op string, left, right ast.Node) boolFn {
	if want, ok := right.(*ast.StringNode); ok {
		if f := c.text(left); f != nil {
			return textOpConst(op, f, want.Value)
		}
	}
	a, b := c.value(left), c.value(right)
	return func(env *Env) tri { return textOp(op, a(env), b(env)) }
}

func textOpConst(op string, f textFn, want string) boolFn {
	switch op {
	case "contains":
		return func(env *Env) tri { return triOf(strings.Contains(f(env), want)) }
	case "startsWith":
		return func(env *Env) tri { return triOf(strings.HasPrefix(f(env), want)) }
	}
	return func(env *Env) tri { return triOf(strings.HasSuffix(f(env), want)) }
}

// match asks for the texts that a match must contain before it runs the pattern:
// most texts lack one.
func (c *closures) match(n ast.Node, re *regexp.Regexp) boolFn {
	if f := c.text(n); f != nil {
		texts := requiredTexts(re)
		return func(env *Env) tri {
			s := f(env)
			for _, t := range texts {
				if !strings.Contains(s, t) {
					return tFalse
				}
			}
			return triOf(re.MatchString(s))
		}
	}
	f := c.value(n)
	return func(env *Env) tri { return matchRE(f(env), re) }
}

// text compiles what is certainly a text without boxing; nil for anything else.
func (c *closures) text(n ast.Node) textFn {
	id, ok := n.(*ast.IdentifierNode)
	if !ok || c.idents[id.Value] == nil {
		return nil
	}
	f := c.idents[id.Value].field
	if f == nil || f.text == nil {
		return nil
	}
	get := f.text
	return func(env *Env) string {
		if env.Event == nil {
			return ""
		}
		return get(env.Event)
	}
}

// int is text for whole numbers.
func (c *closures) int(n ast.Node) intFn {
	id, ok := n.(*ast.IdentifierNode)
	if !ok || c.idents[id.Value] == nil {
		return nil
	}
	f := c.idents[id.Value].field
	if f == nil || f.int == nil {
		return nil
	}
	get := f.int
	return func(env *Env) int {
		if env.Event == nil {
			return 0
		}
		return get(env.Event)
	}
}
