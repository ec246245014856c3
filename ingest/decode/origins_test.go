package decode

import (
	"strings"
	"testing"
	"time"

	"corral/event"
	"corral/ingest"
)

func TestOrigins(t *testing.T) {
	for _, tt := range []struct {
		name, record string
		opt          Options
		want         map[string]string
	}{
		{
			"keys as the record spells them", `{"@timestamp":"2026-11-22T08:00:00Z","severity":"ERROR","logger_name":"a.B","app":"pay","traceId":"4bf92f3577b34da6a3ce929d0e0e4736","message":"rpc error: code = Unavailable desc = down","res":{"statusCode":503},"mdc":{"request_id":"r1"}}`,
			Options{},
			map[string]string{
				"time": "@timestamp", "level": "severity", "logger": "logger_name", "service": "app", "trace_id": "traceId", "message": "message",
				"http.status": "res.statusCode", "request_id": "mdc.request_id", "rpc.code": "words of the text", "rpc.system": "implied",
			},
		},
		{"an override", `{"time":"2026-11-22T08:00:00Z","msg":"x","service":"a","team":"b"}`, Options{Map: []string{"service=attrs.team"}}, map[string]string{"service": "team"}},
		{"an option", `{"time":"2026-11-22T08:00:00Z","msg":"x"}`, Options{Service: "a"}, map[string]string{"service": "implied"}},
		{"places of a line", `2026-11-22 08:00:00,123 ERROR [main] a.b.C - gone`, Options{}, map[string]string{"time": "pattern", "level": "pattern", "logger": "pattern", "message": "pattern"}},
		{"pairs", `ts=2026-11-22T08:00:00Z lvl=warn msg="slow" app=pay`, Options{}, map[string]string{"time": "ts", "level": "lvl", "message": "msg", "service": "app"}},
		{
			"an envelope", `{"log":"E1122 08:00:00.440092 7898 main.go:33] \"Failed\" err=\"x\"\n","stream":"stderr","time":"2026-11-22T08:00:01Z"}`,
			Options{},
			map[string]string{"time": "envelope", "level": "klog", "error": "err"},
		},
		{
			"columns", "Timestamp,PodName,Log\n2026-11-22T08:00:00Z,shop-7d4f9c8b65-bbbb2,gone\n",
			Options{},
			map[string]string{"time": "envelope", "service": "envelope", "instance": "envelope", "message": "text"},
		},
		{"nothing but words", "panic: no more", Options{}, map[string]string{"time": "arrival", "message": "text"}},
		{
			"OTLP", `{"resourceLogs":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"pay"}}]},"scopeLogs":[{"logRecords":[{"timeUnixNano":"1795336441000000000","severityNumber":17,"body":{"stringValue":"x"},"attributes":[{"key":"http.response.status_code","value":{"intValue":"503"}}]}]}]}]}`,
			Options{},
			map[string]string{"service": "service.name", "http.status": "http.response.status_code", "level": "otlp-json"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.opt.Origins = true
			d := New(tt.opt)
			n := 0
			rec := ingest.Record{Data: []byte(tt.record), Lines: true, Reference: noon.UnixNano()}
			d.Decode(rec, func(ev *event.Event) {
				n++
				got := d.Origins()
				for name, want := range tt.want {
					if got[name] != want {
						t.Errorf("%s came from %q, want %q; all: %v", name, got[name], want, got)
					}
				}
				for _, f := range named(ev) {
					if got[f.Name] == "" {
						t.Errorf("nothing is said of %s", f.Name)
					}
				}
			}, nil)
			if n != 1 {
				t.Errorf("%d events", n)
			}
		})
	}
}

// Lines from standard input have no arrival: years come from today.
func TestToday(t *testing.T) {
	d := New(Options{Today: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)})
	var got []string
	d.Decode(ingest.Record{Data: []byte("Oct 11 22:14:15 host su[42]: failed\nFeb 28 01:02:03 host su[42]: failed\n"), Lines: true}, func(ev *event.Event) {
		got = append(got, ev.When().Format(time.DateOnly)+" "+ev.TimeQuality.String())
	}, nil)
	if want := "2025-10-11 no_year, 2026-02-28 no_year"; strings.Join(got, ", ") != want {
		t.Errorf("got %v, want %s", got, want)
	}
}
