package rules

import (
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
)

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
		note := suggestKey(e.name, known)
		help := ""
		if note == "" {
			help = "keys of " + what + ": " + keyList(known)
		}
		r.fail(e.key, codeUnknown, fmt.Sprintf("unknown key %q", e.name), note, help)
	}
	return m
}

// keyAliases are what other tools call a key, or people do.
var keyAliases = map[string][]string{
	"name": {"id", "name"}, "rule": {"id"}, "alert": {"id"}, "filter": {"match"}, "query": {"match"}, "when": {"match"}, "if": {"match"}, "selection": {"match"},
	"description": {"summary"}, "annotations": {"summary"}, "message": {"title"}, "runbook_url": {"runbook"}, "runbook-url": {"runbook"}, "team": {"owner"},
	"priority": {"severity"}, "level": {"severity"}, "groupby": {"group_by"}, "group-by": {"group_by"}, "by": {"group_by"}, "query_key": {"group_by"}, "key": {"group_by"},
	"cooldown": {"suppress"}, "realert": {"suppress"}, "throttle": {"suppress"}, "mute": {"suppress"}, "keep_firing": {"keep_firing_for"}, "resolve_after": {"keep_firing_for"},
	"timeframe": {"window", "within"}, "timespan": {"window", "within"}, "period": {"window", "every", "within"}, "interval": {"every", "window", "within"},
	"range": {"window"}, "expr": {"condition", "match"}, "timeout": {"within", "every"}, "maxspan": {"within"}, "window": {"within", "every"}, "within": {"window"},
	"cron": {"schedule"}, "tz": {"timezone"}, "count": {"times", "min", "changes"}, "threshold": {"condition", "min"}, "not": {"absent"}, "negate": {"absent"},
	"dependencies": {"inhibited_by"}, "inhibit": {"inhibited_by"}, "depends_on": {"inhibited_by"}, "field": {"of"}, "type": {"detect"}, "value": {"of"}, "or": {"for"},
}

// suggestKey is the note for a key that is not known here.
func suggestKey(name string, known []string) string {
	for _, alias := range keyAliases[strings.ToLower(name)] {
		if slices.Contains(known, alias) {
			return fmt.Sprintf("did you mean %q?", alias)
		}
	}
	return didYouMean(name, known)
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
