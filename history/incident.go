// Package history compares what was made of the same events: by two rule sets
// (Diff), or live and by a batch run over it (Parity). It reads transitions and
// says in words what differs and why; where they come from is the caller's.
package history

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"corral/correlate"
)

// Incident is one episode, put together from its revisions, without the evidence.
type Incident struct {
	ID          string            `json:"incident_id"`
	Fingerprint string            `json:"fingerprint"`
	Rule        string            `json:"rule_id"`
	Key         map[string]string `json:"key"`
	Labels      map[string]string `json:"labels,omitempty"`
	Title       string            `json:"title"`
	Severity    string            `json:"severity"` // highest
	StartedAt   time.Time         `json:"started_at"`
	OpenedAt    time.Time         `json:"opened_at"`
	LastEventAt time.Time         `json:"last_event_at"`
	ResolvedAt  time.Time         `json:"resolved_at,omitzero"` // zero: open in the last revision
	Events      int               `json:"event_count"`
	Flapping    bool              `json:"flapping,omitempty"`
	Pages       []time.Time       `json:"pages"` // when somebody was told that it opened or got worse
	Revs        []Rev             `json:"-"`
}

// Rev is what is compared of one revision.
type Rev struct {
	N                                int
	State, Cause, Severity           string
	ChangedAt, StartedAt, OpenedAt   time.Time
	ResolvedAt, LastEventAt, Noticed time.Time
	Events, Firings                  int
	Hash                             string
	Gen                              uint64
}

// Book puts incidents together from revisions, which come in any order.
type Book struct{ byID map[string]*Incident }

// Add takes a revision.
func (b *Book) Add(t *correlate.Transition) *Incident {
	if b.byID == nil {
		b.byID = map[string]*Incident{}
	}
	x := b.byID[t.IncidentID]
	if x == nil {
		x = &Incident{ID: t.IncidentID, Fingerprint: t.Fingerprint, Rule: t.RuleID, Key: t.Key, Pages: []time.Time{}}
		b.byID[t.IncidentID] = x
	}
	x.add(t)
	return x
}

func (x *Incident) add(t *correlate.Transition) {
	r := Rev{
		N: t.Rev, State: t.State, Cause: t.Cause, Severity: t.Severity, ChangedAt: t.ChangedAt, StartedAt: t.StartedAt,
		OpenedAt: t.OpenedAt, LastEventAt: t.LastEventAt, Noticed: t.DetectedAt, Events: t.EventCount, Firings: t.Firings,
		Hash: t.RuleHash, Gen: t.RulesGen,
	}
	if t.ResolvedAt != nil {
		r.ResolvedAt = *t.ResolvedAt
	}
	x.Revs = append(x.Revs, r)
	if t.Notified && t.State == "open" {
		x.Pages = append(x.Pages, t.ChangedAt)
	}
	if n := len(x.Revs); n > 1 && x.Revs[n-2].N > r.N {
		slices.SortFunc(x.Revs, func(a, b Rev) int { return cmp.Compare(a.N, b.N) })
		return
	}
	x.Title, x.Severity, x.Labels = t.Title, t.Severity, t.Labels
	x.StartedAt, x.OpenedAt, x.LastEventAt, x.ResolvedAt = t.StartedAt, t.OpenedAt, t.LastEventAt, r.ResolvedAt
	x.Events, x.Flapping = t.EventCount, x.Flapping || t.Flapping
}

// Incidents are those there are, by when they opened.
func (b *Book) Incidents() []*Incident {
	out := make([]*Incident, 0, len(b.byID))
	for _, x := range b.byID {
		out = append(out, x)
	}
	slices.SortFunc(out, compareIncidents)
	return out
}

func compareIncidents(a, b *Incident) int {
	return cmp.Or(a.OpenedAt.Compare(b.OpenedAt), cmp.Compare(a.Rule, b.Rule), cmp.Compare(a.ID, b.ID))
}

// Open reports whether the incident had not resolved.
func (x *Incident) Open() bool { return x.ResolvedAt.IsZero() }

// End is when it resolved, or its last event.
func (x *Incident) End() time.Time {
	if x.Open() {
		return x.LastEventAt
	}
	return x.ResolvedAt
}

// Lasted is how long it was open.
func (x *Incident) Lasted() time.Duration { return max(0, x.End().Sub(x.OpenedAt)) }

// overlaps reports whether two incidents were there at one time.
func (x *Incident) overlaps(y *Incident) bool {
	return !x.StartedAt.After(y.End()) && !y.StartedAt.After(x.End())
}

// Where is the group key in words: "merchant=m1 service=pay".
func (x *Incident) Where() string { return keyText(x.Key) }

func keyText(key map[string]string) string {
	if len(key) == 0 {
		return "-"
	}
	parts := make([]string, 0, len(key))
	for k, v := range key {
		parts = append(parts, k+"="+v)
	}
	slices.Sort(parts)
	return strings.Join(parts, " ")
}

// identity names a rule and key as text, for maps.
func identity(rule string, key map[string]string) string { return rule + "\x00" + keyText(key) }

const severities = "info warning error critical"

// rank orders severities.
func rank(severity string) int { return strings.Index(severities, severity) }
