package ruletest

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"

	"corral/correlate"
)

// update rewrites the expectations of a file from what happened. Items that held
// keep their lines, comments included; everything outside `expect:` is untouched.
func update(f *File) error {
	data, err := os.ReadFile(f.Path)
	if err != nil {
		return err
	}
	lines := strings.Split(string(data), "\n")
	// From the last test to the first, so that line numbers stay right.
	for _, t := range slices.Backward(f.Tests) {
		if t.expectNode != nil && len(compare(t.Start, t.Expect, t.got)) > 0 {
			lines = t.rewrite(lines)
		}
	}
	return os.WriteFile(f.Path, []byte(strings.Join(lines, "\n")), 0o644)
}

// rewrite replaces the lines of the test's expectations.
func (t *Test) rewrite(lines []string) []string {
	first, last, indent := t.span(lines)
	kept := t.keptLines(lines, last)
	var out []string
	for _, tr := range t.got {
		if old, ok := kept[tr]; ok {
			out = append(out, old...)
			continue
		}
		out = append(out, indent+"- "+item(t, tr))
	}
	head := slices.Clone(lines[:first])
	if t.expectNode.Style&yaml.FlowStyle != 0 || len(t.expectNode.Content) == 0 {
		key := lines[t.expectNode.Line-1]
		key = key[:strings.Index(key, "expect:")+len("expect:")]
		if len(out) == 0 {
			key += " []"
		}
		head = append(slices.Clone(lines[:t.expectNode.Line-1]), key)
	} else if len(out) == 0 {
		head[len(head)-1] += " []"
	}
	return slices.Concat(head, out, lines[last:])
}

// span is the range of lines (0-based, end exclusive) the items take, and their
// indentation.
func (t *Test) span(lines []string) (first, last int, indent string) {
	n := t.expectNode
	if n.Style&yaml.FlowStyle != 0 || len(n.Content) == 0 {
		key := lines[n.Line-1]
		return n.Line, lastLine(n), key[:len(key)-len(strings.TrimLeft(key, " "))] + "  "
	}
	first = n.Content[0].Line - 1
	for first > 0 && strings.HasPrefix(strings.TrimSpace(lines[first-1]), "#") {
		first--
	}
	item := lines[n.Content[0].Line-1]
	return first, lastLine(n), item[:strings.Index(item, "-")]
}

func lastLine(n *yaml.Node) int {
	last := n.Line + strings.Count(n.Value, "\n")
	for _, c := range n.Content {
		last = max(last, lastLine(c))
	}
	return last
}

// keptLines gives each transition that was expected the lines of its item.
func (t *Test) keptLines(lines []string, last int) map[*correlate.Transition][]string {
	kept := map[*correlate.Transition][]string{}
	if t.expectNode.Style&yaml.FlowStyle != 0 {
		return kept
	}
	left := slices.Clone(t.got)
	for i := range t.Expect {
		x := &t.Expect[i]
		j := slices.IndexFunc(left, func(tr *correlate.Transition) bool {
			return same(t.Start, x, tr) && len(differing(t.Start, x, tr)) == 0
		})
		if j < 0 {
			continue
		}
		from, to := x.Line-1, last
		if i+1 < len(t.Expect) {
			to = t.Expect[i+1].Line - 1
			for to > from+1 && strings.HasPrefix(strings.TrimSpace(lines[to-1]), "#") {
				to--
			}
		}
		for from > 0 && strings.HasPrefix(strings.TrimSpace(lines[from-1]), "#") {
			from--
		}
		kept[left[j]] = slices.Clone(lines[from:to])
		left = slices.Delete(left, j, j+1)
	}
	return kept
}

// item writes a transition as an expectation.
func item(t *Test, tr *correlate.Transition) string {
	var b strings.Builder
	fmt.Fprintf(&b, "{at: %s, rule: %s", offset(tr.ChangedAt.Sub(t.Start)), tr.RuleID)
	if len(tr.Key) > 0 {
		var ks []string
		for _, k := range slices.Sorted(maps.Keys(tr.Key)) {
			ks = append(ks, quote(k)+": "+quote(tr.Key[k]))
		}
		fmt.Fprintf(&b, ", key: {%s}", strings.Join(ks, ", "))
	}
	switch kindOf(tr) {
	case "open":
		fmt.Fprintf(&b, ", open: {severity: %s, event_count: %d, notified: %t}}", tr.Severity, tr.EventCount, tr.Notified)
	case "updated":
		fmt.Fprintf(&b, ", updated: {cause: %s, event_count: %d, notified: %t}}", tr.Cause, tr.EventCount, tr.Notified)
	default:
		fmt.Fprintf(&b, ", resolved: {cause: %s}}", tr.Cause)
	}
	return b.String()
}

// quote makes a plain scalar where YAML would read it back as the same text.
func quote(s string) string {
	var v any
	if err := yaml.Unmarshal([]byte(s), &v); err == nil && v == s && !strings.ContainsAny(s, ",[]{}:#&*!|>'\"%@`\n") {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", "''") + "'"
}
