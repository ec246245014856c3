package soak

import (
	_ "embed"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"
)

// rulesText is every kind of rule, quick enough for a round.
//
//go:embed testdata/rules.yaml
var rulesText string

const (
	ledgerRule = "ledger"    // counts every event
	overRule   = "last-word" // fires when the round is over
)

// settings are those of a worker that change no result.
type settings struct {
	lateness      time.Duration
	snapshotEvery time.Duration
	workers       int
	bucket        bool // snapshots in JetStream, not in a directory
	spool         bool
	hasty         bool // it gives up draining almost at once
}

// line is a message to publish.
type line struct {
	at     time.Duration // since the round began
	shift  time.Duration // of the event's time from then
	text   string        // with %s for the time; of a binary one without
	binary bool
	again  bool // the one before once more
}

// plan is all that a seed says.
type plan struct {
	seed   uint64
	length time.Duration
	set    settings
	lines  []line
	steps  []step
	odd    map[string]int // lines that are not as they should be, by kind
}

func (p *plan) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%v, %+v", p.length, p.set)
	for _, s := range p.steps {
		fmt.Fprintf(&b, "\n  %6d ms  %s", s.at.Milliseconds(), s.kind)
		if s.lasts > 0 {
			fmt.Fprintf(&b, " for %d ms", s.lasts.Milliseconds())
		}
	}
	return b.String()
}

func newPlan(seed uint64) *plan {
	rng := rand.New(rand.NewPCG(seed, 0))
	p := &plan{seed: seed, odd: map[string]int{}}
	p.length = 1500*time.Millisecond + between(rng, 0, 1500*time.Millisecond)
	p.set = settings{
		lateness:      between(rng, 300*time.Millisecond, 700*time.Millisecond),
		snapshotEvery: between(rng, 30*time.Millisecond, 600*time.Millisecond),
		workers:       1 + rng.IntN(3),
		bucket:        rng.IntN(3) == 0,
		spool:         rng.IntN(3) == 0,
		hasty:         rng.IntN(4) == 0,
	}
	p.tell(rng)
	p.draw(rng)
	return p
}

func between(rng *rand.Rand, least, most time.Duration) time.Duration {
	return least + time.Duration(rng.Int64N(int64(most-least)))
}

// tell fills in the lines: bursts and single ones, some of them special.
func (p *plan) tell(rng *rand.Rand) {
	at := time.Duration(0)
	for at < p.length {
		n := 1
		if rng.IntN(4) == 0 {
			n = 2 + rng.IntN(30)
		}
		service := rng.IntN(4)
		for range n {
			p.say(rng, at, service)
			at += between(rng, 0, 4*time.Millisecond)
		}
		at += between(rng, 0, 60*time.Millisecond)
	}
}

func (p *plan) say(rng *rand.Rand, at time.Duration, service int) {
	l := line{at: at, text: event(rng, len(p.lines), service)}
	switch n := rng.IntN(200); {
	case n < 1:
		l.shift = -time.Hour
		p.odd["clock set back"]++
	case n < 2:
		l.shift = time.Hour
		p.odd["clock set ahead"]++
	case n < 3:
		l.shift = between(rng, 0, p.set.lateness)
		p.odd["clock a little ahead"]++
	case n < 5:
		l.shift = -p.set.lateness - between(rng, -20*time.Millisecond, 200*time.Millisecond)
		p.odd["late"]++
	case n < 6:
		l = line{at: at, text: "\x00\x01\xff", binary: true}
		p.odd["undecodable"]++
	case n < 60:
		l.shift = -between(rng, 0, p.set.lateness/2)
	}
	p.lines = append(p.lines, l)
	if rng.IntN(100) == 0 {
		l.again = true
		p.lines = append(p.lines, l)
		p.odd["published twice"]++
	}
	if l.shift < 0 {
		p.odd["out of order"]++
	}
}

func event(rng *rand.Rand, n, service int) string {
	level := []string{"info", "info", "warn", "error", "error"}[rng.IntN(5)]
	return fmt.Sprintf(`{"time":%%q,"level":%q,"service":"s%d","msg":"line %d","n":%d,"user":"u%d"}`, level, service, n, n, rng.IntN(3))
}
