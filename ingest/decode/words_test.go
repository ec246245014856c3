package decode

import (
	"strconv"
	"testing"

	"corral/ingest"
)

func TestLevels(t *testing.T) {
	for in, want := range map[string]severity{
		"INFO": {"info", 9}, "info": {"info", 9}, "Information": {"info", 9}, "NOTICE": {"info", 10}, "inf": {"info", 9},
		"warning": {"warn", 13}, "WRN": {"warn", 13}, "ERR": {"error", 17}, "SEVERE": {"error", 17}, "dpanic": {"error", 19},
		"CRITICAL": {"fatal", 21}, "panic": {"fatal", 22}, "emerg": {"fatal", 24}, "Verbose": {"trace", 1}, "FINE": {"debug", 5},
		"ERROR+4": {"fatal", 21}, "INFO+2": {"info", 11}, "DEBUG-4": {"trace", 1}, "DEBUG-9": {"trace", 1}, "WARN+99": {"fatal", 24},
		"\x1b[32minfo\x1b[39m": {"info", 9}, "[ERROR]": {"error", 17}, "E": {"error", 17}, "": {}, "loud": {}, "INFO+": {}, "+4": {}, "a very long word indeed, no level": {},
	} {
		got, ok := levelWord(in)
		if got != want || ok != (want.level != "") {
			t.Errorf("levelWord(%q) = %v %v, want %v", in, got, ok, want)
		}
	}
	for _, c := range []struct {
		n     int64
		scale levelScale
		want  severity
	}{
		{10, scaleTens, severity{"trace", 1}},
		{30, scaleTens, severity{"info", 9}},
		{60, scaleTens, severity{"fatal", 21}},
		{30, scalePython, severity{"warn", 13}},
		{50, scalePython, severity{"fatal", 21}},
		{10, scalePython, severity{"debug", 5}},
		{0, scaleSyslog, severity{"fatal", 24}},
		{3, scaleTens, severity{"error", 17}},
		{7, scaleTens, severity{"debug", 5}},
		{40000, scaleTens, severity{"error", 17}},
		{5000, scaleTens, severity{"trace", 1}},
		{-4, scaleTens, severity{"debug", 5}},
		{8, scaleTens, severity{"error", 17}},
		{9, scaleTens, severity{}},
		{61, scaleTens, severity{}},
		{-1, scaleTens, severity{}},
	} {
		if got, _ := levelNumber(c.n, c.scale); got != c.want {
			t.Errorf("levelNumber(%d, %d) = %v, want %v", c.n, c.scale, got, c.want)
		}
	}
}

func TestGRPCCodes(t *testing.T) {
	for in, want := range map[string]string{
		"DeadlineExceeded": "DEADLINE_EXCEEDED", "DEADLINE_EXCEEDED": "DEADLINE_EXCEEDED", "deadline_exceeded": "DEADLINE_EXCEEDED",
		"deadline-exceeded": "DEADLINE_EXCEEDED", "4": "DEADLINE_EXCEEDED", "Code(4)": "DEADLINE_EXCEEDED", "Canceled": "CANCELLED",
		"CANCELLED": "CANCELLED", "0": "OK", "16": "UNAUTHENTICATED", "17": "", "-1": "", "Nonsense": "", "": "", "4.5": "",
	} {
		if got, _ := grpcCode(in); got != want {
			t.Errorf("grpcCode(%q) = %q, want %q", in, got, want)
		}
	}
	for in, want := range map[string]string{
		`charge: rpc error: code = Unavailable desc = down`: "UNAVAILABLE", "rpc error: code = ": "", "code = Unavailable": "",
	} {
		if got, _ := rpcError(in); got != want {
			t.Errorf("rpcError(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestNATSErrCode(t *testing.T) {
	for in, want := range map[string]int{
		"nats: API error: code=503 err_code=10077 description=maximum messages exceeded": 10077,
		`{"error":{"code":400,"err_code":10176}}`:                                        10176,
		"io.nats.client.JetStreamApiException: wrong last sequence: 5 [10071]":           10071,
		"err_code=1007": 0, "err_code=100771": 0, "err_code=99999": 0, "snake_case": 0,
	} {
		if got := natsErrCode(in); got != want {
			t.Errorf("natsErrCode(%q) = %d, want %d", in, got, want)
		}
	}
	if s, ok := ErrCode(10077); !ok || s == "" {
		t.Error("10077 is not explained")
	}
	if _, ok := ErrCode(1); ok {
		t.Error("1 is explained")
	}
}

func TestErrCodesAreExplained(t *testing.T) {
	for in, want := range map[string]string{
		"nats: API error: code=503 err_code=10077 description=maximum bytes exceeded":   "10077 maximum bytes exceeded: the stream did not store the message: it is full, or its storage failed",
		"nats: API error: code=404 err_code=10059 description=stream not found":         "10059 stream not found: there is no such stream",
		"nats: API error: code=400 err_code=10040 description=peer not a member":        "10040 peer not a member",
		"io.nats.client.JetStreamApiException: maximum consumers limit reached [10026]": "10026 the limit of consumers is reached",
		"nats: API error: code=500 err_code=10999 description=of a later server":        "",
	} {
		ev := one(t, ingest.Record{Data: []byte(`{"level":"error","msg":"publish failed","error":` + strconv.Quote(in) + `}`)})
		if got := ev.NATS.Reason; got != want {
			t.Errorf("%s: got reason %q, want %q", in, got, want)
		}
	}
	ev := one(t, ingest.Record{Data: []byte(`{"level":"error","msg":"publish failed","err_code":10026}`)})
	if got, want := ev.NATS.Reason, "10026 the limit of consumers is reached"; ev.NATS.ErrCode == 10026 && got != want {
		t.Errorf("a code in a field of its own: got reason %q, want %q", got, want)
	}
	if n := len(errTexts); n < 200 {
		t.Errorf("the generated table has %d codes", n)
	}
}

func TestIDs(t *testing.T) {
	var m mapper
	for in, want := range map[string]string{
		"0af7651916cd43dd8448eb211c80319c": "0af7651916cd43dd8448eb211c80319c", "0AF7651916CD43DD8448EB211C80319C": "0af7651916cd43dd8448eb211c80319c",
		"8448eb211c80319c": "00000000000000008448eb211c80319c", "0af76519-16cd-43dd-8448-eb211c80319c": "0af7651916cd43dd8448eb211c80319c",
		"projects/p/traces/0af7651916cd43dd8448eb211c80319c": "0af7651916cd43dd8448eb211c80319c", "1311768467463790320": "0000000000000000123456789abcdef0",
		zeros: "", "0000000000000000": "", "req-17": "req-17", "4bf9": "4bf9", "": "",
	} {
		if got := m.traceID(in); got != want {
			t.Errorf("traceID(%q) = %q, want %q", in, got, want)
		}
	}
	for in, want := range map[string][2]string{
		"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01": {"0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"},
		"8448eb211c80319c:b7ad6b7169203331:0:1":                   {"8448eb211c80319c", "b7ad6b7169203331"},
		"0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-1":     {"0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"},
		"1": {}, "": {},
	} {
		trace, span := splitTraceparent(in)
		if trace != want[0] || span != want[1] {
			t.Errorf("splitTraceparent(%q) = %q %q, want %q", in, trace, span, want)
		}
	}
	for in, want := range map[string][2]string{
		"TraceID: b5e2c9710d4f46a8937f60e1d8a24c3b SpanID: 7b02f9c5d3e8146a x":    {"b5e2c9710d4f46a8937f60e1d8a24c3b", "7b02f9c5d3e8146a"},
		`a trace_id=b5e2c9710d4f46a8937f60e1d8a24c3b, span-id="7b02f9c5d3e8146a"`: {"b5e2c9710d4f46a8937f60e1d8a24c3b", "7b02f9c5d3e8146a"},
		"trace id of nothing": {}, "TraceID: b5e2c9710d4f46a8937f60e1d8a24c3bff": {},
	} {
		trace, span := textIDs(in)
		if trace != want[0] || span != want[1] {
			t.Errorf("textIDs(%q) = %q %q, want %q", in, trace, span, want)
		}
	}
}

func TestWorkload(t *testing.T) {
	for in, want := range map[string]string{
		"recommendationservice-7d8c9f6b54-kx2lw": "recommendationservice", "ts-order-service-6f7d9c8b45-tq8zn": "ts-order-service",
		"fluentd-x7k2p": "fluentd", "db-0": "db", "db-12": "db", "plain": "plain", "my-app": "my-app", "checkout-1": "checkout", "a-audio": "a-audio", "": "",
	} {
		if got := workload(in); got != want {
			t.Errorf("workload(%q) = %q, want %q", in, got, want)
		}
	}
}

// What nats-server itself called these servers, in testdata.
func TestNodeHash(t *testing.T) {
	for server, want := range map[string]string{"n1": "fjFyEjc1", "n2": "44jzkV9D", "n3": "BXScrY9i"} {
		if got := NodeHash(server); got != want {
			t.Errorf("NodeHash(%q) = %s, want %s", server, got, want)
		}
	}
	line := one(t, ingest.Record{Data: []byte("[7] 2026/01/01 00:00:00.000000 [WRN] RAFT [fjFyEjc1 - S-R3F-u6YqzwKJ] Falling behind in health check, commit 9 != applied 3")})
	stats := one(t, ingest.Record{Data: []byte(`{"server":{"name":"n1","id":"N1"},"statsz":{"connections":1}}`)})
	if a, b := line.Attr("raft.node"), stats.Attr("raft.node"); a == nil || a != b {
		t.Errorf("the log calls the server %v, its statistics %v", a, b)
	}
}
