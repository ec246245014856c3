package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/term"

	"corral/ingest"
	"corral/pipeline"
	"corral/rules"
)

// meter tells how a batch run goes: one line that is written over on a terminal,
// a line every few seconds elsewhere.
type meter struct {
	w        io.Writer
	lane     *pipeline.Lane
	files    *ingest.Files // nil: how much there is to read is not known
	sources  []ingest.Partition
	on       bool
	terminal bool
	every    time.Duration
	began    time.Time
	told     time.Time
}

func (b *batchRun) meter(e env, src ingest.Puller, files *ingest.Files, lane *pipeline.Lane) *meter {
	f, ok := e.err.(*os.File)
	m := &meter{w: e.err, lane: lane, files: files, sources: src.Partitions(), began: time.Now(), every: 5 * time.Second}
	m.terminal = ok && term.IsTerminal(int(f.Fd()))
	m.on = b.progress == "on" || b.progress == "auto"
	if m.terminal {
		m.every = 200 * time.Millisecond
	}
	m.told = m.began
	return m
}

// plan says what is going to be done.
func (m *meter) plan(set *rules.Set, rng, begin pipeline.Range, loc *time.Location) {
	if !m.on {
		return
	}
	at := func(ns int64, otherwise string) string {
		if ns == 0 {
			return otherwise
		}
		return time.Unix(0, ns).In(loc).Format("2006-01-02 15:04:05 MST")
	}
	fmt.Fprintf(m.w, "%s, %s, from %s to %s", plural(len(set.Rules), "rule"), plural(len(m.sources), "source"), at(rng.From, "the beginning"), at(rng.To, "the end"))
	if begin.From != rng.From {
		fmt.Fprintf(m.w, ", warm-up from %s", at(begin.From, ""))
	}
	fmt.Fprintln(m.w)
}

// step is called after every batch.
func (m *meter) step() {
	now := time.Now()
	if !m.on || now.Sub(m.told) < m.every {
		return
	}
	m.told = now
	n := m.lane.Counters.Events.Load()
	line := fmt.Sprintf("%s events, %s/s", short(float64(n)), short(float64(n)/now.Sub(m.began).Seconds()))
	if t := m.lane.Counters.MaxEventTime.Load(); t != 0 {
		line += ", at " + time.Unix(0, t).UTC().Format("2006-01-02 15:04:05 MST")
	}
	line += m.left(now)
	if m.terminal {
		fmt.Fprintf(m.w, "\r\x1b[K%s", line)
		return
	}
	fmt.Fprintln(m.w, line)
}

// left is how much of the files has been read, and how long the rest will take.
func (m *meter) left(now time.Time) string {
	if m.files == nil {
		return ""
	}
	st := m.files.Stats()
	if st.Total <= 0 || st.Read <= 0 || st.Read > st.Total {
		return ""
	}
	done := float64(st.Read) / float64(st.Total)
	rest := time.Duration(float64(now.Sub(m.began)) * (1/done - 1))
	return fmt.Sprintf(", %.0f %%, %s left", 100*done, rest.Round(time.Second))
}

func (m *meter) end() {
	if m.on && m.terminal {
		fmt.Fprint(m.w, "\r\x1b[K")
	}
}

// summary says what came of it.
func (m *meter) summary(runID string, stored bool) {
	c := &m.lane.Counters
	took := time.Since(m.began)
	fmt.Fprintf(m.w, "%d events in %d records, %d matched; %d incidents opened, %d resolved", c.Events.Load(), c.Records.Load(), c.Matched.Load(), c.Opened.Load(), c.Resolved.Load())
	for _, x := range []struct {
		n    uint64
		what string
	}{{c.Late.Load(), "late"}, {c.Dead.Load(), "dead letters"}, {c.Skipped.Load(), "outside the range"}} {
		if x.n > 0 {
			fmt.Fprintf(m.w, "; %d %s", x.n, x.what)
		}
	}
	fmt.Fprintf(m.w, "; %s, %s events/s\n", took.Round(time.Millisecond), short(float64(c.Events.Load())/took.Seconds()))
	if stored && runID != "" {
		fmt.Fprintf(m.w, "in ClickHouse as run %s: corral incidents --run %s\n", runID, runID)
	}
}

// short writes a number with three digits and k, M or G.
func short(f float64) string {
	for _, u := range []struct {
		v float64
		s string
	}{{1e9, "G"}, {1e6, "M"}, {1e3, "k"}} {
		if f >= u.v {
			return strings.TrimSuffix(fmt.Sprintf("%.3g", f/u.v), ".0") + u.s
		}
	}
	return fmt.Sprintf("%.0f", f)
}
