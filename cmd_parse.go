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
	fs.StringVar(&d.format, "format", "auto", "how records are read: "+strings.Join(decode.Formats(), ", "))
	fs.StringArrayVar(&d.fields, "map", nil, "take a field from elsewhere: service=attrs.app, or of one file, stream or subject: pay*.log:service=attrs.team; repeatable")
	fs.StringVar(&d.layout, "time-layout", "", "layout of times, Go's or strftime's notation")
	fs.StringVar(&d.service, "service", "", "service of events that name none")
}

func (d *decodeFlags) options(loc *time.Location) (decode.Options, error) {
	o := decode.Options{Format: d.format, Location: loc, Map: d.fields, TimeLayout: d.layout, Service: d.service, Today: time.Now()}
	if err := o.Check(); err != nil {
		return o, usageError("%w", err)
	}
	return o, nil
}

func cmdParse(ctx context.Context, args []string, e env) error {
	var d decodeFlags
	fs := newFlags("parse", "[FILE…|-]", `Shows how lines are decoded: format, fields, time and how good it is.

  corral parse --tz Europe/Berlin app.log`)
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
		return infra(err)
	}
	defer src.Close()
	opt.Origins = true
	dec := decode.New(opt)
	show, err := shower(*out, e.out, dec)
	if err != nil {
		return err
	}
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

// shower prints events with where each field came from.
func shower(format string, w io.Writer, dec *decode.Decoder) (func(*event.Event), error) {
	switch format {
	case "json":
		enc := json.NewEncoder(w)
		return func(ev *event.Event) {
			m := decode.Describe(ev).Map()
			m["origins"] = dec.Origins()
			_ = enc.Encode(m)
		}, nil
	case "text":
		return func(ev *event.Event) {
			for _, f := range decode.Describe(ev) {
				fmt.Fprintf(w, "%-18s %-32s%s\n", f.Name, sinks.Printable(f.Text), origin(f.Name, ev, dec.Origins()))
			}
			fmt.Fprintln(w)
		}, nil
	}
	return nil, usageError("--output %q: want text or json", format)
}

// origin is what is said beside a field: where it came from, of the time's quality
// what it means.
func origin(name string, ev *event.Event, origins map[string]string) string {
	from := origins[name]
	if name == "time_quality" {
		from = qualities[ev.TimeQuality]
	}
	if from == "" {
		return ""
	}
	return "  ← " + sinks.Printable(from)
}

// qualities say what was missing in a time.
var qualities = map[event.TimeQuality]string{
	event.TimeExact:    "date, time and zone were there",
	event.TimeNoZone:   "the zone was missing: --tz",
	event.TimeNoYear:   "year and zone were missing: the latest before arrival, --tz",
	event.TimeNoDate:   "the date was missing: that of the envelope",
	event.TimeEnvelope: "the record's own clock has no date or no zone, or is not there",
	event.TimeObserved: "no time that can be used: arrival, or the event before",
}
