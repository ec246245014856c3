package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/spf13/pflag"

	"corral/sinks"
	natssink "corral/sinks/nats"
)

// outFlag is where `-o` writes: text or ndjson, to standard output or a file.
type outFlag struct {
	format string
	fsync  bool
}

func (o *outFlag) add(fs *pflag.FlagSet, def string) {
	fs.StringVarP(&o.format, "output", "o", def, "text, ndjson or none; ndjson:FILE appends to a file")
	fs.BoolVar(&o.fsync, "fsync", false, "sync an ndjson file after each write")
}

// open returns the sink; file is an argument that followed `-o ndjson`, "" or "-"
// for standard output.
func (o *outFlag) open(file string, e env) (sinks.Sink, error) {
	format, path, _ := strings.Cut(o.format, ":")
	if path == "" {
		path = file
	}
	switch {
	case format == "text" && path == "":
		return sinks.NewText(e.out, textOptions(e.out)), nil
	case format == "ndjson" && (path == "" || path == "-"):
		return sinks.NewNDJSON(e.out), nil
	case format == "ndjson":
		s, err := sinks.OpenNDJSON(path, o.fsync)
		if err != nil {
			return nil, infra(err)
		}
		return s, nil
	case format == "none":
		return sinks.Fanout(), nil
	}
	return nil, usageError("--output %q: want text, ndjson, ndjson:FILE or none", o.format)
}

func textOptions(w io.Writer) sinks.TextOptions {
	f, ok := fileOf(w)
	return sinks.TextOptions{Color: ok && sinks.ColorFor(f), Evidence: 6}
}

// letters is where dead letters go: a file, a subject on NATS, both or neither. It
// may be used by several goroutines.
type letters struct {
	file   *sinks.DeadLetters // nil: none
	log    *slog.Logger
	mu     sync.Mutex            // guards what follows
	stream *natssink.DeadLetters // nil: none
	counts map[string]uint64     // by reason, also of those that go nowhere
}

func openLetters(path string, fsync bool, log *slog.Logger) (*letters, error) {
	l := &letters{log: log, counts: map[string]uint64{}}
	if path == "" {
		return l, nil
	}
	d, err := sinks.OpenDeadLetters(path, fsync)
	if err != nil {
		return nil, infra(err)
	}
	l.file = d
	return l, nil
}

// publish makes the letters go to a subject too.
func (l *letters) publish(ctx context.Context, api jetstream.JetStream, subject string, o natssink.Options) error {
	if !natssink.IsSubject(subject) {
		return usageError("--dead-letter-subject %q is not a subject to publish on: want tokens such as %s, without wildcards", subject, natssink.DeadSubject)
	}
	d, err := natssink.NewDeadLetters(ctx, api, subject, o)
	if err != nil {
		return infra(fmt.Errorf("stream for dead letters: %w", err))
	}
	l.stream = d
	return nil
}

// all stores letters; an error means that they have to come again. Where there is
// neither file nor subject they are gone, and counted.
func (l *letters) all(ctx context.Context, ds []sinks.DeadLetter) error {
	if l.file != nil {
		if err := l.file.Write(ds...); err != nil {
			return err
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.stream != nil {
		if err := l.stream.Write(ctx, ds...); err != nil {
			return err
		}
	}
	for i := range ds {
		l.counts[ds[i].Reason]++
	}
	return nil
}

// byReason counts the letters so far.
func (l *letters) byReason() map[string]uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return maps.Clone(l.counts)
}

// write stores a letter of a sink.
func (l *letters) write(d sinks.DeadLetter) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	return l.all(ctx, []sinks.DeadLetter{d})
}

// put is write for those who cannot do anything about a failure but tell.
func (l *letters) put(d sinks.DeadLetter) {
	if err := l.write(d); err != nil {
		l.log.Error("dead letter lost", "reason", d.Reason, "source", d.Source, "seq", d.Seq, "error", err)
	}
}

func (l *letters) close() error {
	if l.file == nil {
		return nil
	}
	return l.file.Close()
}
