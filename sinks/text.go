package sinks

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"golang.org/x/term"

	"corral/correlate"
	"corral/internal/phrase"
)

// TextOptions say how transitions look on a terminal.
type TextOptions struct {
	Color    bool           // see ColorFor
	Evidence int            // lines of evidence under an opening and a resolution; 0: none
	Quiet    bool           // leave out what is only growth
	Location *time.Location // of times; nil: UTC
}

// Text writes a line per transition for people, in columns that widen as they
// must. Nothing in a message reaches the terminal as a control character.
// Safe for concurrent use.
type Text struct {
	mu     sync.Mutex
	w      io.Writer
	o      TextOptions
	buf    bytes.Buffer
	width  [columns]int
	headed bool
	closed bool
}

// NewText writes to w, which stays open.
func NewText(w io.Writer, o TextOptions) *Text {
	if o.Location == nil {
		o.Location = time.UTC
	}
	return &Text{w: w, o: o, width: [columns]int{23, 8, 8, 12, 12}}
}

// ColorFor reports whether to write colours to f: it is a terminal, and neither
// NO_COLOR nor a dumb terminal is set.
func ColorFor(f *os.File) bool {
	return os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb" && term.IsTerminal(int(f.Fd()))
}

const (
	columns  = 5  // time, state, severity, rule, key; then the title
	maxWidth = 36 // of rule and key; what is longer pushes its own line only
)

// Write writes the lines with one call of the writer.
func (s *Text) Write(_ context.Context, ts []*correlate.Transition) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return Permanent(errors.New("text: closed"))
	}
	s.buf.Reset()
	for _, t := range ts {
		if s.o.Quiet && t.Cause == "growth" {
			continue
		}
		s.header()
		s.line(t)
		s.evidence(t)
	}
	if s.buf.Len() == 0 {
		return nil
	}
	_, err := s.w.Write(s.buf.Bytes())
	return err
}

// Close leaves the writer open. It may be called twice.
func (s *Text) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	return nil
}

func (s *Text) header() {
	if s.headed {
		return
	}
	s.headed = true
	zone := "TIME (" + s.o.Location.String() + ")"
	s.row([columns]string{zone, "STATE", "SEVERITY", "RULE", "KEY"}, [columns]string{}, "INCIDENT")
}

const (
	red, green, yellow, cyan = "\x1b[31m", "\x1b[32m", "\x1b[33m", "\x1b[36m"
	boldRed, faint, plain    = "\x1b[1;31m", "\x1b[2m", "\x1b[0m"
)

var severityColor = map[string]string{"critical": boldRed, "error": red, "warning": yellow, "info": cyan}

func (s *Text) line(t *correlate.Transition) {
	state, color := stateOf(t), severityColor[t.Severity]
	stateColor := color
	if t.State == "resolved" {
		stateColor = green
	}
	s.row(
		[columns]string{s.stamp(t.ChangedAt), state, t.Severity, Printable(t.RuleID), keyText(t)},
		[columns]string{1: stateColor, 2: color},
		Printable(t.Title)+s.paint(faint, "  ("+strings.Join(remarks(t), ", ")+")"),
	)
}

// stateOf is the word of the state column: what this revision did.
func stateOf(t *correlate.Transition) string {
	switch {
	case t.State == "resolved":
		return "resolved"
	case t.Rev == 1:
		return "open"
	}
	return Printable(t.Cause)
}

func keyText(t *correlate.Transition) string {
	var b strings.Builder
	for _, k := range slices.Sorted(maps.Keys(t.Key)) {
		if b.Len() > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(Printable(k) + "=" + Printable(t.Key[k]))
	}
	return b.String()
}

// remarks are the facts behind the title.
func remarks(t *correlate.Transition) []string {
	r := []string{phrase.Count(t.EventCount, "event")}
	if d := time.Duration(t.DurationMS) * time.Millisecond; d > 0 {
		r[0] += " in " + shortDuration(d)
	}
	if t.State == "resolved" {
		r = append(r, Printable(t.Cause))
	}
	if t.Recurrence > 1 {
		r = append(r, fmt.Sprintf("%s time in 30d", ordinal(t.Recurrence)))
	}
	if t.Collapsed {
		r = append(r, phrase.Count(t.DistinctKeys, "key"))
	}
	if t.Flapping {
		r = append(r, "flapping")
	}
	if t.Suppressed {
		r = append(r, strings.TrimSpace("suppressed "+Printable(strings.Join(t.SuppressedBy, " "))))
	}
	if t.TruncatedEnd {
		r = append(r, "input ends here")
	}
	return r
}

func ordinal(n int) string {
	suffix := "th"
	if n%100 < 11 || n%100 > 13 {
		suffix = map[int]string{1: "st", 2: "nd", 3: "rd"}[n%10]
		if suffix == "" {
			suffix = "th"
		}
	}
	return fmt.Sprint(n, suffix)
}

// shortDuration says 11m39s, 250ms, 26h3m0s.
func shortDuration(d time.Duration) string {
	if d >= time.Second {
		d = d.Round(time.Second)
	}
	return d.String()
}

func (s *Text) evidence(t *correlate.Transition) {
	if t.Rev > 1 && t.State != "resolved" {
		return
	}
	if t.Rev == 1 && s.o.Evidence > 0 {
		s.before(t)
	}
	for _, e := range spread(t.Evidence, s.o.Evidence) {
		s.event(e, e.Role)
	}
}

// before is what changed before an incident, and whom to suspect.
func (s *Text) before(t *correlate.Transition) {
	for _, e := range t.Context[max(0, len(t.Context)-s.o.Evidence):] {
		s.event(e, "changed")
	}
	if len(t.ChildIDs) < 2 {
		return
	}
	for _, x := range t.Suspects[:min(len(t.Suspects), s.o.Evidence)] {
		s.buf.WriteString(s.paint(faint, fmt.Sprintf("    suspect %d  %s", x.Rank, Printable(x.Reason))) + "\n")
	}
}

func (s *Text) event(e correlate.Evidence, role string) {
	where := Printable(strings.TrimSpace(e.Step + " " + e.Service))
	text := fmt.Sprintf("    %s  %-7s  %s  %s", e.At.In(s.o.Location).Format("15:04:05.000"), Printable(role), where, Printable(e.Line))
	s.buf.WriteString(s.paint(faint, text) + "\n")
}

// spread keeps the first and the last of es, n together.
func spread(es []correlate.Evidence, n int) []correlate.Evidence {
	if len(es) <= n {
		return es
	}
	return slices.Concat(es[:(n+1)/2], es[len(es)-n/2:])
}

func (s *Text) stamp(t time.Time) string { return t.In(s.o.Location).Format("2006-01-02 15:04:05.000") }

func (s *Text) row(cells, colors [columns]string, last string) {
	for i, c := range cells {
		n := utf8.RuneCountInString(c)
		s.width[i] = max(s.width[i], min(n, maxWidth))
		s.buf.WriteString(s.paint(colors[i], c))
		s.buf.WriteString(strings.Repeat(" ", max(0, s.width[i]-n)+2))
	}
	s.buf.WriteString(last + "\n")
}

func (s *Text) paint(color, text string) string {
	if !s.o.Color || color == "" || text == "" {
		return text
	}
	return color + text + plain
}
