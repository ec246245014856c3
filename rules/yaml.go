package rules

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
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
			help = "help: a value with `: ` in it is quoted as a whole: match: 'message startsWith \"panic: \"'"
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
