// Package soak is the chaos harness: rounds in which the real binary, `corral
// run`, reads a stream of a real nats-server and writes to a real ClickHouse while
// everything that can fail does. What a round does is drawn from its seed.
//
// After each round
//   - the revisions in ClickHouse, read with FINAL,
//   - the revisions on the stream INCIDENTS, each once and in order, and
//   - those of them on ALERTS that somebody should hear of
//
// are those of `corral batch` over the same stream, field by field, and every
// message is accounted for: the acknowledgements stand at the stream's end, and
//
//	messages = counted by the rules + late + undecodable + still in the future
//
// where the first is the sum of the event counts of a rule that every event
// meets, and late and undecodable ones are in the dead letters.
//
// Compared is every field but those that tell of the run and not of the events
// (docs/incidents.md): detected_at, detect_lag_ms, mode and run_id; rules_gen,
// which counts the reloads of a worker; and truncated_end, which only a run that
// ends can say. Incidents of a worker about itself, of broken rule files, are its
// own: they must be over in the end. What live found late, because the clock had moved on or it came
// after its time, is taken out of the stream before batch reads it: batch has no
// clock, so it would still take some of it.
//
// A failure prints the seed that repeats the round:
//
//	go test ./test/soak -soak.seed=N -soak.rounds=1
//
// which repeats what is done and in what order; when exactly each thing happens
// to a process is up to the machine.
package soak

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"corral/internal/chserver"
)

var (
	firstSeed = flag.Uint64("soak.seed", 1, "seed of the first round; the next ones count up")
	rounds    = flag.Int("soak.rounds", 4, "rounds")
	lanes     = flag.Int("soak.lanes", 2, "rounds at a time, each with servers of its own")
	program   = flag.String("soak.corral", "", "the binary under test, built if empty")
)

// patience is how long anything may take on a machine that is busy otherwise.
const patience = 2 * time.Minute

func TestSoak(t *testing.T) {
	if _, err := chserver.FindLibrary(); errors.Is(err, chserver.ErrNoLibrary) {
		t.Skip(err)
	}
	s := &soak{corral: build(t), began: time.Now()}
	t.Cleanup(func() { t.Log(s.report()) })
	for lane := range min(*lanes, *rounds) {
		t.Run(fmt.Sprint("lane=", lane), func(t *testing.T) {
			t.Parallel()
			rig := newRig(t)
			for n := s.next.Add(1); int(n) <= *rounds; n = s.next.Add(1) {
				s.round(t, rig, *firstSeed+uint64(n)-1)
			}
		})
	}
}

// build makes the binary under test.
func build(t *testing.T) string {
	t.Helper()
	if *program != "" {
		path, err := filepath.Abs(*program)
		if err != nil {
			t.Fatal(err)
		}
		return path
	}
	path := filepath.Join(t.TempDir(), "corral")
	if out, err := exec.Command("go", "build", "-o", path, "corral").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return path
}

// soak is all rounds together.
type soak struct {
	corral string
	began  time.Time
	next   atomic.Int64

	mu          sync.Mutex
	total       tally
	rounds      int
	differences int
	failed      []uint64
}

// tally is what a round came to.
type tally struct {
	faults                                     map[string]int // of machines, networks and people, by kind
	odd                                        map[string]int // messages that are not as they should be, by kind
	messages, counted, late, undecodable, then int
	lives, gaveUp, revisions, alerts           int
}

func (s *soak) round(t *testing.T, rig *rig, seed uint64) {
	dir, err := os.MkdirTemp("", "corral-soak-")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	r := newRound(rig, s.corral, dir, seed)
	begin := time.Now()
	diffs, err := r.run(ctx)
	s.add(&r.tally, seed, len(diffs), err)
	for _, why := range r.worker.gaveUp {
		t.Logf("seed %d: the worker ended by itself: %s", seed, why)
	}
	if err == nil && len(diffs) == 0 {
		t.Logf("seed %d: %s in %.1f s", seed, &r.tally, time.Since(begin).Seconds())
		_ = os.RemoveAll(dir)
		return
	}
	t.Errorf("seed %d: %d differences, error %v; repeat with -soak.seed=%d -soak.rounds=1; its files are in %s\nplan: %s\n%s",
		seed, len(diffs), err, seed, dir, r.plan, strings.Join(diffs[:min(len(diffs), 20)], "\n"))
	if err != nil {
		rig.renew(t) // nobody knows what state it is in
	}
}

func (s *soak) add(t *tally, seed uint64, differences int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rounds++
	s.differences += differences
	if err != nil || differences > 0 {
		s.failed = append(s.failed, seed)
	}
	sum := &s.total
	sum.faults, sum.odd = plus(sum.faults, t.faults), plus(sum.odd, t.odd)
	sum.messages += t.messages
	sum.counted += t.counted
	sum.late += t.late
	sum.undecodable += t.undecodable
	sum.then += t.then
	sum.lives += t.lives
	sum.gaveUp += t.gaveUp
	sum.revisions += t.revisions
	sum.alerts += t.alerts
}

func plus(a, b map[string]int) map[string]int {
	if a == nil {
		a = map[string]int{}
	}
	for k, n := range b {
		a[k] += n
	}
	return a
}

func (s *soak) report() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var b strings.Builder
	fmt.Fprintf(&b, "%d rounds (seeds %d to %d) in %.0f s: %s; %d differences", s.rounds, *firstSeed, *firstSeed+uint64(max(s.rounds, 1))-1,
		time.Since(s.began).Seconds(), &s.total, s.differences)
	if len(s.failed) > 0 {
		slices.Sort(s.failed)
		fmt.Fprintf(&b, " in the rounds of seeds %v", s.failed)
	}
	for _, m := range []map[string]int{s.total.faults, s.total.odd} {
		b.WriteString("\n")
		for _, kind := range slices.Sorted(maps.Keys(m)) {
			fmt.Fprintf(&b, "\n  %6d  %s", m[kind], kind)
		}
	}
	return b.String()
}

func (t *tally) String() string {
	n := 0
	for _, k := range t.faults {
		n += k
	}
	return fmt.Sprintf("%d faults, %d messages = %d counted + %d late + %d undecodable + %d in the future, %d revisions, %d alerts, %d lives of the worker (%d ended by itself)",
		n, t.messages, t.counted, t.late, t.undecodable, t.then, t.revisions, t.alerts, t.lives, t.gaveUp)
}
