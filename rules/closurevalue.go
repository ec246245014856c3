package rules

import (
	"reflect"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/expr-lang/expr/ast"

	"corral/event"
)

func (c *closures) value(n ast.Node) valueFn {
	if v, ok := constValue(n); ok {
		want := fromVM(v)
		return func(*Env) event.Value { return want }
	}
	switch n := n.(type) {
	case *ast.NilNode:
		return func(*Env) event.Value { return event.Value{} }
	case *ast.BoolNode:
		want := triOf(n.Value).value()
		return func(*Env) event.Value { return want }
	case *ast.IdentifierNode:
		if id := c.idents[n.Value]; id != nil {
			return id.get
		}
	case *ast.UnaryNode:
		return c.valueUnary(n)
	case *ast.BinaryNode:
		if f := c.valueBinary(n); f != nil {
			return f
		}
	case *ast.ConditionalNode:
		return c.valueConditional(n)
	case *ast.CallNode:
		if f := c.valueCall(n); f != nil {
			return f
		}
	}
	return c.fallback(n)
}

func (c *closures) valueUnary(n *ast.UnaryNode) valueFn {
	if n.Operator == "!" {
		f := c.bool(n)
		return func(env *Env) event.Value { return f(env).value() }
	}
	f := c.value(n.Node)
	if n.Operator == "-" {
		return func(env *Env) event.Value { return negate(f(env)) }
	}
	return f
}

func (c *closures) valueBinary(n *ast.BinaryNode) valueFn {
	if f := c.boolBinary(n); f != nil {
		return func(env *Env) event.Value { return f(env).value() }
	}
	switch n.Operator {
	case "+", "-", "*":
		return c.arith(n.Operator, n.Left, n.Right)
	case "??":
		a, b := c.value(n.Left), c.value(n.Right)
		return func(env *Env) event.Value {
			if v := a(env); v.Kind != event.Nil {
				return v
			}
			return b(env)
		}
	}
	return nil
}

func (c *closures) arith(op string, left, right ast.Node) valueFn {
	a, b := c.value(left), c.value(right)
	return func(env *Env) event.Value { return arith(op, a(env), b(env)) }
}

func (c *closures) valueConditional(n *ast.ConditionalNode) valueFn {
	cond, yes, no := c.bool(n.Cond), c.value(n.Exp1), c.value(n.Exp2)
	return func(env *Env) event.Value {
		if cond(env) == tTrue {
			return yes(env)
		}
		return no(env)
	}
}

func (c *closures) valueCall(n *ast.CallNode) valueFn {
	if f := c.boolCall(n); f != nil {
		return func(env *Env) event.Value { return f(env).value() }
	}
	name, args := callOf(n)
	switch name {
	case "+", "-", "*", "/", "%", "**", "^":
		return c.arith(name, args[0], args[1])
	case "neg":
		f := c.value(args[0])
		return func(env *Env) event.Value { return negate(f(env)) }
	case "plus":
		f := c.value(args[0])
		return func(env *Env) event.Value { return negate(negate(f(env))) }
	case "get":
		a, b := c.value(args[0]), c.value(args[1])
		return func(env *Env) event.Value { return member(a(env), b(env)) }
	case "hour":
		f, loc := c.value(args[0]), args[1].(*ast.ConstantNode).Value.(*time.Location)
		return func(env *Env) event.Value { return hourOf(f(env), loc) }
	case "weekday":
		f, loc := c.value(args[0]), args[1].(*ast.ConstantNode).Value.(*time.Location)
		return func(env *Env) event.Value { return weekdayOf(f(env), loc) }
	case "lower", "upper", "trim":
		return c.textFunc(name, args)
	case "len":
		f := c.value(args[0])
		return func(env *Env) event.Value { return length(f(env)) }
	}
	return nil
}

var textFuncs = map[string]func(string) string{"lower": strings.ToLower, "upper": strings.ToUpper, "trim": strings.TrimSpace}

func (c *closures) textFunc(name string, args []ast.Node) valueFn {
	if len(args) != 1 {
		return nil
	}
	f, apply := c.value(args[0]), textFuncs[name]
	return func(env *Env) event.Value {
		v := f(env)
		if v.Kind != event.String {
			return event.Value{}
		}
		return strValue(apply(v.Str))
	}
}

func length(v event.Value) event.Value {
	switch v.Kind {
	case event.String:
		return intValue(utf8.RuneCountInString(v.Str))
	case event.Tree:
		switch x := v.Any.(type) {
		case []any:
			return intValue(len(x))
		case map[string]any:
			return intValue(len(x))
		case map[string]string:
			return intValue(len(x))
		}
		// groupBy and the like make maps and slices of types of their own
		if x := reflect.ValueOf(v.Any); x.Kind() == reflect.Map || x.Kind() == reflect.Slice {
			return intValue(x.Len())
		}
	}
	return event.Value{}
}

// fallback leaves a sub-expression to the VM.
func (c *closures) fallback(n ast.Node) valueFn {
	p, err := compileVM(n, c.idents)
	if err != nil {
		if c.err == nil {
			c.err = err
		}
		return func(*Env) event.Value { return event.Value{} }
	}
	return p.run
}
