package pipeline

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"corral/ingest"
	"corral/sinks"
)

// endless is a source of records that cannot be read, as fast as they are taken.
type endless struct{}

func (endless) Partitions() []ingest.Partition { return []ingest.Partition{{Name: "stream:LOGS"}} }

func (endless) Run(ctx context.Context, out func(ingest.Batch) error) error {
	for seq := uint64(1); ; seq++ {
		if err := out(ingest.Batch{Records: []ingest.Record{{Seq: seq, Data: []byte("\x00\xff")}}}); err != nil {
			return err
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
}

// TestEndWhileReloading ends a worker that has not drained in time while somebody
// waits to be alone with it, and more comes in than goes out: it ends.
func TestEndWhileReloading(t *testing.T) {
	for range 20 { // which of them is heard first is up to chance
		full, busy, free := make(chan struct{}, 1), make(chan struct{}), make(chan struct{})
		s := &Stream{
			Rules: parseRules(t, countRules), Sources: []ingest.Source{endless{}}, Sink: &collect{}, Workers: 1,
			Dead: func(ctx context.Context, _ []sinks.DeadLetter) error {
				select {
				case full <- struct{}{}: // the first time
					close(busy)
					<-free
					return nil
				default:
					<-ctx.Done()
					return context.Cause(ctx)
				}
			},
			Counters: new(Counters), Now: time.Now, Log: slog.New(slog.DiscardHandler), DrainTimeout: time.Millisecond,
		}
		if err := s.Init(t.Context()); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done, told := make(chan error, 1), make(chan struct{})
		go func() { done <- s.Run(ctx) }()
		asked := make(chan struct{})
		go func() {
			close(asked)
			_ = s.Do(context.WithoutCancel(ctx), func() {}) // it may come too late
			close(told)
		}()
		<-asked
		<-busy
		close(free)
		cancel()
		select {
		case <-done: // drained or not, as it came
		case <-time.After(time.Minute):
			t.Fatal("it does not end")
		}
		select {
		case <-told:
		case <-time.After(time.Minute):
			t.Fatal("who waited to be alone waits on")
		}
	}
}
