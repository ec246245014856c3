package main

import (
	"context"
	"io"
	"log/slog"
	"os"
	"strings"

	"github.com/spf13/pflag"

	"corral/sinks"
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
	f, ok := w.(*os.File)
	return sinks.TextOptions{Color: ok && sinks.ColorFor(f), Evidence: 6}
}

// letters is where dead letters go.
type letters struct {
	file *sinks.DeadLetters // nil: they are only counted
	log  *slog.Logger
}

func openLetters(path string, fsync bool, log *slog.Logger) (*letters, error) {
	if path == "" {
		return &letters{log: log}, nil
	}
	d, err := sinks.OpenDeadLetters(path, fsync)
	if err != nil {
		return nil, infra(err)
	}
	return &letters{file: d, log: log}, nil
}

// write stores letters; without a file they are gone, and counted.
func (l *letters) write(d sinks.DeadLetter) error {
	if l.file == nil {
		return nil
	}
	return l.file.Write(d)
}

// all is write for those who keep what could not be written.
func (l *letters) all(_ context.Context, ds []sinks.DeadLetter) error {
	if l.file == nil {
		return nil
	}
	return l.file.Write(ds...)
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
