package ruletest

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"

	"corral/correlate"
)

// update rewrites the expectations of a file from what happened. Items that held
// keep their lines; those that changed keep their comments; everything outside
// `expect:` is untouched.
func update(f *File) error {
	data, err := os.ReadFile(f.Path)
	if err != nil {
		return err
	}
	text, end := string(data), "\n"
	if strings.Contains(text, "\r\n") {
		end = "\r\n"
	}
	lines := strings.Split(text, end)
	// From the last test to the first, so that line numbers stay right.
	for _, t := range slices.Backward(f.Tests) {
		if t.expectNode != nil && len(compare(t.Start, t.Expect, t.got)) > 0 {
			lines = t.rewrite(lines)
		}
	}
	return os.WriteFile(f.Path, []byte(strings.Join(lines, end)), 0o644)
}

// restate makes what happens what is expected. That moves the end of the story, and
// with it which silences belong to it, so it is played until nothing changes.
func (r *runner) restate() error {
	t := r.test
	t.restated = true
	for range 5 {
		got, err := r.asWritten()
		if err != nil {
			return err
		}
		was := t.got
		t.got = got
		if len(unlike(t.Start, was, got)) == 0 {
			return nil
		}
	}
	return errors.New("the longer the clock runs, the more happens: `until:` says where it stops")
}

// rewrite replaces the lines of the test's expectations.
func (t *Test) rewrite(lines []string) []string {
	first, last, indent := t.span(lines)
	out := t.items(lines, last, indent)
	head := slices.Clone(lines[:first])
	if t.inline() {
		line := lines[t.expectNode.Line-1]
		key := line[:strings.Index(line, "expect:")+len("expect:")]
		if len(out) == 0 {
			key += " []"
		}
		if c := comment(line); c != "" {
			key += "   " + c
		}
		head = append(slices.Clone(lines[:t.expectNode.Line-1]), key)
	} else if len(out) == 0 {
		head[len(head)-1] += " []"
	}
	return slices.Concat(head, out, lines[last:])
}

// inline: the expectations stand behind their key, or there are none.
func (t *Test) inline() bool {
	return t.expectNode.Style&yaml.FlowStyle != 0 || len(t.expectNode.Content) == 0
}

// items are the lines of what happened. What was expected and did not come leaves
// the comments above it.
func (t *Test) items(lines []string, last int, indent string) (out []string) {
	var olds []oldItem
	if !t.inline() {
		olds = t.olds(lines, last)
	}
	of := t.pair(olds)
	next := 0 // of olds
	flush := func(until int) {
		for ; next < until; next++ {
			if !olds[next].taken {
				out = append(out, olds[next].above...)
			}
		}
	}
	for _, tr := range t.got {
		i, ok := of[tr]
		if !ok {
			out = append(out, indent+"- "+item(t, tr))
			continue
		}
		flush(i)
		out = append(out, olds[i].above...)
		if olds[i].holds {
			out = append(out, olds[i].lines...)
			continue
		}
		behind, above := olds[i].comments()
		for _, c := range above {
			out = append(out, indent+c)
		}
		out = append(out, strings.TrimRight(indent+"- "+item(t, tr)+"   "+behind, " "))
	}
	flush(len(olds))
	return out
}

// oldItem is an expectation as it stands in the file.
type oldItem struct {
	x            *Expect
	above, lines []string // full-line comments before it; itself
	holds, taken bool
}

// comments are those of an item: behind its one line, or those of its lines.
func (o *oldItem) comments() (behind string, above []string) {
	if len(o.lines) == 1 {
		return comment(o.lines[0]), nil
	}
	for _, l := range o.lines {
		if c := comment(l); c != "" {
			above = append(above, c)
		}
	}
	return "", above
}

// comment is the comment of a line, "" if it has none.
func comment(line string) string {
	quote := rune(0)
	for i, c := range line {
		switch {
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case c == '\'' || c == '"':
			quote = c
		case c == '#' && (i == 0 || line[i-1] == ' ' || line[i-1] == '\t'):
			return strings.TrimRight(line[i:], " \t")
		}
	}
	return ""
}

func isComment(line string) bool { return strings.HasPrefix(strings.TrimSpace(line), "#") }

// olds are the items of the test, each with the lines it takes.
func (t *Test) olds(lines []string, last int) []oldItem {
	olds := make([]oldItem, len(t.Expect))
	for i := range t.Expect {
		x := &t.Expect[i]
		from, to := x.Line-1, last
		if i+1 < len(t.Expect) {
			to = t.Expect[i+1].Line - 1
			for to > from+1 && isComment(lines[to-1]) {
				to--
			}
		}
		top := from
		for top > 0 && isComment(lines[top-1]) {
			top--
		}
		olds[i] = oldItem{x: x, above: slices.Clone(lines[top:from]), lines: slices.Clone(lines[from:to])}
	}
	return olds
}

// pair finds for what happened the items that said so; then, in order, those that
// spoke of the same rule, key and kind.
func (t *Test) pair(olds []oldItem) map[*correlate.Transition]int {
	of := map[*correlate.Transition]int{}
	for pass := range 2 {
		for i := range olds {
			o := &olds[i]
			for _, tr := range t.got {
				if _, used := of[tr]; used || o.taken {
					continue
				}
				holds := same(t.Start, o.x, tr) && len(differing(t.Start, o.x, tr)) == 0
				if holds || pass == 1 && o.x.Kind == kindOf(tr) && o.x.Rule == tr.RuleID && holdsKey(tr.Key, o.x.Key) {
					of[tr], o.taken, o.holds = i, true, holds
				}
			}
		}
	}
	return of
}

// span is the range of lines (0-based, end exclusive) the items take, and their
// indentation.
func (t *Test) span(lines []string) (first, last int, indent string) {
	n := t.expectNode
	if t.inline() {
		key := lines[n.Line-1]
		return n.Line, lastLine(n), key[:len(key)-len(strings.TrimLeft(key, " "))] + "  "
	}
	first = n.Content[0].Line - 1
	for first > 0 && isComment(lines[first-1]) {
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
