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
