package rules

import (
	"fmt"
	"reflect"
	"strings"
	"sync"

	"github.com/expr-lang/expr/ast"

	"corral/event"
)

// Expr is a checked, compiled expression. It may be used by any number of
// goroutines.
type Expr struct {
	text  string
	canon string       // of the lowered tree: equal for expressions that mean the same
	typ   reflect.Type // as checked; nil or interface: any
	root  ast.Node     // resolved and checked, as written
	low   ast.Node     // lowered
	names map[string]*ident
	in    *analysis

	bool  boolFn
	value valueFn

	oracle    func() (*program, error)
	explainer func() *explained
}

// Bool evaluates a condition. A failing evaluation (nil, wrong type) is false;
// failed reports it.
func (x *Expr) Bool(env *Env) (ok, failed bool) {
	t := x.bool(env)
	return t == tTrue, t == tUnknown
}

// Value evaluates to a value; Nil if it fails.
func (x *Expr) Value(env *Env) event.Value { return x.value(env) }

// Text is the expression as written.
func (x *Expr) Text() string { return x.text }

// Canonical is a text that is the same for all ways to write the expression:
// layout, quotes and the contents of lists do not hide that two mean the same.
func (x *Expr) Canonical() string { return x.canon }

// File is content of a rule file.
type File struct {
	Name string
	Data []byte
}

// want is what an expression must yield.
type want uint8

const (
	wantAny want = iota
	wantBool
)

// compileExpr takes an expression from text to closures; nil if it has mistakes,
// which are reported.
func compileExpr(rep *report, text exprText, sc *scope, w want) *Expr {
	a := newAnalysis(rep, text, sc)
	n := a.parse()
	if n == nil {
		return nil
	}
	x := a.finish(a.resolve(n), n, w, sc.what)
	if x != nil {
		x.text = strings.TrimSpace(text.text)
	}
	return x
}

// finish checks and compiles a resolved tree. written is the tree before its names
// were resolved, for the text.
func (a *analysis) finish(root, written ast.Node, w want, what string) *Expr {
	if root == nil {
		return nil
	}
	root, typ := a.check(root)
	if a.failed {
		return nil
	}
	if w == wantBool && !isBool(typ) {
		a.failNotBool(root, typ, what)
		return nil
	}
	a.lint(root)
	return a.compile(root, nodeText(written), typ)
}

func isBool(t reflect.Type) bool {
	return t == nil || t.Kind() == reflect.Interface || t.Kind() == reflect.Bool
}

func (a *analysis) failNotBool(root ast.Node, typ reflect.Type, what string) {
	name := typeName(typ)
	help := fmt.Sprintf("help: compare it, e.g. %s %s", a.brief(root), map[string]string{"string": `== "admin"`, "int": "> 0", "float": "> 0"}[name])
	switch x := root.(type) {
	case *ast.ConditionalNode:
		help = fmt.Sprintf("help: compare it, e.g. (… ? %s : %s) == %s", a.textOf(x.Exp1), a.textOf(x.Exp2), a.textOf(x.Exp1))
	default:
		if name != "string" && name != "int" && name != "float" {
			help = ""
		}
	}
	from, to := a.nodeSpan(root)
	a.fail(from, to, codeNotBool, fmt.Sprintf("%s must be true or false, this is %s", what, withArticle(name)), "", help)
}

func (a *analysis) brief(n ast.Node) string {
	s := a.textOf(n)
	if strings.ContainsAny(s, " ?") {
		return "(" + s + ")"
	}
	return s
}

// compile lowers a checked tree and makes closures of it.
func (a *analysis) compile(root ast.Node, text string, typ reflect.Type) *Expr {
	l := &lowering{idents: a.idents, vars: map[string]kindOf{}}
	low, _ := l.lower(root)
	c := &closures{idents: a.idents}
	x := &Expr{text: text, typ: typ, root: root, low: low, names: a.idents, in: a, canon: canonical(low)}
	x.bool, x.value = c.bool(low), c.value(low)
	if c.err != nil { // a tree that passed the checker compiles; if not, say so rather than guess
		a.failNode(root, codeSyntax, c.err.Error(), "", "")
		return nil
	}
	x.explainer = sync.OnceValue(func() *explained { return newExplainer(x) })
	x.oracle = sync.OnceValues(func() (*program, error) { return compileVM(low, a.idents) })
	return x
}

// runVM evaluates in expr's VM alone: the oracle of the fast path.
func (x *Expr) runVM(env *Env) (event.Value, error) {
	p, err := x.oracle()
	if err != nil {
		return event.Value{}, err
	}
	return p.run(env), nil
}
