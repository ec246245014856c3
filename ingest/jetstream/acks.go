package jetstream

import (
	"cmp"
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

const ackTimeout = 5 * time.Second

// acks remembers what was handed over and acknowledges it to the server, in
// order, however the batches are released: one acknowledgement stands for
// everything before it.
//
// The server knows a delivery by its reply subject, which is good for one life
// of the consumer only. After a rewind the messages come again with new ones:
// see redelivered.
type acks struct {
	nc  *nats.Conn
	log *slog.Logger

	mu      sync.Mutex
	life    int     // of the consumer; counts rewinds
	handed  []*span // handed over and not yet safe, in order
	safe    uint64  // stream sequence up to which all is safe
	target  ack     // what to acknowledge next, of this life
	acked   ack     // what the server confirmed, of this life
	wake    chan struct{}
	settled chan struct{} // closed and replaced when acked reaches target
}

// span is a run of messages handed over together.
type span struct {
	last ack
	life int
	done bool
}

// ack names a delivery.
type ack struct {
	stream, delivery uint64
	reply            string
}

func newAcks(nc *nats.Conn, log *slog.Logger) *acks {
	return &acks{nc: nc, log: log, wake: make(chan struct{}, 1), settled: make(chan struct{})}
}

// rewound says that the consumer began a new life and delivers what is not
// acknowledged once more. floor is where its acknowledgements stand.
func (a *acks) rewound(floor uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.life++
	a.safe = max(a.safe, floor)
	a.target = ack{stream: floor}
	a.acked = a.target
}

// forget drops everything: the stream is not the one it was.
func (a *acks) forget(floor uint64) {
	a.mu.Lock()
	a.handed, a.safe = nil, floor
	a.mu.Unlock()
	a.rewound(floor)
}

// hand records a run of messages that ends with last and returns what the
// receiver calls when they are safe.
func (a *acks) hand(last ack) func() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	s := &span{last: last, life: a.life}
	a.handed = append(a.handed, s)
	return func() error { a.done(s); return nil }
}

func (a *acks) done(s *span) {
	a.mu.Lock()
	defer a.mu.Unlock()
	s.done = true
	n := 0
	for ; n < len(a.handed) && a.handed[n].done; n++ {
		a.release(a.handed[n])
	}
	a.handed = slices.Delete(a.handed, 0, n)
}

func (a *acks) release(s *span) {
	a.safe = max(a.safe, s.last.stream)
	if s.life == a.life {
		a.aim(s.last)
	}
}

// redelivered learns the reply subject by which a message that came before is
// known now.
func (a *acks) redelivered(m ack) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if m.stream <= a.safe {
		a.doubt(m)
		a.aim(m)
		return
	}
	i, found := slices.BinarySearchFunc(a.handed, m.stream, func(s *span, seq uint64) int {
		return cmp.Compare(s.last.stream, seq)
	})
	if found {
		a.handed[i].last, a.handed[i].life = m, a.life
	}
}

// doubt learns that a message comes again which the server says was acknowledged.
// It answers so, but does nothing, where something that is before it in the stream
// was acknowledged by a later delivery.
func (a *acks) doubt(m ack) {
	if m.stream <= a.acked.stream && a.target == a.acked {
		a.acked = ack{stream: m.stream - 1, delivery: a.acked.delivery}
		a.target = a.acked
	}
}

func (a *acks) aim(m ack) {
	if m.stream <= a.target.stream {
		return
	}
	a.target = m
	select {
	case a.wake <- struct{}{}:
	default: // already woken
	}
}

// outstanding is how many deliveries up to the given one the server still
// counts as unacknowledged.
func (a *acks) outstanding(delivery uint64) uint64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	return delivery - min(delivery, a.acked.delivery)
}

// unsafe is how many spans were handed over and not released.
func (a *acks) unsafe() uint64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	return uint64(len(a.handed))
}

func (a *acks) floor() uint64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.safe
}

// run acknowledges until ctx is done.
func (a *acks) run(ctx context.Context) {
	retry := newBackoff()
	for {
		select {
		case <-a.wake:
		case <-ctx.Done():
			return
		}
		for a.confirm(ctx) != nil {
			if retry.wait(ctx) != nil {
				return
			}
		}
		retry.reset()
	}
}

// confirm acknowledges the target and waits for the server to say so. An error
// means that it has to be tried again, perhaps with a newer target.
func (a *acks) confirm(ctx context.Context) error {
	a.mu.Lock()
	target, life := a.target, a.life
	pending := target.stream > a.acked.stream
	a.mu.Unlock()
	if !pending {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, ackTimeout)
	defer cancel()
	if _, err := a.nc.RequestWithContext(ctx, target.reply, []byte("+ACK")); err != nil {
		a.log.Warn("acknowledge", "sequence", target.stream, "error", err)
		return err
	}
	a.confirmed(target, life)
	return nil
}

func (a *acks) confirmed(target ack, life int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if life != a.life {
		return
	}
	a.acked = target
	if a.target == target {
		close(a.settled)
		a.settled = make(chan struct{})
	}
}

// settle waits until everything released so far is confirmed.
func (a *acks) settle(ctx context.Context) error {
	for {
		a.mu.Lock()
		settled, pending := a.settled, a.target.stream > a.acked.stream
		a.mu.Unlock()
		if !pending {
			return nil
		}
		select {
		case <-settled:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
