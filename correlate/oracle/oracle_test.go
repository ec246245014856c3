package oracle_test

import (
	"bytes"
	"cmp"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"corral/correlate"
	"corral/correlate/oracle"
	"corral/event"
	"corral/internal/steady"
	"corral/rules"
)

// way is how a stream is given to the engine: it must not matter.
type way struct {
	shards   int
	lateness int64 // events come out of order by up to so much
	seed     uint64
	restart  bool // snapshot and restore after every event
	steps    bool // advance the watermark at random, not after every event
}

func (w way) String() string {
	return fmt.Sprintf("shards=%d lateness=%s seed=%d restart=%v steps=%v", w.shards, time.Duration(w.lateness), w.seed, w.restart, w.steps)
}

// run gives the events to an engine.
func (w way) run(t fataler, set *rules.Set, events []*event.Event, end int64) []*correlate.Transition {
	rng := rand.New(rand.NewPCG(w.seed, 0))
	arrival := make(map[*event.Event]int64, len(events))
	for _, ev := range events {
		arrival[ev] = ev.Time
		if w.lateness > 0 {
			arrival[ev] += rng.Int64N(w.lateness + 1)
		}
	}
	events = slices.Clone(events)
	slices.SortStableFunc(events, func(a, b *event.Event) int {
		if arrival[a] != arrival[b] {
			return int(min(max(arrival[a]-arrival[b], -1), 1))
		}
		return event.Compare(a, b)
	})
	var out []*correlate.Transition
	emit := func(tr *correlate.Transition) { out = append(out, tr) }
	options := correlate.Options{Shards: w.shards}
	engine, matcher := correlate.New(set, options), set.Matcher()
	newest := int64(0)
	for _, ev := range events {
		ev = ev.Clone()
		engine.Seen(ev.Time)
		if ms := matcher.Match(ev, nil); len(ms) > 0 && !engine.Push(ev, ms) {
			t.Fatalf("%v: event at %v refused at watermark %v", w, ev.When(), clock(engine.Watermark()))
		}
		newest = max(newest, ev.Time)
		if !w.steps || rng.IntN(3) == 0 {
			engine.Advance(newest-w.lateness, emit)
		}
		if w.restart {
			engine = restarted(t, engine, set, options)
		}
	}
	engine.Finish(end, emit)
	return out
}

func restarted(t fataler, engine *correlate.Engine, set *rules.Set, options correlate.Options) *correlate.Engine {
	var state bytes.Buffer
	if err := engine.Snapshot(&state); err != nil {
		t.Fatalf("snapshot: %v", err)
	}
	engine, err := correlate.Restore(set, options, &state)
	if err != nil {
		t.Fatalf("restore: %v", err)
	}
	return engine
}

type fataler interface {
	Fatalf(format string, args ...any)
}

// line is a transition as the comparison sees it.
func line(tr *correlate.Transition) string {
	if tr.Collapsed { // what its keys do now is not its own
		few := *tr
		few.SeverityNow, few.Relapses = few.Severity, 0
		tr = &few
	}
	resolved := "-"
	if tr.ResolvedAt != nil {
		resolved = offset(*tr.ResolvedAt)
	}
	return fmt.Sprintf("%s %s.%d %s %s/%s %s/%s key=%v started=%s opened=%s last=%s resolved=%s count=%d firings=%d relapses=%d prev=%q rotated=%q flap=%v supp=%v%v notified=%v/%s fp=%s collapsed=%v/%d",
		offset(tr.ChangedAt), tr.IncidentID, tr.Rev, tr.RuleID, tr.State, tr.Cause, tr.Severity, tr.SeverityNow, tr.Key,
		offset(tr.StartedAt), offset(tr.OpenedAt), offset(tr.LastEventAt), resolved, tr.EventCount, tr.Firings, tr.Relapses,
		tr.PreviousID, tr.RotatedFrom, tr.Flapping, tr.Suppressed, tr.SuppressedBy, tr.Notified, tr.NotifyReason, tr.Fingerprint[:6],
		tr.Collapsed, tr.DistinctKeys)
}

func lines(trs []*correlate.Transition) []string {
	out := make([]string, len(trs))
	for i, tr := range trs {
		out[i] = line(tr)
	}
	return out
}

// offset is a time in seconds since the day began, to the nanosecond.
func offset(t time.Time) string {
	if t.IsZero() {
		return "0"
	}
	return strconv.FormatInt(t.Unix()%86400, 10) + strings.TrimRight(t.Format(".000000000"), ".0")
}

func clock(t int64) string { return offset(time.Unix(0, t).UTC()) }

func describe(events []*event.Event) string {
	var b strings.Builder
	for _, ev := range events {
		fmt.Fprintf(&b, "  %-20s #%d service=%q host=%q message=%q v=%v u=%v\n", clock(ev.Time), ev.Pos.Seq, ev.Service, ev.Host, ev.Message, ev.Attr("v"), ev.Attr("u"))
	}
	return b.String()
}

// differ compares the engine's timeline with the oracle's; "" if they agree.
func differ(want, got []string) string {
	if slices.Equal(want, got) {
		return ""
	}
	var b strings.Builder
	both := func(i int) (w, g string) {
		if i < len(want) {
			w = want[i]
		}
		if i < len(got) {
			g = got[i]
		}
		return w, g
	}
	skipped := 0
	for i := range max(len(want), len(got)) {
		w, g := both(i)
		near := i+2 < max(len(want), len(got)) && slices.Equal(want[min(i+1, len(want)):min(i+3, len(want))], got[min(i+1, len(got)):min(i+3, len(got))])
		switch {
		case w == g && near && i > 1:
			skipped++
		case w == g:
			fmt.Fprintf(&b, "  both   %s\n", w)
		default:
			fmt.Fprintf(&b, "  oracle %s\n  engine %s\n", w, g)
		}
	}
	fmt.Fprintf(&b, "  (and %d that are equal)\n", skipped)
	return b.String()
}

func load(t fataler, text string) *rules.Set {
	set, found := rules.Parse([]rules.File{{Name: "case.yaml", Data: []byte(text)}})
	for _, d := range found {
		if d.Level == "error" {
			t.Fatalf("%s:%d:%d: %s: %s\n%s", d.File, d.Line, d.Col, d.Code, d.Message, text)
		}
	}
	return set
}

// check compares oracle and engine over one case. Of one that fails it shows the
// events without which it would not.
func check(t fataler, text string, events []*event.Event, end int64, ways ...way) {
	set := load(t, text)
	for _, w := range ways {
		if w.differs(t, set, events, end) == "" {
			continue
		}
		for i := len(events) - 1; i >= 0; i-- {
			if fewer := slices.Delete(slices.Clone(events), i, i+1); w.differs(t, set, fewer, end) != "" {
				events = fewer
			}
		}
		t.Fatalf("%v\n%s\nevents:\n%send %s\n%s", w, text, describe(events), clock(end), w.differs(t, set, events, end))
	}
}

func (w way) differs(t fataler, set *rules.Set, events []*event.Event, end int64) string {
	return differ(lines(oracle.Run(set, events, end)), lines(w.run(t, set, events, end)))
}

// budget is how many random events a test run compares.
func budget(t *testing.T, small int) int {
	text := os.Getenv("CORRAL_ORACLE_EVENTS")
	if text == "" {
		return small
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("CORRAL_ORACLE_EVENTS: %v", err)
	}
	return n
}

// TestEngineIsTheOracle runs random rules over random streams through both: always
// the same few thousand events, or as many as CORRAL_ORACLE_EVENTS says.
func TestEngineIsTheOracle(t *testing.T) {
	compared, cases := 0, 0
	drawn := map[string]int{}
	defer func() { tell(t, drawn, compared) }()
	total := budget(t, 6000)
	for round := 0; compared < total && !t.Failed(); round++ {
		steady.Round(round)
		rapid.Check(t, func(rt *rapid.T) {
			m := maker{T: rt, scale: scales[rapid.IntRange(0, len(scales)-1).Draw(rt, "scale")]}
			m.collapses = m.tick == time.Second && m.oneIn(8)
			text := m.rulesText()
			events := m.events(m.int(1, 60))
			end := latest(events) + int64(m.int(0, 40))*int64(m.tick)
			ways := m.ways()
			check(rt, text, events, end, ways...)
			compared += len(events)
			cases++
			for _, name := range featuresOf(text, events, ways) {
				drawn[name]++
			}
		})
	}
	t.Logf("%d events in %d cases compared", compared, cases)
}

func latest(events []*event.Event) int64 {
	return slices.MaxFunc(events, func(a, b *event.Event) int { return cmp.Compare(a.Time, b.Time) }).Time
}

// ways draws how the engine is given the stream: plainly, and in one other way.
func (m maker) ways() []way {
	other := way{
		shards:   []int{1, 2, 4}[m.int(0, 2)],
		lateness: int64(m.int(0, 3)) * int64(m.tick),
		seed:     uint64(m.int(0, 1000)),
		restart:  m.oneIn(3),
		steps:    m.oneIn(2),
	}
	return []way{{shards: 1}, other}
}
