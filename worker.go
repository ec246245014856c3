package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/nats-io/nats.go"

	"corral/correlate"
	"corral/health"
	"corral/pipeline"
	"corral/reload"
	"corral/rules"
)

// worker is a running `corral run`: the stream and what surrounds it.
type worker struct {
	flags *runFlags
	log   *slog.Logger
	nc    *nats.Conn
	*intake
	stream *pipeline.Stream
	loader *reload.Loader
	sink   *delivery
	dead   *letters

	problems []pipeline.Problem // found at the start

	reloading sync.Mutex // held for as long as a reload takes: until the sinks are back, at worst

	mu       sync.Mutex // guards what follows, for moments
	stale    []string
	running  bool
	deadline time.Time // for shutting down, zero: nobody has asked for it
}

// run serves until ctx is done and what was read is safe.
func (w *worker) run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var side sync.WaitGroup
	defer side.Wait()
	defer cancel(nil)
	if w.flags.listen != "" {
		srv, l, err := w.server()
		if err != nil {
			return err
		}
		w.log.Info("listening", "address", l.Addr().String())
		if srv.Token == "" && reachable(l.Addr()) {
			w.log.Warn("everybody who reaches this address can read metrics and have rules reloaded: give it a token, --listen-token-file", "address", l.Addr().String())
		}
		side.Go(func() {
			if err := srv.Serve(ctx, l); err != nil {
				w.log.Error("health server", "error", err)
			}
		})
	}
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP) // to the end: without it the signal would end the process
	side.Go(func() { w.watch(ctx, hup) })
	context.AfterFunc(ctx, func() {
		w.mu.Lock()
		w.deadline = time.Now().Add(w.flags.shutdown)
		w.mu.Unlock()
		w.log.Info("stopping: what was read is delivered first; another signal ends at once", "at_most", w.flags.shutdown)
	})
	w.stream.Ready = func() {
		w.mu.Lock()
		w.running = true
		w.mu.Unlock()
		w.log.Info("running", "streams", w.flags.streams, "subjects", w.flags.subjects)
	}
	err := w.stream.Run(ctx)
	if w.streams != nil {
		short, stop := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		err = errors.Join(err, w.streams.Close(short))
		stop()
	}
	if err != nil {
		return infra(err)
	}
	w.log.Info("stopped: everything read is delivered and acknowledged")
	return nil
}

func (w *worker) close() {
	w.end()
	w.mu.Lock()
	deadline := w.deadline
	w.mu.Unlock()
	if ch := w.sink.clickhouse; ch != nil && !deadline.IsZero() {
		if err := ch.CloseWithin(max(0, time.Until(deadline))); err != nil {
			w.log.Error("close ClickHouse", "error", err)
		}
	}
	if err := errors.Join(w.sink.Close(), w.dead.close()); err != nil {
		w.log.Error("close", "error", err)
	}
}

// watch reloads rules when their files change and on SIGHUP.
func (w *worker) watch(ctx context.Context, hup <-chan os.Signal) {
	// What is wrong with the files now, or is not any more since the last life.
	if _, err := w.stream.Reload(ctx, nil, w.problems); err != nil {
		return // the worker has ended
	}
	var poll <-chan time.Time
	if w.flags.reloadEvery > 0 {
		t := time.NewTicker(w.flags.reloadEvery)
		defer t.Stop()
		poll = t.C
	}
	for {
		why := ""
		select {
		case <-ctx.Done():
			return
		case <-hup:
			why = "SIGHUP"
		case <-poll:
			if !w.loader.Changed() {
				continue
			}
			why = "files changed"
		}
		if rep, err := w.reload(ctx, why); err != nil {
			w.log.Error("reload", "by", why, "error", err, "mistakes", rep.Stale())
		}
	}
}

func (w *worker) reload(ctx context.Context, by string) (*reload.Report, error) {
	w.reloading.Lock()
	defer w.reloading.Unlock()
	rep := &reload.Report{By: by, Before: w.stream.Generation(), After: w.stream.Generation(), Grace: w.flags.removeGrace}
	began := time.Now()
	res, err := w.loader.Load()
	rep.Result = res
	if err != nil {
		rep.Refused = err
		return rep, err
	}
	if rep.Done, err = w.stream.Reload(ctx, res.Set, staleProblems(res)); err != nil {
		rep.Refused = err
		return rep, err
	}
	rep.After, rep.Took = w.stream.Generation(), time.Since(began)
	w.loader.Took(rep.After)
	w.keepTexts(res.Set)
	w.setStale(res.Stale)
	w.notKept(res)
	w.log.Info("rules reloaded", "by", by, "generation", rep.After, "before", rep.Before, "content", res.Content,
		"result", summarize(rep.Done), "changes", rep.Changes(), "stale", res.Stale, "held", res.Held)
	return rep, rep.Err()
}

// keepTexts stores the rules as they are written, so that incidents can be
// explained with the rule as it was.
func (w *worker) keepTexts(set *rules.Set) {
	if w.sink.clickhouse != nil {
		w.sink.clickhouse.Rules(set, w.stream.Generation())
	}
}

// summarize says in a line what became of the rules.
func summarize(r correlate.Reloaded) string {
	var parts []string
	for _, x := range []struct {
		n    int
		what string
	}{
		{len(r.Unchanged), "unchanged"},
		{len(r.Text), "text"},
		{len(r.Logic), "logic"},
		{len(r.Reset), "reset"},
		{len(r.Added), "added"},
		{len(r.Removed), "removed"},
		{len(r.Renamed), "renamed"},
	} {
		if x.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", x.n, x.what))
		}
	}
	return strings.Join(parts, ", ")
}

// staleProblems are the incidents that files with mistakes make: a summary says
// what corral check would.
func staleProblems(res reload.Result) []pipeline.Problem {
	var ps []pipeline.Problem
	for _, file := range res.Stale {
		p := pipeline.Problem{
			Rule: "corral-rules-stale", Key: [2]string{"file", file}, File: file,
			Title: "rule file " + file + " has mistakes, its last good rules run",
		}
		if slices.Contains(res.LeftOut, file) {
			p.Title = "rule file " + file + " has mistakes and is left out"
		}
		mistakes := slices.DeleteFunc(slices.Clone(res.Diagnostics), func(d rules.Diagnostic) bool { return !d.IsError() || d.File != file })
		if len(mistakes) > 0 {
			p.Line = mistakes[0].Line
		}
		var text strings.Builder
		_ = rules.FormatText(&text, mistakes, rules.TextStyle{}) // a Builder does not fail
		p.Summary = strings.TrimRight(text.String(), "\n")
		ps = append(ps, p)
	}
	return ps
}

// noteStale tells of files that were broken at the start.
func (w *worker) noteStale(res reload.Result) {
	w.setStale(res.Stale)
	w.problems = staleProblems(res)
	for _, d := range res.Diagnostics {
		if d.IsError() {
			w.log.Error("rule file has mistakes, its last good content runs", "at", d.String())
		}
	}
}

// notKept tells that a restart could not fall back to the rules as they are now.
func (w *worker) notKept(res reload.Result) {
	if res.NotKept != nil {
		w.log.Error("the rules are not kept for a restart with broken files", "error", res.NotKept)
	}
}

func (w *worker) setStale(files []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stale = files
}

// server is the health endpoint, its address taken.
func (w *worker) server() (*health.Server, net.Listener, error) {
	s := &health.Server{
		Addr: w.flags.listen, Registry: w.registry(), Ready: w.ready,
		// Who asked may go; what was read of the files takes effect all the same.
		Reload: func(ctx context.Context) (any, error) {
			return w.reload(context.WithoutCancel(ctx), "POST /-/reload")
		},
	}
	var err error
	if s.Token, err = w.flags.listenToken(); err != nil {
		return nil, nil, exit{exitUsage, fmt.Errorf("--listen-token-file: %w", err)}
	}
	if (w.flags.listenCert == "") != (w.flags.listenKey == "") {
		return nil, nil, usageError("--listen-tlscert and --listen-tlskey go together")
	}
	if w.flags.listenCert != "" {
		cert, err := tls.LoadX509KeyPair(w.flags.listenCert, w.flags.listenKey)
		if err != nil {
			return nil, nil, exit{exitUsage, fmt.Errorf("--listen-tlscert: %w", err)}
		}
		s.TLS = &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}
	}
	l, err := s.Listen()
	if err != nil {
		return nil, nil, infra(err)
	}
	return s, l, nil
}

// undisturbed says which streams somebody else reads by the worker's consumer.
func (w *worker) undisturbed() error {
	if w.streams == nil {
		return nil
	}
	for _, s := range w.streams.Stats() {
		if s.Contested {
			return fmt.Errorf("NATS: %s: somebody else reads from consumer %s", s.Partition, w.streams.Durable())
		}
	}
	return nil
}

// ready says why the worker is not, if it is not.
func (w *worker) ready() error {
	w.mu.Lock()
	running := w.running
	w.mu.Unlock()
	switch {
	case !running:
		return errors.New("starting")
	case !w.nc.IsConnected():
		return fmt.Errorf("NATS: %s", w.nc.Status())
	}
	if err := w.undisturbed(); err != nil {
		return err
	}
	return w.sink.ready()
}
