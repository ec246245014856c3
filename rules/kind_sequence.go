package rules

import (
	"fmt"
	"slices"

	"go.yaml.in/yaml/v4"
)

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
	if len(m.entries) == 0 {
		b.fail(e.value, codeBlank, "`times` is empty", "", "help: 3, or {min: 2, max: 5}")
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
