package rules

import (
	"fmt"
	"strings"
	"time"
)

// Defaults of the envelope.
const (
	defaultMax         = 24 * time.Hour
	defaultKeepFiring  = 5 * time.Minute // of kinds without a window
	defaultUpdateEvery = 5 * time.Minute
	defaultEvidence    = 6
	maxEvidence        = 1000
	maxParts           = 64
)

var defaultLimits = Limits{Groups: 100_000, Open: 1000, Partials: 100}

// builder makes one Rule of its document.
type builder struct {
	*reader
	doc   *ruleDoc
	rule  *Rule
	slots *slots
	group []keyName
	steps []string       // of a sequence, by step index
	names []string       // of parts that group_by may name: steps or event types
	count map[string]int // temporal event types: index of their aggregate
	aggs  *aggregates
}

// build compiles a rule. Its mistakes are reported; a rule that has any must not
// be used.
func build(d *ruleDoc, slots *slots) *Rule {
	b := &builder{reader: d.file.reader, doc: d, slots: slots}
	b.rule = &Rule{
		ID: d.id, Kind: d.kind, File: d.file.src.name, Line: d.body.node.Line,
		ResolveMax: defaultMax, UpdateEvery: defaultUpdateEvery, Evidence: defaultEvidence, Limits: defaultLimits,
		NotifyResolved: true, Severity: []SeverityStep{{Is: Warning}},
		Text: b.sourceText(), doc: d,
	}
	b.from()
	b.match()
	b.stepNames()
	b.groupBy()
	b.block()
	b.envelope()
	b.checkParts()
	return b.rule
}

func (b *builder) sourceText() string {
	lines := b.doc.file.src.excerpt(b.doc.body.node.Line, b.doc.last)
	return strings.Join(lines, "\n") + "\n"
}

// eventScope is what an expression about one event may read.
func (b *builder) eventScope(what string) *scope {
	return &scope{what: what, event: true, incident: b.rule.FromIncidents, hop: b.rule.FromHops, lists: b.doc.file.lists, slots: b.slots}
}

// stateScope is what an expression may read that the engine evaluates, with the
// state of a key at hand: an event, if there is one, the key, aggregates, steps.
func (b *builder) stateScope(what string, event bool) *scope {
	return &scope{
		what: what, event: event, incident: b.rule.FromIncidents, hop: b.rule.FromHops, lists: b.doc.file.lists,
		aggs: b.aggs, counts: b.count, keys: b.group, steps: b.steps, window: b.aggs != nil,
	}
}

func (b *builder) from() {
	e, ok := b.doc.get("from")
	if !ok {
		return
	}
	i, ok := b.enum(e, "events", "incidents", "hops")
	b.rule.FromIncidents, b.rule.FromHops = ok && i == 1, ok && i == 2
}

func (b *builder) match() {
	e, ok := b.doc.get("match")
	if !ok {
		if b.rule.Kind != TemporalKind && b.rule.Kind != SequenceKind && b.rule.Kind != 0 {
			b.fail(b.doc.idAt, codeMissing, fmt.Sprintf("rule %q needs `match`: which events it reads", b.rule.ID), "", "help: match: true reads every event")
		}
		return
	}
	b.rule.match = b.condition(e, b.eventScope("`match`"))
}

// condition compiles the expression of a key, which must be true or false.
func (b *builder) condition(e entry, sc *scope) *Expr {
	text, ok := b.expression(e)
	if !ok {
		return nil
	}
	return compileExpr(b.report, text, sc, wantBool)
}

// addPart adds a selection and returns its index.
func (b *builder) addPart(name string, x *Expr) int {
	b.rule.Parts = append(b.rule.Parts, Part{Name: name, Expr: x})
	return len(b.rule.Parts) - 1
}

func (b *builder) checkParts() {
	if n := len(b.rule.Parts); n > maxParts {
		b.fail(b.doc.idAt, codeParts, fmt.Sprintf("rule %q has %d selections (steps, event types, predicates of count); the limit is %d", b.rule.ID, n, maxParts), "", "help: split it")
	}
}
