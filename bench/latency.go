package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// lateness is what the worker is told to wait for; what it takes beyond that is
// measured.
const lateness = time.Second

const canaryRules = `
  - id: canary
    title: "canary {{ request_id }}"
    match: message == "canary"
    group_by: [request_id]
    limits: {open: 1000000, groups: 1000000}
    event: {}
`

// canary is a line that leads to an alert of its own.
func canary(n int, at time.Time) []byte {
	return fmt.Appendf(nil, `{"time":%q,"level":"ERROR","service":"bird","msg":"canary","request_id":"%d"}`, at.UTC().Format(time.RFC3339Nano), n)
}

// alerts notes when the alert of each canary came.
type alerts struct {
	mu   sync.Mutex
	came map[int]time.Time
}

func (a *alerts) take(m *nats.Msg) {
	now := time.Now()
	_, rest, ok := cutLast(string(m.Data), `"request_id":"`)
	if !ok {
		return
	}
	n, err := strconv.Atoi(rest)
	if err != nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if _, again := a.came[n]; !again {
		a.came[n] = now
	}
}

// cutLast returns what stands between the first mark and the quote after it.
func cutLast(s, mark string) (before, value string, ok bool) {
	for i := 0; i+len(mark) <= len(s); i++ {
		if s[i:i+len(mark)] != mark {
			continue
		}
		rest := s[i+len(mark):]
		for j := range rest {
			if rest[j] == '"' {
				return s[:i], rest[:j], true
			}
		}
	}
	return s, "", false
}

// latencySection publishes at a steady rate, whatever the worker does, and tells
// how long alerts take from the instant their event was due to be published.
func latencySection(ctx context.Context, l *lab) (*result, error) {
	b, err := startBroker(ctx, l, "latency")
	if err != nil {
		return nil, err
	}
	r := &result{}
	err = l.latency(ctx, b, r)
	return r, errors.Join(err, b.stop())
}

func (l *lab) latency(ctx context.Context, b *broker, r *result) error {
	if _, err := b.js.CreateStream(ctx, jetstream.StreamConfig{Name: "LIVE", Subjects: []string{"live.>"}, MaxMsgs: 2_000_000}); err != nil {
		return err
	}
	text := append(ruleFile(uniform(10), 12), canaryRules...)
	rules, err := l.file("latency.yaml", func() []byte { return text })
	if err != nil {
		return err
	}
	w, err := l.worker(ctx, b, "-r", rules, "--stream", "LIVE", "--lateness", lateness.String())
	if err != nil {
		return err
	}
	err = l.loads(ctx, b, w, r)
	return errors.Join(err, w.stop())
}

func (l *lab) loads(ctx context.Context, b *broker, w *worker, r *result) error {
	seen := &alerts{came: map[int]time.Time{}}
	sub, err := b.nc.Subscribe("alert.v1.>", seen.take)
	if err != nil {
		return err
	}
	if err := sub.SetPendingLimits(-1, -1); err != nil {
		return err
	}
	g := &generator{b: b, alerts: seen, lines: newWriter(10)}
	capacity, err := g.capacity(ctx, w)
	if err != nil {
		return err
	}
	t := table{Title: "From published to alert received, beyond lateness (W11)", Head: []string{"load", "messages/s", "alerts", "p50", "p99", "p99.9", "most"}}
	for _, share := range []int{10, 50, 80} {
		ls, err := g.run(ctx, capacity*float64(share)/100, 6*time.Second)
		if err != nil {
			return err
		}
		q := func(p float64) string { return ms(quantile(ls, p)) }
		t.add(fmt.Sprintf("%d %%", share), rate(capacity*float64(share)/100), fmt.Sprint(len(ls)), q(0.5), q(0.99), q(0.999), q(1))
		if share == 50 {
			p99 := quantile(ls, 0.99)
			r.verdict("event published → alert received at half load, beyond lateness", "p99 ≤ 20 ms", fmt.Sprintf("p99 %s, p50 %s, most %s at %s", ms(p99), q(0.5), q(1), rate(capacity/2)), p99 <= 20*time.Millisecond)
		}
	}
	t.note("An open loop: latency counts from when a message was due, not from when it could be sent. Load is a share of the rate at which publisher, server and worker together keep up on this machine (%s), one line a message.", rate(capacity))
	r.Tables = append(r.Tables, t)
	return nil
}

func quantile(sorted []time.Duration, p float64) time.Duration {
	return sorted[min(len(sorted)-1, int(p*float64(len(sorted))))]
}

func ms(d time.Duration) string { return fmt.Sprintf("%.1f ms", float64(d.Microseconds())/1e3) }

// generator publishes log lines, and canaries among them.
type generator struct {
	b      *broker
	alerts *alerts
	lines  *writer
	next   int // canary
	sent   int
}

// publish sends one line of now.
func (g *generator) publish(at time.Time) error {
	g.lines.at = at
	g.sent++
	return g.b.nc.Publish("live.app", g.lines.line())
}

// capacity is the rate at which all of it together keeps up.
func (g *generator) capacity(ctx context.Context, w *worker) (float64, error) {
	const n = 300_000
	begin := time.Now()
	for i := range n {
		if err := g.publish(time.Now()); err != nil {
			return 0, err
		}
		if i%1000 == 999 { // the server, too, must keep up
			if err := g.b.nc.FlushTimeout(20 * time.Second); err != nil {
				return 0, err
			}
		}
	}
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
		read, err := w.metric(ctx, "corral_records_read_total")
		if err == nil && read >= n {
			return n / time.Since(begin).Seconds(), nil
		}
		if time.Now().After(deadline) {
			return 0, fmt.Errorf("%.0f of %d messages read after a minute: %w\n%s", read, n, errors.Join(err, errEarly), w.log)
		}
	}
}

// run publishes at a rate for a while and returns the sorted latencies of the
// alerts beyond lateness.
func (g *generator) run(ctx context.Context, perSecond float64, d time.Duration) ([]time.Duration, error) {
	const step = time.Millisecond
	due := map[int]time.Time{}
	begin := time.Now()
	sent := 0
	for at := time.Duration(0); at < d+2*lateness; at += step {
		now := begin.Add(at)
		if wait := time.Until(now); wait > 0 {
			time.Sleep(wait)
		}
		if at%(5*step) == 0 && at < d {
			due[g.next] = now
			if err := g.b.nc.Publish("live.app", canary(g.next, now)); err != nil {
				return nil, err
			}
			g.next++
		}
		for ; float64(sent) < perSecond*(at+step).Seconds(); sent++ {
			if err := g.publish(now); err != nil {
				return nil, err
			}
		}
		if err := g.b.nc.FlushTimeout(20 * time.Second); err != nil {
			return nil, err
		}
	}
	return g.latencies(due)
}

// latencies waits for the alerts of canaries.
func (g *generator) latencies(due map[int]time.Time) ([]time.Duration, error) {
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		var out []time.Duration
		g.alerts.mu.Lock()
		for n, at := range due {
			if came, ok := g.alerts.came[n]; ok {
				out = append(out, came.Sub(at)-lateness)
			}
		}
		g.alerts.mu.Unlock()
		if len(out) == len(due) {
			slices.Sort(out)
			return out, nil
		}
		if time.Now().After(deadline) {
			return nil, fmt.Errorf("%d of %d alerts came", len(out), len(due))
		}
	}
}
