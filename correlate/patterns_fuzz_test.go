package correlate

import (
	"testing"

	"corral/rules"
)

// fuzzed are rules whose machines read what a fuzzer writes.
func fuzzed(tb testing.TB) []*rules.Rule {
	return []*rules.Rule{
		sequenceRule(tb, "a b c", within(9)),
		sequenceRule(tb, "-x<4 a{2,} -y b? -x<3", within(9), timeouts),
		sequenceRule(tb, "a+! b*<2 c", within(9), contiguity(rules.AnyMatch), skip(rules.NoSkip)),
		sequenceRule(tb, "a b{2}", within(9), contiguity(rules.Strict), skip(rules.Next)),
		ruleOf(tb, "match: attrs.v > 0\nchange: {of: attrs.v, detect: changed}"),
		ruleOf(tb, "match: attrs.v > 0\nchange: {of: attrs.v, detect: first_seen, memory: 5s}"),
		ruleOf(tb, "match: attrs.v > 0\nchange: {of: attrs.v, detect: flapping, changes: 2, within: 5s}"),
		ruleOf(tb, "match: attrs.v > 0\ntemporal:\n  window: 5s\n  events: {a: attrs.v == 1, b: attrs.v == 2}"),
		ruleOf(tb, "match: attrs.v > 0\ntemporal:\n  window: 5s\n  events: {a: attrs.v == 1, b: attrs.v == 2}\n  condition: a > 0 && b == 0"),
	}
}

const fuzzStream = "a@0=1 b=2 b=1 x@5=1 a@5=2 y=1 c=2 a=1 b@30=1 c@31=2"

// FuzzMachineDecode: whatever a snapshot says of a machine, it is refused or the
// machine works on, in bounded time.
func FuzzMachineDecode(f *testing.F) {
	all := fuzzed(f)
	for i, r := range all {
		b := newSolo(r)
		for _, in := range fuzzInputs(f) {
			b.feed(in)
			e := newEncoder()
			b.m.encode(e)
			f.Add(uint8(i), e.buf)
		}
	}
	f.Fuzz(func(t *testing.T, which uint8, data []byte) {
		b := newSolo(all[int(which)%len(all)])
		d := &decoder{buf: data}
		if b.m.decode(d); d.err != nil {
			return
		}
		for _, in := range fuzzInputs(t) {
			b.some(in.ev.Time, 100)
			if b.m.next() < in.ev.Time {
				return // instants of a time before: a stream has none
			}
			b.feed(in)
		}
		b.some(never, 1000)
		b.m.encode(newEncoder())
	})
}

// some gives the machine at most n timers before until.
func (b *solo) some(until int64, n int) {
	for ; n > 0 && b.m.next() < until; n-- {
		b.advance(b.m.next() + 1)
	}
}

func fuzzInputs(tb testing.TB) []*input {
	ins := parseStream(tb, fuzzStream)
	for _, in := range ins {
		in.selected = true
		in.args = append(in.args, in.ev.Slot(0, "v"))
	}
	return ins
}
