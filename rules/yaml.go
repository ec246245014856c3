package rules

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
)

// Limits of one rule file. They keep a hostile or damaged file from taking the
// process along; files written by people are far below.
const (
	maxFileBytes = 8 << 20
	maxFileNodes = 500_000
	maxFileDepth = 64
)

// document reads the one YAML document of a file; nil if it cannot be read, which
// is reported.
func (r *report) document(src *source, data []byte) *yaml.Node {
	start := span{pos{1, 1}, pos{1, 2}}
	switch {
	case len(data) > maxFileBytes:
		r.error(finding{src: src, at: start, code: codeTooBig, text: fmt.Sprintf("file of %d bytes; the limit is %d", len(data), maxFileBytes)})
		return nil
	case !utf8.Valid(data):
		r.error(finding{src: src, at: src.badUTF8(data), code: codeYAML, text: "not UTF-8"})
		return nil
	}
	var docs []*yaml.Node
	if err := loadYAML(data, &docs); err != nil {
		r.yamlError(src, err)
		return nil
	}
	switch {
	case len(docs) == 0 || len(docs[0].Content) == 0 || isNull(docs[0].Content[0]):
		r.error(finding{src: src, at: start, code: codeEmpty, text: "the file is empty", help: "help: delete it, or give it `rules:`"})
		return nil
	case len(docs) > 1:
		n := docs[1]
		r.error(finding{
			src: src, at: span{pos{n.Line, n.Column}, pos{n.Line, n.Column + 3}}, code: codeDocuments,
			text: "a second YAML document: one file is one document", help: "help: put the rules of all of them under one `rules:`, or in files of their own",
		})
		return nil
	}
	root := docs[0].Content[0]
	if n := countNodes(root, 0); n > maxFileNodes {
		r.error(finding{src: src, at: start, code: codeTooBig, text: fmt.Sprintf("more than %d values, or %d levels, once aliases are followed", maxFileNodes, maxFileDepth)})
		return nil
	}
	return root
}

// loadYAML keeps a fault in the YAML reader from ending the process.
func loadYAML(data []byte, docs *[]*yaml.Node) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%v", p)
		}
	}()
	loader, err := yaml.NewLoader(bytes.NewReader(data))
	if err != nil {
		return err
	}
	for len(*docs) < 2 { // a second document is reported, not read
		doc := new(yaml.Node)
		if err := loader.Load(doc); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		*docs = append(*docs, doc)
	}
	return nil
}

// countNodes counts with aliases followed, and stops when it is too many.
func countNodes(n *yaml.Node, depth int) int {
	if depth > maxFileDepth {
		return maxFileNodes + 1
	}
	total := 1
	if n.Kind == yaml.AliasNode {
		return countNodes(n.Alias, depth+1)
	}
	for _, c := range n.Content {
		total += countNodes(c, depth+1)
		if total > maxFileNodes {
			break
		}
	}
	return total
}

func (s *source) badUTF8(data []byte) span {
	good := data
	for i := 0; i < len(data); {
		r, n := utf8.DecodeRune(data[i:])
		if r == utf8.RuneError && n == 1 {
			good = data[:i]
			break
		}
		i += n
	}
	lines := splitLines(string(good))
	at := pos{len(lines), len([]rune(lines[len(lines)-1])) + 1}
	return span{at, pos{at.line, at.col + 1}}
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.Tag == "!!null" }

var markText = regexp.MustCompile(`line (\d+)(?:, column (\d+))?`)

// yamlError reports what the YAML reader found.
func (r *report) yamlError(src *source, err error) {
	at, msg, help := pos{1, 1}, err.Error(), ""
	var le *yaml.LoadError
	if errors.As(err, &le) {
		msg = le.Message
		if le.Mark.Line > 0 {
			at = pos{le.Mark.Line, le.Mark.Column}
		}
		if le.ContextMsg != "" {
			help = fmt.Sprintf("%s that begins at %d:%d", le.ContextMsg, le.ContextMark.Line, le.ContextMark.Column)
		}
		if strings.Contains(msg, "mapping values are not allowed") {
			help = "help: a text with `: ` in it must be quoted"
		}
	} else if m := markText.FindStringSubmatch(msg); m != nil {
		at.line, _ = strconv.Atoi(m[1])
		if m[2] != "" {
			at.col, _ = strconv.Atoi(m[2])
		}
	}
	if at = src.clamp(at); at.col <= len(src.line(at.line)) && src.line(at.line)[at.col-1] == '\t' {
		help = "help: YAML indents with spaces, not tabs"
	}
	r.error(finding{src: src, at: span{at, pos{at.line, at.col + 1}}, code: codeYAML, text: "not YAML: " + msg, help: help})
}

// reader walks the nodes of one file strictly.
type reader struct {
	*report
	src *source
}

// follow returns what an alias stands for.
func follow(n *yaml.Node) *yaml.Node {
	for range maxFileDepth {
		if n == nil || n.Kind != yaml.AliasNode {
			break
		}
		n = n.Alias
	}
	return n
}

func (r *reader) fail(n *yaml.Node, code, text, note, help string) {
	r.error(finding{src: r.src, at: r.src.span(n), code: code, text: text, note: note, help: help})
}

// entry is a key with its value, aliases followed.
type entry struct {
	name       string
	key, value *yaml.Node
	alias      bool // the value stands elsewhere
}

// mapping is a YAML mapping whose keys were checked.
type mapping struct {
	r       *reader
	node    *yaml.Node
	entries []entry
}

func (m *mapping) get(name string) (entry, bool) {
	for _, e := range m.entries {
		if e.name == name {
			return e, true
		}
	}
	return entry{}, false
}

func (m *mapping) has(name string) bool {
	_, ok := m.get(name)
	return ok
}

// open reads a mapping with any keys; nil if the node is none.
func (r *reader) open(n *yaml.Node, what string) *mapping {
	n = follow(n)
	if n.Kind != yaml.MappingNode {
		r.fail(n, codeType, fmt.Sprintf("%s must be a mapping (key: value), this is %s", what, describe(n)), "", "")
		return nil
	}
	r.checkTag(n)
	m := &mapping{r: r, node: n}
	var merged []entry
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if key.Tag == "!!merge" {
			merged = append(merged, r.merge(value, what)...)
			continue
		}
		if key = follow(key); key.Kind != yaml.ScalarNode {
			r.fail(key, codeType, "a key must be a text", "", "")
			continue
		}
		if had, ok := m.get(key.Value); ok {
			r.fail(key, codeDupKey, fmt.Sprintf("duplicate key %q", key.Value), "", fmt.Sprintf("first at %s:%d:%d", r.src.name, had.key.Line, had.key.Column))
			continue
		}
		m.entries = append(m.entries, entry{key.Value, key, follow(value), value.Kind == yaml.AliasNode})
	}
	for _, e := range merged {
		if !m.has(e.name) {
			m.entries = append(m.entries, e)
		}
	}
	return m
}

// merge reads what `<<:` brings in: a mapping, or a list of them.
func (r *reader) merge(n *yaml.Node, what string) []entry {
	n = follow(n)
	if n.Kind == yaml.MappingNode {
		if m := r.open(n, what); m != nil {
			return m.entries
		}
		return nil
	}
	var all []entry
	if n.Kind == yaml.SequenceNode {
		for _, c := range n.Content {
			if c = follow(c); c.Kind == yaml.MappingNode {
				all = append(all, r.merge(c, what)...)
			}
		}
		return all
	}
	r.fail(n, codeType, "`<<` takes a mapping", "", "")
	return nil
}

// keys opens a mapping that may have the known keys only. elsewhere says of keys
// that belong to another place which one that is.
func (r *reader) keys(n *yaml.Node, what string, known []string, elsewhere func(string) string) *mapping {
	m := r.open(n, what)
	if m == nil {
		return nil
	}
	for _, e := range m.entries {
		if slices.Contains(known, e.name) {
			continue
		}
		if elsewhere != nil {
			if text := elsewhere(e.name); text != "" {
				r.fail(e.key, codeOtherKind, fmt.Sprintf("`%s` %s", e.name, text), "", "")
				continue
			}
		}
		note := didYouMean(e.name, known)
		help := ""
		if note == "" {
			help = "keys of " + what + ": " + keyList(known)
		}
		r.fail(e.key, codeUnknown, fmt.Sprintf("unknown key %q", e.name), note, help)
	}
	return m
}

func keyList(known []string) string {
	if len(known) == 0 {
		return "none"
	}
	return strings.Join(known, ", ")
}

// checkTag refuses YAML tags: nothing in a rule file has a type of its own.
func (r *reader) checkTag(n *yaml.Node) {
	if n.Style&yaml.TaggedStyle != 0 && !strings.HasPrefix(n.Tag, "!!") {
		r.fail(n, codeType, fmt.Sprintf("YAML tag %s means nothing here", n.Tag), "", "")
	}
}

// describe names what a node is, for messages.
func describe(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	}
	switch n.Tag {
	case "!!int", "!!float":
		return "a number"
	case "!!bool":
		return "true or false"
	case "!!null":
		return "empty"
	case "!!timestamp":
		return "a date"
	}
	return "a text"
}

func plainScalar(n *yaml.Node) bool {
	return n.Kind == yaml.ScalarNode && n.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle|yaml.LiteralStyle|yaml.FoldedStyle) == 0
}

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
	r.fail(n, codeEnum, fmt.Sprintf("`%s` cannot be %q", e.name, n.Value), didYouMean(n.Value, words), "one of: "+strings.Join(words, ", "))
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
