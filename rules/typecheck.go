package rules

import (
	"errors"
	"fmt"
	"reflect"
	"strings"

	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/checker"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/parser"
)

// check finds type errors in a resolved tree and reports them all: expr's checker
// stops at the first, so what it found is replaced and the rest checked again.
func (a *analysis) check(root ast.Node) (ast.Node, reflect.Type) {
	for range maxErrors {
		config := a.config()
		t, err := checker.Check(&parser.Tree{Node: root, Source: file.NewSource(a.text.text)}, config)
		if err == nil {
			return root, t
		}
		var fe *file.Error
		if !errors.As(err, &fe) {
			a.failNode(root, codeMismatch, err.Error(), "", "")
			return a.any(root), nil
		}
		bad := findNode(root, fe)
		if bad == nil {
			a.fail(fe.From, fe.To, codeMismatch, typeMessage(fe.Message), "", "")
			return a.any(root), nil
		}
		a.failType(bad, fe)
		root = replaceNode(root, bad, a.any(bad))
	}
	return root, nil
}

// failType reports one finding of the type checker.
func (a *analysis) failType(n ast.Node, fe *file.Error) {
	code, help := codeMismatch, ""
	if a.failOperand(n) {
		return
	}
	switch {
	case strings.Contains(fe.Message, "argument"), strings.Contains(fe.Message, "overload"):
		code = codeArgs
	case strings.Contains(fe.Message, "redeclare"):
		code = codeName
	case strings.Contains(fe.Message, "error parsing regexp"):
		code = codeRegexp
	}
	if b, ok := n.(*ast.BinaryNode); ok && code == codeMismatch {
		help = a.mismatchHelp(b)
	}
	a.failNode(n, code, typeMessage(fe.Message), "", help)
}

// failOperand reports the operand that is no condition where one is due, or a call
// of our own function with the wrong arguments; false if it is neither.
func (a *analysis) failOperand(n ast.Node) bool {
	switch n := n.(type) {
	case *ast.BinaryNode:
		switch n.Operator {
		case "&&", "||", "and", "or":
			for _, side := range []ast.Node{n.Left, n.Right} {
				if !isBool(side.Type()) {
					a.failNode(side, codeMismatch, fmt.Sprintf("`%s` needs true or false, this is %s", n.Operator, withArticle(typeName(side.Type()))), "", "")
					return true
				}
			}
		}
	case *ast.UnaryNode:
		if !isBool(n.Node.Type()) && (n.Operator == "!" || n.Operator == "not") {
			a.failNode(n.Node, codeMismatch, fmt.Sprintf("`%s` needs true or false, this is %s", n.Operator, withArticle(typeName(n.Node.Type()))), "", "")
			return true
		}
	case *ast.CallNode:
		if id, ok := n.Callee.(*ast.IdentifierNode); ok && ownFunctions[id.Value] != nil {
			a.failNode(n, codeArgs, id.Value+" takes other arguments", "", "help: "+signature(id.Value))
			return true
		}
	}
	return false
}

func signature(name string) string {
	for _, f := range Functions() {
		if f.Name == name {
			return f.Signature + ": " + f.Doc
		}
	}
	return name
}

func (a *analysis) mismatchHelp(b *ast.BinaryNode) string {
	l, r := typeName(b.Left.Type()), typeName(b.Right.Type())
	if l == "any" || r == "any" || l == r {
		return ""
	}
	return fmt.Sprintf("help: %s is %s, %s is %s", a.textOf(b.Left), withArticle(l), a.textOf(b.Right), withArticle(r))
}

func withArticle(noun string) string {
	if strings.ContainsRune("aeiou", rune(noun[0])) {
		return "an " + noun
	}
	return "a " + noun
}

func (a *analysis) textOf(n ast.Node) string {
	from, to := a.nodeSpan(n)
	text := []rune(a.text.text)
	if from < 0 || to > len(text) || from > to {
		return n.String()
	}
	const most = 40
	s := strings.Join(strings.Fields(string(text[from:to])), " ")
	if r := []rune(s); len(r) > most {
		return string(r[:most]) + "…"
	}
	return s
}

var typeWords = strings.NewReplacer(
	"[]interface {}", "list", "[]any", "list", "[]string", "list of strings", "[]int", "list of ints",
	"map[string]interface {}", "map", "map[string]any", "map", "map[string]string", "map", "interface {}", "any",
	"float64", "float", "time.Time", "time", "time.Duration", "duration", "unknown", "any", "<nil>", "nil",
)

func typeMessage(s string) string {
	s = typeWords.Replace(s)
	if rest, ok := strings.CutPrefix(s, "invalid operation: "); ok {
		op, types, found := strings.Cut(rest, " (mismatched types ")
		if found {
			l, r, _ := strings.Cut(strings.TrimSuffix(types, ")"), " and ")
			return fmt.Sprintf("`%s` does not work on %s and %s", op, l, r)
		}
		op, typ, found := strings.Cut(rest, " (mismatched type ")
		if found {
			return fmt.Sprintf("`%s` does not work on %s", op, strings.TrimSuffix(typ, ")"))
		}
	}
	if rest, ok := strings.CutPrefix(s, "non-bool expression (type "); ok {
		return fmt.Sprintf("what stands before `?` must be true or false, this is %s", withArticle(strings.TrimSuffix(rest, ") used as condition")))
	}
	return strings.TrimSpace(s)
}

func typeName(t reflect.Type) string {
	if t == nil {
		return "any"
	}
	return typeWords.Replace(t.String())
}
