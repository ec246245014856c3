// Package nats is the integration suite of the NATS pack: real servers on
// loopback, real clients, real faults, and the worker's own pipeline with nothing
// but the pack for rules. Each story must end in the right incident with the right
// key, once, resolved after the recovery, and nothing else may page.
package nats

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"corral/correlate"
	"corral/ingest"
	"corral/ingest/decode"
	"corral/ingest/jetstream"
	"corral/internal/natspoll"
	"corral/internal/natstest"
	"corral/pipeline"
	"corral/rules"
	"corral/rules/pack"
	"corral/sinks"
)

// TestMain lets stories run side by side: nearly all of their time is waiting for
// servers to find something out.
func TestMain(m *testing.M) {
	flag.Parse()
	atATime := flag.Lookup("test.parallel")
	if n, err := strconv.Atoi(atATime.Value.String()); err == nil && n < together {
		_ = atATime.Value.Set(strconv.Itoa(together))
	}
	os.Exit(m.Run())
}

const (
	together = 5 // stories at a time; each is a server or three
	lateness = 4 * time.Second
	tick     = 50 * time.Millisecond
	// patience is how long an incident may take to open: quorum is found lost after
	// 16 s on an idle machine, and the machine may be anything but idle.
	patience = 3 * time.Minute
)

var (
	asSys = nats.UserInfo("sys", "s")
	asApp = nats.UserInfo("app", "s")
)

// accounts of most stories; more may be said in front of it.
const accounts = `
	system_account: SYS
	accounts {
		SYS { users: [{user: sys, password: s}] }
		APP { jetstream: enabled, users: [
			{user: app, password: s}
			{user: lim, password: s, permissions: {publish: {deny: "secret.>"}}}
		] }
	}
`

// page is an incident that somebody is told of.
type page struct {
	rule string
	key  string // "client=shop", values in the order of their names
}

func pageOf(t *correlate.Transition) page {
	var parts []string
	for _, k := range slices.Sorted(maps.Keys(t.Key)) {
		parts = append(parts, k+"="+t.Key[k])
	}
	return page{t.RuleID, strings.Join(parts, " ")}
}

// world is the worker and what it has said so far.
type world struct {
	t      *testing.T
	lines  *lines
	stream *pipeline.Stream
	stop   func()
	ears   []ear

	mu   sync.Mutex
	said []*correlate.Transition
}

// observe starts the worker: events of the accounts as a worker with the
// credentials of both gets them, the servers' logs, the services' logs, and the
// poller.
func observe(t *testing.T, servers []*natstest.Server, sys, app nats.Option) *world {
	t.Helper()
	w := &world{t: t, lines: &lines{ready: make(chan struct{}, 1)}}
	quiet := slog.New(slog.NewTextHandler(io.Discard, nil))
	sources := []ingest.Source{w.lines}
	core := func(nc *nats.Conn, subjects ...string) {
		w.ears = append(w.ears, ear{nc, len(subjects)})
		src, err := jetstream.NewCore(nc, jetstream.CoreConfig{Subjects: subjects, Tick: tick, Log: quiet})
		if err != nil {
			t.Fatal(err)
		}
		sources = append(sources, src)
	}
	// By way of two servers, as long as there are two: what a server says last is not
	// heard by those connected to it.
	for _, s := range servers[:min(2, len(servers))] {
		core(s.Connect(sys, nats.Name("observer")), "$SYS.ACCOUNT.*.CONNECT", "$SYS.ACCOUNT.*.DISCONNECT", "$SYS.SERVER.*.CLIENT.AUTH.ERR",
			"$SYS.SERVER.*.STATSZ", "$SYS.SERVER.*.SHUTDOWN", "$SYS.SERVER.*.LAMEDUCK", "$JS.EVENT.>")
	}
	core(servers[0].Connect(app, nats.Name("observer")), "$JS.EVENT.>")
	polls, err := natspoll.New(servers[0].Connect(sys, nats.Name("poller")), natspoll.Config{
		Every: 300 * time.Millisecond, Stall: 100 * time.Millisecond, Timeout: time.Second, Tick: tick, Log: quiet,
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range servers {
		w.attach(s)
	}
	w.run(append(sources, polls), quiet)
	w.listens()
	return w
}

// ear is a connection of the worker and the number of its subscriptions.
type ear struct {
	nc   *nats.Conn
	subs int
}

// listens waits until the servers know of all subscriptions: what is published
// before is lost.
func (w *world) listens() {
	w.t.Helper()
	w.until("the worker listens", func() bool {
		return !slices.ContainsFunc(w.ears, func(e ear) bool {
			return e.nc.NumSubscriptions() < e.subs || e.nc.FlushTimeout(time.Second) != nil
		})
	})
}

// attach reads a server's log, anew after each start.
func (w *world) attach(s *natstest.Server) { s.SetLogger(serverLog{w.lines}, false, false) }

// packRules are the rules of the pack and no others.
var packRules = sync.OnceValue(func() *rules.Set {
	files, err := pack.Files("nats")
	if err != nil {
		panic(err)
	}
	set, diags := rules.Parse(files)
	if set == nil {
		panic(fmt.Sprint(diags))
	}
	return set
})

func (w *world) run(sources []ingest.Source, log *slog.Logger) {
	w.stream = &pipeline.Stream{
		Rules: packRules(), Sources: sources, Sink: w, Decode: decode.Options{}, Lateness: lateness, Workers: 1,
		Counters: new(pipeline.Counters), Now: time.Now, Log: log,
		Dead: func(_ context.Context, ds []sinks.DeadLetter) error {
			for _, d := range ds {
				w.t.Errorf("dead letter: %s %s %s", d.Reason, d.Error, d.Data)
			}
			return nil
		},
	}
	if err := w.stream.Init(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- w.stream.Run(ctx) }()
	w.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			w.t.Errorf("the worker ended with %v", err)
		}
	})
	w.t.Cleanup(w.stop)
}

// Write makes the world the worker's sink.
func (w *world) Write(_ context.Context, ts []*correlate.Transition) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.said = append(w.said, ts...)
	return nil
}

// Close has nothing to do.
func (w *world) Close() error { return nil }

// over reports whether every incident of a rule has ended, notified or not.
func (w *world) over(rule string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	open := map[string]bool{}
	for _, t := range w.said {
		if t.RuleID == rule {
			open[t.IncidentID] = t.State == "open"
		}
	}
	return !slices.Contains(slices.Collect(maps.Values(open)), true)
}

func (w *world) has(p page, state string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.ContainsFunc(w.said, func(t *correlate.Transition) bool { return t.State == state && pageOf(t) == p && t.Notified })
}

// until polls until cond is true.
func (w *world) until(what string, cond func() bool) {
	w.t.Helper()
	deadline := time.After(patience)
	every := time.NewTicker(10 * time.Millisecond)
	defer every.Stop()
	for !cond() {
		select {
		case <-every.C:
		case <-deadline:
			w.t.Fatalf("still waiting after %s: %s; so far:\n%s", patience, what, w.timeline())
		}
	}
}

// opens waits for an incident, resolves for its end in real time.
func (w *world) opens(rule, key string) {
	w.t.Helper()
	w.until(rule+" opens for "+key, func() bool { return w.has(page{rule, key}, "open") })
}

// first waits until a rule opens and returns of what.
func (w *world) first(rule string) (p page) {
	w.t.Helper()
	w.until(rule+" opens", func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		i := slices.IndexFunc(w.said, func(t *correlate.Transition) bool { return t.RuleID == rule && t.State == "open" && t.Notified })
		if i >= 0 {
			p = pageOf(w.said[i])
		}
		return i >= 0
	})
	return p
}

func (w *world) resolves(rule, key string) {
	w.t.Helper()
	w.until(rule+" resolves for "+key, func() bool { return w.has(page{rule, key}, "resolved") })
}

// digests waits until what the servers and services have said by now has taken
// effect.
func (w *world) digests() {
	w.t.Helper()
	w.listens()
	now := time.Now().UnixNano()
	w.until("the worker has caught up", func() bool {
		var at int64
		err := w.stream.Do(w.t.Context(), func() { at = w.stream.Engine().Watermark() })
		return err == nil && at > now
	})
}

// ends stops the worker, lets the half hour after the recovery pass at once, and
// checks that those incidents and no others were reported, each once, and that
// they have ended.
func (w *world) ends(want ...page) {
	w.t.Helper()
	w.digests()
	w.stop()
	story := time.Now()
	w.stream.Engine().Finish(story.Add(30*time.Minute).UnixNano(), func(t *correlate.Transition) { w.said = append(w.said, t) })
	opened, resolved := map[page]int{}, map[page]int{}
	for _, t := range w.said {
		switch p := pageOf(t); {
		case !t.Notified || absent(t) && t.OpenedAt.After(story): // the servers went on, only nobody listens any more
		case t.Rev == 1:
			opened[p]++
			w.tellsWhatToDo(t)
			if took := t.OpenedAt.Sub(t.StartedAt); took > window(p.rule) {
				w.t.Errorf("%s %s: opened %s after the first signal, want %s at most", p.rule, p.key, took, window(p.rule))
			}
		case t.State == "resolved":
			resolved[p]++
		}
	}
	for _, p := range want {
		if opened[p] != 1 || resolved[p] != 1 {
			w.t.Errorf("%s %s: reported %d times, resolved %d times, want once each", p.rule, p.key, opened[p], resolved[p])
		}
		delete(opened, p)
	}
	for p, n := range opened {
		w.t.Errorf("%s %s: reported %d times, want silence", p.rule, p.key, n)
	}
	if w.t.Failed() {
		w.t.Logf("what happened:\n%s", w.timeline())
	}
}

// tellsWhatToDo checks what somebody who is called at night would read.
func (w *world) tellsWhatToDo(t *correlate.Transition) {
	w.t.Helper()
	if t.Title == t.RuleID || strings.Contains(t.Title+t.Summary, "?") || strings.Contains(t.Title, "  ") {
		w.t.Errorf("%s: title %q, summary %q", t.RuleID, t.Title, t.Summary)
	}
	if t.RunbookURL == "" || t.Owner != "nats" {
		w.t.Errorf("%s: owner %q, what to do %q", t.RuleID, t.Owner, t.RunbookURL)
	}
}

// window is how long after its first signal a story may be told: a minute, but for
// those that take their time to be one.
func window(rule string) time.Duration {
	switch rule {
	case "js-poison-message":
		return 30 * time.Minute
	case "js-redelivery-loop-ack-wait", "js-leader-flapping":
		return 10 * time.Minute
	case "js-consumer-broken", "nats-stale-clients":
		return 5 * time.Minute
	case "nats-reconnect-storm":
		return 3 * time.Minute
	}
	return time.Minute
}

// last is the last that was said of an incident.
func (w *world) last(p page) *correlate.Transition {
	w.t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, t := range slices.Backward(w.said) {
		if pageOf(t) == p {
			return t
		}
	}
	w.t.Fatalf("nothing was said of %s %s", p.rule, p.key)
	return nil
}

// matched is how many events a rule has read.
func (w *world) matched(rule string) uint64 {
	for _, r := range w.stream.Stats().Rules {
		if r.ID == rule {
			return r.Matched
		}
	}
	return 0
}

func absent(t *correlate.Transition) bool {
	return t.RuleID == "nats-server-missing" || t.RuleID == "nats-server-not-back"
}

func (w *world) timeline() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var b strings.Builder
	for _, t := range w.said {
		p := pageOf(t)
		fmt.Fprintf(&b, "  %s %-8s %s %s notified=%v by=%v %q\n", t.ChangedAt.Format("15:04:05.000"), t.State, p.rule, p.key, t.Notified, t.SuppressedBy, t.Title)
	}
	return b.String()
}

// service is a service's logger: JSON lines, as most have it.
type service struct {
	name  string
	lines *lines
}

func (w *world) service(name string) service { return service{name, w.lines} }

// fails logs an error with what else is known of it.
func (s service) fails(err error, fields map[string]any) {
	rec := map[string]any{"time": time.Now().UTC(), "level": "error", "service": s.name, "msg": "failed", "error": err.Error()}
	maps.Copy(rec, fields)
	data, _ := json.Marshal(rec)
	s.lines.add(data)
}

// lines is a source of log lines as they are written.
type lines struct {
	mu    sync.Mutex
	recs  []ingest.Record
	seq   uint64
	ready chan struct{}
}

func (l *lines) add(data []byte) {
	l.mu.Lock()
	l.seq++
	l.recs = append(l.recs, ingest.Record{Data: data, Seq: l.seq, Observed: time.Now().UnixNano()})
	l.mu.Unlock()
	select {
	case l.ready <- struct{}{}:
	default:
	}
}

// Partitions is the one there is.
func (l *lines) Partitions() []ingest.Partition { return []ingest.Partition{{Name: "lines"}} }

// Run hands over what was added.
func (l *lines) Run(ctx context.Context, out func(ingest.Batch) error) error {
	every := time.NewTicker(tick)
	defer every.Stop()
	for {
		select {
		case <-l.ready:
		case <-every.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		l.mu.Lock()
		recs := l.recs
		l.recs = nil
		l.mu.Unlock()
		if err := out(ingest.Batch{Records: recs}); err != nil {
			return err
		}
	}
}

// serverLog writes what nats-server logs as it does itself, without colours.
type serverLog struct{ lines *lines }

func (s serverLog) line(level, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	s.lines.add(fmt.Appendf(nil, "[%d] %s [%s] %s", os.Getpid(), time.Now().UTC().Format("2006/01/02 15:04:05.000000"), level, text))
}

func (s serverLog) Noticef(format string, v ...any) { s.line("INF", format, v...) }
func (s serverLog) Warnf(format string, v ...any)   { s.line("WRN", format, v...) }
func (s serverLog) Errorf(format string, v ...any)  { s.line("ERR", format, v...) }
func (s serverLog) Fatalf(format string, v ...any)  { s.line("FTL", format, v...) }
func (s serverLog) Debugf(string, ...any)           {}
func (s serverLog) Tracef(string, ...any)           {}

// single starts one server with JetStream and observes it.
func single(t *testing.T, config string, opts ...natstest.Option) (*world, *natstest.Server) {
	t.Helper()
	s := natstest.Start(t, append([]natstest.Option{natstest.JetStream(), natstest.Config(config)}, opts...)...)
	return observe(t, []*natstest.Server{s}, asSys, asApp), s
}

// raw is a client that speaks the protocol by hand, because no library would do
// what it does.
func raw(t *testing.T, s *natstest.Server, name string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.URL(), "nats://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if name != "" {
		say(t, conn, `CONNECT {"name":"`+name+`","user":"app","pass":"s","verbose":false,"lang":"go","version":"1.55.0"}`+"\r\nPING\r\n")
	}
	return conn
}

// say writes to a connection that the server may have closed by now.
func say(t *testing.T, conn net.Conn, text string) {
	t.Helper()
	if _, err := io.WriteString(conn, text); err != nil && !errors.Is(err, net.ErrClosed) {
		t.Logf("the server has closed the connection: %v", err)
	}
}

func short(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("real servers and real faults take a minute")
	}
	t.Parallel()
}
