package rules

import (
	"fmt"
	"iter"
	"maps"
	"strings"

	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/builtin"
	"github.com/expr-lang/expr/conf"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/parser"
	"github.com/expr-lang/expr/parser/lexer"
	"go.yaml.in/yaml/v4"

	"corral/event"
)

// Limits of one expression. They keep what a parser or a nest of loops could do
// with hostile text small; no rule written by hand comes near.
const (
	maxExprText  = 16 << 10
	maxExprNodes = 2000
	maxLoopDepth = 3
	maxErrors    = 8 // type errors looked for in one expression
)

// exprText is an expression in a rule file: where its runes stand there.
type exprText struct {
	src  *source
	node *yaml.Node // the scalar; nil for text that is in no file
	key  *yaml.Node // its key
	off  int        // rune offset in the scalar's value
	text string
}

func (t exprText) span(from, to int) span {
	if t.node == nil {
		return span{pos{1, 1}, pos{1, 2}}
	}
	return t.src.scalar(t.node).span(t.off+from, t.off+to)
}

// analysis takes one expression from text to a checked tree.
type analysis struct {
	rep    *report
	text   exprText
	sc     *scope
	tokens []lexer.Token
	idents map[string]*ident
	vars   []variable
	loops  []loop
	failed bool
}

type variable struct{ name string }

// loop is a predicate function being resolved: what # stands for.
type loop struct{ events bool }

func newAnalysis(rep *report, text exprText, sc *scope) *analysis {
	return &analysis{rep: rep, text: text, sc: sc, idents: map[string]*ident{}}
}

// fail reports an error at runes [from, to) of the expression.
func (a *analysis) fail(from, to int, code, msg, note, help string) {
	a.failed = true
	a.rep.error(finding{src: a.text.src, at: a.text.span(from, to), key: a.text.key, code: code, text: msg, note: note, help: help})
}

func (a *analysis) failNode(n ast.Node, code, msg, note, help string) {
	from, to := a.nodeSpan(n)
	a.fail(from, to, code, msg, note, help)
}

func (a *analysis) warnNode(n ast.Node, code, msg, note, help string) {
	from, to := a.nodeSpan(n)
	a.rep.warning(finding{src: a.text.src, at: a.text.span(from, to), key: a.text.key, code: code, text: msg, note: note, help: help})
}

// parse reads the text; nil if it is no expression, which is reported.
func (a *analysis) parse() ast.Node {
	if strings.TrimSpace(a.text.text) == "" {
		a.fail(0, 1, codeBlank, "the expression is empty", "", "")
		return nil
	}
	if len(a.text.text) > maxExprText {
		a.fail(0, 1, codeTooLarge, fmt.Sprintf("expression of %d bytes; the limit is %d", len(a.text.text), maxExprText), "", "")
		return nil
	}
	text := markDurations(a.text.text)
	tokens, err := lexer.Lex(file.NewSource(text))
	if err != nil {
		a.failSyntax(err)
		return nil
	}
	a.tokens = tokens
	if len(tokens) > maxExprNodes {
		a.fail(0, len([]rune(a.text.text)), codeTooLarge, "expression is too large: more than 2000 words and signs", "", "help: put long lists under `lists:`")
		return nil
	}
	if a.sc.aggs == nil && a.aggregateCall() {
		return nil
	}
	tree, err := parser.ParseWithConfig(text, a.parseConfig())
	if err != nil {
		a.failSyntax(err)
		return nil
	}
	return tree.Node
}

// aggregateCall reports a count() where there is no window: to expr it would be a
// call of its own count with an argument missing. In `attrs.list | sum()` none is.
func (a *analysis) aggregateCall() bool {
	for i := 0; i+2 < len(a.tokens); i++ {
		t := a.tokens[i]
		if i > 0 && a.tokens[i-1].Is(lexer.Operator, "|") {
			continue
		}
		if t.Is(lexer.Identifier) && aggNames[t.Value] != 0 && a.tokens[i+1].Is(lexer.Bracket, "(") && a.tokens[i+2].Is(lexer.Bracket, ")") {
			a.failAggregateHere(t.From, a.tokens[i+2].To, t.Value)
			return true
		}
	}
	return false
}

func (a *analysis) failAggregateHere(from, to int, name string) {
	a.fail(from, to, codeNotHere, fmt.Sprintf("%s(…) is over a window, %s is about one event", name, a.sc.what), "",
		"help: aggregates belong in the condition of a threshold (or temporal) rule, its severity ladder and its texts")
}

// parseConfig makes the parser read aggregates as calls, not as expr's own
// functions over arrays, where there is a window.
func (a *analysis) parseConfig() *conf.Config {
	c := exprConfig(namedFunctions)
	if a.sc.aggs != nil {
		c = exprConfig(windowFunctions)
	}
	c.MaxNodes = maxExprNodes * 2
	return c
}

// namedFunctions are what the parser is to read as calls: ownFunctions, and over a
// window the aggregates.
var (
	namedFunctions  = makeNamed(maps.Keys(ownFunctions))
	windowFunctions = makeNamed(maps.Keys(ownFunctions), maps.Keys(aggNames))
)

func makeNamed(names ...iter.Seq[string]) conf.FunctionsTable {
	t := conf.FunctionsTable{}
	for _, some := range names {
		for name := range some {
			t[name] = &builtin.Function{Name: name}
		}
	}
	return t
}

// any is a placeholder for what was reported already: any type goes.
func (a *analysis) any(n ast.Node) ast.Node {
	id := &ident{name: "§any", typ: AnyField, nilable: true, agg: -1, get: func(*Env) event.Value { return event.Value{} }}
	return a.use(id, n)
}

// at gives a new node the place of the one it stands for.
func at(n, old ast.Node) ast.Node {
	n.SetLocation(old.Location())
	return n
}

// use notes that the expression reads id, and puts it in the place of n.
func (a *analysis) use(id *ident, n ast.Node) ast.Node {
	a.idents[id.name] = id
	name := &ast.IdentifierNode{Value: id.name}
	from, to := a.nodeSpan(n)
	name.SetLocation(file.Location{From: from, To: to})
	return name
}
