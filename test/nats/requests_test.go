package nats

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"corral/correlate"
)

// Nobody listens. The gateway's own 503 are symptoms and page nobody.
func TestNoResponders(t *testing.T) {
	short(t)
	w, s := single(t, accounts)
	nc, log := s.Connect(asApp, nats.Name("gateway")), w.service("gateway")
	for range 6 {
		_, err := nc.Request("inventory.reserve", nil, patience)
		if !errors.Is(err, nats.ErrNoResponders) {
			t.Fatalf("got %v, want no responders", err)
		}
		log.fails(err, map[string]any{"subject": "inventory.reserve", "status": 503, "route": "/orders"})
	}
	w.opens("nats-no-responders-after-deploy", "subject=inventory.reserve")
	w.ends(page{"nats-no-responders-after-deploy", "subject=inventory.reserve"})
}

// Somebody listens and does not answer: NATS is well, the service is not.
func TestGatewayTimeoutsThatNATSDoesNotExplain(t *testing.T) {
	short(t)
	w, s := single(t, accounts)
	nc, log := s.Connect(asApp, nats.Name("gateway")), w.service("gateway")
	if _, err := nc.Subscribe("inventory.reserve", func(*nats.Msg) {}); err != nil {
		t.Fatal(err)
	}
	want := page{"gateway-timeouts-from-nats", "subject=gateway"}
	w.until("gateway timeouts are reported", func() bool {
		_, err := nc.Request("inventory.reserve", nil, 200*time.Millisecond)
		if !errors.Is(err, nats.ErrTimeout) {
			t.Fatalf("got %v, want a timeout", err)
		}
		log.fails(err, map[string]any{"status": 504, "route": "/orders"})
		return w.has(want, "open")
	})
	w.ends(want)
}

// A slow consumer, and three services that suffer from it, over REST and gRPC: one
// page. The symptoms are recorded beside their cause, which is the first suspect.
func TestGatewayTimeoutsThatASlowConsumerExplains(t *testing.T) {
	short(t)
	w, s := single(t, accounts+"max_pending: 1MB")
	say(t, raw(t, s, "prices"), "SUB flood.> 1\r\n")
	flood(t, w, s)
	cause := page{"nats-slow-consumer-cascade", "client=prices"}
	w.opens(cause.rule, cause.key)
	nc := s.Connect(asApp, nats.Name("gateway"))
	if _, err := nc.Subscribe("inventory.reserve", func(*nats.Msg) {}); err != nil {
		t.Fatal(err)
	}
	suffers := []string{"gateway", "orders", "returns"}
	explained := page{"gateway-timeouts-explained", ""}
	var parent *correlate.Transition
	w.until("symptoms and cause are tied together", func() bool {
		_, err := nc.Request("inventory.reserve", nil, 200*time.Millisecond)
		if err == nil {
			t.Fatal("somebody answered")
		}
		w.service("gateway").fails(err, map[string]any{"status": 504, "route": "/orders"})
		w.service("orders").fails(fmt.Errorf("rpc error: code = DeadlineExceeded desc = %w", err), nil)
		w.service("returns").fails(err, map[string]any{"status": 504, "route": "/returns"})
		for _, t := range w.all(explained) {
			parent = t
		}
		return parent != nil && len(parent.ChildIDs) == len(suffers)+1
	})
	w.ends(cause)
	for _, service := range suffers {
		symptom := w.last(page{"gateway-timeouts-from-nats", "subject=" + service})
		if symptom.ParentID != parent.IncidentID || symptom.Notified {
			t.Errorf("the timeouts of %s: parent %q, want %s; notified %v", service, symptom.ParentID, parent.IncidentID, symptom.Notified)
		}
	}
	if got, want := parent.Suspects[0].IncidentID, w.last(cause).IncidentID; got != want {
		t.Errorf("the first suspect is %s (%s), want the cause %s", got, parent.Suspects[0].Reason, want)
	}
	if downstream := parent.Suspects[1].Reason; !strings.Contains(downstream, "downstream of "+cause.rule) {
		t.Errorf("the second suspect: %s", downstream)
	}
}

// all is everything said of an incident.
func (w *world) all(p page) []*correlate.Transition {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(w.said), func(t *correlate.Transition) bool { return pageOf(t) != p })
}

// Somebody edits a stream and the configuration, and soon a publisher is refused:
// the incident says what was changed, and by whom.
func TestWhatChanged(t *testing.T) {
	short(t)
	w, s := single(t, accounts)
	s.Reload(func(o *server.Options) { o.MaxPayload = 512 << 10 })
	w.listens() // a reload may cut connections off
	asset(t, s.JetStream(asApp, nats.Name("shop")), jetstream.StreamConfig{}, jetstream.ConsumerConfig{}, 10)
	admin := s.JetStream(asApp, nats.Name("admin"))
	if _, err := admin.UpdateStream(t.Context(), jetstream.StreamConfig{Name: "ORDERS", Subjects: []string{"orders"}, MaxMsgs: 10, Discard: jetstream.DiscardNew}); err != nil {
		t.Fatal(err)
	}
	_, err := admin.Publish(t.Context(), "orders", []byte("x"))
	if err == nil {
		t.Fatal("published to a full stream")
	}
	w.service("shop").fails(err, map[string]any{"stream": "ORDERS"})
	want := page{"js-stream-full", "stream=ORDERS"}
	w.opens(want.rule, want.key)
	w.ends(want)
	full := w.all(want)[0]
	for _, text := range []string{
		"Reloaded: max_payload = 524288", "stream ORDERS changed",
		`client "admin" user app of account APP`, "$JS.API.STREAM.UPDATE.ORDERS", "$JS.API.CONSUMER.CREATE.ORDERS.billing",
	} {
		if !slices.ContainsFunc(full.Context, func(e correlate.Evidence) bool { return strings.Contains(e.Line, text) }) {
			t.Errorf("nothing about %q in what changed: %+v", text, full.Context)
		}
	}
	if last := w.last(want); len(last.Context) != len(full.Context) {
		t.Errorf("the last revision knows of %d changes, the first of %d", len(last.Context), len(full.Context))
	}
}
