package decode

import (
	"strings"

	"corral/event"
)

// lazy decodes the attributes of an event when a rule or a sink asks for them,
// by decoding the record once more and keeping what did not go into the event.
type lazy struct {
	*shared
	stream string // what the container runtime said, kept as attribute
}

// DecodeAttrs may be called by any goroutine.
func (l *lazy) DecodeAttrs(data string) map[string]any {
	d := l.pool.Get().(*Decoder)
	defer l.pool.Put(d)
	c := &collector{tree: map[string]any{}}
	d.collect = c
	d.m.arena.reset()
	d.rec.Headers = nil
	d.inner(data, &envelope{})
	d.collect = nil
	if l.stream != "" {
		c.tree["stream"] = l.stream
	}
	return c.tree
}

// collector gathers attributes. It keeps copies only.
type collector struct {
	tree  map[string]any
	pairs []pair
}

// pair is a field of a format that is not JSON.
type pair struct {
	name string
	v    val
}

func (c *collector) object(s string, taken *offsets, _ *envelope) {
	if m, ok := tree(s, taken).(map[string]any); ok {
		for k, v := range m {
			c.tree[k] = v
		}
	}
}

// collectOuter keeps the attributes of an envelope, without what it carries.
func (d *Decoder) collectOuter(s string, carried ...val) {
	if d.collect == nil {
		return
	}
	taken := *d.takenOffsets()
	for _, v := range carried {
		taken = append(taken, v.off)
	}
	d.collect.object(s, &taken, nil)
}

// takenOffsets returns where the values stood that went into named fields.
func (d *Decoder) takenOffsets() *offsets {
	var o offsets
	for f := range nFields {
		if d.m.usedUp(f) {
			o = append(o, d.m.vals[f].off)
		}
	}
	return &o
}

// setAttrs gives the event its attributes and fills the slots rules read.
func (d *Decoder) setAttrs(ev *event.Event, raw string, env *envelope) {
	if env.eager != nil {
		for k, v := range env.attrs {
			if _, ok := env.eager[k]; !ok {
				env.eager[k] = v
			}
		}
		ev.SetAttrs(env.eager)
		return
	}
	if env.attrs != nil {
		d.eagerAttrs(ev, raw, env)
		return
	}
	data := raw
	if env.outer != "" {
		data = env.outer
	}
	ev.SetLazyAttrs(d.lazyFor(env), data)
	if d.tab.nSlots == 0 || env.outer != "" {
		return
	}
	if ev.Format != formatNames[fmtJSON] {
		d.fillPairSlots(ev, env)
	} else if !d.js.repeat && !d.js.deep {
		d.fillSlots(ev, env)
	}
}

func (d *Decoder) lazyFor(env *envelope) *lazy {
	if env.stream == "" || env.outer != "" {
		return d.lazy
	}
	if l := d.lazies[env.stream]; l != nil {
		return l
	}
	return d.lazy
}

// eagerAttrs decodes the attributes at once and adds those of the envelope.
func (d *Decoder) eagerAttrs(ev *event.Event, raw string, env *envelope) {
	attrs := d.lazyFor(env).DecodeAttrs(raw)
	for k, v := range env.attrs {
		if _, ok := attrs[k]; !ok {
			attrs[k] = v
		}
	}
	ev.SetAttrs(attrs)
}

// fillSlots hands over the values js found for the attribute paths of the rules.
func (d *Decoder) fillSlots(ev *event.Event, env *envelope) {
	slots := ev.Slots(d.tab.nSlots)
	for i := range slots {
		if d.js.slotRc[i] == d.js.record && !d.takenSlot(i) {
			slots[i] = d.slotValue(d.js.slots[i])
		}
	}
	d.streamSlot(slots, env)
}

// streamSlot fills the slot of the container runtime's stream.
func (d *Decoder) streamSlot(slots []event.Value, env *envelope) {
	if i := d.tab.slot("stream"); env.stream != "" && i >= 0 {
		slots[i] = event.Value{Kind: event.String, Str: env.stream}
	}
}

// pairSlots are the values that a text format's pairs have for slots.
type pairSlots struct {
	vals  []val
	names []string
	event []uint32 // number of the event that a value is of
	now   uint32
	deep  bool // a pair of this event is a tree, whose parts may be wanted
}

func (p *pairSlots) reset(n int) {
	p.now++
	p.deep = false
	if p.vals == nil && n > 0 {
		p.vals, p.names, p.event = make([]val, n), make([]string, n), make([]uint32, n)
	}
}

// fillPairSlots is fillSlots for text formats.
func (d *Decoder) fillPairSlots(ev *event.Event, env *envelope) {
	p := &d.pairSlots
	if p.deep {
		return
	}
	slots := ev.Slots(d.tab.nSlots)
	for i := range slots {
		if p.event[i] == p.now && !d.takenPair(i) {
			slots[i] = pairValue(p.vals[i])
		}
	}
	d.streamSlot(slots, env)
}

// takenPair reports whether the pair of slot i went into a named field.
func (d *Decoder) takenPair(i int) bool {
	f := d.m.target(d.pairSlots.names[i]).field
	return f != noField && d.m.usedUp(f) && d.m.vals[f].off == d.pairSlots.vals[i].off
}

func pairValue(v val) event.Value {
	switch v.kind {
	case kTrue, kFalse:
		return event.Of(v.kind == kTrue)
	case kNumber:
		return event.Of(number(v.s))
	case kNull:
		return event.Value{}
	}
	return event.Value{Kind: event.String, Str: v.s}
}

// takenSlot reports whether the value of slot i went into a named field and so
// is no attribute.
func (d *Decoder) takenSlot(i int) bool {
	f := d.js.slotBy[i].target.field
	return f != noField && d.m.usedUp(f) && d.m.vals[f].off == d.js.slots[i].off
}

func (d *Decoder) slotValue(v val) event.Value {
	switch v.kind {
	case kTrue:
		return event.Value{Kind: event.Bool, Int: 1}
	case kFalse:
		return event.Value{Kind: event.Bool}
	case kString:
		return event.Value{Kind: event.String, Str: v.text(&d.m.arena)}
	case kNumber:
		if n, ok := integer(v.s); ok {
			return event.Value{Kind: event.Int, Int: n}
		}
		return event.Of(number(v.s))
	}
	return event.Value{}
}

// pair offers a field of a text format: to the named fields, and to the
// attributes if they are being collected.
func (d *Decoder) pair(name string, v val) {
	d.m.putPath(name, v)
	if i := d.tab.slot(name); i >= 0 {
		p := &d.pairSlots
		p.vals[i], p.names[i], p.event[i] = v, name, p.now
	}
	d.pairSlots.deep = d.pairSlots.deep || v.kind >= kObject
	if d.collect == nil || len(d.collect.pairs) >= maxAttrs {
		return
	}
	d.collect.pairs = append(d.collect.pairs, pair{name, v})
}

// pairText offers a text that a format found at a known place.
func (d *Decoder) pairText(name, s string) {
	if s != "" {
		d.pair(name, val{s: s, kind: kString, off: d.m.nextOff()})
	}
}

// collectPairs makes attributes of the fields that did not go into the event.
func (d *Decoder) collectPairs() {
	if d.collect == nil {
		return
	}
	taken := d.takenOffsets()
	for _, p := range d.collect.pairs {
		name := strings.Clone(p.name)
		if taken.has(int(p.v.off)) {
			delete(d.collect.tree, name)
			continue
		}
		d.collect.tree[name] = attrValue(p.v)
	}
	d.collect.pairs = d.collect.pairs[:0]
}

// attrValue gives a text its type: what reads as a number or a truth value in a
// format without types is one.
func attrValue(v val) any {
	switch v.kind {
	case kTrue:
		return true
	case kFalse:
		return false
	case kNull:
		return nil
	case kNumber:
		return number(v.s)
	case kObject, kArray:
		return tree(v.s, nil)
	}
	return strings.Clone(v.s)
}
