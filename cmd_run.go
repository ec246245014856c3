package main

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	js "github.com/nats-io/nats.go/jetstream"
	"github.com/spf13/pflag"

	"corral/ingest"
	"corral/ingest/jetstream"
	"corral/natsconn"
	"corral/pipeline"
	"corral/reload"
	"corral/rules"
	"corral/sinks"
	natssink "corral/sinks/nats"
)

// runFlags are everything `corral run` can be told.
type runFlags struct {
	rules, packs      []string
	conn              natsconn.Options
	streams, subjects []string
	queue, durable    string
	filter            []string
	fresh             bool
	state             string
	snapshotEvery     time.Duration
	lateness          time.Duration
	workers           int
	listen            string
	listenCert        string
	listenKey         string
	tokenFile         string
	shutdown          time.Duration
	reloadEvery       time.Duration
	maxRemoved        float64
	removeGrace       time.Duration
	atomic            bool
	dead, deadSubject string
	memory            byteSize
	tz                string
	logFormat         string
	decode            decodeFlags
	out               outFlag
	remote            remoteFlags
	poll              pollFlags
}

func (r *runFlags) add(fs *pflag.FlagSet) {
	fs.StringArrayVarP(&r.rules, "rules", "r", nil, "rule file or directory (*.yaml, *.yml); repeatable")
	fs.StringArrayVar(&r.packs, "pack", nil, "built-in rules: nats; repeatable")
	r.conn.AddFlags(fs)
	fs.StringArrayVar(&r.streams, "stream", nil, "JetStream stream to read; repeatable")
	fs.StringArrayVar(&r.filter, "filter", nil, "read only these subjects of the streams; repeatable")
	fs.StringVar(&r.durable, "durable", "", "name of the durable consumer (default: derived from streams and filters)")
	fs.BoolVar(&r.fresh, "new", false, "a consumer that does not exist yet begins with new messages, not with the stream's first")
	fs.StringArrayVar(&r.subjects, "subject", nil, "core NATS subject to subscribe to; what is missed is lost; repeatable")
	fs.StringVar(&r.queue, "queue", "", "queue group of the core subscriptions")
	r.poll.add(fs)
	r.remote.add(fs)
	fs.StringVar(&r.state, "state", "", "where snapshots go: a directory, or kv:BUCKET (JetStream object store)")
	spanVar(fs, &r.snapshotEvery, "snapshot-every", 10*time.Second, "how often a snapshot is stored and messages acknowledged")
	spanVar(fs, &r.lateness, "lateness", 5*time.Second, "how far events may be out of order: what the incident waits for")
	workersVar(fs, &r.workers)
	fs.StringVar(&r.listen, "listen", "127.0.0.1:8222", "address of health, metrics and reload; empty: none")
	fs.StringVar(&r.listenCert, "listen-tlscert", "", "certificate for --listen")
	fs.StringVar(&r.listenKey, "listen-tlskey", "", "key for --listen")
	fs.StringVar(&r.tokenFile, "listen-token-file", "", "file with the bearer token --listen asks for (env CORRAL_LISTEN_TOKEN)")
	spanVar(fs, &r.shutdown, "shutdown-timeout", 20*time.Second, "how long draining may take after SIGTERM")
	spanVar(fs, &r.reloadEvery, "reload-every", 5*time.Second, "how often rule files are looked at; 0: only on SIGHUP and POST /-/reload")
	shareVar(fs, &r.maxRemoved, "max-removed", 0.2, "share of rules that may vanish in one reload")
	spanVar(fs, &r.removeGrace, "remove-grace", 2*time.Minute, "how long a rule that vanished goes on, should it come back, perhaps in another file")
	fs.BoolVar(&r.atomic, "reload-atomic", false, "a file with mistakes keeps all files as they were, not only itself")
	fs.StringVar(&r.dead, "dead-letters", "", "NDJSON file for records that could not be used, and for events that came too late")
	fs.StringVar(&r.deadSubject, "dead-letter-subject", "", "NATS subject for them, such as dead.v1; a stream for it is made where there is none and --create-streams allows")
	addMemory(fs, &r.memory)
	fs.StringVar(&r.tz, "tz", "UTC", "zone of times that carry none")
	fs.StringVar(&r.logFormat, "log-format", "text", "text or json, on standard error")
	r.decode.add(fs)
	r.out.add(fs, "none")
}

func cmdRun(ctx context.Context, args []string, e env) error {
	var r runFlags
	fs := newFlags("run", "--rules PATH… --stream NAME… [-o ndjson [FILE|-]]", `Streaming worker: consumes service logs and NATS advisories, correlates them, publishes incidents.

  corral run --rules rules/ --stream LOGS --nats nats://127.0.0.1:4222 --state /var/lib/corral

Rules are reloaded when their files change, on SIGHUP and by POST /-/reload; SIGTERM delivers what was read and ends it.`)
	r.add(fs)
	if done, err := parse(fs, args, e); done {
		return err
	}
	if err := r.check(fs); err != nil {
		return err
	}
	tuneGC(r.memory)
	log, err := logger(r.logFormat, e)
	if err != nil {
		return err
	}
	file := ""
	if fs.NArg() > 0 {
		file = fs.Arg(0)
	}
	local, err := r.out.open(file, e)
	if err != nil {
		return err
	}
	return r.serve(ctx, e, log, local)
}

func (r *runFlags) check(fs *pflag.FlagSet) error {
	if len(r.rules)+len(r.packs) == 0 {
		return usageError("no rules: say --rules PATH or --pack NAME")
	}
	if len(r.streams)+len(r.subjects)+len(r.packs) == 0 && r.poll.every == 0 {
		return usageError("nothing to read: say --stream NAME, --subject SUBJECT or --poll INTERVAL")
	}
	if err := r.poll.check(); err != nil {
		return err
	}
	if r.snapshotEvery <= 0 {
		return usageError("--snapshot-every must be above zero")
	}
	if fs.NArg() > 1 || fs.NArg() == 1 && !strings.HasPrefix(r.out.format, "ndjson") {
		return usageError("unexpected argument %q", fs.Arg(fs.NArg()-1))
	}
	return nil
}

func logger(format string, e env) (*slog.Logger, error) {
	switch format {
	case "text":
		return slog.New(slog.NewTextHandler(e.err, nil)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(e.err, nil)), nil
	}
	return nil, usageError("--log-format %q: want text or json", format)
}

// serve builds the worker, runs it until ctx is done and takes it down again in
// the reverse order.
func (r *runFlags) serve(ctx context.Context, e env, log *slog.Logger, local sinks.Sink) error {
	release, err := r.claimState()
	if err != nil {
		return err
	}
	defer release()
	loader := &reload.Loader{Paths: r.rules, MaxRemoved: r.maxRemoved, RemoveGrace: r.removeGrace, Atomic: r.atomic}
	if loader.Embedded, err = packFiles(r.packs); err != nil {
		return exit{exitRules, err}
	}
	var nc *nats.Conn // when first needed
	defer func() {
		if nc != nil {
			nc.Close()
		}
	}()
	connected := func() (_ *nats.Conn, err error) {
		if nc == nil {
			nc, err = r.conn.Connect(ctx, log)
		}
		return nc, err
	}
	loader.LastGood = r.lastGood(ctx, connected)
	first, err := loader.First()
	if refused, ok := errors.AsType[reload.Refusal](err); ok {
		_ = rules.FormatText(e.err, first.Diagnostics, styleOf(e.err))
		return exit{exitRules, refused.Cause} // nothing runs yet that could go on
	}
	if err == nil {
		_, err = connected()
	}
	if err != nil && ctx.Err() != nil {
		return exit{exitSignal, err}
	}
	if err != nil {
		return infra(err)
	}
	w, err := r.worker(ctx, nc, first.Set, log, local)
	if err != nil {
		return err
	}
	defer w.close()
	w.loader = loader
	loader.Took(w.stream.Generation())
	w.keepTexts(first.Set)
	w.noteStale(first)
	w.notKept(first)
	return w.run(ctx)
}

// intake is what a worker reads.
type intake struct {
	sources []ingest.Source
	streams *jetstream.Source // nil: none
	cores   []*jetstream.Core
	end     func() // of connections of its own
}

// intake is what --stream, --subject and --poll name, or else what the packs read.
func (r *runFlags) intake(ctx context.Context, nc *nats.Conn, api js.JetStream, log *slog.Logger) (*intake, error) {
	system, end, err := r.poll.connect(ctx, &r.conn, nc, log)
	if err != nil {
		return nil, err
	}
	in := &intake{end: end}
	if err := r.fill(in, nc, system, api, log); err != nil {
		end()
		return nil, err
	}
	return in, nil
}

func (r *runFlags) fill(in *intake, nc, system *nats.Conn, api js.JetStream, log *slog.Logger) (err error) {
	if len(r.streams) > 0 {
		in.streams, err = jetstream.New(api, jetstream.Config{
			Streams: r.streams, Filter: r.filter, Durable: r.durable, New: r.fresh, Tick: idleTick, Log: log,
		})
		if err != nil {
			return usageError("%w", err)
		}
		in.sources = append(in.sources, in.streams)
	}
	cores := []jetstream.CoreConfig{{Subjects: r.subjects}}
	conns := []*nats.Conn{nc}
	if len(r.streams)+len(r.subjects) == 0 {
		cores, conns = packSources(r.packs, nc, system)
	}
	for i, cfg := range cores {
		if err := r.subscribe(in, conns[i], cfg, log); err != nil {
			return err
		}
	}
	if r.poll.every == 0 {
		return nil
	}
	polls, err := r.poll.source(system, log)
	in.sources = append(in.sources, polls)
	return err
}

func (r *runFlags) subscribe(in *intake, nc *nats.Conn, cfg jetstream.CoreConfig, log *slog.Logger) error {
	if len(cfg.Subjects) == 0 {
		return nil
	}
	log.Warn("core subscriptions cannot be replayed: what is published while this worker is away is lost", "subjects", cfg.Subjects)
	cfg.Queue, cfg.Tick, cfg.Log = r.queue, idleTick, log
	core, err := jetstream.NewCore(nc, cfg)
	if err != nil {
		return usageError("%w", err)
	}
	in.cores = append(in.cores, core)
	in.sources = append(in.sources, core)
	return nil
}

// idleTick is how often a caught-up source lets the clock move: what an absence
// or a resolve waits for at most beyond the lateness.
const idleTick = 250 * time.Millisecond

func (r *runFlags) worker(ctx context.Context, nc *nats.Conn, set *rules.Set, log *slog.Logger, local sinks.Sink) (*worker, error) {
	loc, err := time.LoadLocation(r.tz)
	if err != nil {
		return nil, usageError("--tz: %w", err)
	}
	dopt, err := r.decode.options(loc)
	if err != nil {
		return nil, err
	}
	dead, err := openLetters(r.dead, true, log)
	if err != nil {
		return nil, err
	}
	api, err := r.conn.JetStream(nc)
	if err != nil {
		return nil, infra(err)
	}
	if r.deadSubject != "" {
		o := natssink.Options{Ensure: r.remote.create, Replicas: r.remote.replicas, Log: log.With("sink", "dead letters")}
		if err := dead.publish(ctx, api, r.deadSubject, o); err != nil {
			return nil, err
		}
	}
	sink, err := r.remote.sinks(ctx, api, local, dead.write, log)
	if err != nil {
		return nil, err
	}
	store, err := r.store(api)
	if err != nil {
		return nil, err
	}
	in, err := r.intake(ctx, nc, api, log)
	if err != nil {
		return nil, err
	}
	w := &worker{flags: r, log: log, nc: nc, intake: in, sink: sink, dead: dead}
	w.stream = &pipeline.Stream{
		Rules: set, Sources: in.sources, Sink: sink, Dead: dead.all, Decode: dopt, Lateness: r.lateness, Workers: r.workers,
		Counters: new(pipeline.Counters), Now: time.Now, Log: log,
		Store: store, SnapshotEvery: r.snapshotEvery, DrainTimeout: r.shutdown, MaxBytes: int(r.memory),
	}
	if err := w.stream.Init(ctx); err != nil {
		return nil, infra(err)
	}
	if in.streams != nil {
		in.streams.Resume(w.stream.Positions())
	}
	return w, nil
}
