package correlate

import (
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"corral/event"
)

// evidence keeps the events an incident rests on: the first half of those it
// was given and the last half.
type evidence struct {
	limit int
	first []*event.Event
	last  []*event.Event // ring once full
	at    int            // where the ring goes on
}

func (v *evidence) add(ev *event.Event) {
	head := (v.limit + 1) / 2
	if len(v.first) < head {
		v.first = append(v.first, ev)
		return
	}
	tail := v.limit - head
	if len(v.last) < tail {
		v.last = append(v.last, ev)
		return
	}
	if tail > 0 {
		v.last[v.at] = ev
		v.at = (v.at + 1) % tail
	}
}

// list is what is kept, in the order it came.
func (v *evidence) list() []*event.Event {
	evs := slices.Clone(v.first)
	evs = append(evs, v.last[v.at:]...)
	return append(evs, v.last[:v.at]...)
}

// maxLine is how much of a record evidence shows.
const maxLine = 2 << 10

// evidenceOf describes an event.
func evidenceOf(ev *event.Event, role, step string) Evidence {
	service := ev.Service
	if ev.Hop != nil && ev.Hop.Side == "from" {
		service = ev.Hop.Peer // the line is the other end's
	}
	return Evidence{
		At: utc(ev.Time), EventID: ev.EventID(), Role: role, Step: step,
		Kind: ev.Kind, Service: service, Level: ev.Level, TraceID: ev.TraceID,
		Line: line(ev),
	}
}

// line is the record as received, fit for any terminal and any wire.
func line(ev *event.Event) string {
	s := ev.Raw
	if s == "" {
		s = ev.Message
	}
	return visible(s)
}

// visible is a text fit for evidence.
func visible(s string) string {
	s = strings.TrimRight(s, "\r\n")
	if plain(s) {
		return s
	}
	return escape(s)
}

func plain(s string) bool {
	if len(s) > maxLine || !utf8.ValidString(s) {
		return false
	}
	return strings.IndexFunc(s, control) < 0
}

// control are the characters that would act on a terminal or hide text in it.
func control(r rune) bool {
	return r != '\t' && (unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r))
}

// escape makes valid, visible text of at most maxLine bytes.
func escape(s string) string {
	var b strings.Builder
	for i, r := range s {
		n := b.Len()
		switch {
		case r == utf8.RuneError && !strings.HasPrefix(s[i:], "\uFFFD"):
			b.WriteString(`\x` + hex2(s[i]))
		case r == '\n':
			b.WriteString(`\n`)
		case control(r) && r < 0x100:
			b.WriteString(`\x` + hex2(byte(r)))
		case control(r):
			b.WriteString(`\u` + hex2(byte(r>>8)) + hex2(byte(r)))
		default:
			b.WriteRune(r)
		}
		if b.Len() > maxLine-len("…") {
			return b.String()[:n] + "…"
		}
	}
	return b.String()
}

func hex2(b byte) string {
	const digits = "0123456789abcdef"
	return string([]byte{digits[b>>4], digits[b&15]})
}

// utc is an instant as records show it.
func utc(ns int64) time.Time { return time.Unix(0, ns).UTC() }

// record is the evidence of an episode: what it kept, the first event of each
// step, and the event that cleared it, in event order, each once.
func (ep *episode) record(stepName func(int) string) []Evidence {
	steps := make(map[*event.Event]string)
	evs := ep.evidence.list()
	for i, s := range ep.steps {
		if len(s) == 0 || ep.evidence.limit == 0 {
			continue
		}
		steps[s[0]] = stepName(i)
		if !slices.Contains(evs, s[0]) {
			evs = append(evs, s[0])
		}
	}
	slices.SortStableFunc(evs, event.Compare)
	list := make([]Evidence, 0, len(evs))
	for _, ev := range evs {
		list = append(list, evidenceOf(ev, ep.role(ev), steps[ev]))
	}
	return list
}

func (ep *episode) role(ev *event.Event) string {
	switch ev {
	case ep.clear:
		return "clear"
	case ep.trigger:
		return "trigger"
	}
	return "member"
}
