package rules

import (
	"fmt"
	"regexp"
	"strings"
	"time"
	_ "time/tzdata" // rules name zones, and containers often have none

	"github.com/expr-lang/expr/ast"

	"corral/event"
)

// resolveOwn resolves a call of a function of the rule language, and checks the
// arguments that must be constants.
func (a *analysis) resolveOwn(n *ast.CallNode, name string) ast.Node {
	switch name {
	case "re":
		if len(n.Arguments) == 2 && !a.checkPattern(n.Arguments[1]) {
			n = at(&ast.CallNode{Callee: n.Callee, Arguments: []ast.Node{n.Arguments[0], at(&ast.StringNode{}, n.Arguments[1])}}, n).(*ast.CallNode)
		}
	case "cidr":
		if len(n.Arguments) == 2 {
			a.checkNetworks(n.Arguments[1])
		}
	case "hour", "weekday":
		a.checkConstant(n, 1, checkZone)
	}
	c := *n
	c.Arguments = make([]ast.Node, len(n.Arguments))
	for i, arg := range n.Arguments {
		c.Arguments[i] = a.resolve(arg)
	}
	return &c
}

// checkPattern reports a pattern that is no constant or no regular expression.
func (a *analysis) checkPattern(n ast.Node) bool {
	s, ok := n.(*ast.StringNode)
	if !ok {
		a.failNode(n, codeRegexp, "a pattern must be a constant text", "", "help: it is compiled once, when the rules are loaded")
		return false
	}
	if _, err := regexp.Compile(s.Value); err != nil {
		a.failNode(n, codeRegexp, patternError(err), "", "")
		return false
	}
	return true
}

func patternError(err error) string {
	return "bad pattern: " + strings.TrimPrefix(err.Error(), "error parsing regexp: ")
}

func (a *analysis) checkNetworks(n ast.Node) {
	for _, text := range a.constTexts(n) {
		if _, err := parsePrefix(text); err != nil {
			a.failNode(n, codeConstant, fmt.Sprintf("%q is no network", text), "", `help: an address or a prefix: "10.0.0.0/8", "2001:db8::/32"`)
		}
	}
}

// constTexts are the texts of a constant or of a list of constants. It reports
// what is neither.
func (a *analysis) constTexts(n ast.Node) []string {
	switch x := n.(type) {
	case *ast.StringNode:
		return []string{x.Value}
	case *ast.ArrayNode:
		var texts []string
		for _, e := range x.Nodes {
			if s, ok := e.(*ast.StringNode); ok {
				texts = append(texts, s.Value)
			}
		}
		if len(texts) == len(x.Nodes) {
			return texts
		}
	case *ast.MemberNode:
		root, names := chain(x)
		if id, ok := root.(*ast.IdentifierNode); ok && id.Value == "lists" && len(names) == 1 {
			return textsOf(a.sc.lists[names[0].Value])
		}
	}
	a.failNode(n, codeConstant, "networks must be constants", "", `help: "10.0.0.0/8", or lists.NAME`)
	return nil
}

func textsOf(list []any) []string {
	var texts []string
	for _, x := range list {
		texts = append(texts, fmt.Sprint(x))
	}
	return texts
}

// checkConstant reports argument i of a call if it is there and is no constant
// that check accepts.
func (a *analysis) checkConstant(call ast.Node, i int, check func(string) error) {
	var args []ast.Node
	switch c := call.(type) {
	case *ast.CallNode:
		args = c.Arguments
	case *ast.BuiltinNode:
		args = c.Arguments
	}
	if i >= len(args) {
		return
	}
	s, ok := args[i].(*ast.StringNode)
	if !ok {
		a.failNode(args[i], codeConstant, "this argument must be a constant text", "", "")
		return
	}
	if err := check(s.Value); err != nil {
		a.failNode(args[i], codeConstant, err.Error(), "", "")
	}
}

// checkSpan reports duration("…") of a constant that is none. What an event says
// is read when it comes: of what is no duration it is nil.
func (a *analysis) checkSpan(n *ast.BuiltinNode) {
	if len(n.Arguments) != 1 {
		return
	}
	s, ok := n.Arguments[0].(*ast.StringNode)
	if !ok {
		return
	}
	if _, err := ParseDuration(s.Value); err != nil {
		a.failNode(s, codeConstant, fmt.Sprintf("%q is no duration: %v", s.Value, err), "", "")
	}
}

// spanOf is duration(x) of what an event says.
func spanOf(args ...any) (any, error) {
	s, _ := args[0].(string)
	d, err := ParseDuration(s)
	if err != nil {
		return nil, nil
	}
	return d, nil
}

func checkZone(s string) error {
	_, err := loadZone(s)
	return err
}

// loadZone is time.LoadLocation without the zone of the machine: rules must mean
// the same everywhere.
func loadZone(name string) (*time.Location, error) {
	if name == "Local" {
		return nil, fmt.Errorf("%q is another zone on each machine: name it, as Europe/Berlin", name)
	}
	if name == "" {
		return nil, fmt.Errorf("the time zone is empty")
	}
	loc, err := time.LoadLocation(name)
	if err != nil {
		return nil, fmt.Errorf("unknown time zone %q (IANA names, as Europe/Berlin or UTC)", name)
	}
	return loc, nil
}

var weekdays = [...]string{"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"}

func hourOf(v event.Value, loc *time.Location) event.Value {
	if t, ok := v.Any.(time.Time); ok && v.Kind == event.Tree {
		return intValue(t.In(loc).Hour())
	}
	return event.Value{}
}

func weekdayOf(v event.Value, loc *time.Location) event.Value {
	if t, ok := v.Any.(time.Time); ok && v.Kind == event.Tree {
		return strValue(weekdays[t.In(loc).Weekday()])
	}
	return event.Value{}
}
