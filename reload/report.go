package reload

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"corral/correlate"
	"corral/history"
	"corral/internal/phrase"
	"corral/rules"
)

// Report says what a reload did: the log has it, and the answer of POST /-/reload.
type Report struct {
	By            string // who asked: SIGHUP, POST /-/reload, files changed
	Before, After uint64 // generations of the rules
	Took          time.Duration
	Grace         time.Duration // how long rules that vanished go on
	Result        Result
	Done          correlate.Reloaded
	Refused       error // nothing was taken
}

// Changes names what decides differently in each rule that was changed.
func (r *Report) Changes() map[string][]string {
	out := map[string][]string{}
	for _, id := range slices.Concat(r.Done.Logic, r.Done.Reset) {
		rule := r.Result.Set.Rule(id)
		was := r.Result.was.Rule(id)
		if was == nil {
			was = r.Result.was.Rule(rule.RenamedFrom)
		}
		if was != nil {
			out[id] = history.Changes(was, rule)
		}
	}
	return out
}

// Stale has a line for every mistake in the files, and what runs instead.
func (r *Report) Stale() (lines []string) {
	for _, file := range r.files() {
		last := -1
		for _, d := range r.Result.Diagnostics {
			if d.IsError() && d.File == file {
				last = len(lines)
				lines = append(lines, d.String())
			}
		}
		if last >= 0 {
			lines[last] += r.instead(file)
		}
	}
	return lines
}

// files are those with mistakes.
func (r *Report) files() (names []string) {
	for _, d := range r.Result.Diagnostics {
		if d.IsError() && !slices.Contains(names, d.File) {
			names = append(names, d.File)
		}
	}
	return names
}

// instead says what of a file with mistakes is used.
func (r *Report) instead(file string) string {
	switch {
	case r.Refused != nil || !slices.Contains(r.Result.Stale, file):
		return ""
	case slices.Contains(r.Result.LeftOut, file):
		return "; the file is left out"
	}
	n := 0
	for _, rule := range r.Result.Set.Rules {
		if rule.File == file {
			n++
		}
	}
	return fmt.Sprintf("; keeping generation %d of this file (%s)", r.Result.since[file], phrase.Count(n, "rule"))
}

// Err says what is wrong, if anything is: the reload was refused, or files with
// mistakes keep their last good rules.
func (r *Report) Err() error {
	switch {
	case r.Refused != nil:
		return r.Refused
	case len(r.Result.Stale) > 0:
		return fmt.Errorf("files with mistakes keep their last good rules, or are left out if they never were good: %s", strings.Join(r.Result.Stale, ", "))
	}
	return nil
}

// Lines are what became of the rules, a line each where something did.
func (r *Report) Lines() []string {
	var b strings.Builder
	d := &r.Done
	if r.Refused == nil {
		fmt.Fprintf(&b, "  = %d unchanged, state kept\n", len(d.Unchanged))
		list(&b, "~ %d text", d.Text, func(string) string { return "" })
		list(&b, "~ %d renamed", d.Renamed, func(id string) string { return "was " + r.Result.Set.Rule(id).RenamedFrom })
		changes := r.Changes()
		list(&b, "± %d logic", d.Logic, func(id string) string { return r.fate(changes[id], id, "") })
		list(&b, "± %d selection", d.Reset, func(id string) string { return r.fate(changes[id], id, "state begins anew") })
		list(&b, "+ %d new", d.Added, func(string) string { return "" })
		list(&b, "- %d", d.Removed, func(id string) string { return r.fate(nil, id, "") })
		if len(d.Removed) == 0 {
			fmt.Fprintln(&b, "  - 0")
		}
		for _, id := range r.Result.Held {
			fmt.Fprintf(&b, "  ! %s is in no file any more; it goes on for %s (--remove-grace)\n", id, rules.FormatDuration(r.Grace))
		}
	}
	for _, line := range r.Stale() {
		fmt.Fprintf(&b, "  ! %s\n", line)
	}
	return strings.Split(strings.TrimSuffix(b.String(), "\n"), "\n")
}

// list writes a line for each rule, the number of them in front of the first.
func list(b *strings.Builder, head string, ids []string, what func(id string) string) {
	for i, id := range ids {
		lead := ""
		if i == 0 {
			lead = fmt.Sprintf(head, len(ids))
		}
		fmt.Fprintf(b, "  %-14s %s\n", lead, strings.TrimSpace(fmt.Sprintf("%-20s %s", id, what(id))))
	}
}

// fate says what differs in a rule, and what became of its open incidents.
func (r *Report) fate(changes []string, id, note string) string {
	parts := slices.Clone(changes)
	if note != "" {
		parts = append(parts, note)
	}
	stay, gone := r.Done.Stay[id], r.Done.Resolved[id]
	if stay+gone > 0 {
		var what []string
		for _, x := range []struct {
			n    int
			what string
		}{{stay, "stay"}, {gone, "resolved"}} {
			if x.n > 0 {
				what = append(what, fmt.Sprintf("%d %s", x.n, x.what))
			}
		}
		parts = append(parts, fmt.Sprintf("%d open: %s", stay+gone, strings.Join(what, ", ")))
	}
	return strings.Join(parts, "   ")
}

// Title is the report's first line.
func (r *Report) Title() string {
	if r.Refused != nil {
		return fmt.Sprintf("%v; generation %d goes on (by %s)", r.Refused, r.Before, r.By)
	}
	return fmt.Sprintf("generation %d → %d in %s (from %s by %s)", r.Before, r.After, took(r.Took), r.Result.Content, r.By)
}

func took(d time.Duration) string {
	if d < time.Second {
		return fmt.Sprintf("%d ms", d.Milliseconds())
	}
	return fmt.Sprintf("%.1f s", d.Seconds())
}

// WriteText writes the report for people.
func (r *Report) WriteText(w io.Writer) error {
	_, err := fmt.Fprintln(w, r.Title()+strings.TrimRight("\n"+strings.Join(r.Lines(), "\n"), "\n"))
	return err
}

// MarshalJSON writes the report for programs; its lists are never null.
func (r *Report) MarshalJSON() ([]byte, error) {
	d := &r.Done
	m := map[string]any{
		"by": r.By, "content": r.Result.Content, "generation_before": r.Before, "generation": r.After,
		"took_ms": r.Took.Milliseconds(), "refused": r.Refused != nil,
		"stay": orEmpty(d.Stay), "resolved": orEmpty(d.Resolved), "changes": map[string][]string{},
	}
	if r.Refused == nil {
		m["changes"] = r.Changes()
	}
	for name, list := range map[string][]string{
		"unchanged": d.Unchanged, "text": d.Text, "logic": d.Logic, "reset": d.Reset, "added": d.Added, "removed": d.Removed, "renamed": d.Renamed,
		"held": r.Result.Held, "stale": r.Result.Stale, "left_out": r.Result.LeftOut, "diagnostics": r.Stale(),
	} {
		m[name] = append([]string{}, list...)
	}
	return json.Marshal(m)
}

func orEmpty(m map[string]int) map[string]int {
	out := map[string]int{}
	maps.Copy(out, m)
	return out
}
