package ruletest

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"time"

	"corral/correlate"
	"corral/ingest"
	"corral/ingest/decode"
	"corral/pipeline"
	"corral/rules"
	"corral/sinks"
)

// settle is how long the virtual clock goes on after the story's end, so that
// what it opened resolves.
const settle = 12 * time.Hour

// variant is a way to run a test that must not change its timeline.
type variant struct {
	name    string
	run     func(*runner) ([]*correlate.Transition, error)
	applies func(*Test) bool // nil: always
}

// variants of every test; the first is the test as written.
var variants = []variant{
	{"as written", (*runner).asWritten, nil},
	{"shuffled within lateness", (*runner).shuffled, nil},
	{"every event delivered twice", (*runner).duplicated, nil},
	{"restarted after every event", (*runner).restarted, nil},
	{"2 shards", func(r *runner) ([]*correlate.Transition, error) { return r.play(r.arrivals(), 2, nil) }, nil},
	{"4 shards", func(r *runner) ([]*correlate.Transition, error) { return r.play(r.arrivals(), 4, nil) }, nil},
	{"batch", (*runner).batch, fitsFile},
}

// runner plays one test.
type runner struct {
	test   *Test
	file   string // where it stands
	set    *rules.Set
	load   func(paths []string) (*rules.Set, error)
	trace  func(correlate.TraceEvent)
	loaded *rules.Set // after the last reload
	traces []traced   // of the run as written
	engine []correlate.TraceEvent
}

// delivery is a step with its sequence number in the stream.
type delivery struct {
	Step
	seq uint64
}

// arrivals are the steps in the order the worker gets them.
func (r *runner) arrivals() []delivery {
	ds := make([]delivery, len(r.test.Steps))
	for i, s := range r.test.Steps {
		ds[i] = delivery{Step: s}
	}
	slices.SortStableFunc(ds, func(a, b delivery) int { return cmp.Compare(a.Arrives, b.Arrives) })
	for i := range ds {
		ds[i].seq = uint64(i + 1)
	}
	return ds
}

// storyEnd is the last instant anything is said about. After it only what is
// open goes on, until the end.
func (t *Test) storyEnd() time.Duration {
	end := t.Until
	for _, s := range t.Steps {
		end = max(end, s.At, s.Arrives)
	}
	if t.restated {
		for _, x := range t.got {
			end = max(end, x.ChangedAt.Sub(t.Start))
		}
		return end
	}
	for _, x := range t.Expect {
		end = max(end, x.At)
	}
	return end
}

func (t *Test) end() time.Duration {
	if t.Until > 0 {
		return t.storyEnd()
	}
	return t.storyEnd() + settle
}

// play feeds deliveries to a session and returns the timeline. after, if any,
// runs after every step.
func (r *runner) play(ds []delivery, shards int, after func(*pipeline.Session) error) ([]*correlate.Transition, error) {
	s := pipeline.NewSession(r.set, r.test.Late, correlate.Options{Shards: shards, Trace: r.trace}, decode.Options{})
	r.loaded = r.set
	dedup := map[uint64]bool{}
	for _, d := range ds {
		if err := r.step(s, d, dedup); err != nil {
			return nil, err
		}
		if after != nil {
			if err := after(s); err != nil {
				return nil, err
			}
		}
	}
	s.Finish(r.test.Start.Add(r.test.end()).UnixNano())
	return r.ofStory(s.Transitions), nil
}

func (r *runner) step(s *pipeline.Session, d delivery, seen map[uint64]bool) error {
	switch d.Do {
	case "":
		if seen[d.seq] { // what the JetStream source does with a redelivery
			return nil
		}
		seen[d.seq] = true
		// A recording's record arrived in its own days: at any other time the decoder
		// would take its clock for wrong.
		s.Feed(ingest.Record{Data: d.Data, Seq: d.seq, Observed: r.test.Start.Add(d.Arrives - d.Shift).UnixNano()}, d.Shift)
	case "reload":
		set, err := r.load(d.Rules)
		if err != nil {
			return fmt.Errorf("line %d: reload: %w", d.Line, err)
		}
		s.Reload(set)
		r.loaded = set
	case "restart", "drop-connection":
		return s.Restart()
	case "redeliver":
		for _, x := range r.arrivals() {
			if x.Do == "" && x.seq < d.seq {
				if err := r.step(s, x, seen); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// ofStory leaves out what silence after the story brings about: that heartbeats
// end with the list of events is no outage.
func (r *runner) ofStory(ts []*correlate.Transition) []*correlate.Transition {
	end := r.test.Start.Add(r.test.storyEnd())
	after := map[string]bool{}
	var out []*correlate.Transition
	for _, t := range ts {
		rule := r.loaded.Rule(t.RuleID)
		if t.Rev == 1 && t.ChangedAt.After(end) && rule != nil && rule.Kind == rules.AbsenceKind {
			after[t.IncidentID] = true
		}
		if !after[t.IncidentID] {
			out = append(out, t)
		}
	}
	return out
}

func (r *runner) asWritten() ([]*correlate.Transition, error) { return r.play(r.arrivals(), 1, nil) }

func (r *runner) restarted() ([]*correlate.Transition, error) {
	return r.play(r.arrivals(), 1, (*pipeline.Session).Restart)
}

// shuffled lets events arrive in another order, none so late that it would not
// be taken. Steps that do something stay where they are, and so do events that
// were meant to be late.
func (r *runner) shuffled() ([]*correlate.Transition, error) {
	rnd := rand.New(rand.NewPCG(uint64(r.test.Line), 1))
	ds := r.arrivals()
	first := 0
	for i := 0; i <= len(ds); i++ {
		if i < len(ds) && ds[i].Do == "" {
			continue
		}
		r.shuffle(ds[first:i], rnd)
		first = i + 1
	}
	return r.play(ds, 1, nil)
}

func (r *runner) shuffle(ds []delivery, rnd *rand.Rand) {
	newest := time.Duration(-1 << 62)
	for _, d := range ds {
		if d.At < newest-r.test.Late {
			return // one is late on purpose: its place matters
		}
		newest = max(newest, d.At)
	}
	type keyed struct {
		delivery
		key time.Duration
	}
	ks := make([]keyed, len(ds))
	for i, d := range ds {
		ks[i] = keyed{d, d.At + time.Duration(rnd.Int64N(int64(r.test.Late)+1))}
	}
	slices.SortStableFunc(ks, func(a, b keyed) int { return cmp.Compare(a.key, b.key) })
	for i, k := range ks {
		ds[i] = k.delivery
	}
}

func (r *runner) duplicated() ([]*correlate.Transition, error) {
	var twice []delivery
	for _, d := range r.arrivals() {
		twice = append(twice, d)
		if d.Do == "" {
			twice = append(twice, d)
		}
	}
	return r.play(twice, 1, nil)
}

// fitsFile: only records that carry their own time mean the same in a file, and a
// file does not restart or reload anything.
func fitsFile(t *Test) bool {
	dec := decode.New(decode.Options{})
	for _, s := range t.Steps {
		if s.Do != "" || s.Shift != 0 || bytes.ContainsRune(s.Data, '\n') {
			return false
		}
		if at, ok := timeOf(dec, s.Data); !ok || !at.Equal(t.Start.Add(s.At)) {
			return false
		}
	}
	return true
}

// batch writes the records to a file and reprocesses it as `corral batch` would.
func (r *runner) batch() ([]*correlate.Transition, error) {
	dir, err := os.MkdirTemp("", "corral-test-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	var lines bytes.Buffer
	for _, d := range r.arrivals() {
		lines.Write(d.Data)
		lines.WriteByte('\n')
	}
	path := filepath.Join(dir, "events.ndjson")
	if err := os.WriteFile(path, lines.Bytes(), 0o600); err != nil {
		return nil, err
	}
	src, err := ingest.NewFiles([]string{path}, ingest.FileOptions{Cut: decode.SafeCut})
	if err != nil {
		return nil, err
	}
	var got collector
	b := pipeline.Batch{
		Lanes:  []*pipeline.Lane{{Rules: r.set, Sink: &got}},
		Source: src, Dead: func(sinks.DeadLetter) {},
		Range:    pipeline.Range{To: r.test.Start.Add(r.test.end()).UnixNano()},
		Lateness: r.test.Late, Workers: 2, Now: time.Now,
	}
	r.loaded = r.set
	if err := b.Run(context.Background()); err != nil {
		return nil, err
	}
	return r.ofStory(got.ts), nil
}

// collector is a sink that keeps what it gets.
type collector struct{ ts []*correlate.Transition }

func (c *collector) Write(_ context.Context, ts []*correlate.Transition) error {
	c.ts = append(c.ts, ts...)
	return nil
}

func (c *collector) Close() error { return nil }
