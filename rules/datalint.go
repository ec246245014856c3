package rules

import (
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"corral/event"
	"corral/internal/phrase"
)

// Sighting holds rules against history: which fields they read are in none of its
// events, and which rules none of them meets. Such rules are not wrong, but they
// wait for something that does not come. Not safe for concurrent use.
type Sighting struct {
	rules   []sighted
	matcher *Matcher
	buf     []Match
	events  int
	first   int64 // event times
	last    int64
}

// sighted is what was seen of one rule.
type sighted struct {
	rule *Rule
	met  bool
	// open are the names its selections read that no event had yet, in order.
	open  []unseen
	known map[string]bool // names that some event had
}

// unseen is a name, and where it is read.
type unseen struct {
	name string
	x    *Expr
}

// Sight begins to hold the rules against history. Rules that read incidents or
// hops are left out: history of events has none.
func (s *Set) Sight() *Sighting {
	g := &Sighting{matcher: s.Matcher()}
	for _, r := range s.Rules {
		if !r.FromIncidents && !r.FromHops {
			g.rules = append(g.rules, sighted{rule: r, known: map[string]bool{}})
		}
	}
	return g
}

// Look takes one event of the history.
func (g *Sighting) Look(ev *event.Event) {
	if g.events == 0 || ev.Time < g.first {
		g.first = ev.Time
	}
	if g.events == 0 || ev.Time > g.last {
		g.last = ev.Time
	}
	g.events++
	g.buf = g.matcher.Match(ev, g.buf[:0])
	for i := range g.rules {
		s := &g.rules[i]
		s.met = s.met || slices.ContainsFunc(g.buf, func(m Match) bool { return m.Rule == s.rule })
		if g.events == 1 || len(s.open) > 0 {
			s.read(&Env{Event: ev})
		}
	}
}

// read notes which names an event has. All parts of a selection are looked at, so
// the first event shows every name there is.
func (s *sighted) read(env *Env) {
	for _, x := range s.selections() {
		x.Explain(env).Walk(func(n *Node) {
			for _, r := range n.Reads {
				s.note(r, x)
			}
		})
	}
}

func (s *sighted) note(r Read, x *Expr) {
	at := slices.IndexFunc(s.open, func(u unseen) bool { return u.name == r.Name })
	switch {
	case !r.Absent && at >= 0:
		s.open = slices.Delete(s.open, at, at+1)
		s.known[r.Name] = true
	case !r.Absent:
		s.known[r.Name] = true
	case at < 0 && !s.known[r.Name]:
		s.open = append(s.open, unseen{r.Name, x})
	}
}

func (s *sighted) selections() (xs []*Expr) {
	if s.rule.match != nil {
		xs = append(xs, s.rule.match)
	}
	for _, p := range s.rule.Parts {
		xs = append(xs, p.Expr)
	}
	return xs
}

// Events is how many were looked at.
func (g *Sighting) Events() int { return g.events }

// Lint says what was not seen, and in what history.
func (g *Sighting) Lint() []Diagnostic {
	if g.events == 0 {
		return nil
	}
	rep := &report{}
	since := fmt.Sprintf("%s from %s to %s", phrase.Count(g.events, "event"), instant(g.first), instant(g.last))
	var files []File
	for _, s := range g.rules {
		files = append(files, File{Name: s.rule.File})
		for _, u := range s.open {
			rep.warning(u.finding(since))
		}
		if !s.met {
			src := s.rule.doc.file.src
			rep.warning(finding{
				src: src, at: src.span(s.rule.doc.idAt), code: codeUnmet,
				text: fmt.Sprintf("rule %q meets none of %s", s.rule.ID, since),
				help: "help: corral explain --rule " + s.rule.ID + " --event FILE shows what each event lacks",
			})
		}
	}
	return sortDiagnostics(rep.diags, files)
}

func instant(ns int64) string { return time.Unix(0, ns).UTC().Format(time.RFC3339) }

// finding is about the name, where it stands in the expression.
func (u unseen) finding(since string) finding {
	f := u.x.finding(codeUnseen, fmt.Sprintf("%s is in none of %s", u.name, since), "help: corral parse FILE shows the fields events have")
	if i := strings.Index(u.x.in.text.text, u.name); i >= 0 {
		from := utf8.RuneCountInString(u.x.in.text.text[:i])
		f.at = u.x.in.text.span(from, from+utf8.RuneCountInString(u.name))
	}
	return f
}
