package decode

import (
	"fmt"
	"path"
	"strings"

	"corral/ingest"
)

// inputMap are the overrides of the records of one input: "pay.log:service=attrs.team"
// holds for that file, stream or subject only.
type inputMap struct {
	name string // of a file, a stream or a subject, with wildcards or without
	maps []string
}

const maxInputs = 64 // as many as bits

// splitMaps tells apart the overrides that hold for every record and those of single
// inputs.
func splitMaps(maps []string) (every []string, inputs []inputMap, err error) {
	for _, m := range maps {
		field, _, _ := strings.Cut(m, "=")
		i := strings.LastIndexByte(field, ':')
		if i < 0 {
			every = append(every, m)
			continue
		}
		name, rest := m[:i], m[i+1:]
		if name == "" {
			return nil, nil, fmt.Errorf("map %q: want INPUT:FIELD=attrs.PATH", m)
		}
		if n := len(inputs); n > 0 && inputs[n-1].name == name {
			inputs[n-1].maps = append(inputs[n-1].maps, rest)
			continue
		}
		inputs = append(inputs, inputMap{name, []string{rest}})
	}
	if len(inputs) > maxInputs {
		return nil, nil, fmt.Errorf("map: %d inputs, at most %d may have fields of their own", len(inputs), maxInputs)
	}
	return every, inputs, nil
}

// holds reports whether the overrides are for a record.
func (m *inputMap) holds(rec *ingest.Record) bool {
	if rec.Input == m.name || rec.Subject == m.name {
		return true
	}
	if ok, err := path.Match(m.name, rec.Input); ok && err == nil {
		return true
	}
	if strings.IndexByte(m.name, '/') < 0 && rec.Input != "" {
		if ok, err := path.Match(m.name, path.Base(rec.Input)); ok && err == nil {
			return true
		}
	}
	return rec.Subject != "" && subjectMatches(m.name, rec.Subject)
}

// subjectMatches compares a subject with one that may have NATS' wildcards.
func subjectMatches(pattern, subject string) bool {
	for {
		p, restP, moreP := strings.Cut(pattern, ".")
		s, restS, moreS := strings.Cut(subject, ".")
		switch {
		case p == ">":
			return true
		case p != "*" && p != s || moreP != moreS:
			return false
		case !moreP:
			return true
		}
		pattern, subject = restP, restS
	}
}

// byInput keeps the decoders of inputs that have overrides of their own.
type byInput struct {
	decoders       map[uint64]*Decoder // by which overrides hold
	input, subject string              // of the last record
	known          bool
	last           *Decoder // what decoded it
}

// decoderFor returns the decoder of a record: d itself, but for inputs that have
// overrides of their own.
func (d *Decoder) decoderFor(rec *ingest.Record) *Decoder {
	b := &d.inputs
	if b.known && b.input == rec.Input && b.subject == rec.Subject {
		return b.last
	}
	b.known, b.input, b.subject = true, strings.Clone(rec.Input), strings.Clone(rec.Subject)
	var mask uint64
	for i := range d.perInput {
		if d.perInput[i].holds(rec) {
			mask |= 1 << i
		}
	}
	b.last = d
	if mask != 0 {
		b.last = d.withMaps(mask)
	}
	return b.last
}

// withMaps returns the decoder that the overrides of some inputs hold for as well.
func (d *Decoder) withMaps(mask uint64) *Decoder {
	if x := d.inputs.decoders[mask]; x != nil {
		return x
	}
	o := d.opt
	o.Map = append([]string(nil), d.everyMap...)
	for i := range d.perInput {
		if mask&(1<<i) != 0 {
			o.Map = append(o.Map, d.perInput[i].maps...)
		}
	}
	x := New(o)
	x.counts = d.counts
	if d.inputs.decoders == nil {
		d.inputs.decoders = map[uint64]*Decoder{}
	}
	d.inputs.decoders[mask] = x
	return x
}
