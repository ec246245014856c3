package jetstream

import (
	"log/slog"
	"strconv"
	"testing"
	"time"

	"corral/internal/natstest"
)

// TestAcknowledgedAgain: a server answers an acknowledgement of a delivery older
// than the last one acknowledged, and does nothing. What comes again for that is
// acknowledged by its new delivery.
func TestAcknowledgedAgain(t *testing.T) {
	a := newAcks(nil, slog.New(slog.DiscardHandler))
	release := func(stream, delivery uint64) {
		t.Helper()
		if err := a.hand(ack{stream, delivery, strconv.FormatUint(delivery, 10)})(); err != nil {
			t.Fatal(err)
		}
	}
	want := func(what string, target ack) {
		t.Helper()
		if a.target != target || target.stream <= a.acked.stream {
			t.Errorf("%s: target is %+v, acknowledged %+v; want %+v to be acknowledged", what, a.target, a.acked, target)
		}
	}
	release(100, 100)
	release(200, 200)
	want("released", ack{200, 200, "200"})
	a.redelivered(ack{150, 300, "300"})
	want("redelivered on the way", ack{200, 200, "200"})
	a.confirmed(a.target, a.life)
	a.redelivered(ack{101, 301, "301"})
	want("redelivered", ack{101, 301, "301"})
	a.redelivered(ack{102, 302, "302"})
	want("the next one, too", ack{102, 302, "302"})
}

// TestFloorAfterRedelivery lets AckWait pass for a part of what is unsafe: in the
// end the server has all acknowledged.
func TestFloorAfterRedelivery(t *testing.T) {
	_, js := server(t)
	cfg := quick("LOGS")
	cfg.AckWait = 300 * time.Millisecond
	publish(t, js, 0, 10)
	c := collect(t, js, cfg, nil)
	c.wantSeqs(1, 10)
	natstest.Eventually(t, "redelivery", func() bool { return c.src.Stats()[0].Redelivered > 0 })
	publish(t, js, 10, 10)
	c.wantSeqs(1, 20)
	c.release()
	natstest.Eventually(t, "all acknowledged", func() bool { return floor(t, js, "LOGS", cfg.DurableName()) == 20 })
}
