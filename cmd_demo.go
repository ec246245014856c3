package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"corral/correlate"
	"corral/demo"
	"corral/internal/chserver"
	"corral/sinks"
)

//go:embed rules.example.yaml
var exampleRules []byte

func cmdDemo(ctx context.Context, args []string, e env) error {
	fs := newFlags("demo", "[flags]", `Three real services on REST, gRPC and NATS, faults to inject, and the incidents corral finds.

  corral demo --once        inject all of them, print the incidents, and exit`)
	once := fs.Bool("once", false, "inject every fault, check that its incidents came and no others, and exit")
	faults := fs.StringArray("fault", nil, "inject this fault at the start: "+strings.Join(demo.FaultNames(), ", ")+"; with --once only it; repeatable")
	listen := fs.String("listen", "", "address of health, metrics and reload")
	ch := fs.String("clickhouse", "auto", "DSN of a ClickHouse, auto (start one if its library was fetched, see make clickhouse) or off")
	keep := fs.String("dir", "", "keep NDJSON, state and ClickHouse's data here (default: a temporary directory)")
	if done, err := parse(fs, args, e); done {
		return err
	}
	if err := noArgs(fs); err != nil {
		return err
	}
	dir, err := demoDir(*keep)
	if err != nil {
		return infra(err)
	}
	rulesPath := filepath.Join(dir, "rules.yaml")
	if err := os.WriteFile(rulesPath, exampleRules, 0o600); err != nil {
		return infra(err)
	}
	c := &demoCorral{e: e, dir: dir, listen: *listen, dsn: *ch}
	if err := c.startClickHouse(ctx); err != nil {
		return infra(err)
	}
	defer c.stopClickHouse()
	err = demo.Run(ctx, demo.RunOptions{
		Corral: c, Rules: rulesPath, Faults: *faults, Once: *once, In: e.in, Out: e.out,
		System: demo.Options{Dir: filepath.Join(dir, "nats")},
	})
	c.tell()
	switch {
	case errors.Is(err, demo.ErrUnexpected):
		return exit{exitFindings, err}
	case err != nil:
		return infra(err)
	}
	return c.check(*once)
}

func demoDir(keep string) (string, error) {
	if keep == "" {
		return os.MkdirTemp("", "corral-demo-")
	}
	return keep, os.MkdirAll(keep, 0o700)
}

// demoCorral is `corral run` inside the demo.
type demoCorral struct {
	e      env
	dir    string
	listen string
	dsn    string // a DSN, auto, off; then what is used, "" for none
	server *chserver.Server
	log    *slog.Logger
	logTo  *os.File

	cancel context.CancelCauseFunc
	done   chan error
	err    error
	seen   tee
}

// startClickHouse starts one where the library is there and none is named.
func (c *demoCorral) startClickHouse(ctx context.Context) error {
	mode := c.dsn
	switch mode {
	case "off":
		c.dsn = ""
		return nil
	case "auto":
		c.dsn = ""
	default:
		return nil
	}
	s, err := chserver.Start(ctx, chserver.Options{Dir: filepath.Join(c.dir, "clickhouse")})
	if errors.Is(err, chserver.ErrNoLibrary) {
		fmt.Fprintln(c.e.out, "No ClickHouse here (`make clickhouse` fetches one): incidents go to an NDJSON file only.")
		return nil
	}
	if err != nil {
		return err
	}
	c.server = s
	c.dsn = "clickhouse://default@" + s.NativeAddr() + "/corral"
	fmt.Fprintf(c.e.out, "A real ClickHouse listens on %s (HTTP %s).\n", s.NativeAddr(), s.HTTPAddr())
	return nil
}

func (c *demoCorral) stopClickHouse() {
	if c.server != nil {
		_ = c.server.Stop()
	}
}

// Start implements demo.Corral.
func (c *demoCorral) Start(ctx context.Context, conn demo.ConnInfo, rulesPath string, on func(*correlate.Transition)) error {
	var err error
	if c.logTo, err = os.Create(filepath.Join(c.dir, "corral.log")); err != nil {
		return err
	}
	c.log = slog.New(slog.NewTextHandler(c.logTo, nil))
	file, err := sinks.OpenNDJSON(c.ndjson(), false)
	if err != nil {
		return err
	}
	c.seen = tee{on: on}
	r := &runFlags{
		rules: []string{rulesPath}, streams: []string{conn.Stream}, durable: "corral-demo",
		state: filepath.Join(c.dir, "state"), snapshotEvery: 2 * time.Second, lateness: conn.Lateness, workers: 2,
		listen: c.listen, shutdown: 10 * time.Second, maxRemoved: 0.2, dead: filepath.Join(c.dir, "dead-letters.ndjson"), tz: "UTC",
	}
	r.conn.URL, r.conn.User, r.conn.Password, r.conn.NoContext = conn.URL, conn.User, conn.Password, true
	r.decode.format = "auto"
	r.remote = remoteFlags{alerts: "alert.v1", incidents: "incident.v1", create: true, replicas: 1}
	r.remote.clickhouse = clickhouseFlags{dsn: c.dsn, schema: "auto"}
	ctx, c.cancel = context.WithCancelCause(context.WithoutCancel(ctx))
	c.done = make(chan error, 1)
	go func() { c.done <- r.serve(ctx, c.e, c.log, sinks.Sequence(file, &c.seen)) }()
	return nil
}

// Stop implements demo.Corral.
func (c *demoCorral) Stop() {
	c.cancel(nil)
	c.err = <-c.done
	_ = c.logTo.Close()
}

func (c *demoCorral) ndjson() string { return filepath.Join(c.dir, "incidents.ndjson") }

// tell says where everything is and how to ask for it.
func (c *demoCorral) tell() {
	fmt.Fprintf(c.e.out, "\nEvery revision: %s\nThe worker's log: %s\n", c.ndjson(), filepath.Join(c.dir, "corral.log"))
	if c.server != nil {
		fmt.Fprintf(c.e.out, "ClickHouse keeps them in %s; while the demo runs:\n  corral incidents --clickhouse %s\n  curl 'http://%s/' -d 'SELECT rule_id, key, state, title FROM corral.incidents_now ORDER BY opened_at'\n",
			filepath.Join(c.dir, "clickhouse"), c.dsn, c.server.HTTPAddr())
	}
}

// check compares what ClickHouse holds with what was seen.
func (c *demoCorral) check(once bool) error {
	if c.err != nil {
		return infra(fmt.Errorf("corral ended with: %w", c.err))
	}
	if c.server == nil || !once {
		return nil
	}
	rows, err := c.countRows()
	if err != nil {
		return infra(err)
	}
	want := c.seen.count()
	fmt.Fprintf(c.e.out, "ClickHouse holds %d revisions, the demo saw %d.\n", rows, want)
	if rows != want {
		return exit{exitFindings, errors.New("ClickHouse does not hold what was seen")}
	}
	return nil
}

// tee is a sink that shows transitions and counts them.
type tee struct {
	on func(*correlate.Transition)
	mu sync.Mutex
	n  int
}

// Write implements sinks.Sink.
func (t *tee) Write(_ context.Context, ts []*correlate.Transition) error {
	for _, tr := range ts {
		t.on(tr)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.n += len(ts)
	return nil
}

// Close implements sinks.Sink.
func (t *tee) Close() error { return nil }

func (t *tee) count() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.n
}

func (c *demoCorral) countRows() (int, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return countRevisions(ctx, c.dsn)
}
