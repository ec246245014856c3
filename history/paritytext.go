package history

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"corral/internal/phrase"
)

// Write says in words what differs.
func (p *Parity) Write(w io.Writer) error {
	b := &strings.Builder{}
	fmt.Fprintf(b, "live   %s, %s\nbatch  %s, %s\nequal  %s, %s\n",
		phrase.Count(p.Live.Incidents, "incident"), phrase.Count(p.Live.Revisions, "revision"),
		phrase.Count(p.Batch.Incidents, "incident"), phrase.Count(p.Batch.Revisions, "revision"),
		phrase.Count(p.Equal.Incidents, "incident"), phrase.Count(p.Equal.Revisions, "revision"))
	if p.Unknown > 0 {
		fmt.Fprintf(b, "%s began before what was read and cannot be compared\n", phrase.Count(p.Unknown, "incident"))
	}
	for i := range p.Different {
		p.Different[i].write(b)
	}
	if len(p.Different) == 0 {
		b.WriteString("no difference\n")
	} else {
		fmt.Fprintf(b, "\n%s: %s\n", phrase.Count(len(p.Different), "difference"), p.kinds())
	}
	_, err := io.WriteString(w, b.String())
	return err
}

var marks = map[string]string{"live": "- only live ", "batch": "+ only batch", "both": "~ differs   "}

func (d *Difference) write(b *strings.Builder) {
	fmt.Fprintf(b, "\n%s  %s  %s  %s  opened %s\n", marks[d.Kind], d.Rule, clean(keyText(d.Key)), d.ID, value(d.Opened))
	for _, f := range d.Fields {
		what := f.Name
		if f.Rev > 0 {
			what = fmt.Sprintf("rev %d %s", f.Rev, f.Name)
		}
		fmt.Fprintf(b, "    %-22s live %s, batch %s\n", what, clean(f.Live), clean(f.Batch))
	}
	for _, r := range d.Why {
		fmt.Fprintf(b, "  why: %s: %s\n", r.Kind, clean(r.Text))
	}
}

// kinds counts differences by their first reason.
func (p *Parity) kinds() string {
	n := map[string]int{}
	var order []string
	for _, d := range p.Different {
		k := d.Why[0].Kind
		if n[k]++; n[k] == 1 {
			order = append(order, k)
		}
	}
	slices.Sort(order)
	for i, k := range order {
		order[i] = fmt.Sprintf("%d %s", n[k], k)
	}
	return strings.Join(order, ", ")
}

// clean keeps control characters of logs from a terminal.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 {
			return '·'
		}
		return r
	}, s)
}
