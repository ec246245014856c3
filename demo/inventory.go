package demo

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	fulfilmentConsumer = "fulfilment"
	maxDeliver         = 4
	redeliveryDelay    = 250 * time.Millisecond
)

// couriers are the towns that can be delivered to.
var couriers = map[string]string{"Berlin": "bike", "Lisbon": "van", "Oslo": "rail"}

// inventory is the worker: it answers reservations and, as the JetStream
// consumer "fulfilment", ships accepted orders.
type inventory struct {
	nc      *nats.Conn
	log     *slog.Logger
	delay   *atomic.Int64 // of each reservation, in nanoseconds
	consume jetstream.ConsumeContext
	gone    chan struct{} // closed when the worker goes away
	slots   chan struct{} // one for each request in work
	work    sync.WaitGroup
	ending  sync.Mutex // held to close gone, and while work is taken on
}

func startInventory(ctx context.Context, nc *nats.Conn, delay *atomic.Int64) (*inventory, error) {
	w := &inventory{nc: nc, log: newLogger(nc, "inventory"), delay: delay, gone: make(chan struct{}), slots: make(chan struct{}, 128)}
	if err := w.subscribe(ctx); err != nil {
		w.close()
		return nil, fmt.Errorf("inventory: %w", err)
	}
	w.work.Go(func() { heartbeat(w.gone, w.log) })
	return w, nil
}

func (w *inventory) subscribe(ctx context.Context) error {
	js, err := jetstream.New(w.nc)
	if err != nil {
		return err
	}
	consumer, err := js.CreateOrUpdateConsumer(ctx, ordersStream, jetstream.ConsumerConfig{
		Durable: fulfilmentConsumer, AckPolicy: jetstream.AckExplicitPolicy,
		AckWait: 10 * time.Second, MaxDeliver: maxDeliver,
	})
	if err != nil {
		return fmt.Errorf("consumer %s: %w", fulfilmentConsumer, err)
	}
	if w.consume, err = consumer.Consume(w.ship); err != nil {
		return fmt.Errorf("consume %s: %w", fulfilmentConsumer, err)
	}
	if _, err := w.nc.QueueSubscribe(reserveSubject, "inventory", w.accept); err != nil {
		return fmt.Errorf("subscribe %s: %w", reserveSubject, err)
	}
	return w.nc.Flush()
}

// close takes the worker away as the end of its process would.
func (w *inventory) close() {
	w.ending.Lock()
	close(w.gone)
	w.ending.Unlock()
	if w.consume != nil {
		w.consume.Stop()
	}
	w.nc.Close()
	w.work.Wait()
}

// accept takes a request off the subscription, so that a slow one does not hold
// up the others.
func (w *inventory) accept(msg *nats.Msg) {
	select {
	case w.slots <- struct{}{}:
	case <-w.gone:
		return
	}
	w.ending.Lock()
	defer w.ending.Unlock()
	select {
	case <-w.gone: // close may be waiting for the work there is, and must not find more
		return
	default:
	}
	w.work.Go(func() {
		defer func() { <-w.slots }()
		w.reserve(msg)
	})
}

func (w *inventory) reserve(msg *nats.Msg) {
	ctx := extract(context.Background(), carrier(msg.Header))
	start := time.Now()
	var o Order
	if err := json.Unmarshal(msg.Data, &o); err != nil {
		traced(ctx, w.log).Error("unreadable reservation", "error", err.Error(), slog.Group("nats", "subject", msg.Subject))
		return
	}
	if !w.lookUpStock(time.Duration(w.delay.Load())) {
		return
	}
	took := time.Since(start)
	level := slog.LevelInfo
	if took > reserveTimeout {
		level = slog.LevelWarn
	}
	traced(ctx, w.log).Log(ctx, level, "reserved", "order_id", o.ID, "sku", o.SKU, "count", o.Count,
		"duration_ms", milliseconds(start), slog.Group("nats", "subject", msg.Subject))
	_ = msg.Respond([]byte(`{"reserved":true}`)) // the requester may have given up
}

// lookUpStock takes as long as the injected delay says; false if the worker went
// away meanwhile.
func (w *inventory) lookUpStock(delay time.Duration) bool {
	if delay == 0 {
		return true
	}
	t := time.NewTimer(delay)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-w.gone:
		return false
	}
}

// ship works on one accepted order. What it cannot ship it gives back, up to
// maxDeliver times.
func (w *inventory) ship(msg jetstream.Msg) {
	ctx := extract(context.Background(), carrier(msg.Headers()))
	meta, err := msg.Metadata()
	if err != nil {
		traced(ctx, w.log).Error("message without metadata", "error", err.Error())
		return
	}
	log := traced(ctx, w.log).With(slog.Group("nats", "stream", meta.Stream, "consumer", meta.Consumer,
		"subject", msg.Subject(), "seq", meta.Sequence.Stream, "deliveries", meta.NumDelivered))
	var o Order
	if err := json.Unmarshal(msg.Data(), &o); err != nil {
		log.Error("cannot ship order", "error", err.Error())
		_ = msg.TermWithReason("not an order")
		return
	}
	log = log.With("order_id", o.ID)
	courier, ok := couriers[o.ShipTo]
	if !ok {
		log.Error("cannot ship order", "error", fmt.Sprintf("no courier delivers to %q", o.ShipTo))
		_ = msg.NakWithDelay(redeliveryDelay) // unanswered, it comes again after AckWait
		return
	}
	log.Info("shipped", "courier", courier)
	_ = msg.Ack()
}

// heartbeat logs a sign of life every second.
func heartbeat(stop <-chan struct{}, log *slog.Logger) {
	t := time.NewTicker(time.Second)
	defer t.Stop()
	for {
		log.Info("heartbeat")
		select {
		case <-t.C:
		case <-stop:
			return
		}
	}
}
