package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"corral/event"
	"corral/ingest"
	"corral/ingest/decode"
	"corral/sinks"
)

// decodeFlags say how records are read.
type decodeFlags struct {
	format, layout, service string
	fields                  []string
}

func (d *decodeFlags) add(fs *pflag.FlagSet) {
	fs.StringVar(&d.format, "format", "auto", "how records are read: auto, or one of "+strings.Join(decode.Formats(), ", "))
	fs.StringArrayVar(&d.fields, "map", nil, "take a field from elsewhere: service=attrs.app; repeatable")
	fs.StringVar(&d.layout, "time-layout", "", "layout of times, Go's or strftime's notation")
	fs.StringVar(&d.service, "service", "", "service of events that name none")
}

func (d *decodeFlags) options(loc *time.Location) (decode.Options, error) {
	o := decode.Options{Format: d.format, Location: loc, Map: d.fields, TimeLayout: d.layout, Service: d.service}
	if err := o.Check(); err != nil {
		return o, usageError("%w", err)
	}
	return o, nil
}

func cmdParse(ctx context.Context, args []string, e env) error {
	var d decodeFlags
	fs := newFlags("parse", "[FILE…|-]", "Shows how lines are decoded: format, fields, time and how good it is.")
	d.add(fs)
	out := fs.StringP("output", "o", "text", "text or json")
	tz := fs.String("tz", "UTC", "zone of times that carry none")
	if done, err := parse(fs, args, e); done {
		return err
	}
	loc, err := time.LoadLocation(*tz)
	if err != nil {
		return usageError("--tz: %w", err)
	}
	opt, err := d.options(loc)
	if err != nil {
		return err
	}
	files := fs.Args()
	if len(files) == 0 {
		files = []string{"-"}
	}
	src, err := ingest.NewFiles(files, ingest.FileOptions{Cut: decode.SafeCut, Header: decode.HeaderLine, Stdin: e.in})
	if err != nil {
		return usageError("%w", err)
	}
	defer src.Close()
	show, err := shower(*out, e.out)
	if err != nil {
		return err
	}
	dec := decode.New(opt)
	n := 0
	err = src.Run(ctx, func(b ingest.Batch) error {
		for _, rec := range b.Records {
			dec.Decode(rec, func(ev *event.Event) { n++; show(ev) }, func(x decode.DeadRecord) {
				n++
				fmt.Fprintf(e.err, "line %d: %s: %s\n", x.Seq, x.Reason, sinks.Printable(x.Error))
			})
		}
		return nil
	})
	if err != nil {
		return infra(err)
	}
	if n == 0 {
		return exit{exitInfra, fmt.Errorf("nothing to read in %s", strings.Join(files, ", "))}
	}
	for _, p := range src.Problems() {
		fmt.Fprintf(e.err, "corral parse: %v\n", p)
	}
	return nil
}

func shower(format string, w io.Writer) (func(*event.Event), error) {
	switch format {
	case "json":
		enc := json.NewEncoder(w)
		return func(ev *event.Event) { _ = enc.Encode(decode.Describe(ev).Map()) }, nil
	case "text":
		return func(ev *event.Event) {
			for _, f := range decode.Describe(ev) {
				fmt.Fprintf(w, "%-18s %s\n", f.Name, sinks.Printable(f.Text))
			}
			fmt.Fprintln(w)
		}, nil
	}
	return nil, usageError("--output %q: want text or json", format)
}
