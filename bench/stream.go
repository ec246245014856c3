package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// A real NATS server in a process of its own, over TCP.

// serverHelper serves until its standard input ends.
func serverHelper(ctx context.Context, dir string) error {
	s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, JetStream: true, StoreDir: dir, NoLog: true, NoSigs: true})
	if err != nil {
		return err
	}
	go s.Start()
	if !s.ReadyForConnections(20 * time.Second) {
		return errors.New("not ready after 20 s")
	}
	fmt.Println(s.ClientURL())
	_, err = io.Copy(io.Discard, os.Stdin)
	s.Shutdown()
	s.WaitForShutdown()
	return err
}

// broker is that server, seen from outside.
type broker struct {
	url string
	nc  *nats.Conn
	js  jetstream.JetStream

	cmd   *exec.Cmd
	input io.Closer
}

func startBroker(ctx context.Context, l *lab, name string) (*broker, error) {
	cmd, err := helperCommand(ctx, "server:"+filepath.Join(l.Dir, name))
	if err != nil {
		return nil, err
	}
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	b := &broker{cmd: cmd, input: in}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		return nil, errors.Join(fmt.Errorf("NATS server: %w", err), b.stop())
	}
	b.url = strings.TrimSpace(line)
	if b.nc, err = nats.Connect(b.url); err != nil {
		return nil, errors.Join(err, b.stop())
	}
	if b.js, err = jetstream.New(b.nc, jetstream.WithPublishAsyncMaxPending(4096)); err != nil {
		return nil, errors.Join(err, b.stop())
	}
	return b, nil
}

func (b *broker) stop() error {
	if b.nc != nil {
		b.nc.Close()
	}
	_ = b.input.Close()
	return b.cmd.Wait()
}

// fill makes a stream of so many lines, packed.
func (b *broker) fill(ctx context.Context, stream string, total, perMessage int) (messages int, err error) {
	if _, err := b.js.CreateStream(ctx, jetstream.StreamConfig{Name: stream, Subjects: []string{stream + ".>"}}); err != nil {
		return 0, err
	}
	w := newWriter(9)
	for n := 0; n < total; n += perMessage {
		var data []byte
		for range perMessage {
			data = append(data, w.line()...)
		}
		if _, err := b.js.PublishAsync(stream+".app", data, jetstream.WithStallWait(time.Minute)); err != nil {
			return 0, err
		}
		messages++
	}
	select {
	case <-b.js.PublishAsyncComplete():
		return messages, nil
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

// rawRequest is what the helper that only consumes is told.
type rawRequest struct {
	URL, Stream, Durable string
	Messages             int
}

// The client's own Consume with the settings corral has: what the machine can do.
const (
	pullMessages = 8192
	pullBytes    = 16 << 20
	ackEvery     = 2048
)

// consumed is how messages were read: so many a second, and the reader's processor
// nanoseconds for each.
type consumed struct{ Rate, CPU float64 }

// rawHelper consumes messages with the client alone and tells how fast.
func rawHelper(ctx context.Context) error {
	var q rawRequest
	if err := json.NewDecoder(os.Stdin).Decode(&q); err != nil {
		return err
	}
	nc, err := nats.Connect(q.URL)
	if err != nil {
		return err
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return err
	}
	c, err := js.CreateConsumer(ctx, q.Stream, jetstream.ConsumerConfig{Durable: q.Durable, AckPolicy: jetstream.AckAllPolicy, MaxAckPending: -1})
	if err != nil {
		return err
	}
	n := 0
	var begin time.Time
	var used time.Duration
	done := make(chan struct{})
	cc, err := c.Consume(func(m jetstream.Msg) {
		if n == 0 {
			begin, used = time.Now(), cpu()
		}
		if n++; n%ackEvery == 0 || n == q.Messages {
			_ = m.Ack() // a lost one is repeated by the next
		}
		if n == q.Messages {
			close(done)
		}
	}, jetstream.PullMaxMessagesWithBytesLimit(pullMessages, pullBytes))
	if err != nil {
		return err
	}
	defer cc.Stop()
	select {
	case <-done:
		n := float64(q.Messages)
		return json.NewEncoder(os.Stdout).Encode(consumed{n / time.Since(begin).Seconds(), float64(cpu()-used) / n})
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (b *broker) raw(ctx context.Context, stream, durable string, messages int) (consumed, error) {
	var c consumed
	cmd, err := helperCommand(ctx, "raw")
	if err != nil {
		return c, err
	}
	in, err := json.Marshal(rawRequest{b.url, stream, durable, messages})
	if err != nil {
		return c, err
	}
	cmd.Stdin, cmd.Stderr = bytes.NewReader(in), os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return c, fmt.Errorf("raw consumer: %w", err)
	}
	return c, json.Unmarshal(out, &c)
}

// worker is a running `corral run`.
type worker struct {
	cmd    *exec.Cmd
	listen string
	log    *bytes.Buffer
}

func (l *lab) worker(ctx context.Context, b *broker, args ...string) (*worker, error) {
	addr, err := freeAddress()
	if err != nil {
		return nil, err
	}
	w := &worker{listen: addr, log: &bytes.Buffer{}}
	w.cmd = exec.CommandContext(ctx, l.Corral, append([]string{"run", "--nats", b.url, "--no-context", "--listen", addr}, args...)...)
	w.cmd.Stderr = w.log
	return w, w.cmd.Start()
}

func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

// stop ends the worker as an operator would and tells if it did not end well.
func (w *worker) stop() error {
	if err := w.cmd.Process.Signal(os.Interrupt); err != nil {
		return fmt.Errorf("corral run: %w\n%s", err, w.log)
	}
	if err := w.cmd.Wait(); err != nil {
		return fmt.Errorf("corral run: %w\n%s", err, w.log)
	}
	return nil
}

// metric reads one number of the worker's.
func (w *worker) metric(ctx context.Context, name string) (float64, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+w.listen+"/metrics", http.NoBody)
	if err != nil {
		return 0, err
	}
	req.Header.Set("Accept-Encoding", "identity") // packing would be the worker's work
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	for s := bufio.NewScanner(resp.Body); s.Scan(); {
		if rest, ok := strings.CutPrefix(s.Text(), name+" "); ok {
			return strconv.ParseFloat(rest, 64)
		}
	}
	return 0, fmt.Errorf("no metric %s", name)
}

// drain waits until the worker has acknowledged so many messages and returns how it
// read them from the first look at which it had any. It is the server that is asked:
// the worker's own metrics, fifty times a second, were a fifth of its work.
func (w *worker) drain(ctx context.Context, b *broker, stream, durable string, messages int) (consumed, error) {
	var first uint64
	var begin time.Time
	var used time.Duration
	deadline := time.Now().Add(2 * time.Minute)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		n, err := b.acknowledged(ctx, stream, durable)
		now := time.Now()
		switch {
		case now.After(deadline) || ctx.Err() != nil:
			return consumed{}, fmt.Errorf("%d of %d messages read: %w\n%s", n, messages, errEarly, w.log)
		case err != nil: // not made yet
		case n >= uint64(messages) && begin.IsZero():
			return consumed{}, errors.New("read before the first look: too few messages")
		case n >= uint64(messages):
			n -= first
			return consumed{float64(n) / now.Sub(begin).Seconds(), float64(cpuOf(w.cmd.Process.Pid)-used) / float64(n)}, nil
		case n > 0 && begin.IsZero():
			first, begin, used = n, now, cpuOf(w.cmd.Process.Pid)
		}
		<-tick.C
	}
}

// acknowledged is how many messages a consumer was given and has acknowledged.
func (b *broker) acknowledged(ctx context.Context, stream, durable string) (uint64, error) {
	c, err := b.js.Consumer(ctx, stream, durable)
	if err != nil {
		return 0, err
	}
	return c.CachedInfo().AckFloor.Stream, nil
}

// jetstreamSection is `corral run` beside the client's own consumer, in turns, on
// one stream.
func jetstreamSection(ctx context.Context, l *lab) (*result, error) {
	b, err := startBroker(ctx, l, "jetstream")
	if err != nil {
		return nil, err
	}
	r := &result{}
	t := table{Title: "`corral run` from JetStream, acknowledging all (W11)", Head: []string{"lines a message", "raw consumer, lines/s", "corral, lines/s", "corral : raw", "processor time a message: raw", "corral"}}
	rules, err := l.rules("jetstream", uniform(10), 12)
	if err != nil {
		return nil, errors.Join(err, b.stop())
	}
	for _, c := range []struct{ total, per int }{{400_000, 1}, {1_600_000, 64}} {
		m, err := l.consume(ctx, b, rules, c.total, c.per)
		if err != nil {
			return nil, errors.Join(err, b.stop())
		}
		t.add(fmt.Sprint(c.per), rates(m.raw), rates(m.own), spread(m.ratio, " ×", 2), nanos(m.rawCPU), nanos(m.ownCPU))
		if c.per == 1 {
			r.verdict("`corral run` from JetStream, 1 line a message", "≥ 0.85 × the raw consume rate", fmt.Sprintf("%s: %s to %s", spread(m.ratio, " ×", 2), rate(m.own.Median), rate(m.raw.Median)), m.ratio.Median >= 0.85)
			r.value("jetstream1", m.own.Median)
			continue
		}
		r.verdict("`corral run` from JetStream, 64 lines a message", "≥ 1 M lines/s", rates(m.own), m.own.Median >= 1e6)
	}
	t.note("Server, consumer and everything else share the machine. The raw consumer takes messages and looks at nothing.")
	r.Tables = append(r.Tables, t)
	return r, b.stop()
}

// reading is corral beside the client alone.
type reading struct {
	raw, own, ratio figure // lines a second
	rawCPU, ownCPU  figure // nanoseconds a message
}

func (l *lab) consume(ctx context.Context, b *broker, rules string, total, per int) (m reading, err error) {
	stream := fmt.Sprintf("LINES%d", per)
	messages, err := b.fill(ctx, stream, total, per)
	if err != nil {
		return m, err
	}
	var raws, owns, ratios, rawCPUs, ownCPUs []float64
	for i := range 7 {
		x, err := b.raw(ctx, stream, fmt.Sprintf("raw%d", i), messages)
		if err != nil {
			return m, err
		}
		w, err := l.worker(ctx, b, "-r", rules, "--stream", stream, "--durable", fmt.Sprintf("corral%d", i))
		if err != nil {
			return m, err
		}
		y, err := w.drain(ctx, b, stream, fmt.Sprintf("corral%d", i), messages)
		if err := errors.Join(err, w.stop()); err != nil {
			return m, err
		}
		raws, owns, ratios = append(raws, x.Rate*float64(per)), append(owns, y.Rate*float64(per)), append(ratios, y.Rate/x.Rate)
		rawCPUs, ownCPUs = append(rawCPUs, x.CPU), append(ownCPUs, y.CPU)
	}
	m = reading{figureOf(raws), figureOf(owns), figureOf(ratios), figureOf(rawCPUs), figureOf(ownCPUs)}
	return m, b.js.DeleteStream(ctx, stream)
}
