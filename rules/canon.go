package rules

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/expr-lang/expr/ast"
)

// canonical writes a lowered tree so that trees that mean the same are written the
// same: hashes and shared conditions are made of it.
func canonical(n ast.Node) string {
	var b strings.Builder
	writeCanonical(&b, n)
	return b.String()
}

func writeCanonical(b *strings.Builder, n ast.Node) {
	switch n := n.(type) {
	case nil:
		b.WriteByte('_')
		return
	case *ast.IdentifierNode:
		b.WriteString(strings.TrimPrefix(n.Value, "§"))
		return
	case *ast.StringNode:
		b.WriteString(strconv.Quote(n.Value))
		return
	case *ast.IntegerNode:
		b.WriteString(strconv.Itoa(n.Value))
		return
	case *ast.FloatNode:
		b.WriteString(strconv.FormatFloat(n.Value, 'g', -1, 64) + "f")
		return
	case *ast.BoolNode:
		b.WriteString(strconv.FormatBool(n.Value))
		return
	case *ast.NilNode:
		b.WriteString("nil")
		return
	case *ast.ConstantNode:
		b.WriteString(constText(n.Value))
		return
	case *ast.PointerNode:
		b.WriteString("#" + n.Name)
		return
	}
	b.WriteByte('(')
	b.WriteString(nodeName(n))
	for _, c := range children(n) {
		b.WriteByte(' ')
		writeCanonical(b, c)
	}
	b.WriteByte(')')
}

func nodeName(n ast.Node) string {
	switch n := n.(type) {
	case *ast.UnaryNode:
		return n.Operator
	case *ast.BinaryNode:
		return n.Operator
	case *ast.CallNode:
		return "call"
	case *ast.BuiltinNode:
		return n.Name
	case *ast.VariableDeclaratorNode:
		return "let " + n.Name
	case *ast.ConditionalNode:
		return "?:"
	case *ast.BytesNode:
		return strconv.Quote(string(n.Value))
	}
	return strings.TrimPrefix(fmt.Sprintf("%T", n), "*ast.")
}

func constText(v any) string {
	switch v := v.(type) {
	case *constSet:
		return "{" + setText(v.values) + "}"
	case *regexp.Regexp:
		return "/" + v.String() + "/"
	case *time.Location:
		return "zone:" + v.String()
	case prefixes:
		texts := make([]string, len(v))
		for i, p := range v {
			texts[i] = p.String()
		}
		slices.Sort(texts)
		return "net{" + strings.Join(texts, " ") + "}"
	case time.Duration:
		return "span:" + v.String()
	case constRange:
		return fmt.Sprintf("%d..%d", v.From, v.To)
	}
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprintf("%T%v", v, v)
	}
	return string(b)
}

// setText lists the members of a set: their order means nothing.
func setText(values []any) string {
	texts := make([]string, len(values))
	for i, v := range values {
		b, _ := json.Marshal(v)
		texts[i] = string(b)
	}
	slices.Sort(texts)
	return strings.Join(slices.Compact(texts), " ")
}
