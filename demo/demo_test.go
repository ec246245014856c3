package demo

import (
	"net/http"
	"strings"
	"testing"
)

// One request passes REST, gRPC, NATS request/reply and JetStream, and every
// service logs it under the caller's trace id.
func TestOneTraceThroughAllProtocols(t *testing.T) {
	t.Parallel()
	s, w := start(t)
	const trace = "4bf92f3577b34da6a3ce929d0e0e4736"
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.GatewayURL()+"/orders",
		strings.NewReader(`{"order_id":"o-1","sku":"lamp","count":2,"ship_to":"Oslo"}`))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("traceparent", "00-"+trace+"-00f067aa0ba902b7-01")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusAccepted {
		t.Fatalf("got status %d, want 202", resp.StatusCode)
	}
	for _, want := range []struct{ service, message string }{
		{"gateway", "request"},
		{"orders", "finished call"},
		{"inventory", "reserved"},
		{"inventory", "shipped"},
	} {
		got := w.find(t, want.service+" "+want.message, 1, func(r record) bool {
			return r.field("msg") == want.message && r.field("trace_id") == trace
		})
		if len(got) != 1 {
			t.Errorf("%s logged %q %d times for one request", want.service, want.message, len(got))
		}
		r := got[0]
		if r.subject != "obs.logs."+want.service || r.field("service.name") != want.service || r.field("order_id") != "o-1" {
			t.Errorf("got %s %s", r.subject, r.data)
		}
	}
}

// What corral reads holds the services' logs, the server's log, account events
// and JetStream's advisories.
func TestStreamHoldsEverySignal(t *testing.T) {
	t.Parallel()
	_, w := start(t)
	for what, match := range map[string]func(record) bool{
		"server log": func(r record) bool { return r.subject == "obs.logs.nats-server" && r.has("Server is ready") },
		"connect": func(r record) bool {
			return r.subject == "obs.sys.ACCOUNT.APP.CONNECT" && r.field("client", "name") == "gateway"
		},
		"statistics":        func(r record) bool { return strings.HasSuffix(r.subject, ".STATSZ") },
		"consumer advisory": func(r record) bool { return r.subject == "obs.js.APP.ADVISORY.CONSUMER.CREATED.ORDERS.fulfilment" },
		"heartbeat":         func(r record) bool { return r.field("msg") == "heartbeat" && r.field("service.name") == "inventory" },
	} {
		w.find(t, what, 1, match)
	}
}

// A healthy system says nothing that a rule could take for a fault.
func TestHealthySystemIsQuiet(t *testing.T) {
	t.Parallel()
	_, w := start(t)
	w.find(t, "requests", 30, func(r record) bool { return r.has(`"http.response.status_code":202`) })
	w.none(t, "error or warning of a service", func(r record) bool {
		return r.field("level") == "ERROR" || r.field("level") == "WARN"
	})
	w.none(t, "error of the server", func(r record) bool {
		return r.subject == "obs.logs.nats-server" && r.has("[ERR]")
	})
}

func TestCloseTwice(t *testing.T) {
	t.Parallel()
	s, err := Start(t.Context(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
