package history

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"corral/internal/phrase"
)

// Layout says how a report looks.
type Layout struct {
	Heading  string // about the history, one line
	Cases    int    // of each kind shown per rule, 0: all
	Location *time.Location
}

const when = "2006-01-02 15:04:05"

// WriteText writes the report for a terminal.
func (r *Report) WriteText(w io.Writer, l Layout) error {
	b := &strings.Builder{}
	fmt.Fprintf(b, "%s; %d of %s changed\n", l.Heading, r.Changed, phrase.Count(r.Total, "rule"))
	if len(r.Rules) == 0 {
		b.WriteString("no incident differs\n")
	} else {
		r.table(b)
	}
	for i := range r.Rules {
		r.Rules[i].text(b, l)
	}
	if len(r.Known) > 0 {
		b.WriteString("\nknown incidents\n")
	}
	for _, k := range r.Known {
		fmt.Fprintf(b, "  %-7s %s  %s  %s\n", k.Verdict, clean(k.ID), clean(k.Title), k.text())
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (r *Report) table(b *strings.Builder) {
	w := tabwriter.NewWriter(b, 0, 0, 3, ' ', 0)
	fmt.Fprintln(w, "\nRULE\tINCIDENTS\tPAGES\tOFF-HOURS\tMEDIAN OPEN\tFLAPPING")
	for _, row := range r.Rules {
		fmt.Fprintln(w, strings.Join(row.columns(), "\t"))
	}
	_ = w.Flush() // into memory
}

// columns are a rule's numbers, base → head.
func (r *RuleDiff) columns() []string {
	side := func(status string, s Summary, f func(Summary) string) string {
		if r.Status == status {
			return "–"
		}
		return f(s)
	}
	name := r.ID
	if r.Was != "" {
		name += " (was " + r.Was + ")"
	}
	out := []string{name}
	for _, f := range []func(Summary) string{
		func(s Summary) string { return fmt.Sprint(s.Incidents) },
		func(s Summary) string { return fmt.Sprint(s.Pages) },
		func(s Summary) string { return fmt.Sprint(s.OffHours) },
		func(s Summary) string { return short(s.Median) },
		func(s Summary) string { return fmt.Sprint(s.Flapping) },
	} {
		out = append(out, side("added", r.Base, f)+" → "+side("removed", r.Head, f))
	}
	return out
}

// counts says how many of each kind there are: "109 gone, 9 longer".
func (r *RuleDiff) counts() string {
	n := map[string]int{}
	for _, c := range r.Cases {
		n[c.Kind]++
	}
	var parts []string
	for _, k := range caseKinds {
		if n[k] > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n[k], k))
		}
	}
	if len(parts) == 0 {
		return "every incident is the same"
	}
	return strings.Join(parts, ", ")
}

func (r *RuleDiff) text(b *strings.Builder, l Layout) {
	fmt.Fprintf(b, "\n%s: %s\n", r.ID, r.counts())
	for _, c := range r.Changes {
		fmt.Fprintf(b, "  %s\n", clean(c))
	}
	r.shown(l.Cases, func(c *Case) {
		x := c.incident()
		fmt.Fprintf(b, "  %-8s %s  %s  %s  %s\n", c.Kind, x.ID, clean(x.Where()), x.OpenedAt.In(l.zone()).Format(when), clean(c.Reason))
	}, func(kind string, n int) {
		fmt.Fprintf(b, "  … %d more %s\n", n, kind)
	})
}

func (l *Layout) zone() *time.Location {
	if l.Location == nil {
		return time.UTC
	}
	return l.Location
}

// shown calls show for the first of each kind, and more with how many there are
// besides.
func (r *RuleDiff) shown(most int, show func(*Case), more func(kind string, n int)) {
	for _, kind := range caseKinds {
		n := 0
		for i := range r.Cases {
			c := &r.Cases[i]
			if c.Kind != kind {
				continue
			}
			if n++; most == 0 || n <= most {
				show(c)
			}
		}
		if most > 0 && n > most {
			more(kind, n-most)
		}
	}
}

func (k *KnownResult) text() string {
	switch k.Verdict {
	case "both":
		text := fmt.Sprintf("%s by %s", after(k.Head.After), k.Head.Rule)
		switch {
		case k.Later > 0:
			text += ", " + short(k.Later) + " later than at the base"
		case k.Later < 0:
			text += ", " + short(-k.Later) + " earlier than at the base"
		}
		return text
	case "lost":
		return fmt.Sprintf("at the base %s by %s", after(k.Base.After), k.Base.Rule)
	case "found":
		return fmt.Sprintf("%s by %s", after(k.Head.After), k.Head.Rule)
	}
	return "by neither"
}

func after(d time.Duration) string {
	if d < 0 {
		return "caught " + short(-d) + " before"
	}
	return "caught after " + short(d)
}

// WriteJSON writes the report for programs.
func (r *Report) WriteJSON(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(r)
}

// WriteMarkdown writes the report as a review comment.
func (r *Report) WriteMarkdown(w io.Writer, l Layout) error {
	b := &strings.Builder{}
	fmt.Fprintf(b, "%s; **%d of %s changed**\n", markdown(l.Heading), r.Changed, phrase.Count(r.Total, "rule"))
	if len(r.Rules) == 0 {
		b.WriteString("\nNo incident differs.\n")
	} else {
		b.WriteString("\n| rule | incidents | pages | off-hours | median open | flapping |\n|---|---|---|---|---|---|\n")
	}
	for i := range r.Rules {
		cols := r.Rules[i].columns()
		cols[0] = "`" + cols[0] + "`"
		fmt.Fprintf(b, "| %s |\n", strings.Join(cols, " | "))
	}
	for i := range r.Rules {
		r.Rules[i].markdown(b, l)
	}
	if len(r.Known) > 0 {
		b.WriteString("\n| known incident | | |\n|---|---|---|\n")
	}
	for _, k := range r.Known {
		fmt.Fprintf(b, "| %s %s | %s | %s |\n", markdown(k.ID), markdown(k.Title), k.Verdict, markdown(k.text()))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (r *RuleDiff) markdown(b *strings.Builder, l Layout) {
	fmt.Fprintf(b, "\n<details><summary><code>%s</code>: %s</summary>\n\n", r.ID, r.counts())
	for _, c := range r.Changes {
		fmt.Fprintf(b, "- %s\n", markdown(c))
	}
	if len(r.Cases) > 0 {
		b.WriteString("\n| | incident | key | opened | why |\n|---|---|---|---|---|\n")
	}
	r.shown(l.Cases, func(c *Case) {
		x := c.incident()
		fmt.Fprintf(b, "| %s | `%s` | %s | %s | %s |\n", c.Kind, x.ID, markdown(x.Where()), x.OpenedAt.In(l.zone()).Format(when), markdown(c.Reason))
	}, func(kind string, n int) {
		fmt.Fprintf(b, "| %s | … %d more | | | |\n", kind, n)
	})
	b.WriteString("\n</details>\n")
}

// markdown keeps text of rules and logs from being read as Markdown or HTML.
func markdown(s string) string {
	var b strings.Builder
	for _, r := range clean(s) {
		switch {
		case r == '<':
			b.WriteString("&lt;")
		case r == '>':
			b.WriteString("&gt;")
		case r == '&':
			b.WriteString("&amp;")
		case strings.ContainsRune("\\`*_{}[]|#~@!", r):
			b.WriteByte('\\')
			b.WriteRune(r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}
