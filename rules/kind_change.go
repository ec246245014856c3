package rules

import (
	"fmt"
	"slices"
	"time"
)

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
	x := compileExpr(b.report, text, b.eventScope("`of`"), wantAny)
	if x == nil {
		return
	}
	if !scalarType(x.typ) {
		b.fail(e.value, codeNotValue, fmt.Sprintf("`of` must be a number, a text or a bool, this is %s", withArticle(typeName(x.typ))), "", "")
		return
	}
	b.rule.Args = append(b.rule.Args, x)
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
