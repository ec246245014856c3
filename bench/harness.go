package main

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"unsafe"

	"corral/correlate"
	"corral/event"
	"corral/ingest"
	"corral/ingest/decode"
	"corral/rules"
)

// compile loads rules as the program does.
func compile(text []byte) (*rules.Set, error) {
	set, diags := rules.Parse([]rules.File{{Name: "bench.yaml", Data: text}})
	if set == nil {
		var b strings.Builder
		if err := rules.FormatText(&b, diags, rules.TextStyle{}); err != nil {
			return nil, err
		}
		return nil, errors.New(b.String())
	}
	return set, nil
}

// turn is how many events come between two moves of the watermark.
const turn = 256

// path is one core's way from lines to incidents: what the program does, without
// its goroutines.
type path struct {
	dec   *decode.Decoder
	m     *rules.Matcher
	eng   *correlate.Engine
	ms    []rules.Match
	shift int64 // of event times: the same lines come again later
	last  int64 // event time
	onto  func(*event.Event)
	emit  func(*correlate.Transition)

	events, matched, transitions int
}

func newPath(set *rules.Set) *path {
	p := &path{dec: decode.New(decode.Options{AttrPaths: set.AttrPaths}), m: set.Matcher(), eng: correlate.New(set, correlate.Options{})}
	p.onto, p.emit = p.event, func(*correlate.Transition) { p.transitions++ }
	return p
}

func (p *path) event(ev *event.Event) {
	p.events++
	ev.Time += p.shift
	p.last = max(p.last, ev.Time)
	if p.ms = p.m.Match(ev, p.ms[:0]); len(p.ms) == 0 {
		return
	}
	p.matched += len(p.ms)
	ms := make([]rules.Match, len(p.ms))
	copy(ms, p.ms)
	for i := range ms {
		ms[i].Key = strings.Clone(ms[i].Key)
	}
	p.eng.Push(ev.Clone(), ms)
}

// feed takes lines.
func (p *path) feed(data []byte) {
	p.dec.Decode(ingest.Record{Data: data, Lines: true, Seq: 1}, p.onto, nil)
	p.eng.Advance(p.last, p.emit)
}

// pieces cuts lines into records of so many.
func pieces(data []byte, n int) [][]byte {
	var out [][]byte
	for len(data) > 0 {
		end := 0
		for i := 0; i < n && end < len(data); i++ {
			end += bytes.IndexByte(data[end:], '\n') + 1
		}
		out = append(out, data[:end])
		data = data[end:]
	}
	return out
}

// play makes a contender of a path over lines that cover span of event time.
func play(name string, p *path, records [][]byte) contender {
	return contender{name, func() int {
		before := p.events
		for _, r := range records {
			p.feed(r)
		}
		n := p.events - before
		p.shift += int64(n) * 1e6 // lines are a millisecond apart
		return n
	}}
}

// decoded are the events of lines, each for itself.
func decoded(data []byte, attrs []string) []*event.Event {
	var out []*event.Event
	decode.New(decode.Options{AttrPaths: attrs}).Decode(ingest.Record{Data: data, Lines: true, Seq: 1}, func(ev *event.Event) {
		out = append(out, ev.Clone())
	}, nil)
	return out
}

// ring is a load of events that are written anew for each use, so that making them
// costs the same whatever the number of keys.
type ring struct {
	evs  []*event.Event
	text [][24]byte
	i    int
	now  int64
	step int64
	key  func() uint64
	own  bool // each event is a copy, as the program makes one
}

func newRing(step int64, key func() uint64) *ring {
	r := &ring{evs: make([]*event.Event, 4*turn), text: make([][24]byte, 4*turn), now: epoch.UnixNano(), step: step, key: key}
	for i := range r.evs {
		copy(r.text[i][:], "customer-")
		s := unsafe.String(&r.text[i][0], len(r.text[i]))
		r.evs[i] = &event.Event{Kind: "log", Service: s, RequestID: s}
		r.evs[i].Pos.Seq = uint64(i)
	}
	return r
}

func (r *ring) next() *event.Event {
	r.i = (r.i + 1) % len(r.evs)
	r.now += r.step
	ev, text, k := r.evs[r.i], &r.text[r.i], r.key()
	for i := len(text) - 1; i > 8; i-- {
		text[i] = byte('0' + k%10)
		k /= 10
	}
	ev.Time = r.now
	if r.own {
		return ev.Clone()
	}
	return ev
}

// engine is matcher and engine over decoded events.
type engine struct {
	m    *rules.Matcher
	eng  *correlate.Engine
	ms   []rules.Match
	fire int
}

func newEngine(text string) (*engine, error) {
	set, err := compile([]byte("version: 1\nrules:\n" + text))
	if err != nil {
		return nil, err
	}
	return &engine{m: set.Matcher(), eng: correlate.New(set, correlate.Options{})}, nil
}

// take lets n events of next take effect.
func (e *engine) take(n int, next func() *event.Event) {
	emit := func(*correlate.Transition) { e.fire++ }
	for done := 0; done < n; {
		var last int64
		for range min(turn, n-done) {
			ev := next()
			last = max(last, ev.Time)
			if e.ms = e.m.Match(ev, e.ms[:0]); len(e.ms) > 0 {
				e.eng.Push(ev, e.ms)
			}
			done++
		}
		e.eng.Advance(last, emit)
	}
}

// on makes a contender of an engine over a ring, filled with so many events first.
func (r *ring) on(name, text string, fill, share int) (contender, error) {
	e, err := newEngine(text)
	if err != nil {
		return contender{}, fmt.Errorf("%s: %w", name, err)
	}
	e.take(fill, r.next)
	return contender{name, func() int { e.take(share, r.next); return share }}, nil
}
