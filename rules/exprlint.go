package rules

import (
	"fmt"
	"slices"
	"strings"

	"github.com/expr-lang/expr/ast"
)

// lint warns of comparisons that cannot hold.
func (a *analysis) lint(root ast.Node) {
	anyNode(root, func(n ast.Node) bool {
		b, ok := n.(*ast.BinaryNode)
		if !ok {
			return false
		}
		switch b.Operator {
		case "==", "!=":
			a.lintClosed(b.Left, b.Right)
			a.lintClosed(b.Right, b.Left)
		case "<", "<=", ">", ">=":
			a.lintAlphabet(b, b.Operator, b.Left, b.Right)
			a.lintAlphabet(b, mirrored[b.Operator], b.Right, b.Left)
		case "in":
			if list, ok := b.Right.(*ast.ArrayNode); ok {
				for _, e := range list.Nodes {
					a.lintClosed(b.Left, e)
				}
			}
		}
		return false
	})
}

// lintClosed warns of a field from a closed set compared with something else.
func (a *analysis) lintClosed(field, value ast.Node) {
	s, ok := value.(*ast.StringNode)
	if !ok || s.Value == "" {
		return
	}
	name, set := closedSet(field)
	if set == nil || slices.Contains(set, s.Value) {
		return
	}
	note := ""
	if near := nearestClosed(s.Value, set); near != "" {
		note = fmt.Sprintf("did you mean %q?", near)
	}
	a.warnNode(value, codeClosedSet, fmt.Sprintf("%s is never %q", name, s.Value), note, "values of "+name+": "+strings.Join(set, ", "))
}

// lintAlphabet warns of level >= "error": texts are compared letter by letter, and
// "info" comes after "error".
func (a *analysis) lintAlphabet(n ast.Node, op string, field, value ast.Node) {
	s, ok := value.(*ast.StringNode)
	name, set := closedSet(field)
	if !ok || set == nil {
		return
	}
	help := ""
	if named := ranked(op, s.Value, set); len(named) > 0 && (name == "level" || name == "incident.severity") {
		help = fmt.Sprintf("help: %s in [%s]", name, `"`+strings.Join(named, `", "`)+`"`)
	}
	a.warnNode(n, codeAlphabet, fmt.Sprintf("%s is a text: `%s` goes by the alphabet", name, op), "", help)
}

// ranked are the values that stand on that side of one in the order of the set.
func ranked(op, value string, set []string) []string {
	i := slices.Index(set, value)
	switch {
	case i < 0:
		return nil
	case op == ">":
		return set[i+1:]
	case op == ">=":
		return set[i:]
	case op == "<":
		return set[:i]
	}
	return set[:i+1]
}

func closedSet(n ast.Node) (string, []string) {
	switch n := n.(type) {
	case *ast.IdentifierNode:
		return n.Value, closed[n.Value]
	case *ast.CallNode:
		if id, ok := n.Callee.(*ast.IdentifierNode); ok && id.Value == "weekday" {
			return "weekday(…)", weekdays[:]
		}
	}
	return "", nil
}

var closedAliases = map[string]string{
	"warning": "warn", "err": "error", "critical": "fatal", "crit": "fatal", "panic": "fatal", "notice": "info", "information": "info",
}

func nearestClosed(s string, set []string) string {
	if alias := closedAliases[strings.ToLower(s)]; slices.Contains(set, alias) {
		return alias
	}
	flat := func(s string) string { return strings.ToLower(strings.ReplaceAll(s, "_", "")) }
	for _, v := range set {
		if flat(v) == flat(s) || len(v) == 3 && strings.HasPrefix(flat(s), flat(v)) {
			return v
		}
	}
	return Nearest(s, set)
}
