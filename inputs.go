package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/spf13/pflag"

	"corral/ingest"
	corralch "corral/ingest/clickhouse"
	"corral/ingest/decode"
	corraljs "corral/ingest/jetstream"
	"corral/internal/phrase"
	"corral/natsconn"
	"corral/pipeline"
)

// batchFlags are what every command that reads history is told about it.
type batchFlags struct {
	rules    []string
	packs    []string
	from, to string
	tz       string
	lateness time.Duration // its default, when flags are added
	workers  int
	shards   int
	decode   decodeFlags
	reports  bool // --format is that of a report, --input-format that of the records
}

func (b *batchFlags) add(fs *pflag.FlagSet) {
	fs.StringArrayVarP(&b.rules, "rules", "r", nil, "rule file or directory (*.yaml, *.yml); repeatable")
	fs.StringArrayVar(&b.packs, "pack", nil, "built-in rules: nats; repeatable")
	fs.StringVar(&b.from, "from", b.from, "leave out events before: RFC 3339, -14d, now, 2026-11-20 10:03")
	fs.StringVar(&b.to, "to", "", "leave out events after, and end the run at that instant")
	fs.StringVar(&b.tz, "tz", "UTC", "zone of --from and --to, and of times that carry none")
	spanVar(fs, &b.lateness, "lateness", cmp.Or(b.lateness, 2*time.Minute), "how far events of one file or stream may be out of order")
	workersVar(fs, &b.workers)
	own := pflag.NewFlagSet("", pflag.ContinueOnError)
	b.decode.add(own)
	own.VisitAll(func(f *pflag.Flag) {
		if b.reports && f.Name == "format" {
			f.Name = "input-format"
		}
		fs.AddFlag(f)
	})
}

// span resolves --from and --to.
func (b *batchFlags) span(now time.Time) (pipeline.Range, *time.Location, error) {
	loc, err := time.LoadLocation(b.tz)
	if err != nil {
		return pipeline.Range{}, nil, usageError("--tz: %w", err)
	}
	from, err := moment(b.from, now, loc)
	if err != nil {
		return pipeline.Range{}, nil, usageError("--from: %w", err)
	}
	to, err := moment(b.to, now, loc)
	if err != nil {
		return pipeline.Range{}, nil, usageError("--to: %w", err)
	}
	var r pipeline.Range
	if !from.IsZero() {
		r.From = from.UnixNano()
	}
	if !to.IsZero() {
		r.To = to.UnixNano()
	}
	if r.From != 0 && r.To != 0 && r.To < r.From {
		return r, nil, usageError("--to lies before --from")
	}
	return r, loc, nil
}

// inputFlags say where history is read from.
type inputFlags struct {
	conn           natsconn.Options
	streams        []string
	filter         []string
	fromSeq, toSeq uint64
	table          string
	columns        map[string]string
	where          string
	clickhouse     clickhouseFlags

	in      env
	log     *slog.Logger
	nc      *nats.Conn // nil until somebody needs it
	closers []func() error
}

func newInputs(e env) inputFlags { return inputFlags{in: e, log: quietLog(e)} }

func (in *inputFlags) add(fs *pflag.FlagSet) {
	fs.StringArrayVar(&in.streams, "stream", nil, "JetStream stream to read, from what was stored at --from on; repeatable")
	fs.StringArrayVar(&in.filter, "filter", nil, "read only these subjects of the streams; repeatable")
	fs.Uint64Var(&in.fromSeq, "from-seq", 0, "first sequence to read of the one --stream")
	fs.Uint64Var(&in.toSeq, "to-seq", 0, "last sequence to read of the one --stream")
	fs.StringVar(&in.table, "clickhouse-table", "", "read this table of --clickhouse: otel_logs of any generation, SigNoz's, ClickStack's, or any with --column")
	fs.StringToStringVar(&in.columns, "column", nil, "where a table that is not known has what: time=ts,body=line,service=app,attrs=extra")
	fs.StringVar(&in.where, "where", "", "a further condition on the table, in SQL")
	in.conn.AddFlags(fs)
}

func (in *inputFlags) close(command string, e env) {
	for _, c := range slices.Backward(in.closers) {
		if err := c(); err != nil {
			fmt.Fprintf(e.err, "corral %s: %v\n", command, err)
		}
	}
}

// connect is NATS, connected to when first needed.
func (in *inputFlags) connect(ctx context.Context) (jetstream.JetStream, error) {
	if in.nc == nil {
		in.conn.FailFast = true
		nc, err := in.conn.Connect(ctx, in.log)
		if err != nil {
			return nil, infra(err)
		}
		in.nc = nc
		in.closers = append(in.closers, func() error { nc.Close(); return nil })
	}
	return in.conn.JetStream(in.nc)
}

// source is history that was opened.
type source struct {
	ingest.Puller
	files  *ingest.Files    // one of the three
	replay *corraljs.Replay //
	table  *corralch.Source //
}

// problems are what could not be read.
func (s *source) problems() []error {
	if s.files == nil {
		return nil
	}
	return s.files.Problems()
}

// share is how much has been read, if that is known.
func (s *source) share() (done float64, ok bool) {
	read, total := int64(0), int64(0)
	switch {
	case s.files != nil:
		st := s.files.Stats()
		read, total = st.Read, st.Total
	case s.replay != nil:
		for _, st := range s.replay.Stats() {
			read += int64(st.Received)
			total += int64(st.Received) + st.Pending
		}
	case s.table != nil:
		read, total = int64(s.table.Position().Rows-s.table.Resume.Rows), int64(s.table.Total())
	}
	if read <= 0 || total <= 0 || read > total {
		return 0, false
	}
	return float64(read) / float64(total), true
}

// describe says what will be read.
func (s *source) describe() string {
	parts := s.Partitions()
	switch {
	case s.table != nil:
		return "table " + s.table.Describe()
	case s.files != nil && s.files.Stats().Total > 0:
		return listed(parts) + ", " + short(float64(s.files.Stats().Total)) + "B as stored"
	}
	return listed(parts)
}

// amount is what was read, in what the source is made of; a file's records are
// only the pieces it is read in.
func (s *source) amount(records uint64) string {
	switch {
	case s.files != nil:
		return phrase.Count(len(s.Partitions()), "file")
	case s.table != nil:
		return phrase.Count(int(records), "row")
	}
	return phrase.Count(int(records), "message")
}

func listed(parts []ingest.Partition) string {
	if len(parts) <= 3 {
		var names string
		for i, p := range parts {
			if i > 0 {
				names += ", "
			}
			names += p.Name
		}
		return names
	}
	return fmt.Sprintf("%d: %s, %s … %s", len(parts), parts[0].Name, parts[1].Name, parts[len(parts)-1].Name)
}

// open returns the source that arguments and flags name, which may go on where an
// earlier run stopped.
func (in *inputFlags) open(ctx context.Context, files []string, rng pipeline.Range, earlier *interruption) (*source, error) {
	if n := min(len(files), 1) + min(len(in.streams), 1) + min(len(in.table), 1); n > 1 {
		return nil, usageError("files, --stream or --clickhouse-table, not several in one run")
	}
	switch {
	case in.table != "":
		src, err := in.openTable(ctx, rng, earlier)
		return &source{Puller: src, table: src}, err
	case len(in.streams) > 0:
		src, err := in.openStreams(ctx, rng, earlier)
		return &source{Puller: src, replay: src}, err
	case len(files) == 0:
		return nil, usageError("nothing to read: name files, - for standard input, --stream or --clickhouse-table")
	}
	src, err := ingest.NewFiles(files, ingest.FileOptions{Cut: decode.SafeCut, Header: decode.HeaderLine, Stdin: in.in.in})
	if err != nil {
		return nil, infra(err)
	}
	in.closers = append(in.closers, src.Close)
	if err := earlier.skipFiles(src); err != nil {
		return nil, err
	}
	return &source{Puller: src, files: src}, nil
}

// patience is how long after the end of a range a message about it may have been
// stored, beyond the lateness.
const patience = 10 * time.Minute

// stop is where reading of streams may end.
func stop(rng pipeline.Range) int64 {
	if rng.To == 0 {
		return 0
	}
	return rng.To + int64(patience)
}

// openStreams reads what was stored since the range began: messages tell of events
// before they were stored.
func (in *inputFlags) openStreams(ctx context.Context, rng pipeline.Range, earlier *interruption) (*corraljs.Replay, error) {
	if (in.fromSeq > 0 || in.toSeq > 0) && len(in.streams) > 1 {
		return nil, usageError("--from-seq and --to-seq are of one stream: name one")
	}
	if in.toSeq > 0 && in.toSeq < in.fromSeq {
		return nil, usageError("--to-seq lies before --from-seq")
	}
	api, err := in.connect(ctx)
	if err != nil {
		return nil, err
	}
	cfg := corraljs.ReplayConfig{Streams: in.streams, Filter: in.filter, FromSeq: in.fromSeq, ToSeq: in.toSeq, Log: in.log}
	if rng.From != 0 {
		cfg.From = time.Unix(0, rng.From)
	}
	if earlier != nil {
		cfg.Resume = earlier.Streams
	}
	r, err := corraljs.NewReplay(api, cfg)
	if err != nil {
		return nil, usageError("%w", err)
	}
	in.closers = append(in.closers, r.Close)
	return r, nil
}

// openTable reads rows of [from, to]; the table's own range is half open.
func (in *inputFlags) openTable(ctx context.Context, rng pipeline.Range, earlier *interruption) (*corralch.Source, error) {
	o := corralch.Options{DSN: in.clickhouse.address(), Table: in.table, Columns: in.columns, Where: in.where, Logger: in.log}
	if o.DSN == "" {
		return nil, usageError("--clickhouse-table needs --clickhouse DSN")
	}
	if rng.From != 0 {
		o.From = time.Unix(0, rng.From)
	}
	if rng.To != 0 {
		o.To = time.Unix(0, rng.To+1)
	}
	if earlier != nil && earlier.Table != nil {
		o.Resume, o.To = earlier.Table.Position, time.Unix(0, earlier.Table.Last+1)
	}
	src, err := corralch.Open(ctx, o)
	if err != nil {
		return nil, infra(err)
	}
	in.closers = append(in.closers, src.Close)
	return src, nil
}

// errNoFile: standard input cannot be read again.
var errNoFile = errors.New("standard input cannot be read again: --resume needs files, streams or a table")
