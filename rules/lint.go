package rules

import (
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/expr-lang/expr/ast"
)

// warn reports what is allowed but hardly meant.
func (r *Rule) warn(rep *report) {
	r.warnKeys(rep)
	r.warnFor(rep)
	r.warnShadowed(rep)
	r.warnLadder(rep)
	r.warnObserved(rep)
	if r.match != nil && neverTrue(r.match) {
		rep.warning(finding{src: r.doc.file.src, at: r.matchSpan(), code: codeAlways, text: "`match` is false for every event"})
	}
}

// neverTrue says that constants make a condition false.
func neverTrue(x *Expr) bool {
	b, ok := folded(x.low).(*ast.BoolNode)
	return ok && !b.Value
}

// folded is a lowered condition with constants taken together.
func folded(n ast.Node) ast.Node {
	op := logicOf(n)
	if op != "&&" && op != "||" {
		return n
	}
	for _, k := range operands(n) {
		if b, ok := folded(k).(*ast.BoolNode); ok && b.Value == (op == "||") {
			return b
		}
	}
	return n
}

// unstable are the last words of keys that change while the thing they stand for
// stays: at every rollout, or with every event.
var unstable = map[string]struct{ when, instead string }{
	"pod": {"at every rollout", "workload"}, "pod_name": {"at every rollout", "workload"}, "pod_uid": {"at every rollout", "workload"},
	"pod_ip": {"at every rollout", "workload"}, "container_id": {"at every rollout", "container"}, "replicaset": {"at every rollout", "workload"},
	"instance": {"at every rollout", "service"}, "instance_id": {"at every rollout", "service"}, "pid": {"at every restart", "service"},
	"trace_id": {"with every request", "service"}, "span_id": {"with every request", "service"}, "request_id": {"with every request", "service"},
	"message": {"with every event", "logger"}, "timestamp": {"with every event", "service"}, "cid": {"with every connection", "nats.user"},
}

func (r *Rule) warnKeys(rep *report) {
	for i, g := range r.groupBy {
		for _, x := range append([]*Expr{g.all}, g.order...) {
			if x != nil {
				r.warnKey(rep, i, x)
			}
		}
	}
}

var pathWord = regexp.MustCompile(`[A-Za-z0-9_]+`)

func (r *Rule) warnKey(rep *report, i int, x *Expr) {
	words := pathWord.FindAllString(strings.ToLower(x.text), -1)
	if len(words) == 0 || strings.ContainsAny(x.text, "(+?") {
		return
	}
	last := words[len(words)-1]
	bad, ok := unstable[last]
	if !ok {
		return
	}
	rep.warning(x.finding(codeUnstable, fmt.Sprintf("group_by %q changes %s; each one resolves and re-opens the incident", r.KeyNames[i], bad.when),
		fmt.Sprintf("help: group by the %s; keep %s as evidence", bad.instead, last)))
}

// finding is about the whole of an expression.
func (x *Expr) finding(code, text, help string) finding {
	t := x.in.text
	return finding{src: t.src, at: t.span(0, len([]rune(strings.TrimRight(t.text, "\n")))), code: code, text: text, help: help}
}

func (r *Rule) warnFor(rep *report) {
	if r.Threshold == nil || r.Threshold.Window != Sliding || r.For <= r.Threshold.Size {
		return
	}
	e, ok := r.doc.get("for")
	if !ok {
		return
	}
	rep.warning(finding{
		src: r.doc.file.src, at: r.doc.file.src.span(e.value), key: e.key, code: codeWindowFor,
		text: fmt.Sprintf("`for` (%s) is longer than the window (%s)", FormatDuration(r.For), FormatDuration(r.Threshold.Size)),
		help: "help: the condition must go on holding with ever new events; a wider window asks for that more plainly",
	})
}

// warnShadowed finds event types that select the same events, and an absent step
// that its neighbour's events would break. The same step twice in a row is a
// sequence like any other.
func (r *Rule) warnShadowed(rep *report) {
	if r.Sequence != nil {
		r.warnAbsentStep(rep)
		return
	}
	first := map[string]string{}
	for i, p := range r.Parts {
		if !r.isStep(i) {
			continue
		}
		text := p.Expr.canon
		had, ok := first[text]
		if !ok {
			first[text] = p.Name
			continue
		}
		rep.warning(p.Expr.finding(codeShadowed, fmt.Sprintf("%q selects the same events as %q", p.Name, had), ""))
	}
}

// warnAbsentStep finds a step that must not come and selects what the next waits
// for: the two cannot both be had.
func (r *Rule) warnAbsentStep(rep *report) {
	steps := r.Sequence.Steps
	for i := 0; i+1 < len(steps); i++ {
		a, b := steps[i], steps[i+1]
		if a.Absent && !b.Absent && a.Where == nil && r.Parts[a.Part].Expr.canon == r.Parts[b.Part].Expr.canon {
			rep.warning(r.Parts[b.Part].Expr.finding(codeShadowed, fmt.Sprintf("step %q selects the events that step %q forbids", b.Name, a.Name), ""))
		}
	}
}

// warnLadder finds steps that an earlier one includes: count() >= 100 after
// count() >= 20.
func (r *Rule) warnLadder(rep *report) {
	for i, s := range r.Severity {
		for _, before := range r.Severity[:i] {
			if s.When != nil && before.When != nil && implies(s.When.low, before.When.low) {
				rep.warning(s.When.finding(codeLadder, "this step is never reached: an earlier one holds whenever it does", "help: the first step that holds is taken, so the highest belongs first"))
				break
			}
		}
	}
}

// implies says that x >= 100 holds only where x >= 20 does. Of other forms it
// knows equal ones.
func implies(a, b ast.Node) bool {
	if canonical(a) == canonical(b) {
		return true
	}
	x, okX := a.(*ast.BinaryNode)
	y, okY := b.(*ast.BinaryNode)
	if !okX || !okY || canonical(x.Left) != canonical(y.Left) {
		return false
	}
	m, okM := constNumber(x.Right)
	n, okN := constNumber(y.Right)
	if !okM || !okN {
		return false
	}
	up := func(op string) bool { return op == ">" || op == ">=" }
	down := func(op string) bool { return op == "<" || op == "<=" }
	switch {
	case up(x.Operator) && up(y.Operator):
		return m > n || m == n && (x.Operator == ">" || y.Operator == ">=")
	case down(x.Operator) && down(y.Operator):
		return m < n || m == n && (x.Operator == "<" || y.Operator == "<=")
	}
	return false
}

func constNumber(n ast.Node) (float64, bool) {
	switch n := n.(type) {
	case *ast.IntegerNode:
		return float64(n.Value), true
	case *ast.FloatNode:
		return n.Value, true
	}
	return 0, false
}

// warnObserved finds decisions by the worker's clock.
func (r *Rule) warnObserved(rep *report) {
	exprs := []*Expr{r.match, r.ResolveWhen}
	for _, p := range r.Parts {
		exprs = append(exprs, p.Expr)
	}
	exprs = append(exprs, r.Args...)
	if r.Sequence != nil {
		for _, s := range r.Sequence.Steps {
			exprs = append(exprs, s.Where)
		}
	}
	for _, x := range exprs {
		if x != nil && x.names["observed"] != nil {
			rep.warning(x.finding(codeWallClock, "`observed` is the worker's clock: a replay of the same events decides otherwise", "help: use `time`"))
		}
	}
}

// Lint returns warnings of style, which a rule set may do without: owners,
// runbooks, tests, keys that `match` does not ask for. tested says of a file of
// rules whether there are tests beside it; nil: no file has.
func (s *Set) Lint(tested func(file string) bool) []Diagnostic {
	rep := &report{}
	files := []File{}
	lacks := newLacking()
	for _, r := range s.Rules {
		if !slices.ContainsFunc(files, func(f File) bool { return f.Name == r.File }) {
			files = append(files, File{Name: r.File})
			r.doc.file.lintVersion(rep)
		}
		lacks.look(r, tested)
		r.lintKeys(rep)
	}
	lacks.report(rep)
	return sortDiagnostics(rep.diags, files)
}

func (f *ruleFile) lintVersion(rep *report) {
	if f.versioned {
		return
	}
	at := span{pos{f.top.Line, f.top.Column}, pos{f.top.Line, f.top.Column + 1}}
	rep.warning(finding{src: f.src, at: at, code: codeNoVersion, text: "the file does not say which version of the language it is in", help: "help: version: 1"})
}

// lacking collects the rules that lack something, to say it once for a file.
type lacking map[string]map[string][]*Rule // by code and file

func newLacking() lacking {
	return lacking{codeOwner: {}, codeRunbook: {}, codeNoTests: {}}
}

func (l lacking) look(r *Rule, tested func(string) bool) {
	for code, lacks := range map[string]bool{
		codeOwner: r.Owner == "", codeRunbook: r.Runbook == "" && !r.Signal, codeNoTests: r.Tests == nil && (tested == nil || !tested(r.File)),
	} {
		if lacks {
			l[code][r.File] = append(l[code][r.File], r)
		}
	}
}

func (l lacking) report(rep *report) {
	for code, files := range l {
		for file, rs := range files {
			what, help := "owner", "help: owner: TEAM, in the rule or in `defaults`"
			switch code {
			case codeRunbook:
				what, help = "runbook", "help: runbook: https://…, in the rule or in `defaults`"
			case codeNoTests:
				what, help = "tests", "help: `tests:` in the rule, or beside it a file "+testFileOf(file)+"; `corral test --update` fills in what happens"
			}
			src := rs[0].doc.file.src
			rep.warning(finding{src: src, at: src.span(rs[0].doc.idAt), code: code, text: lackText(rs, what), help: help})
		}
	}
}

// lackText says that rules have no owner, runbook or tests.
func lackText(rs []*Rule, what string) string {
	if n := len(rs) - 1; n > 0 {
		return fmt.Sprintf("rule %q and %d more of this file have no %s", rs[0].ID, n, what)
	}
	return fmt.Sprintf("rule %q has no %s", rs[0].ID, what)
}

// testFileOf is the test file that belongs to a file of rules by its name.
func testFileOf(file string) string {
	ext := filepath.Ext(file)
	return strings.TrimSuffix(filepath.Base(file), ext) + "_test" + ext
}

var attrPath = regexp.MustCompile(`^attrs\.`)

// lintKeys finds attributes in the group key that nothing in the rule asks for.
func (r *Rule) lintKeys(rep *report) {
	if r.match == nil {
		return
	}
	for i, g := range r.groupBy {
		if g.all == nil || len(g.all.names) != 1 {
			continue
		}
		for name := range g.all.names {
			if !attrPath.MatchString(name) || r.match.names[name] != nil {
				continue
			}
			rep.warning(g.all.finding(codeKeyUnread, fmt.Sprintf("`match` does not ask for %s: events without it are dropped", r.KeyNames[i]),
				fmt.Sprintf("help: match: … && has(%s)", g.all.text)))
		}
	}
}
