package history

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Budget is a limit of what a change may do: `added>20%`, `lost>0`.
type Budget struct {
	what    string
	limit   float64
	percent bool // of what the base has
	text    string
}

// budgetNames are what can be limited.
var budgetNames = []string{"added", "lost", "longer", "shorter", "louder", "quieter", "moved", "pages", "off-hours", "known-lost", "known-later"}

// ParseBudgets reads limits with commas between.
func ParseBudgets(text string) (out []Budget, err error) {
	for part := range strings.SplitSeq(text, ",") {
		part = strings.TrimSpace(part)
		if part == "" {
			continue
		}
		name, limit, ok := strings.Cut(part, ">")
		b := Budget{what: strings.TrimSpace(name), text: part}
		limit, b.percent = strings.CutSuffix(strings.TrimSpace(limit), "%")
		if b.limit, err = strconv.ParseFloat(limit, 64); err != nil || !ok || b.limit < 0 {
			return nil, fmt.Errorf("%q is no limit: want added>20%% or lost>0", part)
		}
		if !slices.Contains(budgetNames, b.what) {
			return nil, fmt.Errorf("%q cannot be limited; there are %s", b.what, strings.Join(budgetNames, ", "))
		}
		out = append(out, b)
	}
	return out, nil
}

// Over names the limits that a report breaks, with what it has.
func (r *Report) Over(budgets []Budget) (out []string) {
	for _, b := range budgets {
		n, base := r.measure(b.what)
		limit := b.limit
		if b.percent {
			limit = float64(base) * b.limit / 100
		}
		if float64(n) <= limit {
			continue
		}
		text := fmt.Sprintf("%s: %d", b.text, n)
		if b.percent {
			text += fmt.Sprintf(" where the base has %d", base)
		}
		out = append(out, text)
	}
	return out
}

// measure counts one thing, and what of it the base has: incidents or pages.
func (r *Report) measure(what string) (n, base int) {
	kind := what
	switch what {
	case "added":
		kind = "new"
	case "lost":
		kind = "gone"
	}
	for _, row := range r.Rules {
		switch what {
		case "pages":
			n, base = n+row.Head.Pages-row.Base.Pages, base+row.Base.Pages
			continue
		case "off-hours":
			n, base = n+row.Head.OffHours-row.Base.OffHours, base+row.Base.OffHours
			continue
		}
		base += row.Base.Incidents
		for _, c := range row.Cases {
			if c.Kind == kind {
				n++
			}
		}
	}
	if !strings.HasPrefix(what, "known") {
		return n, base
	}
	base = len(r.Known)
	for _, k := range r.Known {
		if what == "known-lost" && k.Verdict == "lost" || what == "known-later" && k.Later > 0 {
			n++
		}
	}
	return n, base
}
