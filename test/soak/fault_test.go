package soak

import (
	"context"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// step is a fault at its time, or the end of one.
type step struct {
	at    time.Duration
	kind  string
	lasts time.Duration // then it ends; 0: it is over at once
	do    func(ctx context.Context, r *round) bool
	undo  func(ctx context.Context, r *round)
}

// fault is a kind of step. do reports whether it was injected: what it would
// befall may be down.
type fault struct {
	kind   string
	weight int
	lasts  [2]time.Duration // 0: it is over at once
	do     func(ctx context.Context, r *round, rng *rand.Rand) bool
	undo   func(ctx context.Context, r *round)
}

var faults = []fault{
	{kind: "worker killed", weight: 6, do: signal(syscall.SIGKILL)},
	{kind: "worker restarted", weight: 3, do: signal(syscall.SIGTERM)},
	{kind: "worker frozen", weight: 2, lasts: ms(20, 400), do: signal(syscall.SIGSTOP), undo: thaw},
	{kind: "NATS killed", weight: 2, lasts: ms(1, 200), do: killNATS, undo: startNATS},
	{kind: "NATS restarted", weight: 1, lasts: ms(1, 200), do: stopNATS, undo: startNATS},
	{kind: "NATS cut off", weight: 3, lasts: ms(1, 400), do: cutNATS, undo: healNATS},
	{kind: "NATS connection dropped", weight: 2, do: dropNATS},
	{kind: "NATS silent", weight: 2, lasts: ms(10, 500), do: stallNATS, undo: healNATS},
	{kind: "consumer deleted", weight: 2, do: deleteConsumer},
	{kind: "deliveries robbed", weight: 3, do: rob},
	{kind: "ClickHouse killed", weight: 2, lasts: ms(1, 300), do: killClickHouse, undo: startClickHouse},
	{kind: "ClickHouse swallows answers", weight: 3, lasts: ms(50, 500), do: swallow, undo: healClickHouse},
	{kind: "ClickHouse refuses inserts", weight: 2, lasts: ms(50, 500), do: refuse, undo: accept},
	{kind: "ClickHouse slow", weight: 2, lasts: ms(50, 500), do: slow, undo: healClickHouse},
	{kind: "ClickHouse silent", weight: 2, lasts: ms(50, 500), do: stallClickHouse, undo: healClickHouse},
	{kind: "ClickHouse cut off", weight: 2, lasts: ms(1, 400), do: cutClickHouse, undo: healClickHouse},
	{kind: "rules touched", weight: 2, do: touchRules},
	{kind: "rule added", weight: 2, lasts: ms(50, 500), do: addRule, undo: restoreRules},
	{kind: "rules broken", weight: 2, lasts: ms(50, 500), do: breakRules, undo: restoreRules},
}

func ms(least, most int) [2]time.Duration {
	return [2]time.Duration{time.Duration(least) * time.Millisecond, time.Duration(most) * time.Millisecond}
}

// draw fills in the steps, in the order of their times.
func (p *plan) draw(rng *rand.Rand) {
	var bag []int
	for i, f := range faults {
		bag = append(bag, slices.Repeat([]int{i}, f.weight)...)
	}
	for range 7 + rng.IntN(8) {
		f := faults[bag[rng.IntN(len(bag))]]
		own := rand.New(rand.NewPCG(p.seed, rng.Uint64()))
		s := step{at: between(rng, 0, p.length), kind: f.kind}
		s.do = func(ctx context.Context, r *round) bool { return f.do(ctx, r, own) }
		if f.undo != nil {
			s.lasts = between(rng, f.lasts[0], f.lasts[1])
			p.steps = append(p.steps, step{at: s.at + s.lasts, kind: "end of: " + f.kind, undo: f.undo})
		}
		p.steps = append(p.steps, s)
	}
	slices.SortStableFunc(p.steps, func(a, b step) int { return int(a.at - b.at) })
}

func signal(sig syscall.Signal) func(context.Context, *round, *rand.Rand) bool {
	return func(_ context.Context, r *round, _ *rand.Rand) bool { return r.worker.signal(sig) }
}

func thaw(_ context.Context, r *round) { r.worker.signal(syscall.SIGCONT) }

func killNATS(_ context.Context, r *round, _ *rand.Rand) bool {
	if r.natsDown {
		return false
	}
	r.rig.nats.Kill()
	r.natsDown = true
	return true
}

func stopNATS(_ context.Context, r *round, _ *rand.Rand) bool {
	if r.natsDown {
		return false
	}
	r.natsDown = true
	return r.rig.nats.Stop() == nil
}

func startNATS(_ context.Context, r *round) {
	if r.natsDown {
		r.natsDown = r.note("start NATS", r.rig.nats.Start()) != nil
	}
}

func cutNATS(_ context.Context, r *round, _ *rand.Rand) bool { r.rig.toNATS.sever(); return true }

func dropNATS(_ context.Context, r *round, _ *rand.Rand) bool { r.rig.toNATS.drop(); return true }

func stallNATS(_ context.Context, r *round, _ *rand.Rand) bool { r.rig.toNATS.stall(); return true }

func healNATS(_ context.Context, r *round) { r.rig.toNATS.heal() }

func deleteConsumer(ctx context.Context, r *round, _ *rand.Rand) bool {
	ctx, cancel := context.WithTimeout(ctx, 500*time.Millisecond)
	defer cancel()
	return r.rig.js.DeleteConsumer(ctx, stream, durable) == nil
}

// rob takes deliveries that the worker would have had: the server serves those who
// wait in turn.
func rob(ctx context.Context, r *round, rng *rand.Rand) bool {
	ctx, cancel := context.WithTimeout(ctx, 500*time.Millisecond)
	defer cancel()
	thief, err := r.rig.js.Consumer(ctx, stream, durable)
	if err != nil {
		return false
	}
	loot, err := thief.Fetch(1+rng.IntN(20), jetstream.FetchMaxWait(200*time.Millisecond))
	if err != nil {
		return false
	}
	n := 0
	for range loot.Messages() {
		n++
	}
	return n > 0
}

func killClickHouse(_ context.Context, r *round, _ *rand.Rand) bool {
	if r.chDown {
		return false
	}
	r.rig.ch.Kill()
	r.chDown = true
	return true
}

func startClickHouse(ctx context.Context, r *round) {
	if !r.chDown {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	_, err := r.rig.ch.Again(ctx)
	r.chDown = r.note("start ClickHouse", err) != nil
}

func swallow(_ context.Context, r *round, rng *rand.Rand) bool {
	r.rig.answers.MinRequest.Store(int64(rng.IntN(4000)))
	r.rig.answers.Swallow.Store(true)
	return true
}

func slow(_ context.Context, r *round, rng *rand.Rand) bool {
	r.rig.toClickHouse.slow(between(rng, time.Millisecond, 100*time.Millisecond))
	return true
}

func stallClickHouse(_ context.Context, r *round, _ *rand.Rand) bool {
	r.rig.toClickHouse.stall()
	return true
}

func cutClickHouse(_ context.Context, r *round, _ *rand.Rand) bool {
	r.rig.toClickHouse.sever()
	return true
}

func healClickHouse(_ context.Context, r *round) {
	r.rig.toClickHouse.heal()
	r.rig.answers.Swallow.Store(false)
}

// refuse makes the server find that there are too many parts already.
func refuse(ctx context.Context, r *round, _ *rand.Rand) bool {
	if r.chDown {
		return false
	}
	n := 0
	for _, t := range r.tables {
		if r.alter(ctx, t, "MODIFY SETTING parts_to_throw_insert = 1, parts_to_delay_insert = 1") == nil {
			r.refusing, n = true, n+1
		}
	}
	return n > 0
}

func accept(ctx context.Context, r *round) {
	for _, t := range r.tables {
		if r.refusing && !r.chDown {
			_ = r.alter(ctx, t, "RESET SETTING parts_to_throw_insert, parts_to_delay_insert") // heal looks again
		}
	}
}

func (r *round) alter(ctx context.Context, table, what string) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	return r.rig.db.Exec(ctx, "ALTER TABLE "+r.database+"."+table+" "+what)
}

// touchRules changes the bytes of a file and nothing that it says.
func touchRules(_ context.Context, r *round, _ *rand.Rand) bool {
	return r.rewrite(rulesText + "\n# " + time.Now().String() + "\n")
}

// addRule adds one that no event meets; it goes again.
func addRule(_ context.Context, r *round, _ *rand.Rand) bool {
	return r.rewrite(rulesText + "  - id: never\n    match: service == \"none such\"\n    event: {}\n")
}

// breakRules leaves the worker its last good ones.
func breakRules(_ context.Context, r *round, _ *rand.Rand) bool {
	if r.set.bucket || !r.worker.ran() {
		return false // the last good rules outlive a worker in a directory only, and there have to be some
	}
	return r.rewrite(strings.Replace(rulesText, "match:", "mtach:", 1))
}

func restoreRules(_ context.Context, r *round) { r.rewrite(rulesText) }

// rewrite replaces the rule file at once and tells the worker.
func (r *round) rewrite(text string) bool {
	next := r.rules + ".new"
	if r.note("write rules", os.WriteFile(next, []byte(text), 0o600)) != nil {
		return false
	}
	if r.note("write rules", os.Rename(next, r.rules)) != nil {
		return false
	}
	return r.worker.reload()
}
