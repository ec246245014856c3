package natspoll

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"corral/event"
	"corral/ingest"
	"corral/ingest/decode"
	"corral/internal/natstest"
	"corral/internal/testlog"
)

const accounts = `
	system_account: SYS
	accounts {
		SYS { users: [{user: sys, password: s}] }
		APP { jetstream: enabled, users: [{user: app, password: s}] }
	}
	no_auth_user: app
	max_pending: 1MB
`

var (
	asSys = nats.UserInfo("sys", "s")
	asApp = nats.UserInfo("app", "s")
)

// polled runs a source until ctx ends and sends what it saw, decoded.
func polled(t *testing.T, src *Source) (events <-chan *event.Event, idle <-chan struct{}) {
	t.Helper()
	found, beats := make(chan *event.Event, 4096), make(chan struct{}, 1)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	dec := decode.New(decode.Options{})
	go func() {
		ended <- src.Run(ctx, func(b ingest.Batch) error {
			if len(b.Records) == 0 && b.Pending == 0 {
				select {
				case beats <- struct{}{}:
				default:
				}
			}
			for _, r := range b.Records {
				dec.Decode(r, func(ev *event.Event) { found <- ev.Clone() }, func(d decode.DeadRecord) { t.Errorf("dead record: %+v", d) })
			}
			return nil
		})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("Run returned %v, want context.Canceled", err)
		}
	})
	return found, beats
}

// await returns the first event that is as wanted.
func await(t *testing.T, events <-chan *event.Event, what string, want func(*event.Event) bool) *event.Event {
	t.Helper()
	deadline := time.After(20 * time.Second)
	for {
		select {
		case ev := <-events:
			if want(ev) {
				return ev
			}
		case <-deadline:
			t.Fatalf("no event after 20 s: %s", what)
		}
	}
}

func source(t *testing.T, nc *nats.Conn) *Source {
	t.Helper()
	src, err := New(nc, Config{Every: 50 * time.Millisecond, Stall: 20 * time.Millisecond, Tick: 10 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	return src
}

func TestPollSeesStreamsAndConsumers(t *testing.T) {
	s := natstest.Start(t, natstest.JetStream(), natstest.Config(accounts))
	js := s.JetStream(asApp)
	ctx := t.Context()
	_, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: "ORDERS", Subjects: []string{"orders"}, MaxMsgs: 10, Discard: jetstream.DiscardNew})
	if err != nil {
		t.Fatal(err)
	}
	c, err := js.CreateConsumer(ctx, "ORDERS", jetstream.ConsumerConfig{Durable: "billing", MaxAckPending: 3, AckPolicy: jetstream.AckExplicitPolicy})
	if err != nil {
		t.Fatal(err)
	}
	for range 9 {
		if _, err := js.Publish(ctx, "orders", []byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	msgs, err := c.Fetch(3)
	if err != nil {
		t.Fatal(err)
	}
	var held []jetstream.Msg
	for m := range msgs.Messages() {
		held = append(held, m)
	}
	events, idle := polled(t, source(t, s.Connect(asSys)))
	<-idle
	ev := await(t, events, "a server", func(ev *event.Event) bool { return ev.Type == "poll_server" })
	if ev.NATS.Server != s.Name() || ev.Kind != "nats" {
		t.Errorf("poll_server: got %+v", ev)
	}
	ev = await(t, events, "its health", func(ev *event.Event) bool { return ev.Type == "poll_health" })
	if ev.Attr("healthy") != true {
		t.Errorf("poll_health: attributes %v", ev.Attrs())
	}
	ev = await(t, events, "a stream", func(ev *event.Event) bool { return ev.Type == "poll_stream" })
	if ev.NATS.Account != "APP" || ev.NATS.Stream != "ORDERS" || ev.Attr("fill") != 0.9 || ev.Attr("discard") != "new" {
		t.Errorf("poll_stream: got %+v, attributes %v", ev.NATS, ev.Attrs())
	}
	if ev.Message != "stream ORDERS is 90% full" {
		t.Errorf("message: got %q", ev.Message)
	}
	consumer := func(stalled bool) func(*event.Event) bool {
		return func(ev *event.Event) bool { return ev.Type == "poll_consumer" && ev.Attr("stalled") == stalled }
	}
	ev = await(t, events, "a stalled consumer", consumer(true))
	if ev.NATS.Consumer != "billing" || ev.Attr("ack_pending") != 3 || ev.Attr("pending") != 6 {
		t.Errorf("poll_consumer: got %+v, attributes %v", ev.NATS, ev.Attrs())
	}
	for _, m := range held {
		if err := m.Ack(); err != nil {
			t.Fatal(err)
		}
	}
	ev = await(t, events, "the consumer goes on", consumer(false))
	if ev.Attr("acked") != 3 {
		t.Errorf("acknowledged since the last poll: got %v, want 3", ev.Attr("acked"))
	}
}

func TestPollCountsRedeliveriesAndLosses(t *testing.T) {
	s := natstest.Start(t, natstest.JetStream(), natstest.Config(accounts))
	js := s.JetStream(asApp)
	ctx := t.Context()
	if _, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: "S", Subjects: []string{"s"}, MaxMsgs: 5}); err != nil {
		t.Fatal(err)
	}
	c, err := js.CreateConsumer(ctx, "S", jetstream.ConsumerConfig{Durable: "c", AckPolicy: jetstream.AckExplicitPolicy})
	if err != nil {
		t.Fatal(err)
	}
	events, _ := polled(t, source(t, s.Connect(asSys)))
	await(t, events, "a baseline", func(ev *event.Event) bool { return ev.Type == "poll_consumer" && ev.Attr("lost") == 0 })
	if _, err := js.Publish(ctx, "s", []byte("x")); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		m, err := c.Next()
		if err != nil {
			t.Fatal(err)
		}
		if err := m.Nak(); err != nil {
			t.Fatal(err)
		}
	}
	again := 0
	await(t, events, "redeliveries", func(ev *event.Event) bool {
		n, _ := ev.Attr("redeliveries").(int)
		again += n
		return again >= 2
	})
	for range 8 {
		if _, err := js.Publish(ctx, "s", []byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	lost := 0
	await(t, events, "losses", func(ev *event.Event) bool {
		n, _ := ev.Attr("lost").(int)
		lost += n
		return lost >= 3
	})
	if lost != 3 { // nine published, five kept; one was in flight, which the server then counts as acknowledged
		t.Errorf("lost: got %d, want 3", lost)
	}
}

// Nothing else keeps what a client listened to that was cut off.
func TestPollNamesTheSubjectsOfASlowConsumer(t *testing.T) {
	s := natstest.Start(t, natstest.JetStream(), natstest.Config(accounts))
	events, _ := polled(t, source(t, s.Connect(asSys)))
	await(t, events, "a baseline", func(ev *event.Event) bool { return ev.Type == "poll_health" })
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.URL(), "nats://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	fmt.Fprint(conn, "CONNECT {\"name\":\"slow\",\"user\":\"app\",\"pass\":\"s\",\"verbose\":false}\r\nSUB flood.> 1\r\nPING\r\n")
	app := s.Connect(asApp)
	payload := make([]byte, 64<<10)
	natstest.Eventually(t, "the slow consumer is cut off", func() bool {
		for range 16 {
			if err := app.Publish("flood.x", payload); err != nil {
				t.Fatal(err)
			}
		}
		_ = app.Flush()
		return s.NumSlowConsumersClients() > 0
	})
	closed := func(ev *event.Event) bool { return ev.Type == "poll_conn_closed" }
	ev := await(t, events, "the closed connection", closed)
	subs, _ := ev.Attr("subscriptions").([]any)
	if ev.NATS.Client != "slow" || ev.NATS.Account != "APP" || !strings.HasPrefix(ev.NATS.Reason, "Slow Consumer") || len(subs) != 1 || subs[0] != "flood.>" {
		t.Errorf("got %+v, subscriptions %v", ev.NATS, subs)
	}
	await(t, events, "another poll", func(ev *event.Event) bool {
		if closed(ev) {
			t.Error("the closed connection was told of twice")
		}
		return ev.Type == "poll_health"
	})
}

func TestPollFindsReplicasAndLeaders(t *testing.T) {
	servers := natstest.Cluster(t, 3, natstest.Config(accounts))
	js := servers[0].JetStream(asApp)
	var str jetstream.Stream
	natstest.Eventually(t, "the meta leader knows three peers", func() bool {
		var err error
		str, err = js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "S", Subjects: []string{"s"}, Replicas: 3})
		return err == nil
	})
	events, _ := polled(t, source(t, servers[0].Connect(asSys)))
	names := map[string]bool{}
	await(t, events, "all servers", func(ev *event.Event) bool {
		if ev.Type == "poll_server" {
			names[ev.NATS.Server+" "+ev.NATS.Cluster] = true
		}
		return len(names) == 3
	})
	ev := await(t, events, "the stream", func(ev *event.Event) bool { return ev.Type == "poll_stream" })
	if want := str.CachedInfo().Cluster.Leader; ev.NATS.Leader != want {
		t.Errorf("leader of the stream: got %q, want %q", ev.NATS.Leader, want)
	}
}

func TestPollSkipsServersThatHoldTooMuch(t *testing.T) {
	s := natstest.Start(t, natstest.JetStream(), natstest.Config(accounts))
	js := s.JetStream(asApp)
	for _, name := range []string{"A", "B"} {
		if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: name, Subjects: []string{name}}); err != nil {
			t.Fatal(err)
		}
	}
	src := source(t, s.Connect(asSys))
	src.cfg.MaxStreams = 1
	events, _ := polled(t, src)
	polls := 0
	await(t, events, "three polls", func(ev *event.Event) bool {
		if ev.Type == "poll_stream" {
			t.Error("a stream of a server that holds too many was told of")
		}
		if ev.Type == "poll_health" {
			polls++
		}
		return polls == 3
	})
}

func TestPollWithoutRights(t *testing.T) {
	s := natstest.Start(t, natstest.Config(accounts))
	src := source(t, s.Connect(asApp))
	said := new(testlog.Buffer)
	src.cfg.Log = slog.New(slog.NewTextHandler(said, nil))
	events, idle := polled(t, src)
	natstest.Eventually(t, "somebody is told", func() bool { return strings.Contains(said.String(), "nobody answers polls") })
	for range 20 {
		<-idle
	}
	if len(events) > 0 {
		t.Errorf("an account that may not ask got %d events", len(events))
	}
	if n := strings.Count(said.String(), "\n"); n != 1 {
		t.Errorf("want one line, got %d:\n%s", n, said.String())
	}
}

// A server that stops is told of while the others answer, until it is back.
func TestPollMissesAServer(t *testing.T) {
	servers := natstest.Cluster(t, 3, natstest.Config(accounts))
	src := source(t, servers[0].Connect(asSys))
	src.cfg.Timeout, src.cfg.Missing = 500*time.Millisecond, time.Millisecond
	events, _ := polled(t, src)
	gone := servers[2].Name()
	names := map[string]bool{}
	await(t, events, "all servers", func(ev *event.Event) bool {
		if ev.Type == "poll_server" {
			names[ev.NATS.Server] = true
		}
		return len(names) == 3
	})
	servers[2].Stop()
	ev := await(t, events, "it is missed", func(ev *event.Event) bool { return ev.Type == "poll_missing" && ev.NATS.Server == gone })
	if n, _ := ev.Attr("polls").(int); n < 2 || ev.NATS.Cluster == "" || ev.Message != fmt.Sprintf("server %s has not answered %d polls", gone, n) {
		t.Errorf("got %q, attributes %v", ev.Message, ev.Attrs())
	}
	servers[2].Restart()
	await(t, events, "it answers again", func(ev *event.Event) bool { return ev.Type == "poll_server" && ev.NATS.Server == gone })
}

// Three questions to all, and one to each server that holds streams: no more,
// however many answer.
func TestPollAsksLittle(t *testing.T) {
	servers := natstest.Cluster(t, 3, natstest.Config(accounts))
	js := servers[0].JetStream(asApp)
	natstest.Eventually(t, "the meta leader knows three peers", func() bool {
		_, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "S", Subjects: []string{"s"}, Replicas: 3})
		return err == nil
	})
	nc := servers[1].Connect(asSys)
	asked, err := nc.SubscribeSync("$SYS.REQ.SERVER.>")
	if err != nil {
		t.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	src := source(t, servers[1].Connect(asSys))
	src.cfg.Stall = 500 * time.Millisecond // all three answer
	events, _ := polled(t, src)
	rounds := 0
	await(t, events, "three rounds", func(ev *event.Event) bool {
		if ev.Type == "poll_health" && ev.NATS.Server == servers[0].Name() {
			rounds++
		}
		return rounds == 3
	})
	questions := map[string]int{}
	for {
		n, _, err := asked.Pending()
		if err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			break
		}
		msg, err := asked.NextMsg(time.Second)
		if err != nil {
			t.Fatal(err)
		}
		questions[msg.Subject]++
	}
	for subject, n := range questions {
		if begun := questions["$SYS.REQ.SERVER.PING.STATSZ"]; n > begun {
			t.Errorf("%s: asked %d times in %d rounds", subject, n, begun)
		}
	}
	if len(questions) > 3+len(servers) {
		t.Errorf("want three questions to all and one to each server, got %v", questions)
	}
}

func TestNewRefusesNoInterval(t *testing.T) {
	if _, err := New(nil, Config{}); err == nil {
		t.Error("New took an interval of zero")
	}
}
