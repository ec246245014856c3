package nats

import (
	"errors"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
)

// Nobody listens. The gateway's own 503 are symptoms and page nobody.
func TestNoResponders(t *testing.T) {
	short(t)
	w, s := single(t, accounts)
	nc, log := s.Connect(asApp, nats.Name("gateway")), w.service("gateway")
	for range 6 {
		_, err := nc.Request("inventory.reserve", nil, time.Second)
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
	want := page{"nats-gateway-timeouts", "service=gateway"}
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

// A slow consumer and the gateways that suffer from it: one page.
func TestGatewayTimeoutsThatASlowConsumerExplains(t *testing.T) {
	short(t)
	w, s := single(t, accounts+"max_pending: 1MB")
	say(t, raw(t, s, "prices"), "SUB flood.> 1\r\n")
	flood(t, w, s)
	cause := page{"nats-slow-consumer-cascade", "client=prices"}
	w.opens(cause.rule, cause.key)
	nc, log := s.Connect(asApp, nats.Name("gateway")), w.service("gateway")
	if _, err := nc.Subscribe("inventory.reserve", func(*nats.Msg) {}); err != nil {
		t.Fatal(err)
	}
	w.until("symptom and cause are tied together", func() bool {
		if _, err := nc.Request("inventory.reserve", nil, 200*time.Millisecond); err != nil {
			log.fails(err, map[string]any{"status": 504, "route": "/orders"})
		}
		return w.tied("nats-gateway-timeouts-explained")
	})
	w.ends(cause)
}

// tied reports whether a parent names two children and a suspect.
func (w *world) tied(rule string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, t := range w.said {
		if t.RuleID == rule && len(t.ChildIDs) >= 2 && len(t.Suspects) > 0 {
			return true
		}
	}
	return false
}
