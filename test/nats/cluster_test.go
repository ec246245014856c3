package nats

import (
	"context"
	"flag"
	"fmt"
	"net/url"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"corral/internal/natstest"
)

type serverOptions = server.Options

// three starts a cluster with a stream and a consumer on all its servers.
func three(t *testing.T, opts ...natstest.Option) (*world, []*natstest.Server, jetstream.JetStream) {
	t.Helper()
	servers := natstest.Cluster(t, 3, append([]natstest.Option{natstest.Config(accounts)}, opts...)...)
	w := observe(t, servers, asSys, asApp)
	js := servers[0].JetStream(asApp, nats.Name("orders"))
	w.until("the stream has three replicas", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		_, err := js.CreateOrUpdateStream(ctx, jetstream.StreamConfig{Name: "ORDERS", Subjects: []string{"orders"}, Replicas: 3})
		if err == nil {
			_, err = js.CreateOrUpdateConsumer(ctx, "ORDERS", jetstream.ConsumerConfig{Durable: "billing", AckPolicy: jetstream.AckExplicitPolicy})
		}
		return err == nil
	})
	return w, servers, js
}

// Two of three servers go. One incident for all streams and consumers, which ends
// when they have leaders again.
func TestQuorumLostAndBack(t *testing.T) {
	short(t)
	w, servers, js := three(t)
	log := w.service("orders")
	servers[1].Stop()
	servers[2].Stop()
	want := page{"js-quorum-lost", ""}
	w.until("the loss is reported", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := js.Publish(ctx, "orders", []byte("x")); err != nil {
			log.fails(err, map[string]any{"stream": "ORDERS"})
		}
		return w.has(want, "open")
	})
	for _, s := range servers[1:] {
		s.Restart()
		w.attach(s)
	}
	natstest.WaitLeader(t, servers)
	w.until("publishing goes on", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		_, err := js.Publish(ctx, "orders", []byte("x"))
		return err == nil
	})
	w.digests()
	w.until("every stream and consumer has a leader", func() bool { return w.over("js-asset-without-quorum") })
	w.ends(want)
}

func TestLeaderFlapping(t *testing.T) {
	short(t)
	w, servers, _ := three(t)
	nc := servers[0].Connect(asApp, nats.Name("admin"))
	want := page{"js-leader-flapping", ""}
	w.until("flapping is reported", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_ = stepDown(ctx, nc, "ORDERS") // fails while there is no leader
		return w.has(want, "open")
	})
	w.ends(want)
}

// healthy is for a run by hand: go test ./test/nats -run Rolling -healthy 10m.
var healthy = flag.Duration("healthy", 0, "how long the healthy system goes on after its rolling restart, in real time")

// A healthy system is upgraded: each server in turn enters lame duck mode, its
// clients move, it stops and comes back. Publishers and a consumer go on.
func TestRollingRestartPagesNobody(t *testing.T) {
	short(t)
	w, servers, js := three(t, natstest.With(func(o *server.Options) {
		o.LameDuckGracePeriod, o.LameDuckDuration = 100*time.Millisecond, time.Second
	}))
	c, err := js.Consumer(t.Context(), "ORDERS", "billing")
	if err != nil {
		t.Fatal(err)
	}
	consume(t, c, func(m jetstream.Msg) { _ = m.Ack() })
	for i := range 12 {
		servers[i%3].Connect(asApp, nats.Name(fmt.Sprint("shop-", i)))
	}
	published := func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		_, err := js.Publish(ctx, "orders", []byte("x"))
		return err == nil
	}
	for _, s := range servers {
		s.LameDuckShutdown()
		s.Restart()
		w.attach(s)
		natstest.WaitLeader(t, servers)
		w.until("publishing goes on", published)
	}
	for until := time.Now().Add(*healthy); time.Now().Before(until); {
		w.until("publishing goes on", published)
	}
	w.ends()
}

// A leafnode is cut off for more than ten seconds.
func TestLeafnodeCut(t *testing.T) {
	short(t)
	hub := natstest.Start(t, natstest.JetStream(), natstest.Config(accounts+`leafnodes { listen: "127.0.0.1:-1" }`))
	w := observe(t, []*natstest.Server{hub}, asSys, asApp)
	leaf := natstest.Start(t, remote("edge-1", hub))
	w.attach(leaf)
	w.until("the leaf is connected", func() bool { return hub.NumLeafNodes() == 1 })
	leaf.Stop()
	w.opens("nats-leafnode-split", "leaf=edge-1")
	leaf.Restart()
	w.attach(leaf)
	w.resolves("nats-leafnode-split", "leaf=edge-1")
	w.ends(page{"nats-leafnode-split", "leaf=edge-1"})
}

// remote makes a server a leafnode of hubs.
func remote(name string, hubs ...*natstest.Server) natstest.Option {
	return natstest.With(func(o *server.Options) {
		o.ServerName = name
		o.LeafNode.ReconnectInterval = 100 * time.Millisecond
		for _, h := range hubs {
			u := &url.URL{Scheme: "nats-leaf", Host: leafAddr(h), User: url.UserPassword("app", "s")}
			o.LeafNode.Remotes = append(o.LeafNode.Remotes, &server.RemoteLeafOpts{URLs: []*url.URL{u}})
		}
	})
}

func leafAddr(s *natstest.Server) string {
	info, err := s.Varz(nil)
	if err != nil {
		panic(err)
	}
	return fmt.Sprintf("127.0.0.1:%d", info.LeafNode.Port)
}

// The edge connects to the hub, and again by way of another leaf.
func TestLeafnodeLoop(t *testing.T) {
	short(t)
	hub := natstest.Start(t, natstest.JetStream(), natstest.Config(accounts+`leafnodes { listen: "127.0.0.1:-1" }`))
	w := observe(t, []*natstest.Server{hub}, asSys, asApp)
	between := natstest.Start(t, remote("between", hub), natstest.With(func(o *server.Options) {
		o.LeafNode.Host, o.LeafNode.Port = "127.0.0.1", -1
	}))
	w.attach(between)
	w.until("the leaf in between is connected", func() bool { return hub.NumLeafNodes() == 1 })
	edge := natstest.Start(t, remote("edge", hub, between))
	w.attach(edge)
	want := page{"nats-leafnode-loop", ""}
	w.opens(want.rule, want.key)
	edge.Stop()
	w.ends(want)
}
