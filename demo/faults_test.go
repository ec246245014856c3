package demo

import (
	"strings"
	"testing"
)

// Each fault makes the system itself say what the rules look for.
func TestFaultsLeaveTheirSignals(t *testing.T) {
	t.Parallel()
	for name, signals := range map[string]map[string]func(record) bool{
		"slow-worker": {
			"NATS timeout":     service("orders", "inventory request failed", `"error":"nats: timeout"`),
			"gRPC deadline":    service("orders", "finished call", `"grpc.code":"DeadlineExceeded"`),
			"REST 504":         service("gateway", "request", `"http.response.status_code":504`),
			"the worker's own": service("inventory", "reserved", `"level":"WARN"`),
		},
		"worker-gone": {
			"no responders":    service("orders", "inventory request failed", "no responders available"),
			"gRPC unavailable": service("orders", "finished call", `"grpc.code":"Unavailable"`),
			"REST 503":         service("gateway", "request", `"http.response.status_code":503`),
			"disconnect": func(r record) bool {
				return r.subject == "obs.sys.ACCOUNT.APP.DISCONNECT" && r.field("client", "name") == "inventory" &&
					r.field("reason") == "Client Closed"
			},
		},
		"poison": {
			"REST accepted it": service("gateway", "request", `"http.response.status_code":202`),
			"failed for good":  service("inventory", "cannot ship order", `"deliveries":4`),
			"nak":              subject("obs.js.APP.ADVISORY.CONSUMER.MSG_NAKED.ORDERS.fulfilment"),
			"max deliveries":   subject("obs.js.APP.ADVISORY.CONSUMER.MAX_DELIVERIES.ORDERS.fulfilment"),
		},
		"slow-consumer": {
			"disconnect": func(r record) bool {
				return r.subject == "obs.sys.ACCOUNT.APP.DISCONNECT" && r.field("client", "name") == slowReaderName &&
					strings.HasPrefix(r.field("reason").(string), "Slow Consumer")
			},
			"server log": func(r record) bool {
				return r.subject == "obs.logs.nats-server" && r.has("Slow Consumer Detected", ":"+slowReaderName+`"`)
			},
		},
		"wrong-credentials": {
			"auth error": func(r record) bool {
				return strings.HasSuffix(r.subject, ".CLIENT.AUTH.ERR") && r.field("client", "user") == "reports"
			},
			"server log": func(r record) bool {
				return r.subject == "obs.logs.nats-server" && r.has(`authentication error - User "reports"`)
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, w := start(t)
			ok := service("gateway", "request", `"http.response.status_code":202`)
			w.find(t, "healthy requests", 5, ok)
			f := s.Fault(name)
			if err := f.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
			for what, match := range signals {
				w.find(t, what, 1, match)
			}
			f.Stop()
			before := len(w.find(t, "requests", 1, ok))
			w.find(t, "recovered requests", before+20, ok)
		})
	}
}

func service(name, message, text string) func(record) bool {
	return func(r record) bool {
		return r.subject == "obs.logs."+name && r.has(`"msg":"`+message+`"`, text)
	}
}

func subject(s string) func(record) bool { return func(r record) bool { return r.subject == s } }

func TestFaultIsListedOnce(t *testing.T) {
	s := new(System)
	s.faults = s.allFaults()
	seen := map[string]bool{}
	for _, f := range s.Faults() {
		if seen[f.Name] || s.Fault(f.Name) != f || f.Does == "" || len(f.Expect) == 0 {
			t.Errorf("fault %q: unclear or double", f.Name)
		}
		seen[f.Name] = true
	}
}
