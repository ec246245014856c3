package rules

import (
	"regexp"
	"strings"

	"github.com/expr-lang/expr/ast"
)

// Rules write spans bare, as in baseline(count(), 7d, 4). To expr's lexer a 7d is
// a misspelt number, so the first digit is exchanged for a letter-like one before
// the lexer sees it: the text keeps its length, and with it every position.

const doubleStruckZero = '𝟘' // U+1D7D8, a digit to Unicode, a letter to expr

var durationLiteral = regexp.MustCompile(`^(\d+(ns|us|µs|ms|s|m|h|d|w))+$`)

// markDurations marks bare spans outside quotes and comments.
func markDurations(text string) string {
	if !strings.ContainsAny(text, "0123456789") {
		return text
	}
	runes := []rune(text)
	for i := 0; i < len(runes); {
		end := tokenEnd(runes, i)
		if c := runes[i]; '0' <= c && c <= '9' && durationLiteral.MatchString(string(runes[i:end])) {
			runes[i] = doubleStruckZero + (c - '0')
		}
		i = end
	}
	return string(runes)
}

// tokenEnd is the end of the word, the quoted text, the comment or the sign at i.
func tokenEnd(text []rune, i int) int {
	switch c := text[i]; {
	case c == '"' || c == '\'' || c == '`':
		return quoteEnd(text, i)
	case strings.HasPrefix(string(text[i:min(i+2, len(text))]), "//"):
		for i < len(text) && text[i] != '\n' {
			i++
		}
		return i
	case strings.HasPrefix(string(text[i:min(i+2, len(text))]), "/*"):
		if end := strings.Index(string(text[i:]), "*/"); end >= 0 {
			return i + len([]rune(string([]byte(string(text[i:]))[:end]))) + 2
		}
		return len(text)
	case wordRune(c):
		for i < len(text) && (wordRune(text[i]) || text[i] == '.') {
			i++
		}
		return i
	}
	return i + 1
}

func wordRune(c rune) bool {
	return c == '_' || c == 'µ' || '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}

// quoteEnd is the end of the quoted text that begins at i.
func quoteEnd(text []rune, i int) int {
	q := text[i]
	for i++; i < len(text) && text[i] != q; i++ {
		if text[i] == '\\' && q != '`' {
			i++
		}
	}
	return min(i+1, len(text))
}

// unmark gives marked spans their digit back.
func unmark(s string) string {
	return strings.Map(func(r rune) rune {
		if doubleStruckZero <= r && r <= doubleStruckZero+9 {
			return '0' + r - doubleStruckZero
		}
		return r
	}, s)
}

// spanLiteral reads a name that is a marked span.
func spanLiteral(name string) (string, bool) {
	r := []rune(name)
	if len(r) == 0 || r[0] < doubleStruckZero || r[0] > doubleStruckZero+9 {
		return "", false
	}
	return unmark(name), true
}

// nodeText is an expression as it is shown: normalised, on one line.
func nodeText(n ast.Node) string { return unmark(n.String()) }
