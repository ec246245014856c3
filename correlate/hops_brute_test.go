package correlate

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"corral/event"
)

// bruteHops says what docs/rules.md says about hops, from lists of everything
// that ever was.
type bruteHops struct {
	events []*event.Event
	from   map[string]*bruteSteps // by statement
}

// bruteSteps are all steps out of a statement; usual is a statement, "" if none
// followed yet.
type bruteSteps struct {
	steps []bruteStep
	usual string
}

type bruteStep struct {
	to  string
	gap float64
}

func (b *bruteHops) read(ev *event.Event) (hops []string) {
	prev := b.before(ev)
	if prev != nil && prev.Time == ev.Time && prev.Raw == ev.Raw && prev.Service == ev.Service {
		return nil
	}
	b.events = append(b.events, ev)
	if prev == nil {
		return nil
	}
	statement := statementOf(prev).String()
	s := b.from[statement]
	if s == nil {
		s = &bruteSteps{}
		b.from[statement] = s
	}
	to, gap := statementOf(ev).String(), float64(ev.Time-prev.Time)/1e6
	hop := s.hop(to)
	hop.Step, hop.FromService, hop.FromLogger, hop.GapMS, hop.Side = statement+" > "+to, prev.Service, prev.Logger, gap, "to"
	if prev.Service != ev.Service {
		hop.Peer = prev.Service
		other := hop
		other.Side, other.Peer = "from", ev.Service
		defer func() { hops = append(hops, fmt.Sprintf("%s %+v", prev.Service, other)) }()
	}
	s.learn(bruteStep{to, gap})
	return []string{fmt.Sprintf("%s %+v", ev.Service, hop)}
}

// before is the event before in the trace, if it is at most a minute older.
func (b *bruteHops) before(ev *event.Event) *event.Event {
	for _, x := range slices.Backward(b.events) {
		if x.TraceID == ev.TraceID {
			if ev.Time-x.Time > 60e9 {
				return nil
			}
			return x
		}
	}
	return nil
}

// hop is what is known of the step to a statement.
func (s *bruteSteps) hop(to string) event.Hop {
	hop := event.Hop{Known: len(s.remembered())}
	all := s.life(to)
	gaps := s.gaps(all)
	recent := slices.Sorted(slices.Values(gaps[len(gaps)-min(200, s.times(to)):]))
	if hop.Seen = len(recent); hop.Seen > 0 {
		hop.P50MS, hop.P90MS = interpolate(recent, 0.5), interpolate(recent, 0.9)
	}
	if runs := slices.Collect(slices.Chunk(gaps, 20)); len(gaps) >= 20 {
		runs = runs[:len(gaps)/20]
		var quantiles []float64
		for _, run := range runs[max(0, len(runs)-10):] {
			quantiles = append(quantiles, interpolate(slices.Sorted(slices.Values(run)), 0.9))
		}
		hop.P90MS = middle(quantiles)
	}
	if s.usual != "" {
		hop.Share, hop.UsualShare = s.share(to), s.share(s.usual)
		st := s.statement(s.usual)
		hop.UsualService, hop.UsualLogger = st.service, st.logger
	}
	return hop
}

func (s *bruteSteps) statement(text string) statement {
	return statement{service: text[:1], logger: text[2:]}
}

// remembered are the last 500.
func (s *bruteSteps) remembered() []bruteStep { return s.steps[max(0, len(s.steps)-500):] }

func (s *bruteSteps) times(to string) (n int) {
	for _, x := range s.remembered() {
		if x.to == to {
			n++
		}
	}
	return n
}

// life are the places of the steps to a statement since it came up, or came up
// again after none of the last 500 was one.
func (s *bruteSteps) life(to string) (all []int) {
	last := len(s.steps)
	for i, x := range slices.Backward(s.steps) {
		switch {
		case last-i > 500:
			return all
		case x.to == to:
			all = slices.Insert(all, 0, i)
			last = i
		}
	}
	return all
}

func (s *bruteSteps) gaps(places []int) (gaps []float64) {
	for _, i := range places {
		gaps = append(gaps, s.steps[i].gap)
	}
	return gaps
}

// share is the part of the steps that usually goes to a statement.
func (s *bruteSteps) share(to string) float64 {
	runs := len(s.steps) / 20
	if runs < 3 {
		return float64(s.times(to)) / float64(len(s.remembered()))
	}
	all := s.life(to)
	var shares []float64
	for run := max(0, runs-25); run < runs; run++ {
		n := 0
		for _, i := range all {
			if i/20 == run {
				n++
			}
		}
		shares = append(shares, float64(n)/20)
	}
	return middle(shares)
}

func (s *bruteSteps) learn(x bruteStep) {
	s.steps = append(s.steps, x)
	switch {
	case len(s.steps) <= 59 || s.usual == "": // it takes three full runs
		s.usual = s.most(func(to string) float64 { return float64(s.times(to)) })
	case len(s.steps)%20 == 0:
		if len(s.steps) == 60 {
			s.usual = s.most(func(to string) float64 { return float64(s.times(to)) })
		}
		s.usual = s.most(s.share)
	}
	if s.times(s.usual) == 0 {
		s.usual = ""
		s.usual = s.most(func(to string) float64 { return float64(s.times(to)) })
	}
}

// most is the statement with the highest measure; of several what was usual, else
// the one that came up first.
func (s *bruteSteps) most(measure func(to string) float64) string {
	best := s.usual
	for _, to := range s.known() {
		if best == "" || measure(to) > measure(best) {
			best = to
		}
	}
	return best
}

// known are the statements among those remembered, in the order they came up.
func (s *bruteSteps) known() []string {
	var all []string
	for _, x := range s.remembered() {
		if !slices.Contains(all, x.to) {
			all = append(all, x.to)
		}
	}
	slices.SortFunc(all, func(a, b string) int { return cmp.Compare(s.life(a)[0], s.life(b)[0]) })
	return all
}

func middle(all []float64) float64 {
	slices.Sort(all)
	return all[(len(all)-1)/2]
}

// TestHopsBrute compares what is kept of hops with lists of everything, and takes
// it through a snapshot now and then.
func TestHopsBrute(t *testing.T) {
	for seed := range uint64(2) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			rng := rand.New(rand.NewPCG(seed, 14))
			h, b := newHops(t), &bruteHops{from: map[string]*bruteSteps{}}
			now, told := 0, 0
			for i := range 4500 {
				switch rng.IntN(200) {
				case 0:
					now += 60_000 - rng.IntN(2) // a minute, and just less
				case 1:
					now += 60_001
				default:
					now += rng.IntN(30)
				}
				// What follows what changes every now and then, and things are forgotten.
				mood := i / 900
				ev := logged(fmt.Sprint("t", rng.IntN(2)), now, string(rune('a'+rng.IntN(2)*(mood%2))), fmt.Sprint(rng.IntN(2)*(1+mood%3)))
				got, want := h.read(ev), b.read(ev)
				var texts []string
				for _, x := range got {
					texts = append(texts, fmt.Sprintf("%s %+v", x.Service, *x.Hop))
				}
				if !slices.Equal(texts, want) {
					t.Fatalf("event %d\n got %q\nwant %q", i, texts, want)
				}
				told += len(want)
				if i%700 == 699 {
					h = rehopped(t, h)
				}
			}
			if told < 3000 {
				t.Errorf("%d hops", told)
			}
		})
	}
}

// rehopped is what comes out of a snapshot of h.
func rehopped(t *testing.T, h *hops) *hops {
	t.Helper()
	e := newEncoder()
	h.encode(e)
	again := newHops(t)
	d := &decoder{buf: e.buf}
	if again.decode(d); d.err != nil {
		t.Fatal(d.err)
	}
	return again
}
