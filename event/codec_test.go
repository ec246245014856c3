package event

import (
	"reflect"
	"testing"
)

func sample() *Event {
	e := &Event{
		Time: 1_700_000_000_000_000_001, Observed: 1_700_000_000_000_000_002, TimeQuality: TimeNoYear,
		Kind: "incident", Type: "max_deliver", Subject: "logs.a", Service: "pay", Level: "error", SeverityNumber: 17,
		Message: "declined \x00 é", HTTP: HTTP{Method: "GET", Status: 502, DurationMS: 1.5},
		RPC:  RPC{Code: "UNAVAILABLE", DurationMS: 2.25},
		NATS: NATS{Stream: "S", Seq: 7, Deliveries: 3, CID: -4, ErrCode: 10077},
		Incident: &Incident{
			ID: "x-1", Rule: "r", State: "open", Severity: "error", Key: map[string]string{"a": "b"},
			Labels: map[string]string{}, Rev: 2, Count: 9, StartedAt: -5, OpenedAt: 6,
		},
		ID: "adv-1", Raw: `{"a":1}`, Pos: Pos{Partition: 3, Seq: 1 << 60, Sub: 2},
	}
	e.SetAttrs(map[string]any{
		"n": nil, "t": true, "f": false, "i": -12, "x": 0.1, "s": "v",
		"l": []any{1, "two", nil, []any{}}, "m": map[string]any{"deep": map[string]any{}},
	})
	return e
}

func TestBinaryRoundTrip(t *testing.T) {
	for name, want := range map[string]*Event{"full": sample(), "empty": {}} {
		got := new(Event)
		if err := got.DecodeBinary(want.AppendBinary(nil)); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s:\n got %+v\nwant %+v", name, got, want)
		}
	}
}

func TestBinaryIsDeterministic(t *testing.T) {
	first := string(sample().AppendBinary(nil))
	for range 20 {
		if string(sample().AppendBinary(nil)) != first {
			t.Fatal("two encodings of one event differ")
		}
	}
}

func TestBinaryRefusesTruncation(t *testing.T) {
	b := sample().AppendBinary(nil)
	for n := range b {
		if err := new(Event).DecodeBinary(b[:n]); err == nil {
			t.Fatalf("%d of %d bytes were accepted", n, len(b))
		}
	}
	if err := new(Event).DecodeBinary(append(b, 0)); err == nil {
		t.Error("trailing bytes were accepted")
	}
}

func FuzzDecodeBinary(f *testing.F) {
	f.Add(sample().AppendBinary(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		e := new(Event)
		if e.DecodeBinary(b) != nil {
			return
		}
		again := new(Event)
		if err := again.DecodeBinary(e.AppendBinary(nil)); err != nil {
			t.Fatalf("what was decoded does not encode: %v", err)
		}
	})
}
