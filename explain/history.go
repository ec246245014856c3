package explain

import (
	"context"
	"time"

	"corral/correlate"
	"corral/ingest"
	"corral/ingest/decode"
	"corral/pipeline"
	"corral/sinks"
)

// History is what a Window is asked about.
type History struct {
	Files   []string // read twice
	Decode  decode.Options
	Workers int
}

// Read shows the window all of the history up to its end: each event, and what
// the engine makes of them.
func (w *Window) Read(ctx context.Context, h History) error {
	if err := w.looks(ctx, h); err != nil {
		return err
	}
	src, err := h.open()
	if err != nil {
		return err
	}
	defer src.Close()
	lane := &pipeline.Lane{Rules: w.Set, Sink: sinks.Fanout(), Trace: w.Trace, Watch: w.Watch}
	lane.Keep = func(t *correlate.Transition) bool { w.Transition(t); return false }
	b := pipeline.Batch{
		Lanes: []*pipeline.Lane{lane}, Source: src, Dead: func(sinks.DeadLetter) {}, Decode: h.Decode, Now: time.Now,
		Range: pipeline.Range{To: w.To.UnixNano()}, Lateness: w.Lateness, Workers: h.Workers,
	}
	return b.Run(ctx)
}

func (h History) open() (*ingest.Files, error) {
	return ingest.NewFiles(h.Files, ingest.FileOptions{Cut: decode.SafeCut, Header: decode.HeaderLine})
}

func (w *Window) looks(ctx context.Context, h History) error {
	src, err := h.open()
	if err != nil {
		return err
	}
	defer src.Close()
	opt := h.Decode
	opt.AttrPaths = w.Set.AttrPaths
	dec := decode.New(opt)
	return src.Run(ctx, func(b ingest.Batch) error {
		for _, rec := range b.Records {
			dec.Decode(rec, w.Look, func(decode.DeadRecord) {})
		}
		return nil
	})
}
