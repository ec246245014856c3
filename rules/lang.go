package rules

import (
	"errors"
	"fmt"
	"reflect"
	"strings"

	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/builtin"
	"github.com/expr-lang/expr/checker"
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
// call of its own count with an argument missing.
func (a *analysis) aggregateCall() bool {
	for i := 0; i+2 < len(a.tokens); i++ {
		t := a.tokens[i]
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
	c := conf.CreateNew()
	c.MaxNodes = maxExprNodes * 2
	if a.sc.aggs != nil {
		for name := range aggNames {
			c.Functions[name] = &builtin.Function{Name: name}
		}
	}
	for name := range ownFunctions {
		c.Functions[name] = &builtin.Function{Name: name}
	}
	return c
}

// ended says that the parser wanted more.
func ended(fe *file.Error) bool {
	return strings.Contains(fe.Message, "token EOF") || strings.Contains(fe.Message, "end of expression")
}

// unclosed is the last bracket that is opened and not closed.
func (a *analysis) unclosed() (lexer.Token, bool) {
	var open []lexer.Token
	for _, t := range a.tokens {
		switch {
		case !t.Is(lexer.Bracket):
		case strings.Contains("([{", t.Value):
			open = append(open, t)
		case len(open) > 0:
			open = open[:len(open)-1]
		}
	}
	if len(open) == 0 {
		return lexer.Token{}, false
	}
	return open[len(open)-1], true
}

func (a *analysis) failSyntax(err error) {
	var fe *file.Error
	if !errors.As(err, &fe) {
		a.fail(0, 1, codeSyntax, err.Error(), "", "")
		return
	}
	if t, ok := a.unclosed(); ok && ended(fe) {
		a.fail(t.From, t.To, codeSyntax, fmt.Sprintf("`%s` is not closed", t.Value), "", a.commentHelp())
		return
	}
	msg, note, help := a.syntaxMessage(fe)
	code := codeSyntax
	if strings.Contains(fe.Message, "maximum allowed nodes") {
		code = codeTooLarge
	}
	a.fail(fe.From, fe.To, code, msg, note, help)
}

// syntaxMessage says in the rule author's words what expr's parser found.
func (a *analysis) syntaxMessage(fe *file.Error) (msg, note, help string) {
	text := []rune(a.text.text)
	at := func(from, to int) string {
		if from < 0 || to > len(text) || from > to {
			return ""
		}
		return string(text[from:to])
	}
	word := at(fe.From, fe.To)
	switch {
	case ended(fe):
		return "the expression ends too early", "", a.commentHelp()
	case strings.HasPrefix(fe.Message, "literal not terminated"):
		return "this text is not closed", "", ""
	case strings.HasPrefix(fe.Message, "unrecognized character") && strings.ContainsAny(fe.Message, "“”„‘’«»"):
		return "texts are in plain quotes", `did you mean "?`, ""
	case word == ")" || word == "]" || word == "}":
		return fmt.Sprintf("`%s` closes nothing", word), "", ""
	case word == "=":
		return "`=` is no operator", "did you mean `==`?", ""
	case word == "&", word == "|":
		return fmt.Sprintf("`%s` is no operator", word), fmt.Sprintf("did you mean `%s%s`?", word, word), ""
	case strings.EqualFold(word, "and"), strings.EqualFold(word, "or"), strings.EqualFold(word, "not"):
		return fmt.Sprintf("`%s` is no operator", word), fmt.Sprintf("did you mean `%s`?", strings.ToLower(word)), ""
	case strings.EqualFold(word, "like"), strings.EqualFold(word, "is"):
		return fmt.Sprintf("`%s` is no operator", word), "", "help: ==, contains, startsWith, endsWith, matches, in"
	case strings.HasPrefix(fe.Message, "unexpected token"):
		return fmt.Sprintf("unexpected %q", word), "", ""
	}
	return strings.TrimPrefix(fe.Message, "compilation failed: "), "", ""
}

// commentHelp explains an expression that YAML cut off at a #.
func (a *analysis) commentHelp() string {
	n := a.text.node
	if n == nil || !plainScalar(n) {
		return ""
	}
	end := a.text.src.scalar(n).span(0, len([]rune(n.Value))).to
	rest := a.text.src.line(end.line)[min(end.col-1, len(a.text.src.line(end.line))):]
	if strings.HasPrefix(strings.TrimLeft(string(rest), " \t"), "#") {
		return "help: to YAML a # after a space begins a comment: quote the expression"
	}
	return ""
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
