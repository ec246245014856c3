package demo

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"corral/correlate"
	"corral/internal/phrase"
)

// story tells on a terminal what is injected and what corral finds. Every method
// writes whole lines; they are safe for concurrent use.
type story struct {
	mu sync.Mutex
	w  io.Writer
}

// tell writes text at once. A terminal that is gone is no reason to stop.
func (s *story) tell(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, _ = io.WriteString(s.w, text)
}

func (s *story) say(format string, args ...any) { s.tell(fmt.Sprintf(format+"\n", args...)) }

func (s *story) introduce(sys *System) {
	c := sys.Conn()
	s.say("customers ──REST──▶ gateway ──gRPC──▶ orders ──NATS──▶ inventory\n"+
		"gateway %s   nats %s   corral reads the stream %s   (times are UTC)", sys.GatewayURL(), c.URL, c.Stream)
}

func (s *story) menu(sys *System) {
	var b strings.Builder
	for i, f := range sys.Faults() {
		fmt.Fprintf(&b, "  %d  %-18s %s\n", i+1, f.Name, f.Does)
	}
	s.tell(b.String() + "number or name: inject, again: take away   s: status   ?: this   q: quit\n")
}

func (s *story) inject(f *Fault) { s.say("\n━━ %s  %s: %s", clock(time.Now()), f.Name, f.Does) }
func (s *story) stop(f *Fault)   { s.say("── %s  %s is over", clock(time.Now()), f.Name) }

// transition tells one revision of an incident; a new one with its evidence.
func (s *story) transition(tr *correlate.Transition) {
	var b strings.Builder
	switch {
	case tr.State == "resolved":
		fmt.Fprintf(&b, "  ✔ %s  resolved  %s%s  after %s, %d events\n", clock(tr.ChangedAt), tr.RuleID, phrase.Key(tr.Key),
			time.Duration(tr.DurationMS)*time.Millisecond, tr.EventCount)
	case tr.Rev > 1:
		fmt.Fprintf(&b, "  ▲ %s  %-8s  %s%s  %s: %s\n", clock(tr.ChangedAt), tr.Severity, tr.RuleID, phrase.Key(tr.Key), tr.Cause, tr.Title)
	default:
		fmt.Fprintf(&b, "  ● %s  %-8s  %s%s%s\n    %s\n", clock(tr.ChangedAt), tr.Severity, tr.RuleID, phrase.Key(tr.Key), quiet(tr), tr.Title)
		writeEvidence(&b, tr.Evidence)
	}
	s.tell(b.String())
}

// quiet says why nobody is called for an incident.
func quiet(tr *correlate.Transition) string {
	if !tr.Suppressed {
		return ""
	}
	return "  (recorded only: " + strings.Join(tr.SuppressedBy, ", ") + ")"
}

func writeEvidence(b *strings.Builder, evidence []correlate.Evidence) {
	for _, e := range evidence {
		sight := look(e.Line)
		fmt.Fprintf(b, "    │ %-4s %s  %-11s %s", sight.protocol, clock(e.At), sight.source, sight.text)
		if len(e.TraceID) >= 8 {
			fmt.Fprintf(b, "  trace %s…", e.TraceID[:8])
		}
		b.WriteByte('\n')
	}
}

// status lists what is injected and what is open.
func (s *story) status(sys *System, ts []*correlate.Transition) {
	var b strings.Builder
	for _, f := range sys.Faults() {
		if f.Active() {
			fmt.Fprintf(&b, "  fault %s\n", f.Name)
		}
	}
	for _, tr := range latest(ts) {
		if tr.State == "open" {
			fmt.Fprintf(&b, "  open since %s  %-8s  %s%s  %s\n", clock(tr.OpenedAt), tr.Severity, tr.RuleID, phrase.Key(tr.Key), tr.Title)
		}
	}
	if b.Len() == 0 {
		b.WriteString("  no fault, no open incident\n")
	}
	s.tell(b.String())
}

// latest is the last revision of each incident, in the order they opened.
func latest(ts []*correlate.Transition) []*correlate.Transition {
	at := map[string]int{}
	var last []*correlate.Transition
	for _, tr := range ts {
		i, ok := at[tr.IncidentID]
		if !ok {
			at[tr.IncidentID] = len(last)
			last = append(last, tr)
			continue
		}
		last[i] = tr
	}
	return last
}

// table sums a tour up; ts are all its transitions.
func (s *story) table(outcomes []*outcome, ts []*correlate.Transition) {
	ended := map[string]bool{}
	for _, tr := range latest(ts) {
		ended[tr.IncidentID] = tr.State == "resolved"
	}
	var b strings.Builder
	b.WriteByte('\n')
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "FAULT\tEXPECTED INCIDENT\tFOUND AFTER\tEVIDENCE\tNOW")
	for _, o := range outcomes {
		name := o.fault.Name
		for i, e := range o.fault.Expect {
			fmt.Fprintf(w, "%s\t%s\n", name, o.row(i, e, ended))
			name = ""
		}
		if len(o.wrong) > 0 {
			fmt.Fprintf(w, "\t%d findings\t\t\tFAILED\n", len(o.wrong))
		}
	}
	_ = w.Flush() // into memory
	s.tell(b.String())
}

func (o *outcome) row(i int, e Expectation, ended map[string]bool) string {
	tr := o.detected[i]
	if tr == nil {
		return e.Rule + "\t–\t\tmissing"
	}
	now := "open"
	if ended[tr.IncidentID] {
		now = "resolved"
	}
	return fmt.Sprintf("%s\t%.1fs\t%s\t%s", e.Rule, o.after[i].Seconds(), strings.Join(protocols(tr), " "), now)
}

func clock(t time.Time) string { return t.UTC().Format("15:04:05.000") }
