package decode

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"

	"corral/event"
	"corral/ingest"
)

// gather decodes one record into clones of its events.
func gather(o Options, rec ingest.Record) (events []*event.Event, dead []DeadRecord) {
	New(o).Decode(rec, func(ev *event.Event) { events = append(events, ev.Clone()) }, func(dl DeadRecord) { dead = append(dead, dl) })
	return events, dead
}

// one decodes a message that must hold one event.
func one(t *testing.T, rec ingest.Record) *event.Event {
	t.Helper()
	events, dead := gather(Options{}, rec)
	if len(events) != 1 || len(dead) != 0 {
		t.Fatalf("%d events, %d dead of %q", len(events), len(dead), rec.Data)
	}
	return events[0]
}

func headers(kv ...string) map[string][]string {
	h := map[string][]string{}
	for i := 0; i < len(kv); i += 2 {
		h[kv[i]] = []string{kv[i+1]}
	}
	return h
}

const plainLine = `{"level":"warn","msg":"hello","service":"a","time":"2026-11-22T08:00:00Z"}`

func TestCompressed(t *testing.T) {
	var gz, zs, framed bytes.Buffer
	w := gzip.NewWriter(&gz)
	fmt.Fprint(w, plainLine)
	w.Close()
	z, _ := zstd.NewWriter(&zs)
	fmt.Fprint(z, plainLine)
	z.Close()
	f := s2.NewWriter(&framed)
	fmt.Fprint(f, plainLine)
	f.Close()
	for name, rec := range map[string]ingest.Record{
		"gzip by magic":  {Data: gz.Bytes()},
		"gzip by header": {Data: gz.Bytes(), Headers: headers("Content-Encoding", "gzip")},
		"zstd by magic":  {Data: zs.Bytes()},
		"zstd by header": {Data: zs.Bytes(), Headers: headers("content-encoding", "zstd")},
		"s2 block":       {Data: s2.Encode(nil, []byte(plainLine)), Headers: headers("Content-Encoding", "s2")},
		"s2 stream":      {Data: framed.Bytes(), Headers: headers("Content-Encoding", "s2")},
	} {
		t.Run(name, func(t *testing.T) {
			if ev := one(t, rec); ev.Message != "hello" || ev.Raw != plainLine {
				t.Errorf("got %+v", ev)
			}
		})
	}
}

func TestDead(t *testing.T) {
	bomb := func(n int) []byte {
		var b bytes.Buffer
		w := gzip.NewWriter(&b)
		w.Write(bytes.Repeat([]byte("a"), n))
		w.Close()
		return b.Bytes()
	}
	for name, c := range map[string]struct {
		rec    ingest.Record
		reason string
	}{
		"cut gzip":      {ingest.Record{Data: bomb(1000)[:20]}, "undecodable"},
		"no zstd":       {ingest.Record{Data: []byte("\x28\xb5\x2f\xfdxxxx")}, "undecodable"},
		"no s2":         {ingest.Record{Data: []byte("plain"), Headers: headers("Content-Encoding", "s2")}, "undecodable"},
		"bomb":          {ingest.Record{Data: bomb(maxMessage + 1)}, "oversize"},
		"big":           {ingest.Record{Data: bytes.Repeat([]byte("a"), maxMessage+1)}, "oversize"},
		"NUL":           {ingest.Record{Data: []byte("\x00\x01\x02")}, "undecodable"},
		"garbage":       {ingest.Record{Data: []byte("\xff\xfe\x81\x90\xc3\x28abc")}, "undecodable"},
		"no protobuf":   {ingest.Record{Data: []byte("\x0a\xff\xff"), Headers: headers("Content-Type", "application/x-protobuf")}, "undecodable"},
		"no OTLP":       {ingest.Record{Data: []byte(`{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"traceId":"zz"}]}]}]}`)}, "undecodable"},
		"NUL in a file": {ingest.Record{Data: []byte("a\x00b\n"), Lines: true, Seq: 3}, "undecodable"},
	} {
		t.Run(name, func(t *testing.T) {
			events, dead := gather(Options{}, c.rec)
			if len(events) != 0 || len(dead) != 1 || dead[0].Reason != c.reason || dead[0].Error == "" || len(dead[0].Data) == 0 {
				t.Fatalf("%d events, dead %+v", len(events), dead)
			}
			if dead[0].Seq != c.rec.Seq {
				t.Errorf("seq %d, want %d", dead[0].Seq, c.rec.Seq)
			}
		})
	}
}

func TestLongLineIsCut(t *testing.T) {
	d := New(Options{})
	data := append(bytes.Repeat([]byte("é"), maxLine), '\n')
	n := 0
	d.Decode(ingest.Record{Data: data, Lines: true, Seq: 1}, func(ev *event.Event) {
		n++
		if len(ev.Raw) != maxLine || !strings.HasSuffix(ev.Raw, "é") {
			t.Errorf("%d bytes, end %q", len(ev.Raw), ev.Raw[len(ev.Raw)-3:])
		}
	}, nil)
	if n != 1 || d.Counts().Cut != 1 {
		t.Errorf("%d events, %d cut", n, d.Counts().Cut)
	}
}

func TestCloudEventHeaders(t *testing.T) {
	ev := one(t, ingest.Record{Data: []byte(`{"level":"error","msg":"refused"}`), Observed: noon.UnixNano(), Headers: headers(
		"ce-specversion", "1.0", "ce-id", "e1", "ce-source", "/shop/orders", "ce-type", "order.refused", "ce-time", "2026-11-22T08:00:00Z",
		"traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")})
	if ev.ID != "e1" || ev.Service != "orders" || ev.TraceID != "0af7651916cd43dd8448eb211c80319c" || ev.SpanID != "b7ad6b7169203331" ||
		ev.Attr("type") != "order.refused" || ev.TimeQuality != event.TimeEnvelope || ev.When().Hour() != 8 {
		t.Errorf("got %+v %v", ev, ev.Attrs())
	}
}

func otlpLogs() plog.Logs {
	logs := plog.NewLogs()
	rl := logs.ResourceLogs().AppendEmpty()
	rl.Resource().Attributes().PutStr("service.name", "checkout")
	rl.Resource().Attributes().PutStr("k8s.pod.name", "checkout-7d8c9f6b54-kx2lw")
	for i := range 2 {
		lr := rl.ScopeLogs().AppendEmpty().LogRecords().AppendEmpty()
		lr.SetTimestamp(pcommon.NewTimestampFromTime(time.Date(2026, 11, 22, 8, 0, i, 5, time.UTC)))
		lr.SetSeverityNumber(plog.SeverityNumberError2)
		lr.SetTraceID([16]byte{0x0a, 15: 0xff})
		lr.Body().SetStr(fmt.Sprintf("failed %d", i))
		lr.Attributes().PutInt("rpc.grpc.status_code", 14)
		lr.Attributes().PutStr("rpc.system", "grpc")
		lr.Attributes().PutInt("order.items", 3)
	}
	return logs
}

func TestOTLP(t *testing.T) {
	logs := otlpLogs()
	var pm plog.ProtoMarshaler
	proto, err := pm.MarshalLogs(logs)
	if err != nil {
		t.Fatal(err)
	}
	var jm plog.JSONMarshaler
	js, err := jm.MarshalLogs(logs)
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for name, rec := range map[string]ingest.Record{
		"json":      {Data: js},
		"sniffed":   {Data: proto},
		"by header": {Data: proto, Headers: headers("Content-Type", "application/x-protobuf", "Otel-Signal", "logs")},
	} {
		t.Run(name, func(t *testing.T) {
			events, dead := gather(Options{}, rec)
			if len(events) != 2 || len(dead) != 0 {
				t.Fatalf("%d events, %d dead", len(events), len(dead))
			}
			var got []string
			for _, ev := range events {
				m := Describe(ev).Map()
				delete(m, "format")
				b, _ := json.Marshal(m)
				got = append(got, string(b))
			}
			if want == nil {
				want = got
			}
			if strings.Join(got, "\n") != strings.Join(want, "\n") {
				t.Errorf("got %s\nwant %s", got, want)
			}
			ev := events[1]
			if ev.Service != "checkout" || ev.Instance != "checkout-7d8c9f6b54-kx2lw" || ev.RPC.Code != "UNAVAILABLE" || ev.SeverityNumber != 18 || ev.Level != "error" ||
				ev.TraceID != "0a0000000000000000000000000000ff" || ev.Attr("order.items") != 3 || ev.Time != time.Date(2026, 11, 22, 8, 0, 1, 5, time.UTC).UnixNano() || ev.Pos.Sub != 1 {
				t.Errorf("got %+v %v", ev, ev.Attrs())
			}
		})
	}
}

// TestProtobufIsNotText: a text that begins with a newline is no protobuf.
func TestProtobufIsNotText(t *testing.T) {
	for _, s := range []string{"\n\n", "\nab", "\n\x05hello world", "\n{\"msg\":\"x\"}"} {
		if _, dead := gather(Options{}, ingest.Record{Data: []byte(s)}); len(dead) != 0 {
			t.Errorf("%q: dead %+v", s, dead)
		}
	}
}

func TestOptions(t *testing.T) {
	for _, c := range []struct {
		name string
		opt  Options
		line string
		ok   func(*event.Event) bool
	}{
		{
			"map",
			Options{Map: []string{"service=attrs.meta.app", "level=sev"}},
			`{"meta":{"app":"pay"},"service":"wrong","level":"info","sev":"fatal"}`,
			func(ev *event.Event) bool {
				return ev.Service == "pay" && ev.Level == "fatal" && ev.Attr("service") == "wrong"
			},
		},
		{"service", Options{Service: "edge"}, "hello there", func(ev *event.Event) bool { return ev.Service == "edge" }},
		{
			"location",
			Options{Location: time.FixedZone("x", 8*3600)},
			"2026-11-22 16:00:00,5 INFO a.B - m",
			func(ev *event.Event) bool { return ev.When().Hour() == 8 && ev.TimeQuality == event.TimeNoZone },
		},
		{
			"layout",
			Options{TimeLayout: "%y%m%d %H%M%S"},
			"081109 203615 148 INFO dfs.DataNode: got block",
			func(ev *event.Event) bool { return ev.When().Year() == 2008 && ev.Format == "pattern" },
		},
		{
			"layout of a key",
			Options{TimeLayout: "02.01.2006 15:04:05"},
			`{"time":"22.11.2026 08:00:00","msg":"m"}`,
			func(ev *event.Event) bool { return ev.When().Month() == 11 && ev.When().Hour() == 8 },
		},
		{"text", Options{Format: "text"}, `{"msg":"m"}`, func(ev *event.Event) bool { return ev.Format == "text" && ev.Message == `{"msg":"m"}` }},
		{"json", Options{Format: "json"}, `level=info msg=m`, func(ev *event.Event) bool { return ev.Format == "text" }},
		{"logfmt", Options{Format: "logfmt"}, `a=1 msg=m`, func(ev *event.Event) bool { return ev.Format == "logfmt" && ev.Message == "m" && ev.Attr("a") == 1 }},
		{
			"docker in logfmt",
			Options{Format: "logfmt"},
			`{"log":"a=1 msg=m\n","stream":"stderr","time":"2026-11-22T08:00:00Z"}`,
			func(ev *event.Event) bool {
				return ev.Format == "logfmt" && ev.Message == "m" && ev.Attr("stream") == "stderr"
			},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			events, _ := gather(c.opt, ingest.Record{Data: []byte(c.line), Lines: true, Seq: 1, Reference: noon.UnixNano()})
			if len(events) != 1 || !c.ok(events[0]) {
				t.Errorf("got %+v", Describe(events[0]))
			}
		})
	}
	for _, o := range []Options{{Format: "nope"}, {Map: []string{"service"}}, {Map: []string{"nope=a"}}, {Map: []string{"service="}}} {
		if o.Check() == nil {
			t.Errorf("%+v is accepted", o)
		}
	}
	for _, name := range Formats() {
		if err := (Options{Format: name}).Check(); err != nil {
			t.Error(err)
		}
	}
}

func TestMapOfOneInput(t *testing.T) {
	const line = `{"level":"info","msg":"m","app":"shop","team":"pay","owner":"ops"}`
	d := New(Options{Map: []string{"env=attrs.owner", "pay*.log:service=attrs.team", "/var/log/x/*.log:service=attrs.owner", "ORDERS:service=attrs.owner", "logs.*.pay:service=attrs.team", "logs.*.pay:logger=attrs.owner"}, Origins: true})
	for _, c := range []struct{ input, subject, service, logger, origin string }{
		{"/srv/pay-1.log", "", "pay", "", "team"},
		{"/srv/shop.log", "", "shop", "", "app"},
		{"/var/log/x/a.log", "", "ops", "", "owner"},
		{"/var/log/x/y/a.log", "", "shop", "", "app"},
		{"ORDERS", "logs.eu.shop", "ops", "", "owner"},
		{"OTHER", "logs.eu.pay", "pay", "ops", "team"},
		{"ORDERS", "logs.eu.pay", "pay", "ops", "team"}, // of two that hold, the last given
		{"OTHER", "logs.eu.pay.x", "shop", "", "app"},
		{"", "", "shop", "", "app"},
	} {
		n := 0
		d.Decode(ingest.Record{Data: []byte(line), Input: c.input, Subject: c.subject, Observed: noon.UnixNano()}, func(ev *event.Event) {
			n++
			if ev.Service != c.service || ev.Logger != c.logger || ev.Attr("msg") != nil {
				t.Errorf("%s %s: service %q, logger %q, want %q, %q", c.input, c.subject, ev.Service, ev.Logger, c.service, c.logger)
			}
			if got := d.Origins()["service"]; got != c.origin {
				t.Errorf("%s %s: service from %q, want %q", c.input, c.subject, got, c.origin)
			}
		}, nil)
		if n != 1 {
			t.Errorf("%s %s: %d events", c.input, c.subject, n)
		}
	}
	if n := d.Counts().Events(); n != 9 {
		t.Errorf("%d events counted, want all 9", n)
	}
	for _, m := range []string{":service=attrs.x", "a.log:nothing=attrs.x", "a.log:service="} {
		if err := (Options{Map: []string{m}}).Check(); err == nil {
			t.Errorf("map %q: no error", m)
		}
	}
}

// TestAnswersOfServices: what NATS' micro services answer carries the service's id,
// which is none of the answer's.
func TestAnswersOfServices(t *testing.T) {
	ev := one(t, ingest.Record{Data: []byte(`{"type":"io.nats.micro.v1.stats_response","name":"pay","id":"VMK","version":"1.0.0","endpoints":[{"name":"e","num_errors":3}]}`), Observed: noon.UnixNano()})
	if ev.Type != "stats_response" || ev.Service != "pay" || ev.Instance != "VMK" || ev.ID != "" {
		t.Errorf("%+v", ev)
	}
}

func TestAccountOfTheSubscription(t *testing.T) {
	const nak = `{"type":"io.nats.jetstream.advisory.v1.nak","id":"y","stream":"S","consumer":"C","stream_seq":3}`
	for _, c := range []struct{ subject, account, want string }{
		{"$JS.EVENT.ADVISORY.CONSUMER.MSG_NAKED.S.C", "APP", "APP"},
		{"obs.js.SHOP.ADVISORY.CONSUMER.MSG_NAKED.S.C", "OBS", "SHOP"}, // the importer's is another
	} {
		if ev := one(t, ingest.Record{Data: []byte(nak), Subject: c.subject, Account: c.account, Observed: noon.UnixNano()}); ev.NATS.Account != c.want {
			t.Errorf("%s: account %q, want %q", c.subject, ev.NATS.Account, c.want)
		}
	}
}

// Vector, Filebeat and others put the line into a field of their own.
func TestServerLinesInMessages(t *testing.T) {
	const line = `[7] 2026/11/22 08:28:28.560075 [INF] 10.1.2.3:4711 - cid:31 - \"v1.55.0:go:prices\" - \"APP/user:app\" - Slow Consumer Detected: MaxPending of 67108864 Exceeded`
	for _, record := range []string{
		`{"message":"` + line + `","host":"nats-1","@timestamp":"2026-11-22T08:28:29Z"}`,
		`{"service":"nats","msg":"` + line + `","time":"2026-11-22T08:28:29Z","level":"info"}`,
		`{"service":"nats-server","msg":"` + line + `"}`,
	} {
		ev := one(t, ingest.Record{Data: []byte(record), Observed: noon.UnixNano()})
		if n := ev.NATS; ev.Service != "nats-server" || n.Client != "prices" || n.Account != "APP" || n.CID != 31 || n.Reason != "Slow Consumer (Pending Bytes)" ||
			ev.Message != "Slow Consumer Detected: MaxPending of 67108864 Exceeded" || ev.Level != "info" || ev.Attr("pid") == nil || ev.Time == 0 || ev.Time == noon.UnixNano() {
			t.Errorf("%s: got %v", record, Describe(ev))
		}
	}
}

func TestSubjectOfAClientsError(t *testing.T) {
	for _, line := range []string{
		`{"level":"error","msg":"nats: slow consumer, messages dropped on connection [5] for subscription on \"prices.eu\""}`,
		`level=ERROR msg=async err="nats: slow consumer, messages dropped on connection [5] for subscription on \"prices.eu\""`,
		`nats: slow consumer, messages dropped on connection [5] for subscription on "prices.eu"`,
	} {
		if ev := one(t, ingest.Record{Data: []byte(line), Observed: noon.UnixNano()}); ev.NATS.Subject != "prices.eu" {
			t.Errorf("%s: subject %q", line, ev.NATS.Subject)
		}
	}
}

func TestNATSSubjects(t *testing.T) {
	const disconnect = `{"type":"io.nats.server.advisory.v1.client_disconnect","id":"x","timestamp":"2026-11-22T08:00:00Z","client":{"acc":"$G","user":"bob","jwt":"eyJ.secret.x","id":7},"reason":"Authentication Failure","server":{"name":"n1","id":"S"}}`
	for _, c := range []struct{ subject, data, typ, account, server string }{
		{"$SYS.SERVER.NABC.CLIENT.AUTH.ERR", disconnect, "auth_error", "$G", "n1"},
		{"$SYS.ACCOUNT.CLIENT.AUTH.ERR", disconnect, "auth_error", "$G", "n1"},
		{"obs.sys.SERVER.NABC.CLIENT.AUTH.ERR", disconnect, "auth_error", "$G", "n1"},
		{"$SYS.ACCOUNT.$G.DISCONNECT", disconnect, "client_disconnect", "$G", "n1"},
		{"", disconnect, "client_disconnect", "$G", "n1"},
		{"$SYS.SERVER.NABC.SHUTDOWN", `{"name":"n2","id":"NABC","ver":"2.15.2","time":"2026-11-22T08:00:00Z"}`, "shutdown", "", "n2"},
		{"x.y.SERVER.NABC.LAMEDUCK", `{"name":"n2","id":"NABC","ver":"2.15.2","time":"2026-11-22T08:00:00Z"}`, "lameduck", "", "n2"},
		{"any.where", `{"server":{"name":"n3","id":"NABC"},"statsz":{"slow_consumers":2}}`, "statsz", "", "n3"},
		{"obs.js.APP.ADVISORY.CONSUMER.MSG_NAKED.S.C", `{"type":"io.nats.jetstream.advisory.v1.nak","id":"y","stream":"S","consumer":"C","stream_seq":3}`, "nak", "APP", ""},
		{"$JS.EVENT.ADVISORY.CONSUMER.MSG_NAKED.S.C", `{"type":"io.nats.jetstream.advisory.v1.nak","id":"y","stream":"S","consumer":"C","stream_seq":3}`, "nak", "", ""},
		{"obs.js.APP.ADVISORY.STREAM.QUORUM_LOST.S", `{"type":"io.nats.jetstream.advisory.v1.stream_quorum_lost","id":"y","account":"KEY","stream":"S"}`, "stream_quorum_lost", "KEY", ""},
		{"e", `{"type":"io.nats.some.future.v2.thing","id":"z"}`, "thing", "", ""},
	} {
		ev := one(t, ingest.Record{Data: []byte(c.data), Subject: c.subject, Observed: noon.UnixNano()})
		if ev.Kind != "nats" || ev.Type != c.typ || ev.NATS.Account != c.account || ev.NATS.Server != c.server || ev.Message == "" || ev.Level == "" || ev.Subject != c.subject {
			t.Errorf("%s: got %v", c.subject, Describe(ev))
		}
		if s := fmt.Sprint(ev.Raw, ev.Attrs(), Describe(ev)); strings.Contains(s, "secret") {
			t.Errorf("%s: the token is kept: %s", c.subject, s)
		}
	}
}

// TestNoTokens decodes the recordings of servers whose clients have JWTs, and
// looks for them in everything that is kept.
func TestNoTokens(t *testing.T) {
	data := readTestdata(t, "testdata/lines/jwt-pretty.json")
	data = bytes.ReplaceAll(data, []byte("<redacted>"), []byte("eyJ0secret.eyJ0claims.sig-_"))
	if bytes.Count(data, []byte("eyJ0")) < 4 {
		t.Fatal("no tokens in testdata")
	}
	pieces := map[string]ingest.Record{
		"file":      {Data: data, Lines: true, Seq: 1},
		"cut short": {Data: []byte(`{"subject":"$SYS.ACCOUNT.A.CONNECT","data":{"client":{"id":5,"jwt":"eyJ0secret`)},
		"trace":     {Data: []byte(`[1] 2026/11/22 08:00:00.000001 [TRC] 127.0.0.1:4 - cid:5 - <<- [CONNECT {"verbose":false,"jwt":"eyJ0secret","name":"x"}]`), Lines: true, Seq: 1},
		"claims":    {Data: []byte(`eyJ0secret.eyJ0more.sig`), Subject: "$SYS.ACCOUNT.ABC.CLAIMS.UPDATE"},
	}
	for name, rec := range pieces {
		events, _ := gather(Options{}, rec)
		if len(events) == 0 {
			t.Errorf("%s: no events", name)
		}
		for _, ev := range events {
			if s := fmt.Sprint(ev.Raw, ev.Attrs(), Describe(ev)); strings.Contains(s, "eyJ0") {
				t.Errorf("%s: a token is kept: %.300s", name, s)
			}
		}
	}
}

// TestCSVPieces decodes a CSV file line by line, as pieces that carry the header.
func TestCSVPieces(t *testing.T) {
	data := readTestdata(t, "testdata/lines/pods.csv")
	head, rest, _ := bytes.Cut(data, []byte{'\n'})
	if !HeaderLine(head) || HeaderLine([]byte("just, a, line")) || HeaderLine([]byte(plainLine)) {
		t.Error("HeaderLine")
	}
	whole := lineEvents(New(Options{}), data, 1)
	d := New(Options{})
	var parts []string
	seq := uint64(2)
	for len(rest) > 0 {
		n, lines := csvRow(rest)
		d.Decode(ingest.Record{Data: rest[:n], Lines: true, Seq: seq, Header: head, Reference: noon.UnixNano()}, func(ev *event.Event) {
			parts = append(parts, ev.Raw)
			if ev.Service == "" || ev.Pos.Seq != seq {
				t.Errorf("%+v", ev)
			}
		}, nil)
		rest = rest[n:]
		seq += uint64(lines)
	}
	if len(parts) != len(whole) {
		t.Errorf("%d events in pieces, %d in one", len(parts), len(whole))
	}
	if n := SafeCut(data); n != len(data) {
		t.Errorf("SafeCut = %d of %d", n, len(data))
	}
	if n := SafeCut(data[:len(data)-100]); data[n-1] != '\n' || bytes.Count(data[:n], []byte(`"`))%2 != 0 {
		t.Errorf("SafeCut = %d", n)
	}
}

func TestLimits(t *testing.T) {
	var b strings.Builder
	b.WriteString(`{"msg":"m"`)
	for i := range 2000 {
		fmt.Fprintf(&b, `,"k%d":%d`, i, i)
	}
	b.WriteString("}")
	if n := len(one(t, ingest.Record{Data: []byte(b.String())}).Attrs()); n > maxAttrs {
		t.Errorf("%d attributes", n)
	}
	d := New(Options{})
	for i := range 3 * maxKeys / 100 { // ever new keys do not pile up
		var b strings.Builder
		fmt.Fprintf(&b, `{"msg":"m%d"`, i)
		for k := range 100 {
			fmt.Fprintf(&b, `,"r%d.%d":1`, i, k)
		}
		d.Decode(ingest.Record{Data: []byte(b.String() + "}")}, func(ev *event.Event) {
			if ev.Message != fmt.Sprintf("m%d", i) {
				t.Errorf("message %q", ev.Message)
			}
		}, nil)
	}
	if d.js.nKeys > maxKeys+200 {
		t.Errorf("%d keys kept", d.js.nKeys)
	}
}
