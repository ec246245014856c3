package jetstream

import (
	"errors"
	"fmt"
	"log/slog"
	"testing"

	"corral/ingest"

	"github.com/nats-io/nats.go"
)

// TestEveryDeliveryIsCounted takes what a server sends to a consumer that
// somebody else pulls from, too, or whose state it lost in part: a message that
// comes again must not hide that deliveries before it went elsewhere.
func TestEveryDeliveryIsCounted(t *testing.T) {
	type delivery struct{ seq, delivery uint64 }
	tests := []struct {
		name  string
		came  []delivery
		taken []uint64
		bound bool // still
	}{
		{"in order", []delivery{{1, 1}, {2, 2}, {3, 3}}, []uint64{1, 2, 3}, true},
		{"a removed message", []delivery{{1, 1}, {3, 2}}, []uint64{1, 3}, true},
		{"redelivered", []delivery{{1, 1}, {2, 2}, {1, 3}, {2, 4}, {3, 5}}, []uint64{1, 2, 3}, true},
		{"new ones lost", []delivery{{1, 1}, {4, 4}}, []uint64{1}, false},
		{"new ones lost before a redelivered one", []delivery{{1, 1}, {2, 2}, {1, 6}}, []uint64{1, 2}, false},
		{"the count went back", []delivery{{1, 1}, {2, 2}, {2, 3}, {9, 3}}, []uint64{1, 2}, false},
		{"the count went back to what came before", []delivery{{1, 1}, {2, 2}, {2, 2}}, []uint64{1, 2}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := &reader{stats: new(counters), log: slog.New(slog.DiscardHandler), expect: firstDelivery}
			var b ingest.Batch
			var err error
			for _, d := range tt.came {
				m := &nats.Msg{Subject: "logs", Reply: fmt.Sprintf("$JS.ACK.LOGS.corral.1.%d.%d.1.0", d.seq, d.delivery)}
				if _, err = r.take(m, &b, ack{}); err != nil {
					break
				}
			}
			if bound := !errors.Is(err, errRebind); bound != tt.bound {
				t.Errorf("still bound: %t, want %t", bound, tt.bound)
			}
			var taken []uint64
			for _, rec := range b.Records {
				taken = append(taken, rec.Seq)
			}
			if fmt.Sprint(taken) != fmt.Sprint(tt.taken) {
				t.Errorf("taken %v, want %v", taken, tt.taken)
			}
		})
	}
}
