package correlate

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"corral/event"
	"corral/rules"

	"pgregory.net/rapid"
)

// heard is one firing as a test sees it.
type heard struct {
	at    int64
	timer bool
	f     firing
}

// words names the events of a firing; those that were not at an event say when,
// and a timeout is in brackets.
func (h heard) words() string {
	var names []string
	for _, ev := range h.f.events {
		names = append(names, ev.Message)
	}
	s := strings.Join(names, " ")
	if h.f.cause != "" {
		s = "(" + s + ")"
	}
	if h.timer {
		s += fmt.Sprintf("@%v", time.Duration(h.at).Seconds())
	}
	return s
}

// solo feeds one machine as the core does, and listens. It keeps no incidents.
type solo struct {
	rule     *rules.Rule
	make     func() machine
	m        machine
	call     call
	env      rules.Env
	errors   uint64
	dropped  uint64
	heard    []heard
	holding  bool
	releases []int64 // the last instants given
	ended    []string
	restart  bool  // before every event and timer the machine goes through a snapshot
	clock    int64 // of run
	recount  bool  // check the counts of firings
	fed      []*input
}

func newSolo(r *rules.Rule) *solo {
	b := &solo{rule: r, make: makers[r.Kind](r)}
	b.m = b.make()
	b.call = call{rule: r, env: &b.env, errors: &b.errors, dropped: &b.dropped, core: b}
	return b
}

func (b *solo) fire(c *call, f firing) {
	b.counts(f)
	f.events = slices.Clone(f.events) // they are valid during the call only
	b.heard = append(b.heard, heard{c.now, c.expired, f})
}

// counts panics if the count of a firing is not that of the Selected events from
// its first one on. It knows that one if the machine is not out to tell of others.
func (b *solo) counts(f firing) {
	want := 0
	for _, in := range b.fed {
		if in.selected && event.Compare(in.ev, f.events[0]) >= 0 {
			want++
		}
	}
	if len(b.fed) > 0 && f.start == f.events[0].Time && f.count != want {
		panic(fmt.Sprintf("count is %d, want %d", f.count, want))
	}
}

func (b *solo) hold(c *call) {
	if !b.holding {
		b.fire(c, b.m.content(c))
	}
	b.holding = true
}

func (b *solo) release(_ *call, last int64) {
	if b.holding {
		b.releases = append(b.releases, last)
	}
	b.holding = false
}

func (b *solo) end(_ *call, cause string) { b.ended = append(b.ended, cause) }

// feed gives the machine an event, and first the timers before it.
func (b *solo) feed(in *input) {
	b.advance(in.ev.Time)
	b.snapshot()
	t := &b.call.tally
	if in.selected {
		t.before, t.at = t.seen, in.ev.Time
		t.seen++
	}
	if b.recount {
		b.fed = append(b.fed, in)
	}
	b.call.now, b.call.expired, b.env.Event = in.ev.Time, false, in.ev
	b.m.event(&b.call, in)
	b.renew()
}

// advance gives the machine the timers before until.
func (b *solo) advance(until int64) {
	for t := b.m.next(); t < until; t = b.m.next() {
		b.snapshot()
		b.call.now, b.call.expired = t, true
		b.m.timer(&b.call)
		if after := b.m.next(); after <= t {
			panic(fmt.Sprintf("timer at %d left next at %d", t, after))
		}
		b.renew()
	}
}

// renew frees a machine with nothing live, as the core does.
func (b *solo) renew() {
	if b.m.idle() {
		b.m = b.make()
	}
}

// snapshot writes the machine and reads it again.
func (b *solo) snapshot() {
	if !b.restart {
		return
	}
	e := newEncoder()
	b.m.encode(e)
	d := &decoder{buf: e.buf}
	b.m = b.make()
	if b.m.decode(d); d.err != nil || len(d.buf) > 0 {
		panic(fmt.Sprintf("snapshot: %v, %d bytes left", d.err, len(d.buf)))
	}
}

func (b *solo) words() (words []string) {
	for _, h := range b.heard {
		words = append(words, h.words())
	}
	return words
}

// ruleOf reads one rule written in YAML, without its envelope's id.
func ruleOf(tb rapid.TB, text string) *rules.Rule {
	tb.Helper()
	file := "version: 1\nrules:\n  - id: r\n    title: t\n" + indent(text)
	set, diags := rules.Parse([]rules.File{{Name: "rules.yaml", Data: []byte(file)}})
	if set == nil {
		tb.Fatalf("rule does not load:\n%s\n%v", file, diags)
	}
	return set.Rules[0]
}

// indent shifts text under a list item.
func indent(text string) string {
	lines := strings.Split(strings.Trim(text, "\n"), "\n")
	lead := len(lines[0]) - len(strings.TrimLeft(lines[0], " \t"))
	for i, l := range lines {
		lines[i] = "    " + strings.ReplaceAll(l[min(lead, len(l)):], "\t", "  ")
	}
	return strings.Join(lines, "\n") + "\n"
}

// story runs lines of "seconds name key=value …" through a rule of one key. The
// name is the event's message, the rest its attributes.
func story(tb rapid.TB, r *rules.Rule, lines string) *solo {
	tb.Helper()
	b := newSolo(r)
	for _, in := range inputs(tb, r, lines) {
		b.feed(in)
	}
	return b
}

func inputs(tb rapid.TB, r *rules.Rule, lines string) (ins []*input) {
	tb.Helper()
	set, _ := rules.Parse([]rules.File{{Name: "rules.yaml", Data: []byte("version: 1\nrules:\n" + r.Text)}})
	if set == nil {
		tb.Fatalf("rule does not load again:\n%s", r.Text)
	}
	m := set.Matcher()
	for line := range strings.Lines(lines) {
		f := strings.Fields(line)
		if len(f) == 0 {
			continue
		}
		ev := parseEvent(tb, f)
		ev.Pos.Seq = uint64(len(ins))
		in := &input{ev: ev}
		for _, x := range m.Match(ev, nil) {
			in.selected, in.parts, in.args = x.Selected, x.Parts, slices.Clone(x.Args)
		}
		ins = append(ins, in)
	}
	return ins
}

func parseEvent(tb rapid.TB, f []string) *event.Event {
	at, err := time.ParseDuration(f[0] + "s")
	if err != nil || len(f) < 2 {
		tb.Fatalf("bad event %q", f)
	}
	ev := &event.Event{Kind: "log", Time: int64(at), Message: f[1]}
	attrs := map[string]any{"type": f[1]}
	for _, kv := range f[2:] {
		k, v, _ := strings.Cut(kv, "=")
		attrs[k] = scalar(v)
	}
	ev.SetAttrs(attrs)
	return ev
}

// scalar reads a value as JSON would have it.
func scalar(s string) any {
	var n int
	var f float64
	switch {
	case s == "nil":
		return nil
	case s == "true" || s == "false":
		return s == "true"
	case scan(s, &n):
		return n
	case scan(s, &f):
		return f
	}
	return s
}

func scan(s string, v any) bool {
	k, err := fmt.Sscan(s, v)
	return k == 1 && err == nil && fmt.Sprint(deref(v)) == s
}

func deref(v any) any {
	switch v := v.(type) {
	case *int:
		return *v
	case *float64:
		return *v
	}
	return nil
}

func expect(t *testing.T, got []string, want string) {
	t.Helper()
	wants := []string{}
	for w := range strings.SplitSeq(want, ",") {
		if w = strings.TrimSpace(w); w != "" {
			wants = append(wants, w)
		}
	}
	if !slices.Equal(got, wants) {
		t.Errorf("\n got %q\nwant %q", got, wants)
	}
}

// timed is words with the instant of every firing.
func (b *solo) timed() (words []string) {
	for _, h := range b.heard {
		h.timer = true
		words = append(words, h.words())
	}
	return words
}

// released are the instants up to which a lasting condition was true, in seconds.
func (b *solo) released() (words []string) {
	for _, at := range b.releases {
		words = append(words, fmt.Sprint(time.Duration(at).Seconds()))
	}
	return words
}

// nodes says of every line that it is of node n1.
func nodes(lines string) string {
	return strings.ReplaceAll(lines+"\n", "\n", " node=n1\n")
}
