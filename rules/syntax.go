package rules

import (
	"errors"
	"fmt"
	"strings"

	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/parser/lexer"
)

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
