package jetstream

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"corral/ingest"
	"corral/internal/natstest"

	"github.com/nats-io/nats.go"
)

func runCore(t *testing.T, nc *nats.Conn, cfg CoreConfig, out func(ingest.Batch) error) *Core {
	t.Helper()
	cfg.Tick = 20 * time.Millisecond
	cfg.Log = slog.New(slog.DiscardHandler)
	c, err := NewCore(nc, cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx, out) }()
	t.Cleanup(func() {
		cancel(errStop)
		if err := <-done; !errors.Is(err, errStop) {
			t.Errorf("Run ended with %v", err)
		}
	})
	return c
}

// inbox collects what a Core hands over.
type inbox struct {
	mu   sync.Mutex
	recs map[int][]ingest.Record
	idle map[int]int
}

func (i *inbox) take(b ingest.Batch) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.recs == nil {
		i.recs, i.idle = map[int][]ingest.Record{}, map[int]int{}
	}
	if len(b.Records) == 0 && b.Pending == 0 {
		i.idle[b.Partition]++
	}
	i.recs[b.Partition] = append(i.recs[b.Partition], b.Records...)
	return nil
}

func (i *inbox) count(partition int) int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return len(i.recs[partition])
}

func (i *inbox) records(partition int) []ingest.Record {
	i.mu.Lock()
	defer i.mu.Unlock()
	return slices.Clone(i.recs[partition])
}

func (i *inbox) ticks(partition int) int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.idle[partition]
}

func TestCoreReadsSubjects(t *testing.T) {
	s := natstest.Start(t, natstest.Config(`
		accounts { SYS { users [{user: sys, password: s}] }, A { users [{user: a, password: a}] } }
		system_account: SYS
	`))
	nc := s.Connect(nats.UserInfo("sys", "s"))
	var in inbox
	c := runCore(t, nc, CoreConfig{Subjects: []string{"$SYS.ACCOUNT.*.CONNECT", "logs.>"}}, in.take)
	natstest.Eventually(t, "both subscriptions", func() bool { return in.ticks(0) > 0 && in.ticks(1) > 0 })
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	s.Connect(nats.UserInfo("a", "a"))
	natstest.Eventually(t, "the connect event", func() bool { return in.count(0) > 0 })
	for i := range 100 {
		if err := nc.Publish("logs.x", fmt.Appendf(nil, "%d", i)); err != nil {
			t.Fatal(err)
		}
	}
	natstest.Eventually(t, "the logs", func() bool { return in.count(1) == 100 })
	for i, r := range in.records(1) {
		if r.Seq != uint64(i+1) || string(r.Data) != fmt.Sprint(i) || r.Subject != "logs.x" || r.Observed == 0 {
			t.Fatalf("record %d: %+v", i, r)
		}
	}
	if p := c.Partitions(); p[0].Name != "subject:$SYS.ACCOUNT.*.CONNECT" || p[0].Replay || p[1].Replay {
		t.Errorf("partitions %+v", p)
	}
}

func TestCoreQueueGroupShares(t *testing.T) {
	s := natstest.Start(t)
	var a, b inbox
	nc := s.Connect()
	runCore(t, s.Connect(), CoreConfig{Subjects: []string{"logs"}, Queue: "w"}, a.take)
	runCore(t, s.Connect(), CoreConfig{Subjects: []string{"logs"}, Queue: "w"}, b.take)
	natstest.Eventually(t, "both subscriptions", func() bool { return s.NumSubscriptions() >= 2 && a.ticks(0) > 0 && b.ticks(0) > 0 })
	for range 100 {
		if err := nc.Publish("logs", nil); err != nil {
			t.Fatal(err)
		}
	}
	natstest.Eventually(t, "all messages, each at one of them", func() bool { return a.count(0)+b.count(0) == 100 })
}

func TestCoreCountsWhatASlowReaderLoses(t *testing.T) {
	s := natstest.Start(t)
	var in inbox
	slow := make(chan struct{})
	nc := s.Connect(nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
	c := runCore(t, nc, CoreConfig{Subjects: []string{"logs"}, MaxMessages: 100}, func(b ingest.Batch) error {
		<-slow
		return in.take(b)
	})
	natstest.Eventually(t, "the subscription", func() bool { return s.NumSubscriptions() >= 1 })
	pub := s.Connect()
	const n = 10_000
	for range n {
		if err := pub.Publish("logs", []byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	if err := pub.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := nc.Flush(); err != nil { // all of it was delivered or dropped
		t.Fatal(err)
	}
	close(slow)
	natstest.Eventually(t, "every message received or counted as dropped", func() bool {
		st := c.Stats()[0]
		return st.Dropped > 0 && st.Received+st.Dropped == n
	})
}

func TestCoreWithoutPermissionFails(t *testing.T) {
	s := natstest.Start(t, natstest.Config(`authorization { users [
		{user: a, password: a, permissions: {subscribe: ["_INBOX.>"]}}] }`))
	nc := s.Connect(nats.UserInfo("a", "a"), nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
	c, err := NewCore(nc, CoreConfig{Subjects: []string{"logs.>"}, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Run(t.Context(), func(ingest.Batch) error { return nil }); !errors.Is(err, nats.ErrPermissionViolation) {
		t.Errorf("got %v, want a permission violation", err)
	}
}

func TestCoreReconnects(t *testing.T) {
	s := natstest.Start(t)
	var in inbox
	c := runCore(t, s.Connect(), CoreConfig{Subjects: []string{"logs"}}, in.take)
	natstest.Eventually(t, "the subscription", func() bool { return in.ticks(0) > 0 })
	s.Restart()
	pub := s.Connect()
	natstest.Eventually(t, "a message after the restart", func() bool {
		_ = pub.Publish("logs", nil)
		return in.count(0) > 0
	})
	if st := c.Stats()[0]; st.Gaps != 1 {
		t.Errorf("stats %+v: want one disconnect", st)
	}
}

// What JetStream tells an account does not say which account that is.
func TestCoreNamesTheAccountOfAdvisories(t *testing.T) {
	s := natstest.Start(t, natstest.Config(`
		system_account: SYS
		accounts { SYS { users: [{user: sys, password: s}] }, APP { users: [{user: app, password: s}] } }
	`))
	nc := s.Connect(nats.UserInfo("app", "s"))
	var in inbox
	runCore(t, nc, CoreConfig{Subjects: []string{"$JS.EVENT.>", "logs.>"}}, in.take)
	natstest.Eventually(t, "both subscriptions are read", func() bool {
		for _, subject := range []string{"$JS.EVENT.ADVISORY.CONSUMER.MSG_NAKED.S.c", "logs.shop"} {
			if err := nc.Publish(subject, []byte("x")); err != nil {
				t.Fatal(err)
			}
		}
		return in.count(0) > 0 && in.count(1) > 0
	})
	if got := in.records(0)[0].Account; got != "APP" {
		t.Errorf("account of an advisory: got %q, want APP", got)
	}
	if got := in.records(1)[0].Account; got != "" {
		t.Errorf("account of a log line: got %q, want none: it may have been imported", got)
	}
}

// A user who may not ask who it is waits for no answer.
func TestAccountOfAUserWhoMayNotAsk(t *testing.T) {
	s := natstest.Start(t, natstest.Config(`
		system_account: SYS
		accounts {
			SYS { users: [{user: sys, password: s}] }
			APP { users: [{user: app, password: s, permissions: {publish: {deny: "$SYS.>"}}}] }
		}
	`))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	if got := accountOf(ctx, s.Connect(nats.UserInfo("app", "s"))); got != "" {
		t.Errorf("got %q", got)
	}
}
