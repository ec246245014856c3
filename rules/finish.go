package rules

import (
	"fmt"
	"slices"
	"strings"

	"github.com/expr-lang/expr/ast"
)

// finish completes a set without errors: hashes, warnings, and the index.
func (s *Set) finish(rep *report) {
	s.atoms = newAtomTable()
	for _, r := range s.Rules {
		r.bindKeys()
		r.hash()
		r.warn(rep)
		s.plans = append(s.plans, newPlan(r, s.atoms))
	}
	s.index()
}

// checkCycles reports rules over incidents that read one another, as far as their
// `match` names the rules it reads.
func (s *Set) checkCycles(rep *report, ids []string) {
	reads := map[string][]string{}
	for _, r := range s.Rules {
		if !r.FromIncidents || r.match == nil {
			continue
		}
		for _, id := range r.readsRules() {
			reads[r.ID] = append(reads[r.ID], id)
			if s.byID[id] == nil {
				rep.warning(finding{src: r.doc.file.src, at: r.matchSpan(), code: codeStale, text: fmt.Sprintf("there is no rule %q", id), note: didYouMean(id, ids)})
			}
		}
	}
	for _, r := range s.Rules {
		if path := cycle(reads, r.ID, r.ID, nil); path != nil && slices.Min(path) == r.ID {
			rep.error(finding{
				src: r.doc.file.src, at: r.matchSpan(), code: codeCycle,
				text: "rules over incidents read one another: " + strings.Join(append(path, r.ID), " → "),
			})
		}
	}
}

func (r *Rule) matchSpan() span {
	if e, ok := r.doc.get("match"); ok {
		return r.doc.file.src.span(e.value)
	}
	return r.doc.file.src.span(r.doc.idAt)
}

// cycle finds a way from id back to start; nil if there is none.
func cycle(reads map[string][]string, start, id string, path []string) []string {
	if slices.Contains(path, id) {
		return nil
	}
	path = append(slices.Clone(path), id)
	for _, next := range reads[id] {
		if next == start {
			return path
		}
		if p := cycle(reads, start, next, path); p != nil {
			return p
		}
	}
	return nil
}

// readsRules are the ids `match` compares incident.rule with.
func (r *Rule) readsRules() []string {
	var ids []string
	anyNode(r.match.root, func(n ast.Node) bool {
		b, ok := n.(*ast.BinaryNode)
		if !ok || b.Operator != "==" && b.Operator != "in" {
			return false
		}
		id, ok := b.Left.(*ast.IdentifierNode)
		if !ok || id.Value != "incident.rule" {
			return false
		}
		if s, ok := b.Right.(*ast.StringNode); ok {
			ids = append(ids, s.Value)
		}
		if set, ok := constSetOf(b.Right); ok && b.Operator == "in" {
			for text := range set.texts {
				ids = append(ids, text)
			}
		}
		return false
	})
	return sorted(ids)
}
