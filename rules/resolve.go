package rules

import (
	"fmt"
	"slices"
	"strings"

	"github.com/expr-lang/expr/ast"
)

// resolve replaces names by what they stand for and reports those that stand for
// nothing. The tree it is given is not changed.
func (a *analysis) resolve(n ast.Node) ast.Node {
	switch n := n.(type) {
	case *ast.IdentifierNode:
		return a.resolveName(n)
	case *ast.ChainNode:
		return a.resolve(n.Node) // a?.b: reading what is absent is nil anyway
	case *ast.MemberNode:
		return a.resolveMember(n)
	case *ast.CallNode:
		return a.resolveCall(n)
	case *ast.BuiltinNode:
		return a.resolveBuiltin(n)
	case *ast.VariableDeclaratorNode:
		return a.resolveLet(n)
	case *ast.BinaryNode:
		if n.Operator == "matches" && !a.checkPattern(n.Right) {
			return a.resolve(at(&ast.BinaryNode{Operator: "matches", Left: n.Left, Right: at(&ast.StringNode{}, n.Right)}, n))
		}
	}
	return mapChildren(n, a.resolve)
}

func (a *analysis) variable(name string) bool {
	return slices.ContainsFunc(a.vars, func(v variable) bool { return v.name == name })
}

func (a *analysis) resolveLet(n *ast.VariableDeclaratorNode) ast.Node {
	c := *n
	c.Value = a.resolve(n.Value)
	if slices.Contains(a.sc.names(), n.Name) {
		a.fail(n.Location().From, n.Location().To, codeName, fmt.Sprintf("%q is taken: choose another name", n.Name), "", "")
	}
	a.vars = append(a.vars, variable{n.Name})
	c.Expr = a.resolve(n.Expr)
	a.vars = a.vars[:len(a.vars)-1]
	return &c
}

// resolveName resolves a name that stands alone.
func (a *analysis) resolveName(n *ast.IdentifierNode) ast.Node {
	if a.variable(n.Value) {
		return n
	}
	if text, ok := spanLiteral(n.Value); ok {
		return a.spanConstant(n, text)
	}
	if id := a.topIdent(n.Value); id != nil {
		return a.use(id, n)
	}
	loc := n.Location()
	if a.named(n.Value) {
		a.fail(loc.From, loc.To, codeField, a.incomplete(n.Value), "", a.groupHelp(n.Value))
		return a.any(n)
	}
	return a.unknownName(n, n.Value)
}

func (a *analysis) spanConstant(n ast.Node, text string) ast.Node {
	d, err := ParseDuration(text)
	if err != nil {
		a.failNode(n, codeConstant, fmt.Sprintf("%q is no duration: %v", text, err), "", "")
		return a.any(n)
	}
	return at(&ast.ConstantNode{Value: d}, n)
}

// named says whether the name is one that needs a field after it.
func (a *analysis) named(name string) bool {
	return name == "lists" || name == "key" && a.sc.keyed() || slices.Contains(a.sc.steps, name) || name == "window" && a.sc.window ||
		a.sc.event && len(fieldGroups[name]) > 0 && !a.sc.hides(name)
}

func (a *analysis) incomplete(name string) string {
	switch {
	case name == "lists":
		return "`lists` needs the name of a list: lists.NAME"
	case slices.Contains(a.sc.steps, name):
		return fmt.Sprintf("%q is a step: read a field of its first event (%s.service) or all of them (%s.all)", name, name, name)
	case name == "key":
		return "`key` needs the name of a group key: key.NAME"
	}
	return fmt.Sprintf("%q is a group of fields: read one of them", name)
}

func (a *analysis) groupHelp(name string) string {
	switch {
	case name == "lists":
		return "lists of this file: " + listing(a.listNames())
	case name == "window":
		return "fields of window: duration"
	case name == "key":
		return "group_by: " + listing(a.sc.keyNames())
	case len(fieldGroups[name]) > 0:
		return "fields of " + name + ": " + strings.Join(fieldGroups[name], ", ")
	}
	return ""
}

func (a *analysis) listNames() []string {
	var names []string
	for name := range a.sc.lists {
		names = append(names, name)
	}
	return sorted(names)
}

// topIdent finds a name without dots in the scope; nil if there is none.
func (a *analysis) topIdent(name string) *ident {
	if i, ok := a.sc.counts[name]; ok {
		return aggIdent(i, IntField)
	}
	if id := a.keyNamed(name); id != nil {
		return id
	}
	if !a.sc.event {
		return nil
	}
	if name == "attrs" {
		return attrsIdent()
	}
	if f := fieldIndex[name]; f != nil {
		return fieldIdent(f)
	}
	return nil
}

// keyNamed finds a group key by its name as written; nil if there is none.
func (a *analysis) keyNamed(name string) *ident {
	for i, k := range a.sc.keys {
		if k.name != name {
			continue
		}
		if !k.path || !a.sc.event {
			return keyIdent(i, k, nil)
		}
		return keyIdent(i, k, eventIdent(name))
	}
	return nil
}

// eventIdent is the field or attribute a dotted name of the event stands for.
func eventIdent(name string) *ident {
	if f := fieldIndex[name]; f != nil {
		return fieldIdent(f)
	}
	if path, ok := strings.CutPrefix(name, "attrs."); ok {
		return attrIdent(path, nil)
	}
	return nil
}

// unknownName reports a name that stands for nothing here; path is what it begins.
func (a *analysis) unknownName(n *ast.IdentifierNode, path string) ast.Node {
	loc := n.Location()
	name := n.Value
	if !a.sc.event && slices.Contains(fieldNames, name) {
		a.failEventHere(loc.From, loc.To, path)
		return a.any(n)
	}
	if name == "incident" {
		a.fail(loc.From, loc.To, codeNotHere, "`incident` is there only in rules that read incidents", "", "help: from: incidents")
		return a.any(n)
	}
	known := a.sc.names()
	for _, v := range a.vars {
		known = append(known, v.name)
	}
	note, help := didYouMean(name, known), ""
	switch {
	case slices.Contains(a.sc.later, name):
		note, help = "", "a step may read those before it"
	case note == "" && a.sc.event:
		help = "other fields of a record are under attrs: attrs." + path
	}
	a.fail(loc.From, loc.To, codeName, fmt.Sprintf("unknown name %q", name), note, help)
	if s := Nearest(name, known); s != "" && s != name {
		if id := a.topIdent(s); id != nil {
			return a.use(id, n)
		}
	}
	return a.any(n)
}

func (a *analysis) failEventHere(from, to int, name string) {
	help := "help: write it inside an aggregate, as count(" + name + " == …), or in `match`"
	if len(a.sc.keys) > 0 {
		help += "; the group keys may be read as they are"
	}
	a.fail(from, to, codeNotHere, fmt.Sprintf("%q is a field of one event, %s is about the window", name, a.sc.what), "", help)
}
