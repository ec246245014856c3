package nats

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"corral/correlate"
	"corral/internal/natstest"
)

// asset makes a stream of subject orders with one durable consumer and publishes
// to it.
func asset(t *testing.T, js jetstream.JetStream, str jetstream.StreamConfig, con jetstream.ConsumerConfig, n int) jetstream.Consumer {
	t.Helper()
	str.Name, str.Subjects = "ORDERS", []string{"orders"}
	con.Durable, con.AckPolicy = "billing", jetstream.AckExplicitPolicy
	if _, err := js.CreateStream(t.Context(), str); err != nil {
		t.Fatal(err)
	}
	c, err := js.CreateConsumer(t.Context(), "ORDERS", con)
	if err != nil {
		t.Fatal(err)
	}
	for range n {
		if _, err := js.Publish(t.Context(), "orders", []byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

// consume hands messages to f until the test ends.
func consume(t *testing.T, c jetstream.Consumer, f func(jetstream.Msg), opts ...jetstream.PullConsumeOpt) {
	t.Helper()
	cc, err := c.Consume(f, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cc.Stop(); <-cc.Closed() })
}

func TestPoisonMessage(t *testing.T) {
	short(t)
	w, s := single(t, accounts)
	c := asset(t, s.JetStream(asApp), jetstream.StreamConfig{}, jetstream.ConsumerConfig{MaxDeliver: 3}, 5)
	log := w.service("billing")
	consume(t, c, func(m jetstream.Msg) {
		meta, err := m.Metadata()
		if err != nil || meta.Sequence.Stream != 3 {
			_ = m.Ack()
			return
		}
		log.fails(errors.New("cannot parse order"), map[string]any{"nats": map[string]any{"stream": "ORDERS", "consumer": "billing", "seq": 3}})
		_ = m.Nak()
	})
	w.opens("js-poison-message", "account=APP consumer=billing seq=3 stream=ORDERS")
	w.ends(page{"js-poison-message", "account=APP consumer=billing seq=3 stream=ORDERS"})
}

// What it depends on is down: all messages are refused, none of them is poison.
func TestBrokenConsumer(t *testing.T) {
	short(t)
	w, s := single(t, accounts)
	c := asset(t, s.JetStream(asApp), jetstream.StreamConfig{}, jetstream.ConsumerConfig{MaxDeliver: 20}, 10)
	consume(t, c, func(m jetstream.Msg) {
		if w.has(page{"js-consumer-broken", "account=APP consumer=billing stream=ORDERS"}, "open") {
			_ = m.Ack() // it is back
			return
		}
		_ = m.NakWithDelay(100 * time.Millisecond)
	})
	w.opens("js-consumer-broken", "account=APP consumer=billing stream=ORDERS")
	w.ends(page{"js-consumer-broken", "account=APP consumer=billing stream=ORDERS"})
}

// Every message is acknowledged, but later than ack_wait.
func TestAckWaitTooShort(t *testing.T) {
	short(t)
	w, s := single(t, accounts)
	c := asset(t, s.JetStream(asApp), jetstream.StreamConfig{}, jetstream.ConsumerConfig{AckWait: 200 * time.Millisecond, SampleFrequency: "100%"}, 20)
	consume(t, c, func(m jetstream.Msg) {
		working := time.NewTimer(500 * time.Millisecond)
		defer working.Stop()
		<-working.C
		_ = m.Ack()
	})
	w.opens("js-redelivery-loop-ack-wait", "account=APP consumer=billing stream=ORDERS")
	w.ends(page{"js-redelivery-loop-ack-wait", "account=APP consumer=billing stream=ORDERS"})
}

// The handler hangs with every slot taken. Nothing announces that.
func TestHungConsumer(t *testing.T) {
	short(t)
	w, s := single(t, accounts)
	c := asset(t, s.JetStream(asApp), jetstream.StreamConfig{}, jetstream.ConsumerConfig{MaxAckPending: 3, AckWait: time.Hour}, 10)
	release := make(chan struct{})
	consume(t, c, func(m jetstream.Msg) {
		<-release
		_ = m.Ack()
	}, jetstream.PullMaxMessages(3))
	w.opens("js-consumer-stalled-max-ack-pending", "account=APP consumer=billing stream=ORDERS")
	close(release)
	w.resolves("js-consumer-stalled-max-ack-pending", "account=APP consumer=billing stream=ORDERS")
	w.ends(page{"js-consumer-stalled-max-ack-pending", "account=APP consumer=billing stream=ORDERS"})
}

// The server says nothing at its usual level; its publisher is refused.
func TestStreamFull(t *testing.T) {
	short(t)
	w, s := single(t, accounts)
	js := s.JetStream(asApp)
	asset(t, js, jetstream.StreamConfig{MaxMsgs: 10, Discard: jetstream.DiscardNew}, jetstream.ConsumerConfig{}, 10)
	_, err := js.Publish(t.Context(), "orders", []byte("x"))
	var refused *jetstream.APIError
	if !errors.As(err, &refused) || refused.ErrorCode != 10077 {
		t.Fatalf("publishing to a full stream: got %v, want err_code 10077", err)
	}
	w.service("shop").fails(err, map[string]any{"stream": "ORDERS"})
	w.until("the stream is full and its publisher refused", func() bool {
		return slices.ContainsFunc(w.all(page{"js-stream-full", "stream=ORDERS"}), func(t *correlate.Transition) bool { return t.Severity == "critical" })
	})
	str, err := js.Stream(t.Context(), "ORDERS")
	if err != nil {
		t.Fatal(err)
	}
	if err := str.Purge(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.ends(page{"js-stream-full", "stream=ORDERS"})
	explained := func(t *correlate.Transition) bool {
		return strings.Contains(t.Summary, "10077 maximum messages exceeded: the stream did not store the message")
	}
	if said := w.all(page{"js-stream-full", "stream=ORDERS"}); !slices.ContainsFunc(said, explained) {
		t.Errorf("nobody explains 10077: %q", said[len(said)-1].Summary)
	}
}

func TestMessagesDeletedUnread(t *testing.T) {
	short(t)
	w, s := single(t, accounts)
	js := s.JetStream(asApp)
	c := asset(t, js, jetstream.StreamConfig{MaxMsgs: 5}, jetstream.ConsumerConfig{}, 1)
	w.until("the poller knows the consumer", func() bool { return w.matched("js-consumer-stalled-max-ack-pending") > 0 })
	for range 20 {
		if _, err := js.Publish(t.Context(), "orders", []byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	w.opens("js-messages-lost", "account=APP consumer=billing stream=ORDERS")
	consume(t, c, func(m jetstream.Msg) { _ = m.Ack() })
	w.ends(page{"js-messages-lost", "account=APP consumer=billing stream=ORDERS"})
}

// A gap in the sequence of an atomic batch.
func TestAbandonedBatch(t *testing.T) {
	short(t)
	w, s := single(t, accounts)
	asset(t, s.JetStream(asApp), jetstream.StreamConfig{AllowAtomicPublish: true}, jetstream.ConsumerConfig{}, 0)
	nc := s.Connect(asApp, nats.Name("importer"))
	for _, seq := range []string{"1", "3"} {
		m := nats.NewMsg("orders")
		m.Header.Set("Nats-Batch-Id", "b1")
		m.Header.Set("Nats-Batch-Sequence", seq)
		if _, err := nc.RequestMsg(m, patience); err != nil {
			t.Fatal(err)
		}
	}
	w.opens("js-batch-abandoned", "stream=ORDERS")
	w.ends(page{"js-batch-abandoned", "stream=ORDERS"})
}

// More requests than the API's queue holds.
func TestAPIFlood(t *testing.T) {
	short(t)
	w, s := single(t, accounts, natstest.With(func(o *serverOptions) { o.JetStreamRequestQueueLimit = 10 }))
	asset(t, s.JetStream(asApp), jetstream.StreamConfig{}, jetstream.ConsumerConfig{}, 0)
	nc := s.Connect(asApp, nats.Name("sweeper"))
	w.until("requests are dropped", func() bool {
		for range 5000 {
			if err := nc.PublishRequest("$JS.API.STREAM.INFO.ORDERS", "nobody", nil); err != nil {
				t.Fatal(err)
			}
		}
		_ = nc.FlushTimeout(time.Second)
		return w.has(page{"js-api-overload", ""}, "open")
	})
	w.ends(page{"js-api-overload", ""})
}

// stepDown asks the leader of a stream to give way.
func stepDown(ctx context.Context, nc *nats.Conn, stream string) error {
	_, err := nc.RequestWithContext(ctx, "$JS.API.STREAM.LEADER.STEPDOWN."+stream, nil)
	return err
}
