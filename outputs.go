package main

import (
	"errors"
	"fmt"
	"io"
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

// openDeadLetters returns where dead letters go and what ends it. Without a path
// they are only counted.
func openDeadLetters(path string) (func(sinks.DeadLetter), func() error, error) {
	if path == "" {
		return func(sinks.DeadLetter) {}, func() error { return nil }, nil
	}
	d, err := sinks.OpenDeadLetters(path, false)
	if err != nil {
		return nil, nil, fmt.Errorf("dead letters: %w", err)
	}
	var failed error
	write := func(l sinks.DeadLetter) {
		if err := d.Write(l); err != nil && failed == nil {
			failed = err
		}
	}
	return write, func() error { return errors.Join(failed, d.Close()) }, nil
}
