package rules

import (
	"fmt"
	"slices"
	"strings"

	"github.com/expr-lang/expr/ast"
)

// chain cuts a member chain into its root and the constant names after it. rest
// is how many members follow that are not constant.
func chain(n ast.Node) (root ast.Node, names []*ast.StringNode) {
	switch n := n.(type) {
	case *ast.ChainNode:
		return chain(n.Node)
	case *ast.MemberNode:
		name, ok := n.Property.(*ast.StringNode)
		if !ok {
			return n, nil
		}
		root, names = chain(n.Node)
		return root, append(names, name)
	}
	return n, nil
}

func (a *analysis) resolveMember(n *ast.MemberNode) ast.Node {
	root, names := chain(n)
	if len(names) == 0 { // x[expr]
		return mapChildren(n, a.resolve)
	}
	switch r := root.(type) {
	case *ast.IdentifierNode:
		if !a.variable(r.Value) {
			return a.resolvePath(n, r, names)
		}
	case *ast.PointerNode:
		a.checkPointer(r, names)
	}
	c := *n
	c.Node = a.resolve(n.Node)
	return &c
}

// resolvePath resolves NAME.field.field.
func (a *analysis) resolvePath(n *ast.MemberNode, root *ast.IdentifierNode, names []*ast.StringNode) ast.Node {
	if id := a.keyNamed(dotted(root, names)); id != nil {
		return a.use(id, n)
	}
	switch {
	case root.Value == "lists":
		return a.resolveList(n, names)
	case slices.Contains(a.sc.steps, root.Value):
		return a.resolveStep(n, root, names)
	case root.Value == "key" && a.sc.keyed():
		return a.resolveKey(n, names)
	case root.Value == "window" && a.sc.window:
		if names[0].Value == "duration" && len(names) == 1 {
			return a.use(windowIdent(), n)
		}
		return a.unknownField(n, "window", names[0], []string{"duration"})
	case a.scalar(root.Value):
		a.fail(names[0].Location().From, names[0].Location().To, codeField, fmt.Sprintf("%s has no fields", root.Value), "", "")
		return a.any(n)
	case !a.sc.event || a.sc.hides(root.Value):
		return a.unknownName(root, dotted(root, names))
	}
	return a.eventPath(n, root.Value, root, names, fieldIdent, func(path string) *ident { return attrIdent(path, a.sc.slots) })
}

// scalar says whether the name is a count or a group key, which have no fields.
func (a *analysis) scalar(name string) bool {
	return fieldIndex[name] == nil && fieldGroups[name] == nil && name != "attrs" && a.topIdent(name) != nil
}

// resolveKey resolves key.NAME: the group key as incidents show it, also where a
// step, a count or a field has its name.
func (a *analysis) resolveKey(n *ast.MemberNode, names []*ast.StringNode) ast.Node {
	path := make([]string, len(names))
	for i, s := range names {
		path[i] = s.Value
	}
	if id := a.keyNamed(strings.Join(path, ".")); id != nil {
		return a.use(id, n)
	}
	return a.unknownField(n, "key", names[0], a.sc.keyNames())
}

func dotted(root *ast.IdentifierNode, names []*ast.StringNode) string {
	var s strings.Builder
	s.WriteString(root.Value)
	for _, n := range names {
		s.WriteString("." + n.Value)
	}
	return s.String()
}

// eventPath resolves a path of an event: attrs.…, http.status, service. prefix is
// what it hangs on, for messages; field and attr make the name.
func (a *analysis) eventPath(n *ast.MemberNode, group string, root ast.Node, names []*ast.StringNode, field func(*Field) *ident, attr func(string) *ident) ast.Node {
	if group == "attrs" {
		path := make([]string, len(names))
		for i, s := range names {
			path[i] = s.Value
		}
		return a.use(attr(strings.Join(path, ".")), n)
	}
	if known := fieldGroups[group]; known != nil {
		return a.groupPath(n, group, names, known, field)
	}
	if f := fieldIndex[group]; f != nil {
		if n.Method && f.Type == TimeField && len(names) == 1 { // time.Hour(): expr knows the methods of a time
			c := *n
			c.Node = a.use(field(f), n.Node)
			return &c
		}
		loc := names[0].Location()
		a.fail(loc.From, loc.To, codeField, fmt.Sprintf("%s is %s, it has no fields", group, withArticle(f.Type.String())), "", "")
		return a.any(n)
	}
	if id, ok := root.(*ast.IdentifierNode); ok {
		return a.unknownPath(n, id, names, field)
	}
	return a.any(n)
}

func (a *analysis) groupPath(n *ast.MemberNode, group string, names []*ast.StringNode, known []string, field func(*Field) *ident) ast.Node {
	f := fieldIndex[group+"."+names[0].Value]
	if f == nil {
		bad := a.unknownField(n, group, names[0], known)
		if s := Nearest(names[0].Value, known); s != "" && len(names) == 1 {
			return a.use(field(fieldIndex[group+"."+s]), n)
		}
		return bad
	}
	if len(names) == 1 {
		return a.use(field(f), n)
	}
	if f.Type != MapField {
		loc := names[1].Location()
		a.fail(loc.From, loc.To, codeField, fmt.Sprintf("%s is %s, it has no fields", f.Name, withArticle(f.Type.String())), "", "")
		return a.any(n)
	}
	return a.mapMembers(n, field(f), names[1:])
}

// mapMembers reads names one after the other from a map of texts: incident.key.x.
func (a *analysis) mapMembers(n *ast.MemberNode, id *ident, names []*ast.StringNode) ast.Node {
	base := a.use(id, n)
	for _, name := range names {
		base = at(&ast.MemberNode{Node: base, Property: name}, n)
	}
	return base
}

func (a *analysis) unknownField(n ast.Node, group string, name *ast.StringNode, known []string) ast.Node {
	loc := name.Location()
	a.fail(loc.From, loc.To, codeField, fmt.Sprintf("unknown field %q of %s", name.Value, group),
		didYouMean(name.Value, known), "fields of "+group+": "+strings.Join(known, ", "))
	return a.any(n)
}

// unknownPath reports an unknown root of a path, and goes on with what was meant.
func (a *analysis) unknownPath(n *ast.MemberNode, root *ast.IdentifierNode, names []*ast.StringNode, field func(*Field) *ident) ast.Node {
	a.unknownName(root, dotted(root, names))
	if s := Nearest(root.Value, a.sc.names()); fieldGroups[s] != nil {
		return a.groupPath(n, s, names, fieldGroups[s], field)
	}
	return a.any(n)
}

func (a *analysis) resolveList(n *ast.MemberNode, names []*ast.StringNode) ast.Node {
	list, ok := a.sc.lists[names[0].Value]
	if !ok {
		loc := names[0].Location()
		help := "help: lists are named under `lists:` in the same file"
		if known := a.listNames(); len(known) > 0 {
			help = "lists of this file: " + listing(known)
		}
		a.fail(loc.From, loc.To, codeList, fmt.Sprintf("unknown list %q", names[0].Value), didYouMean(names[0].Value, a.listNames()), help)
		return a.any(n)
	}
	if len(names) > 1 {
		loc := names[1].Location()
		a.fail(loc.From, loc.To, codeField, fmt.Sprintf("lists.%s is a list, it has no fields", names[0].Value), "", "")
		return a.any(n)
	}
	return at(&ast.ConstantNode{Value: typedList(list)}, n)
}

// typedList gives the checker the element type where all are of one.
func typedList(list []any) any {
	texts := make([]string, 0, len(list))
	ints := make([]int, 0, len(list))
	for _, x := range list {
		switch x := x.(type) {
		case string:
			texts = append(texts, x)
		case int:
			ints = append(ints, x)
		}
	}
	switch {
	case len(list) == 0:
	case len(texts) == len(list):
		return texts
	case len(ints) == len(list):
		return ints
	}
	return list
}

// resolveStep resolves STEP.field and STEP.all.
func (a *analysis) resolveStep(n *ast.MemberNode, root *ast.IdentifierNode, names []*ast.StringNode) ast.Node {
	step := slices.Index(a.sc.steps, root.Value)
	name := names[0].Value
	if name == "all" {
		all := a.use(stepAllIdent(step, root.Value), n)
		for _, m := range names[1:] {
			all = at(&ast.MemberNode{Node: all, Property: m}, n)
		}
		return all
	}
	field := func(f *Field) *ident { return stepIdent(step, root.Value, f, "") }
	attr := func(path string) *ident { return stepIdent(step, root.Value, nil, path) }
	if name == "attrs" || fieldGroups[name] != nil {
		if len(names) > 1 {
			return a.eventPath(n, name, root, names[1:], field, attr)
		}
		if name == "attrs" {
			return a.use(attr(""), n)
		}
		a.fail(names[0].Location().From, names[0].Location().To, codeField, fmt.Sprintf("%q is a group of fields: read one of them", name), "", a.groupHelp(name))
		return a.any(n)
	}
	f := fieldIndex[name]
	if f == nil {
		known := append(slices.Clone(fieldNames), "all")
		return a.unknownField(n, root.Value, names[0], known)
	}
	if len(names) > 1 {
		a.fail(names[1].Location().From, names[1].Location().To, codeField, fmt.Sprintf("%s.%s is %s, it has no fields", root.Value, name, withArticle(f.Type.String())), "", "")
		return a.any(n)
	}
	return a.use(field(f), n)
}

// checkPointer checks .field of # where # is an event: step.all.
func (a *analysis) checkPointer(p *ast.PointerNode, names []*ast.StringNode) {
	if p.Name != "" || len(a.loops) == 0 || !a.loops[len(a.loops)-1].events {
		return
	}
	name := names[0]
	if group := fieldGroups[name.Value]; group != nil && len(names) > 1 {
		if fieldIndex[name.Value+"."+names[1].Value] == nil {
			a.unknownField(p, name.Value, names[1], group)
		}
		return
	}
	if name.Value != "attrs" && fieldIndex[name.Value] == nil && fieldGroups[name.Value] == nil {
		a.unknownField(p, "an event", name, fieldNames)
	}
}
