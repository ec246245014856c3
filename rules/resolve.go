package rules

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/builtin"
	"github.com/expr-lang/expr/checker/nature"
	"github.com/expr-lang/expr/conf"
)

// ownFunctions are the functions of the rule language besides expr's own, with
// their types for the checker.
var ownFunctions = map[string][]any{
	"has":     {func(any) bool { return false }},
	"cidr":    {func(string, string) bool { return false }, func(string, []string) bool { return false }, func(string, []any) bool { return false }},
	"re":      {func(string, string) bool { return false }},
	"hour":    {func(time.Time, string) int { return 0 }, func(time.Time) int { return 0 }},
	"weekday": {func(time.Time, string) string { return "" }, func(time.Time) string { return "" }},
}

// forbidden are functions of expr that rules may not use, with the reason.
var forbidden = map[string]string{
	"now": "a rule knows no clock but the event's: use `time`",
	"get": "write x[key]",
}

// FunctionDoc is a function of the rule language beyond expr's own.
type FunctionDoc struct{ Name, Signature, Doc string }

// Functions lists the functions and aggregates rules may call besides expr's own.
func Functions() []FunctionDoc {
	return []FunctionDoc{
		{"has", "has(x)", "x is there: an attribute that is not nil, a field that is not \"\" or 0"},
		{"cidr", "cidr(ip, net)", "the address is in the network; net is \"10.0.0.0/8\" or a list of networks"},
		{"re", "re(text, pattern)", "the text matches the RE2 pattern, a constant"},
		{"hour", "hour(time, zone)", "0–23 in the IANA zone (default UTC)"},
		{"weekday", "weekday(time, zone)", "\"Mon\" … \"Sun\" in the IANA zone (default UTC)"},
		{"duration", "duration(text)", "a span: duration(\"5m\"), also with d and w"},
		{"count", "count() · count(pred)", "events in the window (that satisfy pred)"},
		{"sum", "sum(x)", "sum of x over the window"},
		{"avg", "avg(x)", "mean of x; undefined for an empty window"},
		{"min", "min(x)", "least x; undefined for an empty window"},
		{"max", "max(x)", "greatest x; undefined for an empty window"},
		{"stddev", "stddev(x)", "population standard deviation of x"},
		{"quantile", "quantile(q, x)", "q-quantile of x, 0 ≤ q ≤ 1"},
		{"distinct", "distinct(x)", "number of different values of x"},
		{"rate", "rate()", "events per second of window"},
		{"first", "first(x)", "x of the first event in the window"},
		{"last", "last(x)", "x of the last event in the window"},
		{"previous", "previous(agg)", "the same aggregate over the window before"},
		{"baseline", "baseline(agg, offset, n)", "mean of the aggregate at the same time 1…n offsets ago"},
	}
}

// config is what expr's checker and compiler need to know of a resolved tree.
func (a *analysis) config() *conf.Config {
	c := conf.CreateNew()
	c.Optimize = false
	c.Env = flatEnv(a.idents)
	for name, types := range ownFunctions {
		c.Functions[name] = typedFunction(name, types)
	}
	return c
}

func typedFunction(name string, types []any) *builtin.Function {
	f := &builtin.Function{Name: name, Func: func(...any) (any, error) { return nil, nil }}
	for _, t := range types {
		f.Types = append(f.Types, reflect.TypeOf(t))
	}
	return f
}

var fieldNatures = map[FieldType]reflect.Type{
	StringField:   reflect.TypeFor[string](),
	IntField:      reflect.TypeFor[int](),
	FloatField:    reflect.TypeFor[float64](),
	BoolField:     reflect.TypeFor[bool](),
	TimeField:     reflect.TypeFor[time.Time](),
	DurationField: reflect.TypeFor[time.Duration](),
	ListField:     reflect.TypeFor[[]any](),
}

// flatEnv types the names a resolved tree reads: one flat map, because names are
// resolved to "http.status" before expr sees them.
func flatEnv(idents map[string]*ident) nature.Nature {
	env := nature.FromType(reflect.TypeFor[map[string]any]())
	env.TypeData = &nature.TypeData{Fields: map[string]nature.Nature{}}
	for name, id := range idents {
		env.Fields[name] = nature.FromType(fieldNatures[id.typ]) // of nil: any
	}
	return env
}

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
	return name == "lists" || slices.Contains(a.sc.steps, name) || name == "window" && a.sc.window ||
		a.sc.event && len(fieldGroups[name]) > 0 && (name != "incident" || a.sc.incident)
}

func (a *analysis) incomplete(name string) string {
	switch {
	case name == "lists":
		return "`lists` needs the name of a list: lists.NAME"
	case slices.Contains(a.sc.steps, name):
		return fmt.Sprintf("%q is a step: read a field of its first event (%s.service) or all of them (%s.all)", name, name, name)
	}
	return fmt.Sprintf("%q is a group of fields: read one of them", name)
}

func (a *analysis) groupHelp(name string) string {
	switch {
	case name == "lists":
		return "lists of this file: " + listing(a.listNames())
	case name == "window":
		return "fields of window: duration"
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
	case root.Value == "window" && a.sc.window:
		if names[0].Value == "duration" && len(names) == 1 {
			return a.use(windowIdent(), n)
		}
		return a.unknownField(n, "window", names[0], []string{"duration"})
	case a.scalar(root.Value):
		a.fail(names[0].Location().From, names[0].Location().To, codeField, fmt.Sprintf("%s has no fields", root.Value), "", "")
		return a.any(n)
	case !a.sc.event || root.Value == "incident" && !a.sc.incident:
		return a.unknownName(root, dotted(root, names))
	}
	return a.eventPath(n, root.Value, root, names, fieldIdent, func(path string) *ident { return attrIdent(path, a.sc.slots) })
}

// scalar says whether the name is a count or a group key, which have no fields.
func (a *analysis) scalar(name string) bool {
	return fieldIndex[name] == nil && fieldGroups[name] == nil && name != "attrs" && a.topIdent(name) != nil
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
		if n.Method && f.Type == TimeField {
			return n // time.Hour(): expr knows the methods of a time
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

func (a *analysis) resolveCall(n *ast.CallNode) ast.Node {
	callee, ok := n.Callee.(*ast.IdentifierNode)
	if !ok { // time.Format("15:04")
		return mapChildren(n, a.resolve)
	}
	name := callee.Value
	loc := callee.Location()
	switch {
	case ofSeveral(n, name):
		return a.resolveBuiltin(at(&ast.BuiltinNode{Name: name, Arguments: n.Arguments}, n).(*ast.BuiltinNode))
	case aggNames[name] != 0 && a.sc.aggs != nil:
		return a.resolveAggregate(n, name)
	case aggNames[name] != 0:
		from, to := a.nodeSpan(n)
		a.failAggregateHere(from, to, name)
		return a.any(n)
	case ownFunctions[name] != nil:
		return a.resolveOwn(n, name)
	}
	note := didYouMean(name, functionNames())
	if s := functionAliases[strings.ToLower(name)]; s != "" {
		note = "did you mean " + s + "?"
	}
	a.fail(loc.From, loc.To, codeFunc, fmt.Sprintf("unknown function %q", name), note, "")
	if s := Nearest(name, functionNames()); s != "" {
		c := *n
		c.Callee = at(&ast.IdentifierNode{Value: s}, callee)
		if ownFunctions[s] != nil || aggNames[s] != 0 && a.sc.aggs != nil {
			return a.resolveCall(&c)
		}
	}
	for _, arg := range n.Arguments {
		a.resolve(arg)
	}
	return a.any(n)
}

// functionAliases are names other languages have, with what it is called here.
var functionAliases = map[string]string{
	"length": "len(x)", "lenght": "len(x)", "size": "len(x)", "tolower": "lower(x)", "toupper": "upper(x)", "exists": "has(x)",
	"isset": "has(x)", "includes": "`x contains y`", "contains": "`x contains y`", "startswith": "`x startsWith y`",
	"endswith": "`x endsWith y`", "regex": "re(text, pattern)", "match": "re(text, pattern)", "regexp": "re(text, pattern)", "percentile": "quantile(0.99, x)",
	"p99": "quantile(0.99, x)", "mean": "avg(x)", "count_distinct": "distinct(x)", "uniq": "distinct(x)", "dcount": "distinct(x)",
}

func functionNames() []string {
	var names []string
	for name := range ownFunctions {
		names = append(names, name)
	}
	for name := range aggNames {
		names = append(names, name)
	}
	for _, f := range builtin.Builtins {
		if forbidden[f.Name] == "" {
			names = append(names, f.Name)
		}
	}
	return slices.Compact(sorted(names))
}

func (a *analysis) resolveBuiltin(n *ast.BuiltinNode) ast.Node {
	if why := forbidden[n.Name]; why != "" {
		loc := n.Location()
		a.fail(loc.From, loc.To, codeFunc, fmt.Sprintf("%s() may not be used in rules", n.Name), "", "help: "+why)
		return a.any(n)
	}
	if n.Name == "duration" {
		a.checkConstant(n, 0, checkDuration)
	}
	if a.sc.aggs == nil && aggNames[n.Name] != 0 && len(n.Arguments) == 1 && compares(n.Arguments[0]) {
		from, to := a.nodeSpan(n)
		a.failAggregateHere(from, to, n.Name)
		return a.any(n)
	}
	c := *n
	c.Arguments = slices.Clone(n.Arguments)
	for i, arg := range n.Arguments {
		p, ok := arg.(*ast.PredicateNode)
		if !ok {
			c.Arguments[i] = a.resolve(arg)
			continue
		}
		if len(a.loops) == maxLoopDepth {
			a.failNode(n, codeTooLarge, fmt.Sprintf("loops are nested more than %d deep", maxLoopDepth), "", "")
			return a.any(n)
		}
		a.loops = append(a.loops, loop{events: a.listsEvents(c.Arguments[0])})
		q := *p
		q.Node = a.resolve(p.Node)
		c.Arguments[i] = &q
		a.loops = a.loops[:len(a.loops)-1]
	}
	return &c
}

// compares says that a node is a condition, which no function of lists takes.
func compares(n ast.Node) bool {
	b, ok := n.(*ast.BinaryNode)
	return ok && (mirrored[b.Operator] != "" || slices.Contains([]string{"==", "!=", "&&", "||", "and", "or", "contains", "matches", "in"}, b.Operator))
}

// listsEvents says whether the list is one of events: step.all, filtered or not.
func (a *analysis) listsEvents(n ast.Node) bool {
	switch n := n.(type) {
	case *ast.IdentifierNode:
		return strings.HasPrefix(n.Value, "step:") && strings.HasSuffix(n.Value, ".all")
	case *ast.BuiltinNode:
		return (n.Name == "filter" || n.Name == "reverse" || n.Name == "take") && a.listsEvents(n.Arguments[0])
	}
	return false
}

// vmEnv types the names of a lowered tree: what may be nil is of any type.
func vmEnv(idents map[string]*ident) nature.Nature {
	env := nature.FromType(reflect.TypeFor[map[string]any]())
	env.TypeData = &nature.TypeData{Fields: map[string]nature.Nature{}}
	for name, id := range idents {
		if !id.nilable {
			env.Fields[name] = nature.FromType(fieldNatures[id.typ])
		}
	}
	return env
}
