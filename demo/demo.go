// Package demo is a small shop that breaks on demand: three real services in one
// process, an embedded nats-server, steady load, and faults that are injected,
// not faked in a log.
//
//	customers ──REST──▶ gateway ──gRPC──▶ orders ──NATS request──▶ inventory
//	                                        └──JetStream ORDERS──▶ inventory (consumer "fulfilment")
//
// Every service logs with slog to the subject logs.<service>, with one trace id
// through all three protocols. The server's log, its account events and
// JetStream's advisories join them in the stream OBS, which is what corral reads.
// Everything listens on loopback only.
package demo

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Options of a System.
type Options struct {
	Dir  string // JetStream's files; "": a temporary directory, removed by Close
	Rate int    // orders a second; 0: 20
}

// ConnInfo is what corral needs to watch a System.
type ConnInfo struct {
	URL, User, Password string // of the account that sees everything
	Stream              string // …in this stream
	Lateness            time.Duration
	Dir                 string // for state, for as long as the system runs
}

// lateness covers what lies between a record's time stamp and its place in the
// stream: one process, loopback, a busy machine.
const lateness = time.Second

// System is the running shop. Its methods are safe for concurrent use.
type System struct {
	dir       string
	ownDir    bool
	broker    *broker
	gateway   *gateway
	orders    *orders
	load      *load
	url       string       // of the gateway
	stockTime atomic.Int64 // how long inventory takes for a reservation, ns
	faults    []*Fault

	mu        sync.Mutex // guards inventory: a fault takes it away
	inventory *inventory

	stop func()         // ends load and heartbeats
	work sync.WaitGroup // load and heartbeats
}

// Start brings everything up, the load included. The caller closes the System.
func Start(ctx context.Context, o Options) (*System, error) {
	s := &System{dir: o.Dir, ownDir: o.Dir == "", stop: func() {}}
	s.faults = s.allFaults()
	if err := s.start(ctx, cmp.Or(o.Rate, 20)); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *System) start(ctx context.Context, rate int) (err error) {
	if s.ownDir {
		if s.dir, err = os.MkdirTemp("", "corral-demo-"); err != nil {
			return fmt.Errorf("demo directory: %w", err)
		}
	}
	if s.broker, err = startBroker(s.dir); err != nil {
		return err
	}
	if err := s.observe(ctx); err != nil {
		return err
	}
	if err := s.startServices(ctx); err != nil {
		return err
	}
	s.startLoad(ctx, rate)
	return nil
}

// observe creates the stream that keeps every signal, then lets the server's log
// into it.
func (s *System) observe(ctx context.Context) error {
	nc, err := s.broker.connect("corral", "demo-setup")
	if err != nil {
		return err
	}
	defer nc.Close()
	err = createStream(ctx, nc, jetstream.StreamConfig{
		Name: obsStream, Subjects: []string{obsSubject},
		MaxAge: 24 * time.Hour, MaxBytes: 1 << 30, Discard: jetstream.DiscardOld,
	})
	if err != nil {
		return err
	}
	logs, err := s.broker.connect("app", "nats-server-log")
	if err != nil {
		return err
	}
	s.broker.log.publishTo(logs)
	return nil
}

func (s *System) startServices(ctx context.Context) error {
	nc, err := s.broker.connect("app", "orders")
	if err != nil {
		return err
	}
	err = createStream(ctx, nc, jetstream.StreamConfig{
		Name: ordersStream, Subjects: []string{acceptedSubject},
		MaxAge: time.Hour, MaxMsgs: 100_000, Storage: jetstream.MemoryStorage,
	})
	if err != nil {
		nc.Close()
		return err
	}
	var ordersAddr string
	if s.orders, ordersAddr, err = startOrders(nc); err != nil {
		nc.Close()
		return err
	}
	if err := s.startInventory(ctx); err != nil {
		return err
	}
	if nc, err = s.broker.connect("app", "gateway"); err != nil {
		return err
	}
	if s.gateway, s.url, err = startGateway(nc, ordersAddr); err != nil {
		nc.Close()
		return err
	}
	return nil
}

// startInventory starts the worker unless it runs.
func (s *System) startInventory(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.inventory != nil {
		return nil
	}
	nc, err := s.broker.connect("app", "inventory")
	if err != nil {
		return err
	}
	if s.inventory, err = startInventory(ctx, nc, &s.stockTime); err != nil {
		s.inventory = nil
		return err
	}
	return nil
}

func (s *System) stopInventory() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.inventory != nil {
		s.inventory.close()
		s.inventory = nil
	}
}

// startLoad starts what goes on by itself: customers, and the signs of life of
// the two services that are never taken away.
func (s *System) startLoad(ctx context.Context, rate int) {
	ctx, s.stop = context.WithCancel(context.WithoutCancel(ctx))
	s.load = newLoad(s.url)
	s.work.Go(func() { s.load.run(ctx, rate) })
	s.work.Go(func() { heartbeat(ctx.Done(), s.gateway.log) })
	s.work.Go(func() { heartbeat(ctx.Done(), s.orders.log) })
}

// GatewayURL is where orders go: POST <url>/orders.
func (s *System) GatewayURL() string { return s.url }

// Conn says how to watch the system.
func (s *System) Conn() ConnInfo {
	return ConnInfo{
		URL: s.broker.url(), User: "corral", Password: s.broker.passwords["corral"],
		Stream: obsStream, Lateness: lateness, Dir: s.dir,
	}
}

// Faults lists what can be injected, in the order of a tour.
func (s *System) Faults() []*Fault { return s.faults }

// Fault looks a fault up by its name; nil if there is none.
func (s *System) Fault(name string) *Fault {
	for _, f := range s.faults {
		if f.Name == name {
			return f
		}
	}
	return nil
}

// Close stops faults, load, services and server, and removes a temporary
// directory. It may be called twice.
func (s *System) Close() error {
	for _, f := range s.faults {
		f.Stop()
	}
	s.stop()
	s.work.Wait()
	if s.gateway != nil {
		s.gateway.close()
	}
	s.stopInventory()
	if s.orders != nil {
		s.orders.close()
	}
	if s.broker != nil {
		s.broker.close()
	}
	if s.ownDir && s.dir != "" {
		return os.RemoveAll(s.dir)
	}
	return nil
}
