package soak

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"corral/internal/chserver"
	"corral/internal/natstest"
)

// rig is the servers of one lane, which its rounds use one after the other, and
// the networks between them and the worker.
type rig struct {
	nats *natstest.Process
	ch   *chserver.Server

	toNATS       *wire
	toClickHouse *wire           // and behind it
	answers      *chserver.Proxy // which can swallow them

	// The round's own connections, which no fault of a network befalls.
	nc *nats.Conn
	js jetstream.JetStream
	db clickhouse.Conn
}

func newRig(t *testing.T) *rig {
	r := &rig{}
	natsDir, chDir := t.TempDir(), t.TempDir()
	t.Cleanup(func() { r.close() }) // before the directories are removed
	if err := r.open(t.Context(), natsDir, chDir); err != nil {
		t.Fatal(err)
	}
	return r
}

// renew begins with new servers.
func (r *rig) renew(t *testing.T) {
	r.close()
	*r = rig{}
	if err := r.open(t.Context(), t.TempDir(), t.TempDir()); err != nil {
		t.Fatal(err)
	}
}

func (r *rig) open(ctx context.Context, natsDir, chDir string) (err error) {
	if r.nats, err = natstest.StartProcess(natsDir); err != nil {
		return err
	}
	short, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if r.ch, err = chserver.Start(short, chserver.Options{Dir: chDir}); err != nil {
		return err
	}
	if r.toNATS, err = newWire(r.nats.Addr()); err != nil {
		return err
	}
	if r.answers, err = chserver.NewProxy(r.ch.NativeAddr()); err != nil {
		return err
	}
	if r.toClickHouse, err = newWire(r.answers.Addr()); err != nil {
		return err
	}
	r.nc, err = nats.Connect(r.nats.URL(), nats.MaxReconnects(-1), nats.ReconnectWait(20*time.Millisecond), nats.ReconnectJitter(0, 0))
	if err != nil {
		return err
	}
	if r.js, err = jetstream.New(r.nc); err != nil {
		return err
	}
	r.db, err = clickhouse.Open(&clickhouse.Options{Addr: []string{r.ch.NativeAddr()}})
	return err
}

func (r *rig) close() {
	if r.nc != nil {
		r.nc.Close()
	}
	if r.db != nil {
		_ = r.db.Close()
	}
	for _, w := range []*wire{r.toClickHouse, r.toNATS} {
		if w != nil {
			w.close()
		}
	}
	if r.answers != nil {
		_ = r.answers.Close()
	}
	if r.ch != nil {
		r.ch.Kill()
	}
	if r.nats != nil {
		r.nats.Kill()
	}
}

// heal ends whatever is wrong with the networks.
func (r *rig) heal() {
	r.toNATS.heal()
	r.toClickHouse.heal()
	r.answers.Swallow.Store(false)
}

// clean removes what the round before left.
func (r *rig) clean(ctx context.Context, database string) error {
	var streams []string
	names := r.js.StreamNames(ctx)
	for name := range names.Name() {
		streams = append(streams, name)
	}
	if names.Err() != nil {
		return names.Err()
	}
	for _, name := range streams {
		if err := r.js.DeleteStream(ctx, name); err != nil {
			return fmt.Errorf("delete stream %s: %w", name, err)
		}
	}
	return r.db.Exec(ctx, "DROP DATABASE IF EXISTS "+database+" SYNC")
}

// until tries f again and again until it succeeds or ctx is done.
func until(ctx context.Context, f func(ctx context.Context) error) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		try, cancel := context.WithTimeout(ctx, 2*time.Second)
		err := f(try)
		cancel()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", context.Cause(ctx), err)
		case <-tick.C:
		}
	}
}
