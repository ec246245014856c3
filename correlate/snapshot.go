package correlate

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"io"
	"maps"
	"slices"

	"corral/event"
	"corral/rules"
)

// A snapshot is magic, version and length of the body (8, 4 and 8 bytes, little
// endian), the body, and the CRC-32C of all before it. The body has the state of
// each rule on its own, so that a rule that is gone can be left out.
const (
	snapshotMagic   = "CORRALs\n"
	snapshotVersion = 5
	snapshotHead    = len(snapshotMagic) + 12
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Snapshot writes the whole state: versioned, checksummed, with the rules'
// hashes. Restore reads it for any number of shards.
func (e *Engine) Snapshot(w io.Writer) error { return e.Freeze()(w) }

// Freeze takes the state as it is now. What it returns writes it as Snapshot does,
// once, and may do so on another goroutine while the engine goes on: the events that
// state keeps are most of what there is to write, and nobody changes them.
func (e *Engine) Freeze() func(io.Writer) error {
	f := e.freeze()
	return func(w io.Writer) error { return writeSnapshot(w, f.encode()) }
}

func writeSnapshot(w io.Writer, body []byte) error {
	head := append(make([]byte, 0, snapshotHead), snapshotMagic...)
	head = binary.LittleEndian.AppendUint32(head, snapshotVersion)
	head = binary.LittleEndian.AppendUint64(head, uint64(len(body)))
	sum := crc32.Update(crc32.Checksum(head, castagnoli), castagnoli, body)
	for _, part := range [][]byte{head, body, binary.LittleEndian.AppendUint32(nil, sum)} {
		if _, err := w.Write(part); err != nil {
			return fmt.Errorf("write snapshot: %w", err)
		}
	}
	return nil
}

// Restore returns an engine that goes on where the snapshot was taken. The error
// says what was wrong: version, checksum, truncation. Rules that differ from those
// of the snapshot are treated as Reload does; what that emits comes with the next
// Advance.
func Restore(set *rules.Set, o Options, r io.Reader) (*Engine, error) {
	data, err := io.ReadAll(r)
	if err != nil {
		return nil, fmt.Errorf("read snapshot: %w", err)
	}
	body, err := unwrap(data)
	if err != nil {
		return nil, err
	}
	e := New(set, o)
	d := &decoder{buf: body}
	e.decode(d)
	if d.err == nil && len(d.buf) > 0 {
		d.fail()
	}
	if d.err != nil {
		return nil, fmt.Errorf("restore snapshot: %w", d.err)
	}
	return e, nil
}

// unwrap checks a snapshot and returns its body.
func unwrap(data []byte) ([]byte, error) {
	if len(data) < len(snapshotMagic) || string(data[:len(snapshotMagic)]) != snapshotMagic {
		return nil, fmt.Errorf("restore snapshot: this is not a snapshot of the engine")
	}
	if len(data) < snapshotHead+4 {
		return nil, fmt.Errorf("restore snapshot: truncated: %d bytes", len(data))
	}
	if v := binary.LittleEndian.Uint32(data[len(snapshotMagic):]); v != snapshotVersion {
		return nil, fmt.Errorf("restore snapshot: version %d, this corral reads version %d", v, snapshotVersion)
	}
	size := binary.LittleEndian.Uint64(data[len(snapshotMagic)+4:])
	if want := uint64(len(data) - snapshotHead - 4); size != want {
		return nil, fmt.Errorf("restore snapshot: truncated: %d bytes of state, %d announced", want, size)
	}
	end := len(data) - 4
	if sum := crc32.Checksum(data[:end], castagnoli); sum != binary.LittleEndian.Uint32(data[end:]) {
		return nil, fmt.Errorf("restore snapshot: checksum %08x does not fit: it is damaged", sum)
	}
	return data[snapshotHead:end], nil
}

// frozen is the state at an instant, its events not written yet.
type frozen struct {
	engine section
	rules  []frozenRule
}

type frozenRule struct {
	id, shape, logic, text string
	signal                 bool
	layout
	section
}

// section is encoded state that names events by their number.
type section struct {
	buf    []byte
	events []event.Event // copies, but for what nobody changes
}

func (e *encoder) section() section {
	s := section{buf: e.buf, events: make([]event.Event, len(e.list))}
	for i, ev := range e.list {
		s.events[i] = *ev
	}
	return s
}

func (e *Engine) freeze() *frozen {
	enc := newEncoder()
	enc.refs = true
	enc.int(e.watermark)
	enc.int(e.first)
	enc.bool(e.armed)
	enc.uint(e.gen)
	enc.uint(e.stats.Duplicates)
	e.dedup.encode(enc)
	e.stage.encode(enc)
	buffered := e.buffer.all()
	enc.len(len(buffered))
	for _, p := range buffered {
		enc.event(p.ev)
	}
	if e.hops.matcher != nil {
		e.hops.encode(enc)
	}
	f := &frozen{engine: enc.section()}
	for _, r := range e.rules {
		part := newEncoder()
		part.refs = true
		r.encode(part)
		f.rules = append(f.rules, frozenRule{r.rule.ID, shape(r.rule), r.rule.LogicHash, r.rule.TextHash, r.rule.Signal, layoutOf(r.rule), part.section()})
	}
	return f
}

func (f *frozen) encode() []byte {
	enc := newEncoder()
	enc.write(&f.engine)
	enc.len(len(f.rules))
	for i := range f.rules {
		r := &f.rules[i]
		enc.str(r.id)
		enc.str(r.shape)
		enc.str(r.logic)
		enc.str(r.text)
		enc.bool(r.signal)
		r.layout.encode(enc)
		enc.write(&r.section)
	}
	return enc.buf
}

func (e *encoder) write(s *section) {
	e.len(len(s.buf))
	e.buf = append(e.buf, s.buf...)
	e.len(len(s.events))
	for i := range s.events {
		e.body(&s.events[i])
	}
}

// section reads what write wrote: the state, and the events it names.
func (d *decoder) section() (state []byte, events []*event.Event) {
	state = d.bytes()
	n := d.len()
	for range n {
		ev := new(event.Event)
		if err := ev.DecodeBinary(d.bytes()); err != nil {
			d.fail()
		}
		if d.err != nil {
			return nil, nil
		}
		events = append(events, ev)
	}
	return state, events
}

func (e *Engine) decode(d *decoder) {
	buffered := e.decodeEngine(d)
	olds := make([]oldRule, 0, min(d.len(), 1<<16))
	for range cap(olds) {
		o := oldRule{id: d.str(), shape: d.str(), logic: d.str(), text: d.str(), signal: d.bool(), layout: d.layout()}
		o.state, o.events = d.section()
		olds = append(olds, o)
	}
	if d.err != nil {
		return
	}
	e.rebuffer(buffered)
	e.restored = newReloaded(e.gen)
	if err := e.inherit(olds, &e.restored); err != nil {
		d.err = err
		return
	}
	if !e.consistent() {
		d.fail()
	}
}

// decodeEngine reads what is not of one rule alone, and returns the events of the
// reorder buffer.
func (e *Engine) decodeEngine(all *decoder) []*event.Event {
	d := new(decoder)
	d.buf, d.events = all.section()
	d.err = all.err
	e.watermark, e.first, e.armed, e.gen = d.int(), d.int(), d.bool(), d.uint()
	e.stats.Duplicates = d.uint()
	e.dedup.decode(d)
	e.stage.decode(d)
	buffered := d.eventList()
	if d.err == nil && len(d.buf) > 0 { // there were rules over hops
		e.hops.decode(d)
		e.hops.rewire(e.set)
	}
	if d.err == nil && len(d.buf) > 0 {
		d.fail()
	}
	all.err = d.err
	return buffered
}

// consistent reports whether every open episode was told of: what somebody else
// wrote may have a checksum that fits.
func (e *Engine) consistent() bool {
	for _, r := range e.rules {
		for _, k := range r.keys.live() {
			ep := r.episode(k)
			if ep != nil && ep.open && !ep.collapsed && e.stage.open[ep.id] == nil {
				return false
			}
		}
		if r.storm != nil && r.storm.ep.open && e.stage.open[r.storm.ep.id] == nil {
			return false
		}
	}
	return true
}

// Restored says what Restore made of rules that differ from the snapshot's; zero
// if the engine is new.
func (e *Engine) Restored() Reloaded { return e.restored }

// rebuffer puts events back into the reorder buffer.
func (e *Engine) rebuffer(evs []*event.Event) {
	m := e.set.Matcher()
	var ms []rules.Match
	for _, ev := range evs {
		if ms = m.Match(ev, ms[:0]); len(ms) > 0 {
			e.buffer.push(pushed{ev: ev, ms: e.copy(ms)})
		}
	}
}

func (d *dedup) encode(e *encoder) {
	e.len(len(d.order))
	for _, x := range d.order {
		e.str(x.id)
		e.int(x.at)
	}
}

func (d *dedup) decode(dec *decoder) {
	for range dec.len() {
		x := idAt{dec.str(), dec.int()}
		d.again(x.id, x.at)
	}
}

func (s *stage) encode(e *encoder) {
	ids := slices.Sorted(maps.Keys(s.open))
	e.len(len(ids))
	for _, id := range ids {
		l := s.open[id]
		record, err := json.Marshal(l.last)
		if err != nil {
			panic(err) // a Transition is plain data
		}
		e.str(string(record))
		e.bool(l.told)
		e.str(l.parentID)
	}
	s.context.encode(e)
}

func (s *stage) decode(d *decoder) {
	for range d.len() {
		l := &listed{last: new(Transition)}
		if err := json.Unmarshal(d.bytes(), l.last); err != nil {
			d.fail()
			return
		}
		l.told, l.parentID = d.bool(), d.str()
		s.open[l.last.IncidentID] = l
	}
	s.context.decode(d)
}
