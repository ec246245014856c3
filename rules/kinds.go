package rules

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"
)

// block compiles the kind's own block.
func (b *builder) block() {
	kind := b.rule.Kind
	if kind == 0 {
		return
	}
	e := b.doc.block
	if isNull(e.value) && kind == EventKind {
		b.event()
		return
	}
	m := b.keys(e.value, "`"+kind.String()+"`", blockKeys[kind.String()], elsewhere(kind.String()))
	if m == nil {
		return
	}
	switch kind {
	case EventKind:
		b.event()
	case ThresholdKind:
		b.threshold(m)
	case AbsenceKind:
		b.absence(m)
	case ChangeKind:
		b.change(m)
	case TemporalKind:
		b.temporal(m)
	case SequenceKind:
		b.sequence(m)
	}
}

func (b *builder) event() { b.rule.KeepFiringFor = defaultKeepFiring }

// need returns a key that must be there.
func (b *builder) need(m *mapping, name, help string) (entry, bool) {
	e, ok := m.get(name)
	if !ok {
		b.fail(b.doc.block.key, codeMissing, fmt.Sprintf("`%s` needs `%s`", b.rule.Kind, name), "", help)
	}
	return e, ok
}

// unbounded reports state that nothing limits.
func (b *builder) unbounded(at *yaml.Node, text, help string) {
	b.fail(at, codeUnbounded, text, "", help)
}

func (b *builder) threshold(m *mapping) {
	t := &Threshold{Window: Sliding, StartPart: -1, EndPart: -1, Location: time.UTC}
	b.rule.Threshold = t
	if w, ok := m.get("window"); ok {
		b.window(w, t)
	} else {
		b.unbounded(b.doc.block.key, "`threshold` needs `window`: without one it would remember every event", "help: window: 5m")
	}
	b.rule.KeepFiringFor = t.keepFiring()
	b.aggs = newAggregates(b.rule, b.eventScope("the argument of an aggregate"), t.Window == Sliding || t.Window == Tumbling)
	if e, ok := b.need(m, "condition", "help: condition: count() >= 20"); ok {
		t.Condition = b.condition(e, b.stateScope("`condition`", false))
		b.checkFixed(e, t.Condition)
		b.classify(e, t)
	}
	if e, ok := m.get("clear"); ok {
		t.Clear = b.condition(e, b.stateScope("`clear`", false))
		if t.Clear != nil && (polarity{t.Clear.names, b.rule.Aggs}).fixed(t.Clear.root) == tFalse {
			b.fail(e.value, codeNever, "`clear` is never true: the incident would not resolve", "", "")
		}
	}
}

// checkFixed reports a condition that the events do not decide.
func (b *builder) checkFixed(e entry, x *Expr) {
	if x == nil {
		return
	}
	switch (polarity{x.names, b.rule.Aggs}).fixed(x.root) {
	case tTrue:
		b.fail(e.value, codeNever, "this condition always holds: the incident would never resolve", "", "")
	case tFalse:
		b.fail(e.value, codeNever, "this condition never holds", "", "")
	}
}

// keepFiring is the default of keep_firing_for: how long the window reaches.
func (t *Threshold) keepFiring() time.Duration {
	switch t.Window {
	case Sliding, Tumbling:
		return t.Size
	case LastN:
		return defaultKeepFiring
	}
	return t.Max
}

// classify decides when the condition is: at each event, or when the window ends.
func (b *builder) classify(e entry, t *Threshold) {
	if t.Condition == nil || (polarity{t.Condition.names, b.rule.Aggs}).fixed(t.Condition.root) != tUnknown {
		return
	}
	t.AtClose = absenceHelps(t.Condition, b.rule.Aggs)
	if !t.AtClose || t.Window != Sliding && t.Window != LastN {
		return
	}
	t.AtClose = false
	b.fail(e.value, codeAbsence, "this condition holds while too few events have come, so on a sliding window it would hold at once", "",
		"help: use `absence` to ask for too few events, or a window that ends: {tumbling: …}, {session: …}, {start: …}")
}

func (b *builder) window(e entry, t *Threshold) {
	if e.value.Kind != yaml.MappingNode {
		if d, ok := b.positive(e); ok {
			t.Size = d
		}
		return
	}
	m := b.keys(e.value, "`window`", windowKeys, nil)
	if m == nil {
		return
	}
	shape := b.shape(m, e)
	used := map[string][]string{
		"sliding": {"sliding"}, "tumbling": {"tumbling", "timezone"}, "session": {"session", "max"}, "last": {"last"}, "start": {"start", "end", "max"},
	}[shape]
	for _, x := range m.entries {
		if shape != "" && !slices.Contains(used, x.name) && slices.Contains(windowKeys, x.name) {
			b.fail(x.key, codeConflict, fmt.Sprintf("`%s` does not go with `%s`", x.name, shape), "", "help: one of {sliding: 5m}, {tumbling: 5m, timezone: …}, {session: 30s, max: 10m}, {last: 100}, {start: …, end: …, max: 30m}")
		}
	}
	b.shaped(m, shape, t)
}

// shape is the window's kind by the first key that tells it.
func (b *builder) shape(m *mapping, e entry) string {
	for _, name := range []string{"sliding", "tumbling", "session", "last", "start"} {
		if m.has(name) {
			return name
		}
	}
	b.fail(e.key, codeMissing, "the window has no shape", "", "help: 5m, {tumbling: 5m}, {session: 30s, max: 10m}, {last: 100}, {start: …, end: …, max: 30m}")
	return ""
}

const maxLast = 100_000

func (b *builder) shaped(m *mapping, shape string, t *Threshold) {
	e, _ := m.get(shape)
	switch shape {
	case "sliding":
		t.Size, _ = b.positive(e)
	case "tumbling":
		t.Window = Tumbling
		t.Size, _ = b.positive(e)
		t.Location = b.timezone(m)
	case "session":
		t.Window = Session
		t.Size, _ = b.positive(e)
		t.Max = b.max(m, e, "a session that never pauses would grow for ever")
		if t.Max > 0 && t.Max < t.Size {
			b.fail(e.value, codeConflict, "`max` is shorter than the gap that ends a session", "", "")
		}
	case "last":
		t.Window = LastN
		t.N, _ = b.int(e, 1, maxLast)
	case "start":
		t.Window = Bounded
		t.StartPart = b.windowPart(m, "start")
		t.EndPart = b.windowPart(m, "end")
		t.Max = b.max(m, e, "a window whose end never comes would grow for ever")
	}
}

// max is the longest a window may get; it must be given.
func (b *builder) max(m *mapping, e entry, why string) time.Duration {
	x, ok := m.get("max")
	if !ok {
		b.unbounded(e.key, "the window needs `max`: "+why, "help: {"+e.name+": …, max: 30m}")
		return 0
	}
	d, _ := b.positive(x)
	return d
}

func (b *builder) windowPart(m *mapping, name string) int {
	e, ok := m.get(name)
	if !ok {
		b.fail(m.node, codeMissing, fmt.Sprintf("a window from start to end needs `%s`", name), "", "help: {start: EXPRESSION, end: EXPRESSION, max: 30m}")
		return -1
	}
	x := b.condition(e, b.eventScope("`"+name+"`"))
	if x == nil {
		return -1
	}
	return b.addPart("window."+name, x)
}

func (b *builder) absence(m *mapping) {
	a := &Absence{Min: 1, Remember: 24 * time.Hour, ForgetAfter: 72 * time.Hour}
	b.rule.Absence = a
	if e, ok := b.need(m, "every", "help: every: 10m, or {schedule: '0 2 * * *', timezone: Europe/Berlin, grace: 30m}"); ok {
		b.every(e, a)
	}
	if e, ok := m.get("min"); ok {
		if n, ok := b.int(e, 1, maxLast); ok {
			a.Min = n
		}
	}
	if e, ok := m.get("remember"); ok {
		if d, ok := b.positive(e); ok {
			a.Remember = d
		}
	} else {
		a.Remember = max(a.Remember, a.Every)
	}
	if e, ok := m.get("forget_after"); ok {
		if d, ok := b.positive(e); ok {
			a.ForgetAfter = d
			if d < a.Every {
				b.fail(e.value, codeConflict, "`forget_after` is shorter than `every`: the key would be forgotten before it is missed", "", "")
			}
		}
	} else {
		a.ForgetAfter = max(a.ForgetAfter, 3*a.Every)
	}
	if e, ok := m.get("remember"); ok && a.Remember < a.Every {
		b.fail(e.value, codeConflict, "`remember` is shorter than `every`: the key would be dropped before it is missed", "", "")
	}
	if e, ok := m.get("expect"); ok {
		a.Expect = b.expect(e)
	}
}

func (b *builder) every(e entry, a *Absence) {
	if e.value.Kind != yaml.MappingNode {
		a.Every, _ = b.positive(e)
		return
	}
	m := b.keys(e.value, "`every`", scheduleKeys, nil)
	if m == nil {
		return
	}
	loc := b.timezone(m)
	s, ok := m.get("schedule")
	if !ok {
		b.fail(e.key, codeMissing, "`every` needs a duration or `schedule`", "", "help: {schedule: '0 2 * * *', timezone: Europe/Berlin, grace: 30m}")
		return
	}
	if text, ok := b.text(s.value, "`schedule`"); ok {
		cron, err := ParseCron(text, loc)
		if err != nil {
			b.fail(s.value, codeSchedule, err.Error(), "", "help: minute hour day month weekday, as '0 2 * * Mon-Fri'")
		}
		a.Schedule = cron
	}
	if g, ok := m.get("grace"); ok {
		a.Grace, _ = b.duration(g)
	}
}

var listRef = regexp.MustCompile(`^lists\.([A-Za-z_][A-Za-z0-9_]*)$`)

// expect reads the keys that must report: lists.NAME or a list.
func (b *builder) expect(e entry) [][]string {
	if len(b.rule.KeyNames) == 0 {
		b.fail(e.key, codeExpect, "`expect` lists keys, and the rule has no `group_by`", "", "help: group_by: [service]")
		return nil
	}
	if e.value.Kind == yaml.ScalarNode {
		return b.expectList(e)
	}
	items, ok := b.list(e)
	if !ok {
		return nil
	}
	keys := [][]string{}
	for _, n := range items {
		if k := b.expectKey(n); k != nil {
			keys = append(keys, k)
		}
	}
	return b.expectUnique(e, keys)
}

func (b *builder) expectUnique(e entry, keys [][]string) [][]string {
	if len(keys) == 0 && len(e.value.Content) == 0 {
		b.fail(e.value, codeExpect, "`expect` is empty: nothing would ever be missed", "", "")
	}
	seen := map[string]bool{}
	return slices.DeleteFunc(keys, func(k []string) bool {
		text := EncodeKey(k)
		had := seen[text]
		seen[text] = true
		return had
	})
}

func (b *builder) expectList(e entry) [][]string {
	ref := listRef.FindStringSubmatch(e.value.Value)
	if ref == nil {
		b.fail(e.value, codeExpect, "`expect` takes lists.NAME or a list", "", "")
		return nil
	}
	list, ok := b.doc.file.lists[ref[1]]
	if !ok {
		var known []string
		for name := range b.doc.file.lists {
			known = append(known, name)
		}
		b.fail(e.value, codeList, fmt.Sprintf("unknown list %q", ref[1]), didYouMean(ref[1], known), "lists of this file: "+listing(sorted(known)))
		return nil
	}
	if len(b.rule.KeyNames) != 1 {
		b.fail(e.value, codeExpect, fmt.Sprintf("lists.%s holds single values, the key has %d", ref[1], len(b.rule.KeyNames)), "", "help: expect: [{"+b.rule.KeyNames[0]+": …, …}]")
		return nil
	}
	keys := [][]string{}
	for _, v := range list {
		text, _ := keyText(fromVM(v))
		keys = append(keys, []string{text})
	}
	return b.expectUnique(e, keys)
}

// expectKey reads one expected key: a value, a list of them in the order of
// group_by, or a mapping by name.
func (b *builder) expectKey(n *yaml.Node) []string {
	names := b.rule.KeyNames
	var nodes []*yaml.Node
	switch n.Kind {
	case yaml.ScalarNode:
		nodes = []*yaml.Node{n}
	case yaml.SequenceNode:
		nodes = n.Content
	case yaml.MappingNode:
		m := b.keys(n, "`expect`", names, nil)
		if m == nil {
			return nil
		}
		for _, name := range names {
			if e, ok := m.get(name); ok {
				nodes = append(nodes, e.value)
			}
		}
	}
	if len(nodes) != len(names) {
		b.fail(n, codeExpect, fmt.Sprintf("a key has %s (%s), this has %d", plural(len(names), "value"), listing(names), len(nodes)), "", "")
		return nil
	}
	values := make([]string, len(nodes))
	for i, c := range nodes {
		v, ok := b.scalarValue(follow(c))
		if !ok {
			return nil
		}
		values[i], _ = keyText(fromVM(v))
	}
	return values
}

func (b *builder) change(m *mapping) {
	c := &Change{Detect: Changed}
	b.rule.Change = c
	b.rule.KeepFiringFor = defaultKeepFiring
	if e, ok := b.need(m, "of", "help: of: attrs.version"); ok {
		b.changeOf(e)
	}
	detect := "changed"
	if e, ok := m.get("detect"); ok {
		words := []string{"changed", "first_seen", "flapping"}
		i, ok := b.enum(e, words...)
		if !ok {
			return
		}
		c.Detect, detect = Detect(i+1), words[i]
	}
	own := map[string][]string{"changed": nil, "first_seen": {"memory", "learn"}, "flapping": {"changes", "within"}}
	for _, e := range m.entries {
		if e.name != "of" && e.name != "detect" && slices.Contains(blockKeys["change"], e.name) && !slices.Contains(own[detect], e.name) {
			b.fail(e.key, codeConflict, fmt.Sprintf("`%s` means nothing to `detect: %s`", e.name, detect), "", "")
		}
	}
	switch c.Detect {
	case FirstSeen:
		b.firstSeen(m, c)
	case Flapping:
		b.flapping(m, c)
	}
}

func (b *builder) changeOf(e entry) {
	text, ok := b.expression(e)
	if !ok {
		return
	}
	if x := compileExpr(b.report, text, b.eventScope("`of`"), wantAny); x != nil {
		b.rule.Args = append(b.rule.Args, x)
	}
}

func (b *builder) firstSeen(m *mapping, c *Change) {
	c.Memory = 30 * 24 * time.Hour
	if e, ok := m.get("memory"); ok {
		if d, ok := b.positive(e); ok {
			c.Memory = d
		}
	}
	if e, ok := m.get("learn"); ok {
		c.Learn, _ = b.duration(e)
		if c.Learn >= c.Memory {
			b.fail(e.value, codeConflict, "`learn` is as long as `memory`: nothing would ever be new", "", "")
		}
	}
}

func (b *builder) flapping(m *mapping, c *Change) {
	c.Changes = 5
	if e, ok := m.get("changes"); ok {
		if n, ok := b.int(e, 2, maxLast); ok {
			c.Changes = n
		}
	}
	e, ok := m.get("within")
	if !ok {
		b.unbounded(b.doc.block.key, "`detect: flapping` needs `within`", "help: {changes: 5, within: 10m}")
		return
	}
	c.Within, _ = b.positive(e)
}

func (b *builder) temporal(m *mapping) {
	t := &Temporal{}
	b.rule.Temporal = t
	if e, ok := m.get("window"); ok {
		t.Window, _ = b.positive(e)
	} else {
		b.unbounded(b.doc.block.key, "`temporal` needs `window`: without one it would remember every event", "help: window: 10m")
	}
	b.rule.KeepFiringFor = t.Window
	b.aggs = newAggregates(b.rule, b.eventScope("the argument of an aggregate"), false)
	b.count = map[string]int{}
	if e, ok := b.need(m, "events", "help: events: {oom: message contains \"Out of memory\", …}"); ok {
		b.eventTypes(e, t)
	}
	b.temporalCondition(m, t)
}

func (b *builder) eventTypes(e entry, t *Temporal) {
	m := b.open(e.value, "`events`")
	if m == nil {
		return
	}
	if len(m.entries) == 0 {
		b.fail(e.value, codeBlank, "`events` is empty", "", "")
	}
	for _, x := range m.entries {
		if !b.partName(x.key, x.name) {
			continue
		}
		sel := b.condition(x, b.eventScope(fmt.Sprintf("event type `%s`", x.name)))
		if sel == nil {
			b.count[x.name] = 0 // known, so that the condition does not complain too
			continue
		}
		part := b.addPart(x.name, sel)
		t.Events = append(t.Events, part)
		b.count[x.name] = b.aggs.add(Agg{Fn: Count, Text: x.name, Arg: -1, Part: part})
	}
}

var reservedNames = []string{"not", "in", "or", "and", "matches", "contains", "startsWith", "endsWith", "let", "if", "else", "true", "false", "nil", "lists", "window"}

// partName checks the name of a step or an event type, which expressions will say.
func (b *builder) partName(n *yaml.Node, name string) bool {
	if !identifier.MatchString(name) {
		b.fail(n, codeName2, fmt.Sprintf("%q cannot be a name in expressions", name), "", "help: letters, digits and _, not beginning with a digit")
		return false
	}
	if slices.Contains(reservedNames, name) {
		b.fail(n, codeName2, fmt.Sprintf("%q means something else in expressions", name), "choose another name", "")
		return false
	}
	if slices.Contains(fieldNames, name) {
		b.warning(finding{src: b.src, at: b.src.span(n), code: codeHides, text: fmt.Sprintf("the name %q hides the field %q in conditions and texts", name, name)})
	}
	return true
}

func (b *builder) temporalCondition(m *mapping, t *Temporal) {
	e, ok := m.get("condition")
	if !ok {
		t.Condition = b.allSeen(t)
		return
	}
	t.Condition = b.condition(e, b.stateScope("`condition`", false))
	b.checkFixed(e, t.Condition)
	if t.Condition != nil {
		t.AtClose = absenceHelps(t.Condition, b.rule.Aggs)
	}
}

// allSeen is the default condition: every event type at least once.
func (b *builder) allSeen(t *Temporal) *Expr {
	var text strings.Builder
	for i, part := range t.Events {
		if i > 0 {
			text.WriteString(" && ")
		}
		text.WriteString(b.rule.Parts[part].Name + " > 0")
	}
	if text.String() == "" {
		return nil
	}
	return compileExpr(b.report, exprText{src: b.src, text: text.String()}, b.stateScope("`condition`", false), wantBool)
}

const maxTimes = 10_000

func (b *builder) sequence(m *mapping) {
	s := &Sequence{UntilPart: -1}
	b.rule.Sequence = s
	b.rule.KeepFiringFor = defaultKeepFiring
	if e, ok := m.get("within"); ok {
		s.Within, _ = b.positive(e)
	}
	e, ok := b.need(m, "steps", "help: steps: [{name: deploy, match: …}, {name: crash, match: …}]")
	if ok {
		b.stepsOf(e, s, m.has("within"))
	}
	if u, ok := m.get("until"); ok {
		if x := b.condition(u, b.eventScope("`until`")); x != nil {
			s.UntilPart = b.addPart("until", x)
		}
	}
	if c, ok := m.get("contiguity"); ok {
		if i, ok := b.enum(c, "relaxed", "strict", "any"); ok {
			s.Contiguity = Contiguity(i)
		}
	}
	if k, ok := m.get("skip"); ok {
		if i, ok := b.enum(k, "past_last", "next", "none"); ok {
			s.Skip = Skip(i)
		}
	}
	if o, ok := m.get("on_timeout"); ok {
		i, _ := b.enum(o, "ignore", "emit")
		s.EmitOnTimeout = i == 1
	}
}

func (b *builder) stepsOf(e entry, s *Sequence, total bool) {
	items, ok := b.list(e)
	if !ok {
		return
	}
	for i, n := range items {
		b.step(n, i, s)
	}
	if len(items) == 0 {
		b.fail(e.value, codeBlank, "`steps` is empty", "", "")
		return
	}
	b.checkSteps(e, items, s, total)
}

// step compiles one step; a step with mistakes still takes its place, so that the
// others keep theirs.
func (b *builder) step(n *yaml.Node, i int, s *Sequence) {
	st := Step{Part: i, Min: 1, Max: 1}
	m := b.keys(n, "a step", stepKeys, nil)
	if m == nil {
		b.addPart("", nil)
		return
	}
	st.Name = b.stepName(m, n, i, s)
	var sel *Expr
	if e, ok := m.get("match"); ok {
		sel = b.condition(e, b.eventScope(fmt.Sprintf("`match` of step %q", st.Name)))
	} else {
		b.fail(n, codeMissing, fmt.Sprintf("step %q needs `match`", st.Name), "", "")
	}
	st.Part = b.addPart(st.Name, sel)
	if e, ok := m.get("where"); ok {
		st.Where = b.where(e, i)
	}
	b.stepOptions(m, &st)
	s.Steps = append(s.Steps, st)
	b.steps = append(b.steps, st.Name)
}

func (b *builder) stepName(m *mapping, n *yaml.Node, i int, s *Sequence) string {
	e, ok := m.get("name")
	if !ok {
		b.fail(n, codeMissing, "a step needs a `name`", "", "")
		return fmt.Sprintf("step%d", i+1)
	}
	name, ok := b.text(e.value, "`name`")
	if !ok || !b.partName(e.value, name) {
		return name
	}
	for _, had := range s.Steps {
		if had.Name == name {
			b.fail(e.value, codeName2, fmt.Sprintf("two steps are named %q", name), "", "")
		}
	}
	return name
}

// where compiles a step's condition, which may read the steps before it.
func (b *builder) where(e entry, i int) *Expr {
	sc := b.eventScope("`where`")
	sc.slots = nil // the engine evaluates it, on events it has kept
	sc.steps = slices.Clone(b.steps)
	if i+1 < len(b.names) {
		sc.later = b.names[i+1:]
	}
	return b.condition(e, sc)
}

func (b *builder) stepOptions(m *mapping, st *Step) {
	if e, ok := m.get("times"); ok {
		b.times(e, st)
	}
	for name, field := range map[string]*bool{"optional": &st.Optional, "greedy": &st.Greedy, "absent": &st.Absent} {
		if e, ok := m.get(name); ok {
			*field, _ = b.bool(e)
		}
	}
	if e, ok := m.get("within"); ok {
		st.Within, _ = b.positive(e)
	}
	if !st.Absent {
		return
	}
	for _, name := range []string{"times", "optional", "greedy"} {
		if e, ok := m.get(name); ok {
			b.fail(e.key, codeConflict, fmt.Sprintf("`%s` means nothing to a step that must not come", name), "", "")
		}
	}
}

func (b *builder) times(e entry, st *Step) {
	if e.value.Kind != yaml.MappingNode {
		if n, ok := b.int(e, 1, maxTimes); ok {
			st.Min, st.Max = n, n
		}
		return
	}
	m := b.keys(e.value, "`times`", timesKeys, nil)
	if m == nil {
		return
	}
	st.Min, st.Max = 1, 0
	if x, ok := m.get("min"); ok {
		if n, ok := b.int(x, 0, maxTimes); ok {
			st.Min = n
		}
	}
	if x, ok := m.get("max"); ok {
		if n, ok := b.int(x, 1, maxTimes); ok {
			st.Max = n
		}
	}
	if st.Max != 0 && st.Min > st.Max {
		b.fail(e.value, codeConflict, fmt.Sprintf("`min` %d is more than `max` %d", st.Min, st.Max), "", "")
	}
	if st.Min == 0 { // zero times is an optional step of one or more
		st.Optional, st.Min = true, 1
	}
}

// checkSteps checks what only all steps together tell: that each has its time, and
// that something can be waited for.
func (b *builder) checkSteps(e entry, items []*yaml.Node, s *Sequence, total bool) {
	if len(s.Steps) != len(items) {
		return
	}
	present := false
	for i, st := range s.Steps {
		// The first event begins the match; whatever more is waited for needs its time,
		// unless the whole has one. So does an absent step in front: it looks back.
		if timed := st.Within > 0 || total; !timed && (present || st.Absent || st.Max != 1) {
			b.unbounded(items[i], fmt.Sprintf("step %q has no time limit, and the sequence has none", st.Name), "help: within: 24h, in `sequence` or in each step")
			return
		}
		present = present || !st.Absent
		if st.Within > 0 && s.Within > 0 && st.Within > s.Within {
			b.fail(items[i], codeConflict, fmt.Sprintf("`within` of step %q is longer than that of the sequence", st.Name), "", "")
		}
	}
	if !present {
		b.fail(e.key, codeConflict, "all steps are absent: nothing starts the sequence", "", "help: use `absence`")
	}
	if !slices.ContainsFunc(s.Steps, func(st Step) bool { return !st.Absent && !st.Optional }) && present {
		b.fail(e.key, codeConflict, "all steps are optional or absent: the sequence would match nothing at all", "", "")
	}
}
