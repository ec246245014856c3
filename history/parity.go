package history

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"corral/rules"
)

// Late is an event that live may have dropped, or the batch run has, for a rule
// and key.
type Late struct {
	Rule   string
	Key    map[string]string
	At     time.Time
	By     time.Duration // how long after its time it arrived
	Source string        // partition and number of the record
	Batch  bool          // the batch run dropped it
	Live   bool          // live's dead letters have it
}

// ParityInput is what Compare compares.
type ParityInput struct {
	Live, Batch *Book
	Rules       *rules.Set
	// Begin is the first instant the batch run read: what began before, it cannot
	// know as live did.
	Begin time.Time
	// Lates are events that came later than Lateness.
	Lates    []Late
	Lateness time.Duration
	// Evicted is how many keys the batch run had to forget, by rule.
	Evicted map[string]uint64
}

// Parity is what Compare found.
type Parity struct {
	Live      Totals       `json:"live"`
	Batch     Totals       `json:"batch"`
	Equal     Totals       `json:"equal"`
	Unknown   int          `json:"began_before"` // incidents that cannot be compared
	Different []Difference `json:"different"`
}

// Totals count.
type Totals struct {
	Incidents int `json:"incidents"`
	Revisions int `json:"revisions"`
}

// Difference is an incident that is not the same in both.
type Difference struct {
	Kind   string            `json:"kind"` // live, batch: only there; both: it differs
	Rule   string            `json:"rule_id"`
	Key    map[string]string `json:"key"`
	ID     string            `json:"incident_id"`
	Title  string            `json:"title"`
	Opened time.Time         `json:"opened_at"`
	Fields []Field           `json:"fields,omitempty"`
	Why    []Reason          `json:"why"`

	live, batch *Incident
}

// Field is a value that differs.
type Field struct {
	Rev   int    `json:"rev"` // 0: of the incident
	Name  string `json:"name"`
	Live  string `json:"live"`
	Batch string `json:"batch"`
}

// Reason is why there is a difference: late, rules, evicted, memory, follows,
// behind, unexplained.
type Reason struct {
	Kind string `json:"kind"`
	Text string `json:"text"`
}

// Compare compares ids, revisions, times and counts.
func Compare(in ParityInput) *Parity {
	p := &Parity{Different: []Difference{}}
	live, batch := in.Live.Incidents(), in.Batch.Incidents()
	p.Live, p.Batch = total(live), total(batch)
	live, batch = in.known(p, live, batch)
	byID := map[string]*Incident{}
	for _, x := range batch {
		byID[x.ID] = x
	}
	var alone []*Incident
	for _, x := range live {
		y := byID[x.ID]
		if y == nil {
			alone = append(alone, x)
			continue
		}
		delete(byID, x.ID)
		p.pair(x, y)
	}
	p.rest(alone, byID)
	slices.SortFunc(p.Different, func(a, b Difference) int {
		return cmp.Or(a.Opened.Compare(b.Opened), cmp.Compare(a.Rule, b.Rule), cmp.Compare(a.ID, b.ID))
	})
	in.explain(p)
	return p
}

func total(xs []*Incident) (t Totals) {
	for _, x := range xs {
		t.Incidents++
		t.Revisions += len(x.Revs)
	}
	return t
}

// known leaves out what began before the batch run read, and what the run made of
// it instead.
func (in *ParityInput) known(p *Parity, live, batch []*Incident) (l, b []*Incident) {
	early := map[string][]*Incident{}
	for _, x := range live {
		if x.StartedAt.Before(in.Begin) {
			p.Unknown++
			early[x.Fingerprint] = append(early[x.Fingerprint], x)
			continue
		}
		l = append(l, x)
	}
	for _, y := range batch {
		if !slices.ContainsFunc(early[y.Fingerprint], y.overlaps) {
			b = append(b, y)
		}
	}
	return l, b
}

// pair compares two views of one incident.
func (p *Parity) pair(live, batch *Incident) {
	fields := differ(live, batch)
	if len(fields) == 0 {
		p.Equal.Incidents++
		p.Equal.Revisions += len(live.Revs)
		return
	}
	d := difference("both", live)
	d.Fields, d.batch = fields, batch
	p.Different = append(p.Different, d)
}

func difference(kind string, x *Incident) Difference {
	d := Difference{Kind: kind, Rule: x.Rule, Key: x.Key, ID: x.ID, Title: x.Title, Opened: x.OpenedAt}
	if kind == "batch" {
		d.batch = x
	} else {
		d.live = x
	}
	return d
}

// rest pairs what has no counterpart by id with what overlaps it: an incident whose
// start moved has another id.
func (p *Parity) rest(live []*Incident, batch map[string]*Incident) {
	for _, x := range live {
		var y *Incident
		for _, z := range batch {
			if z.Fingerprint == x.Fingerprint && z.overlaps(x) && (y == nil || compareIncidents(z, y) < 0) {
				y = z
			}
		}
		if y == nil {
			p.Different = append(p.Different, difference("live", x))
			continue
		}
		delete(batch, y.ID)
		p.pair(x, y)
	}
	for _, y := range batch {
		p.Different = append(p.Different, difference("batch", y))
	}
}

// differ names what differs between two views of one incident: its id, revisions
// that only one has, and the values of those both have.
func differ(live, batch *Incident) (fs []Field) {
	add := func(rev int, name string, a, b any) {
		if s, t := value(a), value(b); s != t {
			fs = append(fs, Field{rev, name, s, t})
		}
	}
	add(0, "incident_id", live.ID, batch.ID)
	a, b := revisions(live), revisions(batch)
	for _, n := range slices.Sorted(maps.Keys(union(a, b))) {
		x, y := a[n], b[n]
		if x == nil || y == nil {
			add(n, "revision", brief(x), brief(y))
			continue
		}
		add(n, "state", x.State, y.State)
		add(n, "cause", x.Cause, y.Cause)
		add(n, "severity", x.Severity, y.Severity)
		add(n, "changed_at", x.ChangedAt, y.ChangedAt)
		add(n, "started_at", x.StartedAt, y.StartedAt)
		add(n, "opened_at", x.OpenedAt, y.OpenedAt)
		add(n, "resolved_at", x.ResolvedAt, y.ResolvedAt)
		add(n, "last_event_at", x.LastEventAt, y.LastEventAt)
		add(n, "event_count", x.Events, y.Events)
		add(n, "firings", x.Firings, y.Firings)
	}
	return fs
}

func revisions(x *Incident) map[int]*Rev {
	m := map[int]*Rev{}
	for i := range x.Revs {
		m[x.Revs[i].N] = &x.Revs[i]
	}
	return m
}

func union(a, b map[int]*Rev) map[int]bool {
	m := map[int]bool{}
	for n := range a {
		m[n] = true
	}
	for n := range b {
		m[n] = true
	}
	return m
}

func brief(r *Rev) string {
	if r == nil {
		return "none"
	}
	return fmt.Sprintf("%s, %s at %s", r.State, r.Cause, value(r.ChangedAt))
}

func value(v any) string {
	if t, ok := v.(time.Time); ok {
		if t.IsZero() {
			return "-"
		}
		return t.UTC().Format(time.RFC3339Nano)
	}
	return fmt.Sprint(v)
}
