package rules

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"
)

// text reads a text. What YAML takes for a number, a date or a bool must be quoted.
func (r *reader) text(n *yaml.Node, what string) (string, bool) {
	n = follow(n)
	r.checkTag(n)
	switch {
	case n.Kind != yaml.ScalarNode:
		r.fail(n, codeType, fmt.Sprintf("%s must be a text, this is %s", what, describe(n)), "", "")
		return "", false
	case n.Tag == "!!null" || n.Value == "":
		r.fail(n, codeBlank, what+" is empty", "", "")
		return "", false
	case n.Tag != "!!str" && plainScalar(n):
		r.fail(n, codeSurprise, fmt.Sprintf("%s is %s to YAML", n.Value, describe(n)), "quote it", fmt.Sprintf("help: %q", n.Value))
		return "", false
	}
	return n.Value, true
}

// expression reads a scalar as an expression's text; a number or bool is one too.
func (r *reader) expression(e entry) (exprText, bool) {
	n := e.value
	r.checkTag(n)
	if n.Kind != yaml.ScalarNode {
		r.fail(n, codeType, fmt.Sprintf("`%s` must be an expression, this is %s", e.name, describe(n)), "", "help: quote it if it begins with [ or {")
		return exprText{}, false
	}
	if isNull(n) || strings.TrimSpace(n.Value) == "" {
		at := n
		if n.Value == "" && plainScalar(n) {
			at = e.key
		}
		r.fail(at, codeBlank, fmt.Sprintf("`%s` is empty", e.name), "", "")
		return exprText{}, false
	}
	return exprText{src: r.src, node: n, key: e.key, text: n.Value}, true
}

var wholeNumber = regexp.MustCompile(`^-?(0|[1-9][0-9]*)$`)

// int reads a whole number in decimal of at least least.
func (r *reader) int(e entry, least, most int) (int, bool) {
	n := e.value
	if n.Kind != yaml.ScalarNode || !plainScalar(n) || n.Tag != "!!int" {
		note := ""
		if n.Kind == yaml.ScalarNode && wholeNumber.MatchString(n.Value) {
			note = "write it without quotes"
		}
		r.fail(n, codeType, fmt.Sprintf("`%s` must be a whole number, this is %s", e.name, describe(n)), note, "")
		return 0, false
	}
	if !wholeNumber.MatchString(n.Value) {
		r.fail(n, codeSurprise, fmt.Sprintf("`%s: %s` reads differently from one YAML reader to the next", e.name, n.Value), "write it in plain decimal", "")
		return 0, false
	}
	i, err := strconv.Atoi(n.Value)
	if err != nil || i < least || i > most {
		r.fail(n, codeNumber, fmt.Sprintf("`%s` must be from %d to %d", e.name, least, most), "", "")
		return 0, false
	}
	return i, true
}

// bool reads true or false.
func (r *reader) bool(e entry) (value, ok bool) {
	n := e.value
	if n.Kind == yaml.ScalarNode && n.Tag == "!!bool" && plainScalar(n) {
		return strings.EqualFold(n.Value, "true"), true
	}
	if n.Kind == yaml.ScalarNode {
		switch strings.ToLower(n.Value) {
		case "yes", "on", "y", "true":
			r.fail(n, codeSurprise, fmt.Sprintf("%q is a text to YAML 1.2", n.Value), "did you mean true?", "")
			return false, false
		case "no", "off", "n", "false":
			r.fail(n, codeSurprise, fmt.Sprintf("%q is a text to YAML 1.2", n.Value), "did you mean false?", "")
			return false, false
		}
	}
	r.fail(n, codeType, fmt.Sprintf("`%s` must be true or false, this is %s", e.name, describe(n)), "", "")
	return false, false
}

// duration reads a span; bare numbers other than 0 have no unit and are errors.
func (r *reader) duration(e entry) (time.Duration, bool) {
	n := e.value
	r.checkTag(n)
	if n.Kind != yaml.ScalarNode {
		r.fail(n, codeDuration, fmt.Sprintf("`%s` must be a duration, this is %s", e.name, describe(n)), "", "help: as 90s, 5m, 1h30m, 7d")
		return 0, false
	}
	if isNull(n) {
		r.fail(e.key, codeBlank, fmt.Sprintf("`%s` is empty", e.name), "", "")
		return 0, false
	}
	d, err := ParseDuration(n.Value)
	if err != nil {
		note := ""
		if wholeNumber.MatchString(n.Value) {
			note = fmt.Sprintf("did you mean %ss?", n.Value)
		}
		r.fail(n, codeDuration, fmt.Sprintf("`%s`: %q is no duration: %v", e.name, n.Value, err), note, "help: as 90s, 5m, 1h30m, 7d")
		return 0, false
	}
	if d < 0 {
		r.fail(n, codeDuration, fmt.Sprintf("`%s` must not be negative", e.name), "", "")
		return 0, false
	}
	return d, true
}

// positive is duration, and longer than nothing.
func (r *reader) positive(e entry) (time.Duration, bool) {
	d, ok := r.duration(e)
	if ok && d == 0 {
		r.fail(e.value, codeDuration, fmt.Sprintf("`%s` must be longer than 0", e.name), "", "")
		return 0, false
	}
	return d, ok
}

// wordAliases are what other tools call a word.
var wordAliases = map[string]string{
	"high": "error", "major": "error", "err": "error", "medium": "warning", "warn": "warning", "minor": "warning", "low": "info", "notice": "info",
	"crit": "critical", "fatal": "critical", "emergency": "critical", "page": "critical", "new": "first_seen", "new_term": "first_seen", "change": "changed",
	"flap": "flapping", "once": "edge", "always": "level", "every": "level", "event": "events", "alerts": "incidents", "incident": "incidents",
}

// enum reads one of the words.
func (r *reader) enum(e entry, words ...string) (int, bool) {
	n := e.value
	if n.Kind != yaml.ScalarNode {
		r.fail(n, codeType, fmt.Sprintf("`%s` must be one of %s, this is %s", e.name, strings.Join(words, ", "), describe(n)), "", "")
		return 0, false
	}
	if i := slices.Index(words, n.Value); i >= 0 {
		return i, true
	}
	note := didYouMean(n.Value, words)
	if alias := wordAliases[strings.ToLower(n.Value)]; slices.Contains(words, alias) {
		note = fmt.Sprintf("did you mean %q?", alias)
	}
	r.fail(n, codeEnum, fmt.Sprintf("`%s` cannot be %q", e.name, n.Value), note, "one of: "+strings.Join(words, ", "))
	return 0, false
}

// zone reads a time zone.
func (r *reader) zone(e entry) (*time.Location, bool) {
	s, ok := r.text(e.value, "`"+e.name+"`")
	if !ok {
		return nil, false
	}
	loc, err := loadZone(s)
	if err != nil {
		r.fail(e.value, codeZone, err.Error(), "", "")
		return nil, false
	}
	return loc, true
}

// list returns the members of a list, aliases followed.
func (r *reader) list(e entry) ([]*yaml.Node, bool) {
	n := e.value
	if n.Kind != yaml.SequenceNode {
		r.fail(n, codeType, fmt.Sprintf("`%s` must be a list, this is %s", e.name, describe(n)), "", "")
		return nil, false
	}
	r.checkTag(n)
	items := make([]*yaml.Node, len(n.Content))
	for i, c := range n.Content {
		items[i] = follow(c)
	}
	return items, true
}

// scalar reads a value of a `lists:` entry.
func (r *reader) scalarValue(n *yaml.Node) (any, bool) {
	if n.Kind != yaml.ScalarNode {
		r.fail(n, codeType, fmt.Sprintf("a list holds texts and numbers, this is %s", describe(n)), "", "")
		return nil, false
	}
	if !plainScalar(n) {
		return n.Value, true
	}
	switch n.Tag {
	case "!!null":
		r.fail(n, codeBlank, "empty value in a list", "", "")
		return nil, false
	case "!!int":
		if !wholeNumber.MatchString(n.Value) {
			r.fail(n, codeSurprise, fmt.Sprintf("%s reads differently from one YAML reader to the next", n.Value), "quote it, or write plain decimal", "")
			return nil, false
		}
		i, err := strconv.Atoi(n.Value)
		if err != nil {
			r.fail(n, codeNumber, fmt.Sprintf("%s is too large", n.Value), "quote it", "")
		}
		return i, err == nil
	case "!!float":
		f, err := strconv.ParseFloat(n.Value, 64)
		if err != nil {
			r.fail(n, codeSurprise, fmt.Sprintf("%s is a number to YAML", n.Value), "quote it", "")
		}
		return f, err == nil
	case "!!bool":
		return strings.EqualFold(n.Value, "true"), true
	}
	return n.Value, true
}
