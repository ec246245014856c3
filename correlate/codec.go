package correlate

import (
	"encoding/binary"
	"errors"
	"math"

	"corral/event"
)

// encoder appends state to a snapshot. Integers are varints, text and lists are
// length-prefixed, an event that several places keep is written once.
type encoder struct {
	buf    []byte
	events map[*event.Event]uint64 // number of each event written so far, from 1
	refs   bool                    // write numbers only; list has the events
	list   []*event.Event
}

func newEncoder() *encoder { return &encoder{events: make(map[*event.Event]uint64)} }

func (e *encoder) uint(v uint64) { e.buf = binary.AppendUvarint(e.buf, v) }
func (e *encoder) int(v int64)   { e.buf = binary.AppendVarint(e.buf, v) }
func (e *encoder) len(n int)     { e.uint(uint64(n)) }
func (e *encoder) float(v float64) {
	e.buf = binary.LittleEndian.AppendUint64(e.buf, math.Float64bits(v))
}

func (e *encoder) bool(v bool) {
	b := byte(0)
	if v {
		b = 1
	}
	e.buf = append(e.buf, b)
}

func (e *encoder) str(s string) {
	e.len(len(s))
	e.buf = append(e.buf, s...)
}

func (e *encoder) value(v event.Value) { e.buf = event.AppendValue(e.buf, v) }

func (e *encoder) values(vs []event.Value) {
	e.len(len(vs))
	for _, v := range vs {
		e.value(v)
	}
}

// event writes an event, or the number it was written under; nil is fine.
func (e *encoder) event(ev *event.Event) {
	if ev == nil {
		e.uint(0)
		return
	}
	if n, ok := e.events[ev]; ok {
		e.uint(n)
		return
	}
	n := uint64(len(e.events) + 1)
	e.events[ev] = n
	e.uint(n)
	if e.refs {
		e.list = append(e.list, ev)
		return
	}
	e.body(ev)
}

// body writes an event with its length in front.
func (e *encoder) body(ev *event.Event) {
	mark := len(e.buf)
	e.buf = ev.AppendBinary(e.buf)
	body := len(e.buf) - mark
	// The length goes in front: move the body by as much as the length takes.
	var l [binary.MaxVarintLen64]byte
	k := binary.PutUvarint(l[:], uint64(body))
	e.buf = append(e.buf, l[:k]...)
	copy(e.buf[mark+k:], e.buf[mark:mark+body])
	copy(e.buf[mark:], l[:k])
}

func (e *encoder) eventList(evs []*event.Event) {
	e.len(len(evs))
	for _, ev := range evs {
		e.event(ev)
	}
}

// errCorrupt is what a decoder reports when bytes end early or make no sense.
var errCorrupt = errors.New("snapshot is corrupt")

// decoder reads what an encoder wrote. After the first error every read gives
// zero, so callers check err once.
type decoder struct {
	buf    []byte
	events []*event.Event
	err    error
}

func (d *decoder) fail() {
	if d.err == nil {
		d.err = errCorrupt
	}
	d.buf = nil
}

func (d *decoder) uint() uint64 {
	v, n := binary.Uvarint(d.buf)
	if n <= 0 {
		d.fail()
		return 0
	}
	d.buf = d.buf[n:]
	return v
}

func (d *decoder) int() int64 {
	v, n := binary.Varint(d.buf)
	if n <= 0 {
		d.fail()
		return 0
	}
	d.buf = d.buf[n:]
	return v
}

// len reads the length of a list whose elements take at least a byte each, so
// it is never more than there are bytes left.
func (d *decoder) len() int {
	n := d.uint()
	if n > uint64(len(d.buf)) {
		d.fail()
		return 0
	}
	return int(n)
}

func (d *decoder) float() float64 {
	if len(d.buf) < 8 {
		d.fail()
		return 0
	}
	v := math.Float64frombits(binary.LittleEndian.Uint64(d.buf))
	d.buf = d.buf[8:]
	return v
}

func (d *decoder) bool() bool {
	if len(d.buf) == 0 || d.buf[0] > 1 {
		d.fail()
		return false
	}
	v := d.buf[0] == 1
	d.buf = d.buf[1:]
	return v
}

func (d *decoder) bytes() []byte {
	n := d.len()
	b := d.buf[:n:n]
	d.buf = d.buf[n:]
	return b
}

func (d *decoder) str() string { return string(d.bytes()) }

func (d *decoder) value() event.Value {
	v, rest, err := event.DecodeValue(d.buf)
	if err != nil {
		d.fail()
		return event.Value{}
	}
	d.buf = rest
	return v
}

func (d *decoder) values() []event.Value {
	vs := make([]event.Value, 0, d.len())
	for range cap(vs) {
		vs = append(vs, d.value())
	}
	return vs
}

func (d *decoder) event() *event.Event {
	n := d.uint()
	switch {
	case n == 0 || d.err != nil:
		return nil
	case n <= uint64(len(d.events)):
		return d.events[n-1]
	case n > uint64(len(d.events))+1:
		d.fail()
		return nil
	}
	ev := new(event.Event)
	if err := ev.DecodeBinary(d.bytes()); err != nil || d.err != nil {
		d.fail()
		return nil
	}
	d.events = append(d.events, ev)
	return ev
}

func (d *decoder) eventList() []*event.Event {
	n := d.len()
	if n == 0 {
		return nil
	}
	evs := make([]*event.Event, n)
	for i := range evs {
		evs[i] = d.event()
		if evs[i] == nil && d.err == nil {
			d.fail()
		}
	}
	return evs
}
