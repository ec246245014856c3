package jetstream

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"corral/ingest"
	"corral/internal/natstest"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

var errStop = errors.New("test is over")

// collector runs a source and keeps what it hands over.
type collector struct {
	t    *testing.T
	src  *Source
	stop func() error

	mu      sync.Mutex
	batches []ingest.Batch
	seqs    []uint64
	data    []string
	idle    int // empty batches with nothing pending

	released uint64 // up to which sequence
}

// quick are the settings of a source whose ticks a test can wait for.
func quick(streams ...string) Config {
	return Config{Streams: streams, Tick: 100 * time.Millisecond, Log: slog.New(slog.DiscardHandler)}
}

func collect(t *testing.T, js jetstream.JetStream, cfg Config, resume map[string]ingest.Position) *collector {
	t.Helper()
	src, err := New(js, cfg)
	if err != nil {
		t.Fatal(err)
	}
	src.Resume(resume)
	c := &collector{t: t, src: src}
	ctx, cancel := context.WithCancelCause(context.Background())
	done := make(chan error, 1)
	go func() { done <- src.Run(ctx, c.take) }()
	c.stop = sync.OnceValue(func() error {
		cancel(errStop)
		err := <-done
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		return errors.Join(err, src.Close(ctx))
	})
	t.Cleanup(func() { _ = c.stop() })
	return c
}

func (c *collector) take(b ingest.Batch) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(b.Records) == 0 && b.Pending == 0 {
		c.idle++
		return nil
	}
	c.batches = append(c.batches, b)
	for _, r := range b.Records {
		c.seqs = append(c.seqs, r.Seq)
		c.data = append(c.data, string(r.Data))
	}
	return nil
}

func (c *collector) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.seqs)
}

func (c *collector) idles() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.idle
}

// release acknowledges everything handed over so far, last batch first.
func (c *collector) release() {
	c.mu.Lock()
	batches := c.batches
	c.batches = nil
	if n := len(c.seqs); n > 0 {
		c.released = c.seqs[n-1]
	}
	c.mu.Unlock()
	for _, b := range slices.Backward(batches) {
		if err := b.Done(); err != nil {
			c.t.Error(err)
		}
	}
}

// wantSeqs waits for the messages from..to and checks that they came in order,
// each once.
func (c *collector) wantSeqs(from, to uint64) {
	c.t.Helper()
	natstest.Eventually(c.t, fmt.Sprintf("message %d", to), func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return len(c.seqs) > 0 && c.seqs[len(c.seqs)-1] >= to
	})
	c.mu.Lock()
	defer c.mu.Unlock()
	want := make([]uint64, 0, to-from+1)
	for s := from; s <= to; s++ {
		want = append(want, s)
	}
	if !slices.Equal(c.seqs, want) {
		c.t.Fatalf("got %d messages, want %d to %d in order: %v", len(c.seqs), from, to, clip(c.seqs))
	}
}

func clip(s []uint64) []uint64 { return s[:min(len(s), 50)] }

func publish(t *testing.T, js jetstream.JetStream, from, n int) {
	t.Helper()
	for i := range n {
		if _, err := js.PublishAsync(fmt.Sprintf("logs.%d", i%3), fmt.Appendf(nil, "line %d", from+i), jetstream.WithStallWait(time.Minute)); err != nil {
			t.Fatal(err)
		}
	}
	select {
	case <-js.PublishAsyncComplete():
	case <-time.After(time.Minute):
		t.Fatal("publishing takes longer than a minute")
	}
}

func floor(t *testing.T, js jetstream.JetStream, stream, durable string) uint64 {
	t.Helper()
	c, err := js.Consumer(t.Context(), stream, durable)
	if err != nil {
		return 0
	}
	return c.CachedInfo().AckFloor.Stream
}

func server(t *testing.T) (*natstest.Server, jetstream.JetStream) {
	t.Helper()
	s := natstest.Start(t, natstest.JetStream())
	s.Stream("LOGS", "logs.>")
	return s, s.JetStream()
}

func TestSourceReadsInOrderAndAcknowledges(t *testing.T) {
	_, js := server(t)
	publish(t, js, 0, 5000)
	cfg := quick("LOGS")
	c := collect(t, js, cfg, nil)
	c.wantSeqs(1, 5000)
	publish(t, js, 5000, 10)
	c.wantSeqs(1, 5010)
	natstest.Eventually(t, "a tick of the idle stream", func() bool { return c.idles() > 0 })
	if got := floor(t, js, "LOGS", cfg.DurableName()); got != 0 {
		t.Errorf("floor is %d before anything was released", got)
	}
	c.release()
	natstest.Eventually(t, "the acknowledgement", func() bool { return floor(t, js, "LOGS", cfg.DurableName()) == 5010 })
	st := c.src.Stats()[0]
	if st.Received != 5010 || st.Redelivered != 0 || st.Gaps != 0 || st.Missing != 0 || st.Seq != 5010 || st.Unsafe != 0 || st.Partition != "stream:LOGS" {
		t.Errorf("stats %+v", st)
	}
	if err := c.stop(); !errors.Is(err, errStop) {
		t.Errorf("Run ended with %v, want the context's cause", err)
	}
}

// TestIdleBatchThatWaits: what an idle source says about the time is of when it
// found nothing, not of when somebody listens.
func TestIdleBatchThatWaits(t *testing.T) {
	_, js := server(t)
	src, err := New(js, quick("LOGS"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = src.Close(context.Background()) })
	var said []int64
	err = src.readers[0].run(t.Context(), func(_ context.Context, b ingest.Batch) error {
		if len(b.Records) == 0 {
			said = append(said, b.At)
			publish(t, js, 0, 1) // while the batch waits
			return nil
		}
		for _, at := range said {
			if at == 0 || at >= b.Records[0].Observed {
				t.Errorf("all was read at %d, it says, and a message came that was stored at %d", at, b.Records[0].Observed)
			}
		}
		return errStop
	})
	if !errors.Is(err, errStop) || len(said) == 0 {
		t.Errorf("%d idle batches, then %v", len(said), err)
	}
}

func TestSourceKeepsHeadersSubjectAndStoredTime(t *testing.T) {
	_, js := server(t)
	m := nats.NewMsg("logs.a")
	m.Header.Set("traceparent", "00-abc")
	m.Data = []byte("x")
	before := time.Now().UnixNano()
	if _, err := js.PublishMsg(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	c := collect(t, js, quick("LOGS"), nil)
	c.wantSeqs(1, 1)
	r := c.batches[0].Records[0]
	if r.Subject != "logs.a" || r.Headers["traceparent"][0] != "00-abc" || r.Observed < before || r.Observed > time.Now().UnixNano() {
		t.Errorf("record %+v", r)
	}
}

// A stream of advisories: what is in it does not say whose it is.
func TestSourceNamesTheAccountOfAdvisories(t *testing.T) {
	s := natstest.Start(t, natstest.JetStream(), natstest.Config(`
		system_account: SYS
		accounts { SYS { users: [{user: sys, password: s}] }, APP { jetstream: enabled, users: [{user: app, password: s}] } }
	`))
	js := s.JetStream(nats.UserInfo("app", "s"))
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "EVENTS", Subjects: []string{"$JS.EVENT.ADVISORY.>", "logs.>"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "ORDERS"}); err != nil { // tells of itself
		t.Fatal(err)
	}
	if _, err := js.Publish(t.Context(), "logs.shop", []byte("x")); err != nil {
		t.Fatal(err)
	}
	c := collect(t, js, quick("EVENTS"), nil)
	accounts := map[string]string{}
	natstest.Eventually(t, "both are read", func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		for _, b := range c.batches {
			for _, r := range b.Records {
				accounts[r.Subject] = r.Account
			}
		}
		return len(accounts) >= 2
	})
	for subject, account := range accounts {
		if want := map[bool]string{true: "APP"}[strings.HasPrefix(subject, advisories)]; account != want {
			t.Errorf("%s: account %q, want %q", subject, account, want)
		}
	}
}

func TestAcknowledgementsWaitForEarlierBatches(t *testing.T) {
	_, js := server(t)
	cfg := quick("LOGS")
	c := collect(t, js, cfg, nil)
	for i := range 3 {
		publish(t, js, i, 1)
		c.wantSeqs(1, uint64(i+1))
	}
	c.mu.Lock()
	b := c.batches
	c.mu.Unlock()
	_ = b[2].Done()
	_ = b[1].Done()
	if got := c.src.readers[0].acks.floor(); got != 0 {
		t.Errorf("safe up to %d although the first batch is not", got)
	}
	_ = b[0].Done()
	natstest.Eventually(t, "all acknowledged", func() bool { return floor(t, js, "LOGS", cfg.DurableName()) == 3 })
}

// What a worker read and did not acknowledge comes again in the next one, at
// once although AckWait has not passed.
func TestRestartReadsWhatWasNotAcknowledged(t *testing.T) {
	_, js := server(t)
	publish(t, js, 0, 100)
	cfg := quick("LOGS")
	c := collect(t, js, cfg, nil)
	c.wantSeqs(1, 100)
	c.release()
	publish(t, js, 100, 50)
	c.wantSeqs(1, 150)
	_ = c.stop()
	c = collect(t, js, cfg, nil)
	c.wantSeqs(101, 150)
	c.release()
	natstest.Eventually(t, "all acknowledged", func() bool { return floor(t, js, "LOGS", cfg.DurableName()) == 150 })
}

func TestResume(t *testing.T) {
	tests := []struct {
		name   string
		acked  bool // the first worker acknowledged all
		known  uint64
		change func(*Config)
	}{
		{"the snapshot is ahead of the acknowledgements", false, 60, nil},
		{"the snapshot is behind the acknowledgements", true, 60, nil},
		{"behind, and the consumer began later", true, 60, func(c *Config) { c.New = true }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, js := server(t)
			cfg := quick("LOGS")
			if tt.change != nil {
				tt.change(&cfg)
			}
			c := collect(t, js, cfg, nil)
			natstest.Eventually(t, "the consumer", func() bool { return c.idles() > 0 })
			publish(t, js, 0, 100)
			c.wantSeqs(1, 100)
			if tt.acked {
				c.release()
			}
			_ = c.stop()
			c = collect(t, js, cfg, map[string]ingest.Position{"stream:LOGS": {Seq: tt.known}})
			c.wantSeqs(tt.known+1, 100)
			c.release()
			natstest.Eventually(t, "all acknowledged", func() bool { return floor(t, js, "LOGS", cfg.DurableName()) == 100 })
		})
	}
}

// AckWait passes while the receiver is slow: the server sends everything again,
// nothing of it is handed over, and a late acknowledgement still counts.
func TestRedeliveredMessagesAreDropped(t *testing.T) {
	_, js := server(t)
	publish(t, js, 0, 20)
	cfg := quick("LOGS")
	cfg.AckWait = 200 * time.Millisecond
	c := collect(t, js, cfg, nil)
	c.wantSeqs(1, 20)
	natstest.Eventually(t, "a redelivery of all", func() bool { return c.src.Stats()[0].Redelivered >= 40 })
	c.release()
	natstest.Eventually(t, "all acknowledged", func() bool { return floor(t, js, "LOGS", cfg.DurableName()) == 20 })
	publish(t, js, 20, 5)
	c.wantSeqs(1, 25)
	if st := c.src.Stats()[0]; st.Gaps != 0 {
		t.Errorf("stats %+v: a redelivery is no gap", st)
	}
}

func TestServerRestart(t *testing.T) {
	s, js := server(t)
	publish(t, js, 0, 100)
	cfg := quick("LOGS")
	c := collect(t, s.JetStream(), cfg, nil)
	c.wantSeqs(1, 100)
	for i := range 2 {
		s.Restart()
		natstest.Eventually(t, "publishing again", func() bool {
			_, err := js.Publish(t.Context(), "logs.a", []byte("x"))
			return err == nil
		})
		c.wantSeqs(1, uint64(101+i))
	}
	n := c.idles()
	natstest.Eventually(t, "a tick after the restart", func() bool { return c.idles() > n })
	c.release()
	natstest.Eventually(t, "all acknowledged", func() bool { return floor(t, js, "LOGS", cfg.DurableName()) == 102 })
}

func TestConsumerDeleted(t *testing.T) {
	_, js := server(t)
	cfg := quick("LOGS")
	c := collect(t, js, cfg, nil)
	publish(t, js, 0, 100)
	c.wantSeqs(1, 100)
	if err := js.DeleteConsumer(t.Context(), "LOGS", cfg.DurableName()); err != nil {
		t.Fatal(err)
	}
	publish(t, js, 100, 100)
	c.wantSeqs(1, 200)
	c.release()
	natstest.Eventually(t, "all acknowledged", func() bool { return floor(t, js, "LOGS", cfg.DurableName()) == 200 })
}

// The consumer goes while the worker is away, so that nobody tells it.
func TestConsumerDeletedWhileDisconnected(t *testing.T) {
	s, js := server(t)
	nc := s.Connect(nats.ReconnectWait(300*time.Millisecond), nats.ReconnectJitter(0, 0))
	far, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	cfg := quick("LOGS")
	c := collect(t, far, cfg, nil)
	publish(t, js, 0, 10)
	c.wantSeqs(1, 10)
	cid, err := nc.GetClientID()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.DisconnectClientByID(cid); err != nil {
		t.Fatal(err)
	}
	if err := js.DeleteConsumer(t.Context(), "LOGS", cfg.DurableName()); err != nil {
		t.Fatal(err)
	}
	publish(t, js, 10, 10)
	c.wantSeqs(1, 20)
}

func TestStreamMadeAnew(t *testing.T) {
	s, js := server(t)
	cfg := quick("LOGS")
	c := collect(t, js, cfg, nil)
	publish(t, js, 0, 10)
	c.wantSeqs(1, 10)
	if err := js.DeleteStream(t.Context(), "LOGS"); err != nil {
		t.Fatal(err)
	}
	s.Stream("LOGS", "logs.>")
	publish(t, js, 100, 3)
	natstest.Eventually(t, "the messages of the new stream", func() bool { return c.count() == 13 })
	if got := strings.Join(c.data[10:], ","); got != "line 100,line 101,line 102" {
		t.Errorf("got %s", got)
	}
	_ = c.stop()

	// The next worker knows a sequence that the stream has not reached.
	c = collect(t, js, cfg, map[string]ingest.Position{"stream:LOGS": {Seq: 10}})
	c.wantSeqs(1, 3)
}

// A delivery that gets lost on the way to us is asked for again at once, and the
// order stays.
func TestLostDeliveriesAreFetchedAgain(t *testing.T) {
	_, js := server(t)
	cfg := quick("LOGS")
	c := collect(t, js, cfg, nil)
	publish(t, js, 0, 10)
	c.wantSeqs(1, 10)
	// Another client pulls from our consumer: what it gets is lost for us.
	// Requests are served in turn, so that is every other message.
	thief, err := js.Consumer(t.Context(), "LOGS", cfg.DurableName())
	if err != nil {
		t.Fatal(err)
	}
	stolen := make(chan int, 1)
	go func() {
		b, err := thief.Fetch(5, jetstream.FetchMaxWait(5*time.Second))
		n := 0
		if err == nil {
			for range b.Messages() {
				n++
			}
		}
		stolen <- n
	}()
	natstest.Eventually(t, "the thief's request", func() bool {
		info, err := thief.Info(t.Context())
		return err == nil && info.NumWaiting >= 2
	})
	publish(t, js, 10, 50)
	c.wantSeqs(1, 60)
	if n := <-stolen; n == 0 {
		t.Fatal("nothing was stolen")
	}
	if st := c.src.Stats()[0]; st.Gaps == 0 {
		t.Errorf("stats %+v: want a gap", st)
	}
	c.release()
	natstest.Eventually(t, "all acknowledged", func() bool { return floor(t, js, "LOGS", cfg.DurableName()) == 60 })
}

func TestIdleOnlyWhenCaughtUp(t *testing.T) {
	_, js := server(t)
	cfg := quick("LOGS")
	cfg.MaxAckPending = 10
	c := collect(t, js, cfg, nil)
	natstest.Eventually(t, "a tick of the empty stream", func() bool { return c.idles() > 0 })
	publish(t, js, 0, 30)
	c.wantSeqs(1, 10)
	// The server stops at ten unacknowledged messages and goes on with its
	// heartbeats: several of them are looked at here.
	r := c.src.readers[0]
	n := c.idles()
	for range 3 {
		before := r.stats.audits.Load()
		natstest.Eventually(t, "a heartbeat", func() bool { return r.stats.audits.Load() > before })
	}
	if got := c.idles(); got != n {
		t.Errorf("%d ticks while 20 messages wait", got-n)
	}
	for upTo := uint64(20); upTo <= 30; upTo += 10 {
		c.release()
		c.wantSeqs(1, upTo)
	}
	c.release()
	natstest.Eventually(t, "a tick when all is read", func() bool { return c.idles() > n })
}

func TestCanReset(t *testing.T) {
	for version, want := range map[string]bool{"2.13.9": false, "2.14.0": true, "2.15.2-RC.1": true, "3.0.0": true, "1.4.1": false, "": true} {
		if got := canReset(version); got != want {
			t.Errorf("canReset(%q) = %v", version, got)
		}
	}
}

func TestManyStreams(t *testing.T) {
	s, js := server(t)
	s.Stream("AUDIT", "audit.>")
	publish(t, js, 0, 100)
	for range 100 {
		if _, err := js.Publish(t.Context(), "audit.x", []byte("a")); err != nil {
			t.Fatal(err)
		}
	}
	c := collect(t, js, quick("LOGS", "AUDIT"), nil)
	natstest.Eventually(t, "all of both", func() bool { return c.count() == 200 })
	next := map[int]uint64{}
	for _, b := range c.batches {
		for _, r := range b.Records {
			next[b.Partition]++
			if r.Seq != next[b.Partition] {
				t.Fatalf("partition %d: got %d, want %d", b.Partition, r.Seq, next[b.Partition])
			}
		}
	}
}

func TestFilter(t *testing.T) {
	_, js := server(t)
	publish(t, js, 0, 9)
	cfg := quick("LOGS")
	cfg.Filter = []string{"logs.0", "logs.2"}
	c := collect(t, js, cfg, nil)
	natstest.Eventually(t, "the filtered messages", func() bool { return c.count() == 6 })
	if want := []uint64{1, 3, 4, 6, 7, 9}; !slices.Equal(c.seqs, want) {
		t.Errorf("got %v, want %v", c.seqs, want)
	}
	if st := c.src.Stats()[0]; st.Missing != 0 {
		t.Errorf("stats %+v: what the filter leaves out is not missing", st)
	}
}

// Messages removed by the stream's limits before they were read are counted.
func TestRemovedMessagesAreCounted(t *testing.T) {
	_, js := server(t)
	cfg := quick("LOGS")
	c := collect(t, js, cfg, nil)
	publish(t, js, 0, 10)
	c.wantSeqs(1, 10)
	c.release()
	_ = c.stop()
	publish(t, js, 10, 20)
	str, err := js.Stream(t.Context(), "LOGS")
	if err != nil {
		t.Fatal(err)
	}
	if err := str.Purge(t.Context(), jetstream.WithPurgeSequence(26)); err != nil { // keeps 26…
		t.Fatal(err)
	}
	c = collect(t, js, cfg, map[string]ingest.Position{"stream:LOGS": {Seq: 10}})
	c.wantSeqs(26, 30)
	if st := c.src.Stats()[0]; st.Missing != 15 {
		t.Errorf("stats %+v: want 15 missing", st)
	}
}

func TestRunFailsWhereNothingCanHelp(t *testing.T) {
	_, js := server(t)
	if _, err := js.CreateConsumer(t.Context(), "LOGS", jetstream.ConsumerConfig{Durable: "other", AckPolicy: jetstream.AckExplicitPolicy}); err != nil {
		t.Fatal(err)
	}
	other := quick("LOGS")
	other.Durable = "other"
	tests := []struct {
		name string
		cfg  Config
		want string
	}{
		{"no such stream", quick("NONE"), "stream NONE: cannot be read: "},
		{"a consumer of another kind", other, "consumer other of stream LOGS: cannot be read: it is not a pull consumer with ack policy all"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			src, err := New(js, tt.cfg)
			if err != nil {
				t.Fatal(err)
			}
			defer src.Close(t.Context())
			err = src.Run(t.Context(), func(ingest.Batch) error { return nil })
			if err == nil || !strings.HasPrefix(err.Error(), tt.want) {
				t.Errorf("got %v, want %s", err, tt.want)
			}
		})
	}
	if _, err := New(js, Config{}); err == nil {
		t.Error("no streams is no error")
	}
}

func TestRunReturnsTheErrorOfTheReceiver(t *testing.T) {
	_, js := server(t)
	publish(t, js, 0, 10)
	src, err := New(js, quick("LOGS"))
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close(t.Context())
	full := errors.New("full")
	if err := src.Run(t.Context(), func(ingest.Batch) error { return full }); !errors.Is(err, full) {
		t.Errorf("got %v, want the receiver's error", err)
	}
}

func TestLeaderGoesInACluster(t *testing.T) {
	servers := natstest.Cluster(t, 3)
	urls := []string{servers[1].URL(), servers[2].URL()}
	far, err := nats.Connect(strings.Join(urls, ","), nats.MaxReconnects(-1), nats.ReconnectWait(50*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	defer far.Close()
	js, err := jetstream.New(far)
	if err != nil {
		t.Fatal(err)
	}
	str, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "LOGS", Subjects: []string{"logs.>"}, Replicas: 3})
	if err != nil {
		t.Fatal(err)
	}
	cfg := quick("LOGS")
	c := collect(t, js, cfg, nil)
	publish(t, js, 0, 500)
	c.wantSeqs(1, 500)
	info, err := str.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range servers {
		if s.Name() == info.Cluster.Leader {
			s.Restart()
		}
	}
	seq := uint64(500)
	for range 200 {
		natstest.Eventually(t, "publishing", func() bool {
			ack, err := js.Publish(t.Context(), "logs.a", []byte("x"))
			if err == nil {
				seq = ack.Sequence
			}
			return err == nil
		})
	}
	c.wantSeqs(1, seq)
	c.release()
	natstest.Eventually(t, "all acknowledged", func() bool { return floor(t, js, "LOGS", cfg.DurableName()) == seq })
}
