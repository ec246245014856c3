package clickhouse

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"corral/correlate"
	"corral/internal/chserver"
	"corral/internal/chserver/chtest"
	"corral/internal/testlog"
	"corral/sinks/sinktest"
)

var chserverOptions chserver.Options

// TestExactlyOnce: the server is killed with kill -9, connections are cut and
// answers swallowed, at random, while two sinks write, one of them with a spool
// and closed and opened again. Afterwards everything that Write accepted is
// there, once.
func TestExactlyOnce(t *testing.T) {
	for _, proto := range []string{"native", "http"} {
		t.Run(proto, func(t *testing.T) { exactlyOnce(t, proto) })
	}
}

func exactlyOnce(t *testing.T, proto string) {
	server := chtest.Start(t, chserverOptions)
	to, scheme := server.NativeAddr(), "clickhouse"
	if proto == "http" {
		to, scheme = server.HTTPAddr(), "http"
	}
	proxy, err := chserver.NewProxy(to)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = proxy.Close() }()
	options := Options{
		DSN:           scheme + "://" + proxy.Addr() + "/d?dial_timeout=10s",
		InsertTimeout: 20 * time.Second, RetryInterval: 30 * time.Millisecond, HoldInterval: 30 * time.Millisecond,
		Patience: 50 * time.Millisecond, DrainTimeout: 50 * time.Millisecond, Logger: new(testlog.Buffer).Logger(),
	}
	if err := Migrate(t.Context(), Options{DSN: chtest.DSN(server, "d")}, nil); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithTimeout(t.Context(), 60*time.Second)
	defer stop()
	plain, spooled := &load{o: options, run: 1}, &load{o: options, run: 2}
	spooled.o.Spool = t.TempDir()
	ended := make(chan error, 2)
	for _, l := range []*load{plain, spooled} {
		go func() { ended <- l.write(ctx) }()
	}
	seed := rand.Uint64()
	h := harm{server, proxy, rand.New(rand.NewPCG(seed, 0))}
	kills := 0
	for ctx.Err() == nil && (kills < 2 || plain.failed() == 0 || plain.found()+spooled.found() == 0) {
		kills++
		if err := h.all(ctx); err != nil {
			t.Fatal(err)
		}
	}
	stop()
	for range 2 {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
	accepted := slices.Concat(plain.accepted, spooled.accepted)
	t.Logf("seed %d: %d kills; %d revisions accepted; failed tries %d and %d, of these done all the same %d and %d",
		seed, kills, len(accepted), plain.failed(), spooled.failed(), plain.found(), spooled.found())
	dsn := chtest.DSN(server, "d")
	if diff := sinktest.Diff(accepted, all(t, reader(t, dsn))); diff != "" {
		t.Error(diff[:min(len(diff), 5000)])
	}
	c := chtest.Conn(t, server, "d")
	for table, want := range map[string]int{
		"incident_history": len(accepted),
		"incidents_now":    distinct(accepted, func(x *correlate.Transition) string { return x.RunID + x.IncidentID }),
	} {
		if n := chtest.One[uint64](t, c, "SELECT count() FROM "+table); n != uint64(want) {
			t.Errorf("%s has %d rows, want %d", table, n, want)
		}
	}
	if n := chtest.One[uint64](t, c, `SELECT count() FROM incidents_now AS i
		INNER JOIN (SELECT run_id, incident_id, max(rev) AS rev FROM incident_history GROUP BY ALL) AS h USING (run_id, incident_id) WHERE i.rev != h.rev`); n != 0 {
		t.Errorf("%d incidents are not at their last revision", n)
	}
	if plain.failed() == 0 || plain.found()+spooled.found() == 0 {
		t.Error("no outcome was unknown")
	}
}

func distinct(ts []*correlate.Transition, key func(*correlate.Transition) string) int {
	seen := map[string]bool{}
	for _, x := range ts {
		seen[key(x)] = true
	}
	return len(seen)
}

// harm is what is done to the sinks.
type harm struct {
	server *chserver.Server
	proxy  *chserver.Proxy
	chance *rand.Rand
}

// all does each thing once, in random order.
func (h harm) all(ctx context.Context) error {
	things := []func(context.Context) error{h.swallow, h.cut, h.kill}
	h.chance.Shuffle(len(things), func(i, j int) { things[i], things[j] = things[j], things[i] })
	for _, do := range things {
		h.pause()
		if err := do(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (h harm) pause() { <-time.After(time.Duration(20+h.chance.IntN(100)) * time.Millisecond) }

// swallow drops the answer to an insert.
func (h harm) swallow(ctx context.Context) error {
	before := h.proxy.Swallowed.Load()
	h.proxy.MinRequest.Store(3000)
	h.proxy.Swallow.Store(true)
	defer h.proxy.Swallow.Store(false)
	for deadline := time.Now().Add(3 * time.Second); h.proxy.Swallowed.Load() == before && ctx.Err() == nil && time.Now().Before(deadline); {
		<-time.After(time.Millisecond)
	}
	return nil
}

func (h harm) cut(context.Context) error {
	h.proxy.Cut.Store(true)
	h.pause()
	h.proxy.Cut.Store(false)
	return nil
}

func (h harm) kill(ctx context.Context) error {
	h.server.Kill()
	_, err := h.server.Again(context.WithoutCancel(ctx))
	return err
}

// load writes incidents of a run of its own, in random pieces.
type load struct {
	o        Options
	run      int
	accepted []*correlate.Transition
	sink     atomic.Pointer[Sink]
	before   atomic.Uint64 // failed, by the sinks that are closed
	foundby  atomic.Uint64
}

// failed counts failed tries so far, found those that were done all the same.
func (l *load) failed() uint64 { f, _ := tries(l.sink.Load()); return l.before.Load() + f }
func (l *load) found() uint64  { _, f := tries(l.sink.Load()); return l.foundby.Load() + f }

func tries(s *Sink) (failed, found uint64) {
	if s == nil {
		return 0, 0
	}
	x := s.Stats()
	for _, n := range x.Retries {
		failed += n
	}
	return failed, x.Found
}

// write writes until ctx is done, then finishes what it has begun. A spool is
// handed to the next sink every so often.
func (l *load) write(ctx context.Context) error {
	all := sinktest.Transitions(20_000)
	for _, x := range all {
		x.Mode, x.RunID = "batch", fmt.Sprintf("0190c5e4-0000-7000-8000-%012d", l.run)
		x.Context, x.Evidence = nil, x.Evidence[:1]
	}
	for ctx.Err() == nil {
		s, err := Open(l.o)
		if err != nil {
			return err
		}
		l.sink.Store(s)
		for n := 0; ctx.Err() == nil && (l.o.Spool == "" || n < 50); n++ {
			part := all[:min(len(all), 1+rand.IntN(40))]
			if err := s.Write(context.Background(), part); err != nil {
				return err
			}
			l.accepted, all = append(l.accepted, part...), all[len(part):]
			<-time.After(15 * time.Millisecond)
		}
		if err := l.close(s); err != nil {
			return err
		}
	}
	if l.o.Spool == "" {
		return nil
	}
	s, err := Open(l.o) // for what is left in the spool
	if err != nil {
		return err
	}
	s.spool.drain(30*time.Second, func() bool { return false })
	return l.close(s)
}

func (l *load) close(s *Sink) error {
	failed, found := tries(s)
	l.sink.Store(nil)
	l.before.Add(failed)
	l.foundby.Add(found)
	return s.Close()
}
