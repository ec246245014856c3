package demo

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"
)

// Fault is one thing that can go wrong in a System, for real.
type Fault struct {
	Name string // "slow-worker"
	Does string // what is done, in a sentence
	// Expect are the incidents that must open while the fault is there; Symptoms
	// are rules that may fire besides.
	Expect   []Expectation
	Symptoms []string

	inject func(ctx context.Context) (stop func(), err error)

	mu   sync.Mutex
	stop func() // not nil while the fault is there
}

// Expectation is an incident of a rule in rules.example.yaml.
type Expectation struct {
	Rule     string
	Key      map[string]string // these values, among others
	Evidence []string          // protocols its evidence must show: "REST", "gRPC", "NATS"
	Resolves bool              // it ends within seconds after the fault
}

// Start injects the fault and returns when it is in place. Starting it twice
// changes nothing.
func (f *Fault) Start(ctx context.Context) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.stop != nil {
		return nil
	}
	stop, err := f.inject(ctx)
	if err != nil {
		return fmt.Errorf("inject %s: %w", f.Name, err)
	}
	f.stop = stop
	return nil
}

// Stop takes the fault away; the system recovers by itself. It may be called
// at any time.
func (f *Fault) Stop() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.stop != nil {
		f.stop()
		f.stop = nil
	}
}

// Active reports whether the fault is there.
func (f *Fault) Active() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.stop != nil
}

func (s *System) allFaults() []*Fault {
	callKey := map[string]string{"call": ordersRPCService + "/Create"}
	consumerKey := map[string]string{"stream": ordersStream, "consumer": fulfilmentConsumer}
	three := []string{"REST", "gRPC", "NATS"}
	failing := []string{"http-5xx-ratio", "service-error-burst"}
	return []*Fault{
		{
			Name:     "slow-worker",
			Does:     "inventory takes 2.5 s for a reservation; orders waits 1 s",
			Expect:   []Expectation{{Rule: "nats-timeout-fails-requests", Key: callKey, Evidence: three}, {Rule: "grpc-deadline-exceeded", Key: callKey}},
			Symptoms: failing,
			inject:   s.slowWorker,
		},
		{
			Name: "worker-gone",
			Does: "the inventory process ends; nobody answers inventory.reserve",
			Expect: []Expectation{
				{Rule: "no-responders-fails-requests", Key: callKey, Evidence: three},
				{Rule: "service-silent", Key: map[string]string{"service": "inventory"}, Resolves: true},
			},
			Symptoms: failing,
			inject:   s.workerGone,
		},
		{
			Name: "poison",
			Does: "an order to Atlantis: accepted by REST and gRPC, given back by fulfilment each time",
			Expect: []Expectation{
				{Rule: "accepted-but-not-fulfilled", Evidence: three},
				{Rule: "poison-message", Key: consumerKey},
				{Rule: "consumer-max-deliver", Key: consumerKey},
				{Rule: "consumer-naks", Key: consumerKey},
			},
			inject: s.poison,
		},
		{
			Name:   "slow-consumer",
			Does:   "price-board subscribes to prices.> and stops reading its socket",
			Expect: []Expectation{{Rule: "nats-slow-consumer", Key: map[string]string{"client": slowReaderName}, Evidence: []string{"NATS"}}},
			inject: s.slowConsumer,
		},
		{
			Name:   "wrong-credentials",
			Does:   "nightly-report tries to log in with last year's password",
			Expect: []Expectation{{Rule: "nats-auth-failure", Key: map[string]string{"user": "reports"}, Evidence: []string{"NATS"}}},
			inject: s.wrongCredentials,
		},
	}
}

func (s *System) slowWorker(context.Context) (func(), error) {
	s.stockTime.Store(int64(2500 * time.Millisecond))
	return func() { s.stockTime.Store(0) }, nil
}

func (s *System) workerGone(ctx context.Context) (func(), error) {
	s.stopInventory()
	ctx = context.WithoutCancel(ctx)
	return func() {
		ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
		defer cancel()
		if err := s.startInventory(ctx); err != nil {
			s.gateway.log.Error("inventory does not come back", "error", err.Error())
		}
	}, nil
}

// poison sends one order that every part of the system takes, but the last.
func (s *System) poison(ctx context.Context) (func(), error) {
	got := s.load.send(ctx, Order{SKU: "trident", Count: 1, ShipTo: "Atlantis"})
	if got != http.StatusAccepted {
		return nil, fmt.Errorf("the order was answered with %d, want 202", got)
	}
	return func() {}, nil // it ends by itself, after maxDeliver attempts
}

// whileActive runs work until the fault is stopped.
func whileActive(ctx context.Context, work func(context.Context)) (stop func()) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var done sync.WaitGroup
	done.Go(func() { work(ctx) })
	return func() {
		cancel()
		done.Wait()
	}
}

// pause waits for d; false if ctx ended first.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
