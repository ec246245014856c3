package decode

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"corral/event"
	"corral/ingest"
)

// jsonSeeds are lines of testdata and shapes that readers of JSON disagree on.
func jsonSeeds(t testing.TB) [][]byte {
	seeds := [][]byte{
		[]byte(`{}`), []byte(` { } `), []byte(`{"a":1,}`), []byte(`{"a"}`), []byte(`{,}`), []byte(`{"a":}`), []byte(`{"a":1 "b":2}`),
		[]byte(`{"msg":"a","msg":"b"}`), []byte(`{"msg":"a","m\u0073g":"b"}`), []byte(`{"msg":"a","msg":null}`), []byte(`{"message":"a","msg":"b","message":""}`),
		[]byte(`{"http":{"status":500},"http":{"x":1}}`), []byte(`{"http":{"status":500},"http":null}`), []byte(`{"http.status":404,"http":{"status":500}}`),
		[]byte(`{"user":"a","k8s":{"ns":"n"},"k8s.ns":"m","k8s":{}}`), []byte(`{"k8s":{"ns":{"deep":[1,2]}}}`), []byte(`{"user":{"a":1},"user":2}`),
		[]byte("{\"msg\":\"tab\there\"}"), []byte("{\"msg\":\"\x00\"}"), []byte(`{"msg":"\ud800"}`), []byte(`{"msg":"\ud83d\ude00 \udc00 \u00e9"}`), []byte("{\"msg\":\"\xff\xfe bad\"}"),
		[]byte("{\"\xffmsg\":1,\"\\ufffdmsg\":2}"), []byte(`{"msg":"\x"}`), []byte(`{"msg":"\u12"}`), []byte(`{"msg":"\`), []byte(`{"msg":"a\`),
		[]byte(`{"n":01}`), []byte(`{"n":-}`), []byte(`{"n":-0}`), []byte(`{"n":1.}`), []byte(`{"n":.5}`), []byte(`{"n":1e5}`), []byte(`{"n":1E+5}`), []byte(`{"n":1e}`), []byte(`{"n":+1}`),
		[]byte(`{"n":9223372036854775807,"m":9223372036854775808,"o":-9223372036854775808,"p":1e999,"q":0.1e-400}`),
		[]byte(`{"n":truE}`), []byte(`{"n":nul}`), []byte(`{"n":true}x`), []byte(`{"n":[1,2,]}`), []byte(`{"n":[]}`), []byte(`{"n":[[[]]]}`), []byte(`{"n":[}`), []byte(`{"n":{]}`),
		[]byte("{\"a\":1,\r\n\t \"b\" : 2 }\n"), []byte("\ufeff{}"), []byte(`{"a":"` + strings.Repeat("x", 100) + `"}`), []byte(`{"seven77":"1234567","b":"12345678"}`),
		[]byte(strings.Repeat(`{"a":`, 70) + `1` + strings.Repeat(`}`, 70)), []byte(strings.Repeat(`{"a":`, 64) + `1` + strings.Repeat(`}`, 64)),
		[]byte(`{"log":"{\"level\":\"info\",\"msg\":\"in\"}\n","stream":"stdout","time":"2026-11-22T08:00:00Z"}`),
		[]byte(`{"subject":"a.b","data":{"level":"info","msg":"in"}}`), []byte(`{"error":{"message":"m"},"err":"e","user":"u"}`), []byte(`{"level":"ERROR+4","time":"x","ts":5}`),
		[]byte(`{"type":"io.nats.jetstream.advisory.v1.nak","id":"x","stream":"S","stream":"T"}`), []byte(`{"server":{"name":"n"},"statsz":{}}`),
	}
	files, _ := filepath.Glob("testdata/lines/*.log")
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for line := range bytes.Lines(b) {
			if line[0] == '{' && len(line) < 2000 {
				seeds = append(seeds, bytes.TrimSpace(line))
			}
		}
	}
	return seeds
}

var testPaths = []string{"user", "k8s.ns", "k8s", "n", "http.status", "msg", "error", "order.total", "a", "name", "status", "stream", "caller", "pid", "thread", "took", "order", "method", "bytes", "upstream.status", "statsz.cpu", "server.ver"}

func TestJSONAgrees(t *testing.T) {
	a, b := New(Options{AttrPaths: testPaths}), New(Options{AttrPaths: testPaths})
	agrees := func(t *testing.T, s []byte) { agrees(t, a, b, s) }
	for _, s := range jsonSeeds(t) {
		agrees(t, s)
		step := 1 + len(s)/40
		for i := 0; i < len(s); i += step { // cut short, and with one byte gone
			agrees(t, s[:i])
			agrees(t, append(append([]byte{}, s[:i]...), s[i+1:]...))
		}
	}
}

func FuzzJSON(f *testing.F) {
	for _, s := range jsonSeeds(f) {
		f.Add(s)
	}
	d, other := New(Options{AttrPaths: testPaths}), New(Options{AttrPaths: testPaths})
	f.Fuzz(func(t *testing.T, b []byte) { agrees(t, d, other, b) })
}

// agrees checks that b is taken for a JSON object if and only if encoding/json
// takes it for one, that it gives the same values, and that an event decoded
// from it is the one decoded from what encoding/json makes of it.
func agrees(t *testing.T, d, other *Decoder, b []byte) {
	t.Helper()
	want := json.Valid(b) && bytes.HasPrefix(bytes.TrimLeft(b, " \t\r\n"), []byte{'{'}) && depth(b) <= maxDepth
	if got := d.js.whole(b); got != want {
		t.Fatalf("valid(%q) = %v, encoding/json says %v", b, got, want)
	}
	if !want || bytes.Count(b, []byte{':'}) > maxAttrs/2 {
		return
	}
	if got, want := tree(string(b), nil), oracle(t, b); !reflect.DeepEqual(got, want) {
		t.Fatalf("tree(%q)\n got %#v\nwant %#v", b, got, want)
	}
	again := bytesOf(lastWins(string(b)))
	got, want2 := describeAll(d, b), describeAll(other, again)
	if !reflect.DeepEqual(got, want2) {
		t.Fatalf("event of %q\n got %v\nwant %v", b, got, want2)
	}
}

// depth is how deep valid JSON nests.
func depth(b []byte) (deepest int) {
	n := 0
	for i := 0; i < len(b); i++ {
		switch b[i] {
		case '"':
			if i, _ = endString(b, i+1); i < 0 {
				return deepest
			}
		case '{', '[':
			n++
			deepest = max(deepest, n)
		case '}', ']':
			n--
		}
	}
	return deepest
}

// oracle is encoding/json's reading, with numbers as attributes have them.
func oracle(t *testing.T, b []byte) any {
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		t.Fatalf("encoding/json: %q: %v", b, err)
	}
	return retype(v)
}

func retype(v any) any {
	switch v := v.(type) {
	case json.Number:
		if n, err := v.Int64(); err == nil {
			return int(n)
		}
		if f, err := v.Float64(); err == nil {
			return f
		}
		return v.String()
	case []any:
		for i := range v {
			v[i] = retype(v[i])
		}
	case map[string]any:
		for k := range v {
			v[k] = retype(v[k])
		}
	}
	return v
}

// describeAll decodes a message and describes its events. It checks on the way
// that slots hold what the attributes do, and that a clone describes alike.
func describeAll(d *Decoder, b []byte) []map[string]any {
	return describeRecord(d, ingest.Record{Data: b, Observed: noon.UnixNano()})
}

func describeRecord(d *Decoder, rec ingest.Record) []map[string]any {
	var all []map[string]any
	d.Decode(rec, func(ev *event.Event) {
		m := map[string]any{}
		slots := make([]event.Value, len(testPaths))
		for i, p := range testPaths {
			slots[i] = ev.Slot(i, p)
		}
		clone := ev.Clone()
		for i, p := range testPaths {
			if want := event.Of(ev.Attr(p)); !reflect.DeepEqual(slots[i], want) {
				m["slot "+p] = [2]event.Value{slots[i], want}
			}
		}
		m["event"] = Describe(ev).Map()
		if c := Describe(clone).Map(); !reflect.DeepEqual(c, m["event"]) {
			m["clone"] = c
		}
		all = append(all, m)
	}, nil)
	return all
}

// TestSlots says the same as agrees, where a difference would fail twice alike.
func TestSlots(t *testing.T) {
	d := New(Options{AttrPaths: testPaths})
	check := func(what any, events []map[string]any) {
		for _, m := range events {
			for k, v := range m {
				if k != "event" {
					t.Errorf("%.100q: %s: %+v", what, k, v)
				}
			}
		}
	}
	for _, s := range jsonSeeds(t) {
		check(s, describeAll(d, s))
	}
	for name, data := range testdataFiles(t) {
		check(name, describeRecord(d, ingest.Record{Data: data, Lines: true, Seq: 1, Reference: noon.UnixNano()}))
	}
}
