package jetstream

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"slices"
	"testing"
	"time"

	"corral/ingest"
	"corral/internal/natstest"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

var (
	chaosSeed   = flag.Uint64("chaos.seed", 0, "seed of TestChaos, 0: three fixed ones")
	chaosFaults = flag.Int("chaos.faults", 12, "faults of each round of TestChaos")
)

// TestChaos publishes while the server restarts, connections are cut, the
// consumer is deleted or robbed, AckWait passes and the worker starts again with
// or without a snapshot; the messages come in order, each once.
func TestChaos(t *testing.T) {
	seeds := []uint64{1, 2, 3}
	if *chaosSeed != 0 {
		seeds = []uint64{*chaosSeed}
	}
	for _, seed := range seeds {
		t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) {
			newChaos(t, seed).run(*chaosFaults)
		})
	}
}

// chaos is one worker and what befalls it. kept is what it would have in its
// snapshot: a worker that starts again goes on from there.
type chaos struct {
	t    *testing.T
	rng  *rand.Rand
	srv  *natstest.Server
	pub  jetstream.JetStream // of the test
	far  *nats.Conn          // of the worker
	cfg  Config
	c    *collector
	sent uint64
	kept []uint64 // handed over to earlier workers and snapshotted
}

func newChaos(t *testing.T, seed uint64) *chaos {
	srv, js := server(t)
	x := &chaos{t: t, rng: rand.New(rand.NewPCG(seed, 0)), srv: srv, pub: js, far: srv.Connect(), cfg: quick("LOGS")}
	x.cfg.AckWait = 300 * time.Millisecond // so that redelivery is part of every round
	x.cfg.Pull = 50
	if *chaosSeed != 0 {
		x.cfg.Log = slog.New(slog.NewTextHandler(os.Stderr, nil))
	}
	x.start()
	return x
}

func (x *chaos) start() {
	js, err := jetstream.New(x.far)
	if err != nil {
		x.t.Fatal(err)
	}
	var known map[string]ingest.Position
	if n := len(x.kept); n > 0 {
		known = map[string]ingest.Position{"stream:LOGS": {Seq: x.kept[n-1]}}
	}
	x.c = collect(x.t, js, x.cfg, known)
}

func (x *chaos) run(faults int) {
	actions := []func(){x.restartServer, x.cut, x.deleteConsumer, x.rob, x.restartWorker, x.crashWorker, x.release}
	for range faults {
		x.publish(1 + x.rng.IntN(200))
		i := x.rng.IntN(len(actions))
		x.cfg.Log.Info("fault", "number", i)
		actions[i]()
	}
	x.publish(10)
	x.catchUp()
	x.c.release()
	natstest.Eventually(x.t, "all acknowledged", func() bool { return floor(x.t, x.pub, "LOGS", x.cfg.DurableName()) == x.sent })
	if got := x.seen(); !slices.Equal(got, numbers(1, x.sent)) {
		x.t.Fatalf("got %d messages of %d, first difference at %d", len(got), x.sent, firstDifference(got))
	}
	x.t.Logf("%d messages, %+v", x.sent, x.c.src.Stats()[0])
}

// seen is what all workers kept, in order.
func (x *chaos) seen() []uint64 {
	x.c.mu.Lock()
	defer x.c.mu.Unlock()
	return slices.Concat(x.kept, x.c.seqs)
}

func firstDifference(seqs []uint64) int {
	for i, s := range seqs {
		if s != uint64(i+1) {
			return i
		}
	}
	return len(seqs)
}

func (x *chaos) publish(n int) {
	for range n {
		natstest.Eventually(x.t, "publishing", func() bool {
			m := nats.NewMsg("logs.a")
			m.Header.Set(nats.MsgIdHdr, fmt.Sprint(x.sent+1))              // an unknown outcome is tried again
			ctx, cancel := context.WithTimeout(x.t.Context(), time.Second) // a server that stopped does not answer
			defer cancel()
			ack, err := x.pub.PublishMsg(ctx, m)
			if err == nil {
				x.sent = ack.Sequence
			}
			return err == nil
		})
	}
}

func (x *chaos) catchUp() {
	x.t.Helper()
	natstest.Eventually(x.t, fmt.Sprintf("message %d", x.sent), func() bool {
		seen := x.seen()
		return len(seen) > 0 && seen[len(seen)-1] >= x.sent
	})
}

func (x *chaos) restartServer() { x.srv.Restart() }

// cut ends the worker's connection as a broken network does.
func (x *chaos) cut() {
	if cid, err := x.far.GetClientID(); err == nil {
		_ = x.srv.DisconnectClientByID(cid) // it may be reconnecting already
	}
}

func (x *chaos) deleteConsumer() {
	_ = x.pub.DeleteConsumer(x.t.Context(), "LOGS", x.cfg.DurableName()) // it may be gone
}

// rob takes deliveries away from the worker.
func (x *chaos) rob() {
	thief, err := x.pub.Consumer(x.t.Context(), "LOGS", x.cfg.DurableName())
	if err != nil {
		return
	}
	x.publish(5)
	if b, err := thief.FetchNoWait(5); err == nil {
		for range b.Messages() {
			continue
		}
	}
}

// restartWorker stops the worker as SIGTERM does: everything it has is safe.
func (x *chaos) restartWorker() {
	x.c.release()
	_ = x.c.stop()
	x.kept = append(x.kept, x.c.seqs...)
	x.start()
}

// crashWorker loses what the worker read after its last snapshot, which is a
// random part of what it has.
func (x *chaos) crashWorker() {
	_ = x.c.stop()
	if n := len(x.c.seqs); n > 0 {
		x.kept = append(x.kept, x.c.seqs[:x.rng.IntN(n+1)]...)
	}
	// Acknowledged is at most what is in the snapshot.
	acked := x.c.released
	if n := uint64(len(x.kept)); acked > n {
		x.kept = append(x.kept, numbers(n+1, acked)...)
	}
	x.start()
}

// release is a snapshot with its acknowledgements.
func (x *chaos) release() { x.c.release() }
