package rules

import (
	"math"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"

	"corral/event"
)

// Template is text with {{ expression }} in it.
type Template struct {
	text  string
	parts []templatePart
}

// templatePart is literal text or an expression.
type templatePart struct {
	text string
	expr *Expr
}

// Text is the template as written.
func (t *Template) Text() string { return t.text }

// Render never fails: an expression that does renders as "?".
func (t *Template) Render(env *Env) string {
	if len(t.parts) == 1 && t.parts[0].expr == nil {
		return t.parts[0].text
	}
	var b strings.Builder
	for _, p := range t.parts {
		if p.expr == nil {
			b.WriteString(p.text)
			continue
		}
		b.WriteString(rendered(p.expr.Value(env)))
	}
	return b.String()
}

// rendered is a value as people read it: numbers short, times RFC 3339, nothing
// as "?".
func rendered(v event.Value) string {
	switch v.Kind {
	case event.Nil:
		return "?"
	case event.Float:
		return shortFloat(v.Float)
	case event.Tree:
		if t, ok := v.Any.(time.Time); ok {
			return t.UTC().Format(time.RFC3339Nano)
		}
		return treeText(v.Any)
	}
	return scalarText(v)
}

// shortFloat rounds to six significant digits, or to the unit where that is more:
// a mean of 0.1+0.2 reads 0.3, and 1234567.8 reads 1234568.
func shortFloat(f float64) string {
	if f >= 1e6 || f <= -1e6 {
		return floatText(math.Round(f))
	}
	return floatText(significant(f, 6))
}

// literalTemplate is a template without expressions.
func literalTemplate(text string) *Template {
	return &Template{text: text, parts: []templatePart{{text: text}}}
}

// compileTemplate reads a scalar as a template; mistakes are reported and leave
// the part out.
func compileTemplate(rep *report, src *source, key, n *yaml.Node, sc *scope) *Template {
	t := &Template{text: n.Value}
	runes := []rune(n.Value)
	for i := 0; i < len(runes); {
		open := indexPair(runes, i, '{')
		if open < 0 {
			t.literal(string(runes[i:]))
			break
		}
		t.literal(string(runes[i:open]))
		end := templateEnd(runes, open+2)
		if end < 0 {
			at := src.scalar(n).span(open, open+2)
			rep.error(finding{src: src, at: at, key: key, code: codeTemplate, text: "{{ without }}", help: "help: {{ expression }}; a literal {{ is written {{ \"{{\" }}"})
			return t
		}
		text := exprText{src: src, node: n, key: key, off: open + 2, text: string(runes[open+2 : end])}
		if x := compileExpr(rep, text, sc, wantAny); x != nil {
			t.parts = append(t.parts, templatePart{expr: x})
		}
		i = end + 2
	}
	return t
}

func (t *Template) literal(s string) {
	if s != "" {
		t.parts = append(t.parts, templatePart{text: s})
	}
}

// indexPair finds two of c in a row from i on, -1 if there are none.
func indexPair(runes []rune, i int, c rune) int {
	for ; i+1 < len(runes); i++ {
		if runes[i] == c && runes[i+1] == c {
			return i
		}
	}
	return -1
}

// templateEnd finds the }} that ends an expression, past quotes and maps.
func templateEnd(runes []rune, i int) int {
	depth := 0
	for i < len(runes) {
		switch c := runes[i]; {
		case c == '{':
			depth++
		case c == '}' && depth > 0:
			depth--
		case c == '}' && i+1 < len(runes) && runes[i+1] == '}':
			return i
		}
		i = tokenEnd(runes, i)
	}
	return -1
}

// canonical is what the template says, for the text hash.
func (t *Template) canonical() string {
	var b strings.Builder
	for _, p := range t.parts {
		if p.expr != nil {
			b.WriteString("{{" + p.expr.canon + "}}")
			continue
		}
		b.WriteString(p.text)
	}
	return b.String()
}
