package nats

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"corral/correlate"
	"corral/internal/natstest"
)

// flood publishes until the server has cut off a slow reader.
func flood(t *testing.T, w *world, s *natstest.Server) {
	t.Helper()
	nc := s.Connect(asApp, nats.Name("publisher"))
	payload := make([]byte, 64<<10)
	w.until("a reader is cut off", func() bool {
		for range 16 {
			if err := nc.Publish("flood.x", payload); err != nil {
				t.Fatal(err)
			}
		}
		return s.NumSlowConsumersClients() > 0
	})
}

// The log's line, the DISCONNECT event and what CONNZ keeps of the closed
// connection are one incident: they have the connection's number and name in
// common. Only CONNZ knows what it listened to.
func TestSlowConsumerByBytes(t *testing.T) {
	short(t)
	w, s := single(t, accounts+"max_pending: 1MB")
	say(t, raw(t, s, "prices"), "SUB flood.> 1\r\n")
	flood(t, w, s)
	want := page{"nats-slow-consumer-cascade", "client=prices"}
	w.opens(want.rule, want.key)
	w.until("log, event and poll have told of it", func() bool { return w.matched(want.rule) >= 3 })
	w.ends(want)
	told := w.last(want)
	if told.EventCount < 3 { // the server may log it twice
		t.Fatalf("%d events, want 3", told.EventCount)
	}
	cid := regexp.MustCompile(`cid:(\d+)|"client":\{[^}]*"id":(\d+)`)
	var cids []string
	for _, e := range told.Evidence {
		if m := cid.FindStringSubmatch(e.Line); m != nil {
			cids = append(cids, m[1]+m[2])
		}
	}
	if len(slices.Compact(cids)) != 1 || len(cids) == 0 {
		t.Errorf("evidence of connections %q, want one:\n%+v", cids, told.Evidence)
	}
	if !slices.ContainsFunc(told.Evidence, func(e correlate.Evidence) bool { return strings.Contains(e.Line, `"flood.>"`) }) {
		t.Errorf("no evidence of what it listened to:\n%+v", told.Evidence)
	}
}

func TestSlowConsumerByDeadline(t *testing.T) {
	short(t)
	w, s := single(t, accounts+"max_pending: 256MB\nwrite_deadline: \"100ms\"")
	say(t, raw(t, s, "prices"), "SUB flood.> 1\r\n")
	flood(t, w, s)
	w.opens("nats-slow-consumer-cascade", "client=prices")
	w.ends(page{"nats-slow-consumer-cascade", "client=prices"})
}

// The client library drops messages and the server sees nothing of it.
func TestSlowConsumerInTheClient(t *testing.T) {
	short(t)
	w, s := single(t, accounts)
	log := w.service("prices")
	nc := s.Connect(asApp, nats.Name("prices"), nats.ErrorHandler(func(_ *nats.Conn, sub *nats.Subscription, err error) {
		log.fails(err, map[string]any{"subject": sub.Subject})
	}))
	hold := make(chan struct{})
	t.Cleanup(func() { close(hold) })
	sub, err := nc.Subscribe("prices.eu", func(*nats.Msg) { <-hold })
	if err != nil {
		t.Fatal(err)
	}
	if err := sub.SetPendingLimits(2, 1<<20); err != nil {
		t.Fatal(err)
	}
	for range 10 {
		if err := nc.Publish("prices.eu", nil); err != nil {
			t.Fatal(err)
		}
	}
	w.opens("nats-slow-consumer-client", "service=prices subject=prices.eu")
	w.ends(page{"nats-slow-consumer-client", "service=prices subject=prices.eu"})
}

func TestWrongPassword(t *testing.T) {
	short(t)
	w, s := single(t, accounts)
	for range 4 {
		if nc, err := nats.Connect(s.URL(), nats.UserInfo("reports", "last-year"), nats.Name("nightly"), nats.Timeout(patience)); err == nil {
			nc.Close()
			t.Fatal("logged in with a wrong password")
		}
	}
	w.opens("nats-auth-failure", "who=reports")
	w.ends(page{"nats-auth-failure", "who=reports"})
}

// The client is cut off at expiry, comes back, is refused, and gives up.
func TestExpiringJWT(t *testing.T) {
	short(t)
	operator, app, sys := natstest.OperatorSystem(t)
	s := natstest.Start(t, natstest.JetStream(), operator)
	as := func(a *natstest.Account) nats.Option { return nats.UserCredentials(a.Creds(0)) }
	w := observe(t, []*natstest.Server{s}, as(sys), as(app))
	log := w.service("shop")
	closed := make(chan struct{})
	nc := s.Connect(nats.UserCredentials(app.Creds(2*time.Second)), nats.Name("shop"),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { log.fails(err, nil) }),
		nats.ClosedHandler(func(*nats.Conn) { close(closed) }))
	<-closed
	if nc.LastError() == nil {
		t.Error("the client gave up without an error")
	}
	want := w.first("nats-auth-expired")
	if !strings.HasPrefix(want.key, "account=A") || !strings.Contains(want.key, " user=U") {
		t.Errorf("the key is %q, want the account and the user", want.key)
	}
	w.ends(want)
}

// The server logs it and the client's callback does, there is no event.
func TestPermissionViolation(t *testing.T) {
	short(t)
	w, s := single(t, accounts)
	log := w.service("shop")
	told := make(chan struct{}, 10)
	nc := s.Connect(nats.UserInfo("lim", "s"), nats.Name("shop"), nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
		log.fails(err, nil)
		told <- struct{}{}
	}))
	if err := nc.Publish("secret.orders", nil); err != nil {
		t.Fatal(err)
	}
	<-told
	w.opens("nats-permission-denied", "subject=secret.orders")
	w.ends(page{"nats-permission-denied", "subject=secret.orders"})
}

func TestAccountConnectionLimit(t *testing.T) {
	short(t)
	w, s := single(t, `
		system_account: SYS
		accounts {
			SYS { users: [{user: sys, password: s}] }
			APP { jetstream: enabled, limits: {max_connections: 3}, users: [{user: app, password: s}] }
		}
	`)
	for range 2 { // the observer is the third
		s.Connect(asApp, nats.Name("leak"))
	}
	for range 3 {
		if nc, err := nats.Connect(s.URL(), asApp, nats.Name("leak"), nats.Timeout(patience)); err == nil {
			nc.Close()
			t.Fatal("connected beyond the limit")
		}
	}
	w.opens("nats-account-limit", "account=APP limit=Maximum Account Connections Exceeded")
	w.ends(page{"nats-account-limit", "account=APP limit=Maximum Account Connections Exceeded"})
}

func TestOversizedPayload(t *testing.T) {
	short(t)
	w, s := single(t, accounts+"max_payload: 64KB")
	conn := raw(t, s, "uploader")
	say(t, conn, fmt.Sprintf("PUB files %d\r\n", 128<<10))
	w.opens("nats-payload-too-big", "client=uploader")
	w.ends(page{"nats-payload-too-big", "client=uploader"})
}

// Connections that answer no ping, as of a machine that froze.
func TestStaleConnections(t *testing.T) {
	short(t)
	w, s := single(t, accounts+"ping_interval: \"3s\"\nping_max: 1")
	for i := range 3 {
		raw(t, s, fmt.Sprint("frozen-", i))
	}
	w.opens("nats-stale-clients", "from=127.0.0.1")
	w.ends(page{"nats-stale-clients", "from=127.0.0.1"})
}

// Twenty clients log in, and five more never get through the handshake.
func TestReconnectStorm(t *testing.T) {
	short(t)
	w, s := single(t, `
		system_account: SYS
		accounts {
			SYS { users: [{user: sys, password: s}] }
			APP { jetstream: enabled, users: [{user: app, password: s}] }
		}
		authorization { timeout: 3 }
	`)
	for range 5 {
		raw(t, s, "")
	}
	for range 20 {
		s.Connect(asApp, nats.Name("shop"))
	}
	w.opens("nats-reconnect-storm", "cluster="+s.Name())
	w.ends(page{"nats-reconnect-storm", "cluster=" + s.Name()})
}
