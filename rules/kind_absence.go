package rules

import (
	"fmt"
	"regexp"
	"slices"
	"time"

	"go.yaml.in/yaml/v4"

	"corral/internal/phrase"
)

func (b *builder) absence(m *mapping) {
	a := &Absence{Min: 1, Remember: 24 * time.Hour, ForgetAfter: 72 * time.Hour}
	b.rule.Absence = a
	if e, ok := b.need(m, "every", "help: every: 10m, or {schedule: '0 2 * * *', timezone: Europe/Berlin, grace: 30m}"); ok {
		b.every(e, a)
	}
	silence := a.silence()
	if e, ok := m.get("min"); ok {
		if n, ok := b.int(e, 1, maxLast); ok {
			a.Min = n
		}
	}
	if e, ok := m.get("remember"); ok {
		if d, ok := b.positive(e); ok {
			a.Remember = d
			if a.Schedule == nil && d < silence {
				b.fail(e.value, codeConflict, "`remember` is shorter than `every`: the key would be dropped before it is missed", "", "")
			}
		}
	}
	a.Remember = max(a.Remember, a.reach())
	if e, ok := m.get("forget_after"); ok {
		if d, ok := b.positive(e); ok {
			a.ForgetAfter = d
			if d < silence {
				b.fail(e.value, codeConflict, "`forget_after` is shorter than `every`: the key would be forgotten before it is missed", "", a.longest())
			}
		}
	} else {
		a.ForgetAfter = max(a.ForgetAfter, 3*silence)
	}
	if e, ok := m.get("expect"); ok {
		a.Expect = b.expect(e)
	}
}

// reach is how long after a key's event it may first be missed: a key must be
// remembered as long, or it never is. With a grace an event counts for the
// instant before it; without one for the instant after it, so that the first one
// missed is two instants away. No `remember` undoes that: 24h would watch nothing
// of a daily schedule.
func (a *Absence) reach() time.Duration {
	if a.Schedule != nil && a.Grace == 0 {
		return 2 * a.Schedule.longest()
	}
	return a.silence()
}

// silence is how long a key may be silent before it is missed.
func (a *Absence) silence() time.Duration {
	if a.Schedule != nil {
		return a.Schedule.longest() + a.Grace
	}
	return a.Every
}

// longest says how long that is where the rule does not: for a schedule.
func (a *Absence) longest() string {
	if a.Schedule == nil {
		return ""
	}
	return "note: from one time of the schedule to the end of the next it may be " + a.silence().String()
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
		help := "help: lists are named under `lists:` in the same file"
		if len(known) > 0 {
			help = "lists of this file: " + listing(sorted(known))
		}
		b.fail(e.value, codeList, fmt.Sprintf("unknown list %q", ref[1]), didYouMean(ref[1], known), help)
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
		b.fail(n, codeExpect, fmt.Sprintf("a key has %s (%s), this has %d", phrase.Count(len(names), "value"), listing(names), len(nodes)), "", "")
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
