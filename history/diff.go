package history

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"corral/correlate"
	"corral/rules"
)

// Base and Head are the sides of a Diff.
const (
	Base = 0
	Head = 1
)

// Diff compares what two rule sets make of the same events, while they are run as
// two lanes of one pipeline.Batch: each lane's trace and transitions go to Trace
// and Add, and Settle is called when both have come to the same instant.
type Diff struct {
	sets  [2]*rules.Set
	books [2]Book
	near  map[string]*Near // by side and incident id
	peaks *peaks
	pairs map[string]string // id of a rule at the base → at the head
}

// NewDiff returns a Diff of two rule sets.
func NewDiff(base, head *rules.Set) *Diff {
	d := &Diff{sets: [2]*rules.Set{base, head}, near: map[string]*Near{}, peaks: newPeaks(), pairs: map[string]string{}}
	d.peaks.want = [2]map[string]string{{}, {}}
	for _, r := range head.Rules {
		old := base.Rule(r.ID)
		if old == nil && r.RenamedFrom != "" {
			old = base.Rule(r.RenamedFrom)
		}
		if old != nil {
			d.pairs[old.ID] = r.ID
		}
		if old == nil || old.LogicHash != r.LogicHash {
			d.peaks.want[Head][r.ID] = r.ID
			if old != nil {
				d.peaks.want[Base][old.ID] = r.ID
			}
		}
	}
	for _, r := range base.Rules {
		if d.pairs[r.ID] == "" {
			d.peaks.want[Base][r.ID] = r.ID
		}
	}
	return d
}

// Trace is the correlate.Options.Trace of a side.
func (d *Diff) Trace(side int) func(correlate.TraceEvent) {
	return func(t correlate.TraceEvent) { d.peaks.trace(side, t) }
}

// Add takes a revision of a side.
func (d *Diff) Add(side int, t *correlate.Transition) {
	x := d.books[side].Add(t)
	if d.peaks.want[side][t.RuleID] == "" {
		return
	}
	id := fmt.Sprint(side, x.ID)
	if d.near[id] == nil {
		d.near[id] = &Near{}
	}
	d.peaks.transition(side, t, d.near[id])
}

// Settle says that both sides have come to the same instant.
func (d *Diff) Settle() { d.peaks.settle() }

// Options of a report.
type Options struct {
	All    bool            // rules that are the same too
	Office *rules.Schedule // office hours: pages outside are counted as off-hours
	Known  []Known
}

// Report is what two rule sets differ in.
type Report struct {
	Rules   []RuleDiff    `json:"rules"` // those that changed, or whose incidents do
	Changed int           `json:"rules_changed"`
	Total   int           `json:"rules_total"`
	Known   []KnownResult `json:"known,omitempty"`
}

// RuleDiff is what a change of one rule did.
type RuleDiff struct {
	ID      string   `json:"rule_id"`
	Was     string   `json:"was,omitempty"` // its id at the base, if it was another
	Status  string   `json:"status"`        // changed, added, removed, same
	Changes []string `json:"changes,omitempty"`
	Base    Summary  `json:"base"`
	Head    Summary  `json:"head"`
	Cases   []Case   `json:"cases"`
}

// Summary counts the incidents of a rule.
type Summary struct {
	Incidents int           `json:"incidents"`
	Pages     int           `json:"pages"`
	OffHours  int           `json:"off_hours"`
	Median    time.Duration `json:"median_open_ns"`
	Flapping  int           `json:"flapping"`
}

// Case is an incident that differs: gone, new, longer, shorter, louder, quieter,
// moved.
type Case struct {
	Kind   string    `json:"kind"`
	Reason string    `json:"reason"`
	Base   *Incident `json:"base,omitempty"`
	Head   *Incident `json:"head,omitempty"`
}

// Report says what differs, when both sides have come to their end.
func (d *Diff) Report(o Options) *Report {
	d.Settle()
	rep := &Report{Total: len(d.sets[Head].Rules), Rules: []RuleDiff{}}
	var by [2]map[string][]*Incident
	for side := range by {
		by[side] = map[string][]*Incident{}
		for _, x := range d.books[side].Incidents() {
			by[side][x.Rule] = append(by[side][x.Rule], x)
		}
	}
	for _, r := range d.rows() {
		if r.status != "same" {
			rep.Changed++
		}
		row := RuleDiff{ID: r.id(), Status: r.status, Cases: []Case{}}
		var xs [2][]*Incident
		for side, rule := range r.rule {
			if rule != nil {
				xs[side] = by[side][rule.ID]
			}
		}
		if r.rule[Base] != nil && r.rule[Head] != nil {
			row.Changes = Changes(r.rule[Base], r.rule[Head])
			if r.rule[Base].ID != row.ID {
				row.Was = r.rule[Base].ID
			}
		}
		row.Base, row.Head = summarize(xs[Base], o.Office), summarize(xs[Head], o.Office)
		row.Cases = d.cases(r, xs, row.Changes)
		if o.All || r.status != "same" || len(row.Cases) > 0 {
			rep.Rules = append(rep.Rules, row)
		}
	}
	rep.Known = d.known(o.Known)
	return rep
}

// row is a rule as it is on each side.
type row struct {
	rule   [2]*rules.Rule
	status string
}

func (r *row) id() string {
	if r.rule[Head] != nil {
		return r.rule[Head].ID
	}
	return r.rule[Base].ID
}

// rows are the rules of both sets: in the order of the head, then those removed.
func (d *Diff) rows() (rows []row) {
	old := map[string]*rules.Rule{}
	for a, b := range d.pairs {
		old[b] = d.sets[Base].Rule(a)
	}
	for _, r := range d.sets[Head].Rules {
		x := row{rule: [2]*rules.Rule{old[r.ID], r}, status: "same"}
		switch {
		case x.rule[Base] == nil:
			x.status = "added"
		case x.rule[Base].LogicHash != r.LogicHash:
			x.status = "changed"
		}
		rows = append(rows, x)
	}
	for _, r := range d.sets[Base].Rules {
		if d.pairs[r.ID] == "" {
			rows = append(rows, row{rule: [2]*rules.Rule{r, nil}, status: "removed"})
		}
	}
	return rows
}

func summarize(xs []*Incident, office *rules.Schedule) (s Summary) {
	var open []time.Duration
	for _, x := range xs {
		s.Incidents++
		s.Pages += len(x.Pages)
		for _, at := range x.Pages {
			if office != nil && !office.Active(at.UnixNano()) {
				s.OffHours++
			}
		}
		if x.Flapping {
			s.Flapping++
		}
		open = append(open, x.Lasted())
	}
	slices.Sort(open)
	if n := len(open); n > 0 {
		s.Median = open[n/2]
		if n%2 == 0 {
			s.Median = (open[n/2-1] + open[n/2]) / 2
		}
	}
	return s
}

// cases are the incidents of a rule that differ. Those of one key that were there
// at one time are the same incident.
func (d *Diff) cases(r row, xs [2][]*Incident, changes []string) []Case {
	cases := []Case{}
	partner := pairUp(xs[Base], xs[Head])
	taken := map[*Incident]bool{}
	for _, x := range xs[Base] {
		y := partner[x]
		if y == nil {
			cases = append(cases, Case{Kind: "gone", Base: x, Reason: d.missing(r, Head, x, xs[Head], changes)})
			continue
		}
		taken[y] = true
		if c, differs := compared(x, y); differs {
			c.Reason = howDifferent(x, y) + "; " + d.cause(x, changes)
			c.Reason = strings.TrimSuffix(c.Reason, "; ")
			cases = append(cases, c)
		}
	}
	for _, y := range xs[Head] {
		if !taken[y] {
			cases = append(cases, Case{Kind: "new", Head: y, Reason: d.missing(r, Base, y, xs[Base], changes)})
		}
	}
	slices.SortStableFunc(cases, func(a, b Case) int {
		return cmp.Or(slices.Index(caseKinds, a.Kind)-slices.Index(caseKinds, b.Kind), compareIncidents(a.incident(), b.incident()))
	})
	return cases
}

var caseKinds = []string{"gone", "new", "louder", "quieter", "longer", "shorter", "moved"}

func (c *Case) incident() *Incident {
	if c.Base != nil {
		return c.Base
	}
	return c.Head
}

// pairUp finds for each incident of the base its like at the head: of the same
// key, by id, else the first that overlaps it and is nobody else's.
func pairUp(base, head []*Incident) map[*Incident]*Incident {
	byKey := map[string][]*Incident{}
	for _, y := range head {
		byKey[keyText(y.Key)] = append(byKey[keyText(y.Key)], y)
	}
	partner, taken := map[*Incident]*Incident{}, map[*Incident]bool{}
	match := func(fits func(x, y *Incident) bool) {
		for _, x := range base {
			if partner[x] != nil {
				continue
			}
			for _, y := range byKey[keyText(x.Key)] {
				if !taken[y] && fits(x, y) {
					partner[x], taken[y] = y, true
					break
				}
			}
		}
	}
	match(func(x, y *Incident) bool { return x.ID == y.ID })
	match(func(x, y *Incident) bool { return x.overlaps(y) })
	return partner
}

// compared says how the head's view of an incident differs from the base's.
func compared(x, y *Incident) (Case, bool) {
	c := Case{Base: x, Head: y}
	louder := cmp.Or(rank(y.Severity)-rank(x.Severity), len(y.Pages)-len(x.Pages))
	longer := y.Lasted() - x.Lasted()
	switch {
	case louder > 0:
		c.Kind = "louder"
	case louder < 0:
		c.Kind = "quieter"
	case longer > 0:
		c.Kind = "longer"
	case longer < 0:
		c.Kind = "shorter"
	case !x.OpenedAt.Equal(y.OpenedAt):
		c.Kind = "moved"
	default:
		return c, false
	}
	return c, true
}
