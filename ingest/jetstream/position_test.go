package jetstream

import "testing"

func TestParseReply(t *testing.T) {
	want := position{deliveries: 2, stream: 170, delivery: 171, time: 1763830800123456789, pending: 9}
	tests := []struct {
		name, reply string
		ok          bool
	}{
		{"version 1", "$JS.ACK.LOGS.corral.2.170.171.1763830800123456789.9", true},
		{"version 2", "$JS.ACK.hub.Xy2.LOGS.corral.2.170.171.1763830800123456789.9", true},
		{"version 2 with a token", "$JS.ACK.hub.Xy2.LOGS.corral.2.170.171.1763830800123456789.9.r4nd", true},
		{"empty", "", false},
		{"an inbox", "_INBOX.abc.1.2.3.4.5.6.7", false},
		{"too short", "$JS.ACK.LOGS.corral.2.170.171.9", false},
		{"not a number", "$JS.ACK.LOGS.corral.2.17x.171.1763830800123456789.9", false},
		{"sequence zero", "$JS.ACK.LOGS.corral.2.0.171.1763830800123456789.9", false},
		{"a number too long", "$JS.ACK.LOGS.corral.2.170.171.1763830800123456789.99999999999999999999", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, ok := parseReply(tt.reply)
			if ok != tt.ok {
				t.Fatalf("ok is %v, want %v", ok, tt.ok)
			}
			if ok && got != want {
				t.Errorf("got %+v, want %+v", got, want)
			}
		})
	}
}

func FuzzParseReply(f *testing.F) {
	f.Add("$JS.ACK.LOGS.corral.2.170.171.1763830800123456789.9")
	f.Add("$JS.ACK.hub.Xy2.LOGS.corral.2.170.171.1763830800123456789.9.r4nd")
	f.Fuzz(func(t *testing.T, reply string) {
		if p, ok := parseReply(reply); ok && p.stream == 0 {
			t.Errorf("sequence 0 in %q", reply)
		}
	})
}
