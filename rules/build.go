package rules

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"
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
	return &scope{what: what, event: true, incident: b.rule.FromIncidents, lists: b.doc.file.lists, slots: b.slots}
}

// stateScope is what an expression may read that the engine evaluates, with the
// state of a key at hand: an event, if there is one, the key, aggregates, steps.
func (b *builder) stateScope(what string, event bool) *scope {
	return &scope{
		what: what, event: event, incident: b.rule.FromIncidents, lists: b.doc.file.lists,
		aggs: b.aggs, counts: b.count, keys: b.group, steps: b.steps, window: b.aggs != nil,
	}
}

func (b *builder) from() {
	e, ok := b.doc.get("from")
	if !ok {
		return
	}
	i, ok := b.enum(e, "events", "incidents")
	b.rule.FromIncidents = ok && i == 1
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

// stepNames notes the names of steps and event types before group_by, which may
// refer to them.
func (b *builder) stepNames() {
	block := b.doc.block.value
	if block == nil || block.Kind != yaml.MappingNode {
		return
	}
	for i := 0; i+1 < len(block.Content); i += 2 {
		key, value := block.Content[i].Value, follow(block.Content[i+1])
		switch {
		case b.rule.Kind == TemporalKind && key == "events" && value.Kind == yaml.MappingNode:
			for j := 0; j < len(value.Content); j += 2 {
				b.names = append(b.names, value.Content[j].Value)
			}
		case b.rule.Kind == SequenceKind && key == "steps" && value.Kind == yaml.SequenceNode:
			for _, s := range value.Content {
				b.names = append(b.names, nameOf(follow(s)))
			}
		}
	}
}

func nameOf(step *yaml.Node) string {
	if step.Kind == yaml.MappingNode {
		for i := 0; i+1 < len(step.Content); i += 2 {
			if step.Content[i].Value == "name" {
				return follow(step.Content[i+1]).Value
			}
		}
	}
	return ""
}

// groupBy compiles the group key.
func (b *builder) groupBy() {
	e, ok := b.doc.get("group_by")
	if !ok || isNull(e.value) {
		return
	}
	switch e.value.Kind {
	case yaml.SequenceNode:
		for _, n := range e.value.Content {
			b.groupItem(entry{name: "group_by", key: e.key, value: follow(n)})
		}
	case yaml.MappingNode:
		m := b.open(e.value, "`group_by`")
		for _, k := range m.entries {
			b.groupEntry(k)
		}
	case yaml.ScalarNode:
		b.fail(e.value, codeType, "`group_by` must be a list of expressions, or name: expression", fmt.Sprintf("did you mean [%s]?", e.value.Value), "")
	}
}

// groupItem adds a key of the list form, named by its expression.
func (b *builder) groupItem(e entry) {
	x := b.keyExpr(e)
	if x == nil {
		return
	}
	name := pathText(x.text)
	if b.keyTaken(e.value, name) {
		return
	}
	k := keyName{name: name, path: true}
	if f := fieldIndex[name]; f != nil {
		k.field = f
	}
	b.addKey(x.text, k, groupKey{all: x})
}

// pathText writes attrs["user.id"] as attrs.user.id: one path, one name.
var quotedIndex = regexp.MustCompile(`\[\s*["']([^"']*)["']\s*\]`)

func pathText(text string) string {
	flat := quotedIndex.ReplaceAllString(text, ".$1")
	if strings.HasPrefix(flat, "attrs.") {
		return flat
	}
	return text
}

func (b *builder) keyTaken(n *yaml.Node, name string) bool {
	taken := slices.ContainsFunc(b.group, func(k keyName) bool { return k.name == name })
	if taken {
		b.fail(n, codeDupKey, fmt.Sprintf("group key %q twice", name), "", "")
	}
	return taken
}

// addKey adds a key under the name incidents show.
func (b *builder) addKey(name string, k keyName, g groupKey) {
	b.group = append(b.group, k)
	b.rule.KeyNames = append(b.rule.KeyNames, name)
	b.rule.groupBy = append(b.rule.groupBy, g)
}

// keyExpr compiles an expression of the group key: a number, a text or a bool.
func (b *builder) keyExpr(e entry) *Expr {
	text, ok := b.expression(e)
	if !ok {
		return nil
	}
	return compileExpr(b.report, text, b.eventScope("a group key"), wantAny)
}

// groupEntry adds a key of the map form, the same for all events or by step.
func (b *builder) groupEntry(e entry) {
	if !identifier.MatchString(e.name) {
		b.fail(e.key, codeName2, fmt.Sprintf("a group key cannot be named %q", e.name), "", "help: letters, digits and _, because texts say {{ NAME }}")
		return
	}
	if e.value.Kind != yaml.MappingNode {
		if x := b.keyExpr(e); x != nil {
			b.addKey(e.name, keyName{name: e.name}, groupKey{all: x})
		}
		return
	}
	if b.rule.Kind != SequenceKind && b.rule.Kind != TemporalKind {
		b.fail(e.value, codeGroupStep, "only the steps of a sequence and the event types of a temporal rule can have keys of their own", "", "")
		return
	}
	b.groupSteps(e)
}

var identifier = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// groupSteps adds a key that each step calls differently. Parts get their index
// when the block is compiled, so the expressions are kept by name until then.
func (b *builder) groupSteps(e entry) {
	m := b.keys2(e.value, "`group_by."+e.name+"`", b.names)
	if m == nil {
		return
	}
	g := groupKey{byName: map[string]*Expr{}}
	for _, s := range m.entries {
		if x := b.keyExpr(s); x != nil {
			g.byName[s.name] = x
			g.order = append(g.order, x)
		}
	}
	for _, name := range b.names {
		if !m.has(name) && name != "" {
			b.fail(e.key, codeGroupStep, fmt.Sprintf("`group_by.%s` does not say what %q calls it", e.name, name), "", "help: "+e.name+": {"+name+": EXPRESSION, …}")
		}
	}
	b.addKey(e.name, keyName{name: e.name}, g)
}

// keys2 is keys for a mapping whose keys are names of this rule.
func (b *builder) keys2(n *yaml.Node, what string, names []string) *mapping {
	m := b.open(n, what)
	if m == nil {
		return nil
	}
	for _, e := range m.entries {
		if !slices.Contains(names, e.name) {
			b.fail(e.key, codeGroupStep, fmt.Sprintf("%q is no step of this rule", e.name), didYouMean(e.name, names), "names: "+listing(names))
		}
	}
	return m
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

// envelope compiles what every kind has.
func (b *builder) envelope() {
	r := b.rule
	b.texts()
	b.severity()
	b.timing()
	b.resolve()
	if e, ok := b.doc.get("refire"); ok {
		if i, ok := b.enum(e, "edge", "reset", "level"); ok {
			r.Refire = Refire(i)
		}
	}
	b.limits()
	b.inhibitions()
	if e, ok := b.doc.get("signal"); ok {
		r.Signal, _ = b.bool(e)
	}
	if e, ok := b.doc.get("evidence"); ok {
		if n, ok := b.int(e, 0, maxEvidence); ok {
			r.Evidence = n
		}
	}
	b.active()
	b.notify()
	if e, ok := b.doc.body.get("tests"); ok {
		r.Tests = e.value
	}
}

func (b *builder) texts() {
	r := b.rule
	r.Title, r.Summary = literalTemplate(r.ID), literalTemplate("")
	if t := b.template("title"); t != nil {
		r.Title = t
	}
	if t := b.template("summary"); t != nil {
		r.Summary = t
	}
	if e, ok := b.doc.get("owner"); ok {
		r.Owner, _ = b.text(e.value, "`owner`")
	}
	if e, ok := b.doc.get("runbook"); ok {
		r.Runbook, _ = b.text(e.value, "`runbook`")
	}
	if e, ok := b.doc.body.get("renamed_from"); ok {
		b.renamedFrom(e)
	}
	b.labels()
}

func (b *builder) renamedFrom(e entry) {
	id, ok := b.text(e.value, "`renamed_from`")
	if ok && !ruleID.MatchString(id) {
		b.fail(e.value, codeID, fmt.Sprintf("%q is no rule id: a-z, 0-9 and -, at most 63", id), "", "")
		return
	}
	if ok && id == b.rule.ID {
		b.fail(e.value, codeConflict, "`renamed_from` is the rule's own id", "", "")
		return
	}
	b.rule.RenamedFrom = id
}

// template compiles a text of the rule; nil if it has none or a bad one.
func (b *builder) template(name string) *Template {
	e, ok := b.doc.get(name)
	if !ok {
		return nil
	}
	if _, ok := b.text(e.value, "`"+name+"`"); !ok {
		return nil
	}
	return compileTemplate(b.report, b.src, e.key, e.value, b.stateScope("`"+name+"`", true))
}

func (b *builder) labels() {
	e, ok := b.doc.get("labels")
	if !ok || isNull(e.value) {
		return
	}
	m := b.open(e.value, "`labels`")
	if m == nil {
		return
	}
	b.rule.Labels = map[string]*Template{}
	for _, l := range m.entries {
		if _, ok := b.text(l.value, fmt.Sprintf("label %q", l.name)); ok {
			b.rule.Labels[l.name] = compileTemplate(b.report, b.src, l.key, l.value, b.stateScope("a label", true))
		}
	}
}

var severityWords = severityNames[1:]

func (b *builder) severity() {
	e, ok := b.doc.get("severity")
	if !ok {
		return
	}
	if e.value.Kind != yaml.SequenceNode {
		if i, ok := b.enum(e, severityWords...); ok {
			b.rule.Severity = []SeverityStep{{Is: Severity(i + 1)}}
		}
		return
	}
	b.rule.Severity = nil
	items, _ := b.list(e)
	if len(items) == 0 {
		b.fail(e.value, codeBlank, "`severity` is empty", "", "")
	}
	for i, n := range items {
		b.ladderStep(n, i == len(items)-1)
	}
}

// ladderStep adds one step of a severity ladder: {when: …, is: critical}.
func (b *builder) ladderStep(n *yaml.Node, last bool) {
	m := b.keys(n, "a step of `severity`", ladderKeys, nil)
	if m == nil {
		return
	}
	var s SeverityStep
	e, ok := m.get("is")
	if !ok {
		b.fail(n, codeMissing, "a step of `severity` needs `is`", "", "help: {when: 'count() >= 100', is: critical}")
		return
	}
	if i, ok := b.enum(e, severityWords...); ok {
		s.Is = Severity(i + 1)
	}
	if w, ok := m.get("when"); ok {
		s.When = b.condition(w, b.stateScope("`when`", true))
	} else if !last {
		b.fail(n, codeConflict, "a step without `when` always holds: those after it are never reached", "", "help: put it last")
	}
	b.rule.Severity = append(b.rule.Severity, s)
}

func (b *builder) timing() {
	r := b.rule
	if e, ok := b.doc.get("for"); ok {
		r.For, _ = b.duration(e)
		instant := r.Kind == EventKind || r.Kind == ChangeKind || r.Kind == SequenceKind
		if _, own := b.doc.body.get("for"); instant && r.For > 0 && own {
			b.fail(e.key, codeFor, fmt.Sprintf("`for` means nothing in a rule of kind %s: its condition holds at an instant", r.Kind), "", "help: use threshold to ask that something goes on")
		} else if instant {
			r.For = 0
		}
	}
	if e, ok := b.doc.get("keep_firing_for"); ok {
		if d, ok := b.duration(e); ok {
			r.KeepFiringFor = d
		}
	}
	if e, ok := b.doc.get("suppress"); ok {
		r.Suppress, _ = b.duration(e)
	}
	if e, ok := b.doc.get("update_every"); ok {
		if d, ok := b.positive(e); ok {
			r.UpdateEvery = d
		}
	}
}

func (b *builder) resolve() {
	e, ok := b.doc.get("resolve")
	if !ok || isNull(e.value) {
		return
	}
	m := b.keys(e.value, "`resolve`", resolveKeys, nil)
	if m == nil {
		return
	}
	if w, ok := m.get("when"); ok {
		b.rule.ResolveWhen = b.condition(w, b.eventScope("`resolve.when`"))
		if x := b.rule.ResolveWhen; x != nil && neverTrue(x) {
			b.fail(w.value, codeNever, "`resolve.when` is false for every event", "", "")
		}
	}
	if x, ok := m.get("max"); ok {
		if d, ok := b.duration(x); ok {
			b.rule.ResolveMax = d
		}
	}
}

const maxLimit = 100_000_000

func (b *builder) limits() {
	e, ok := b.doc.get("limits")
	if !ok || isNull(e.value) {
		return
	}
	m := b.keys(e.value, "`limits`", limitKeys, nil)
	if m == nil {
		return
	}
	for name, field := range map[string]*int{"groups": &b.rule.Limits.Groups, "open": &b.rule.Limits.Open, "partials": &b.rule.Limits.Partials} {
		if x, ok := m.get(name); ok {
			if n, ok := b.int(x, 1, maxLimit); ok {
				*field = n
			}
		}
	}
}

func (b *builder) inhibitions() {
	e, ok := b.doc.get("inhibited_by")
	if !ok || isNull(e.value) {
		return
	}
	items, _ := b.list(e)
	for _, n := range items {
		m := b.keys(n, "`inhibited_by`", inhibitKeys, nil)
		if m == nil {
			continue
		}
		rule, ok := m.get("rule")
		if !ok {
			b.fail(n, codeMissing, "`inhibited_by` needs `rule`: the id of the other rule", "", "")
			continue
		}
		var in Inhibition
		if in.Rule, ok = b.text(rule.value, "`rule`"); !ok {
			continue
		}
		if same, ok := m.get("same"); ok {
			in.Same = b.same(same)
		}
		b.rule.InhibitedBy = append(b.rule.InhibitedBy, in)
		b.rule.inhibitAt = append(b.rule.inhibitAt, rule.value)
	}
}

func (b *builder) same(e entry) []string {
	items, _ := b.list(e)
	var names []string
	for _, n := range items {
		name, ok := b.text(n, "a key of `same`")
		if !ok {
			continue
		}
		if !slices.Contains(b.rule.KeyNames, name) {
			b.fail(n, codeInhibitKey, fmt.Sprintf("%q is no group key of this rule", name), didYouMean(name, b.rule.KeyNames), "group_by: "+keyList(b.rule.KeyNames))
			continue
		}
		names = append(names, name)
	}
	return names
}

func (b *builder) active() {
	e, ok := b.doc.get("active")
	if !ok || isNull(e.value) {
		return
	}
	m := b.keys(e.value, "`active`", activeKeys, nil)
	if m == nil {
		return
	}
	loc := b.timezone(m)
	s, ok := m.get("schedule")
	if !ok {
		b.fail(e.key, codeMissing, "`active` needs `schedule`", "", "help: {schedule: 'Mon-Fri 08:00-18:00', timezone: Europe/Berlin}")
		return
	}
	text, ok := b.text(s.value, "`schedule`")
	if !ok {
		return
	}
	sched, err := ParseSchedule(text, loc)
	if err != nil {
		b.fail(s.value, codeSchedule, err.Error(), "", "help: 'Mon-Fri 08:00-18:00', 'Sat,Sun', '22:00-06:00', several separated by ;")
		return
	}
	b.rule.Active = sched
}

// timezone is the mapping's `timezone`, UTC without one.
func (b *builder) timezone(m *mapping) *time.Location {
	if e, ok := m.get("timezone"); ok {
		if loc, ok := b.zone(e); ok {
			return loc
		}
	}
	return time.UTC
}

func (b *builder) notify() {
	e, ok := b.doc.get("notify")
	if !ok || isNull(e.value) {
		return
	}
	if m := b.keys(e.value, "`notify`", notifyKeys, nil); m != nil {
		if x, ok := m.get("resolved"); ok {
			if v, ok := b.bool(x); ok {
				b.rule.NotifyResolved = v
			}
		}
	}
}
