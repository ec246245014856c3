package correlate

import (
	"cmp"
	"time"
)

// Transition is one revision of an incident: the whole record of
// docs/incidents.md. The JSON form is the record of NDJSON output, of the
// CloudEvents `data` and (by name) of the ClickHouse columns.
//
// DetectedAt, DetectLagMS, Mode and RunID are filled in by the driver; all else
// depends on the events alone.
type Transition struct {
	IncidentID  string `json:"incident_id"`
	Rev         int    `json:"rev"` // from 1, without gaps; with IncidentID it names the revision everywhere
	Fingerprint string `json:"fingerprint"`
	State       string `json:"state"` // open, resolved
	Cause       string `json:"cause"` // condition severity firing growth quiet clear_event rotated forgotten timeout rule_removed rule_changed text

	Severity    string `json:"severity"`     // highest reached
	SeverityNow string `json:"severity_now"` // current step of the ladder

	RuleID     string `json:"rule_id"`
	RuleTitle  string `json:"rule_title"`
	RuleFile   string `json:"rule_file"`
	RuleLine   int    `json:"rule_line"`
	RuleHash   string `json:"rule_hash"`
	RulesGen   uint64 `json:"rules_gen"`
	Owner      string `json:"owner"`
	RunbookURL string `json:"runbook_url"`

	Key     map[string]string `json:"key"`
	Labels  map[string]string `json:"labels"`
	Title   string            `json:"title"`
	Summary string            `json:"summary"`

	StartedAt   time.Time  `json:"started_at"`
	OpenedAt    time.Time  `json:"opened_at"`
	LastEventAt time.Time  `json:"last_event_at"`
	ResolvedAt  *time.Time `json:"resolved_at"` // null while it is open
	ChangedAt   time.Time  `json:"changed_at"`
	DetectedAt  time.Time  `json:"detected_at,omitzero"`
	DurationMS  int64      `json:"duration_ms"`
	DetectLagMS int64      `json:"detect_lag_ms"`

	EventCount int               `json:"event_count"`
	Firings    int               `json:"firings"`
	Relapses   int               `json:"relapses"`
	Vars       map[string]string `json:"vars,omitempty"`
	Steps      []StepAt          `json:"steps,omitempty"`

	DistinctKeys int        `json:"distinct_keys,omitempty"` // collapsed incidents
	TopKeys      []KeyCount `json:"top_keys,omitempty"`

	PreviousID  string    `json:"previous_id,omitempty"`
	Recurrence  int       `json:"recurrence"` // nth episode of the fingerprint in 30 d
	ParentID    string    `json:"parent_id,omitempty"`
	ChildIDs    []string  `json:"child_ids,omitempty"`
	Suspects    []Suspect `json:"suspects,omitempty"`
	RotatedFrom string    `json:"rotated_from,omitempty"`

	Flapping       bool     `json:"flapping"`
	Collapsed      bool     `json:"collapsed"`
	Suppressed     bool     `json:"suppressed"`
	SuppressedBy   []string `json:"suppressed_by,omitempty"`
	Notified       bool     `json:"notified"`
	NotifyReason   string   `json:"notify_reason"` // none first severity growth repeat resolved flap_start flap_end
	TruncatedStart bool     `json:"truncated_start"`
	TruncatedEnd   bool     `json:"truncated_end"`
	Truncated      bool     `json:"truncated,omitempty"` // evidence was cut to fit the wire

	Mode  string `json:"mode,omitempty"`   // live, batch
	RunID string `json:"run_id,omitempty"` // of a batch run

	Evidence []Evidence `json:"evidence"`
	Context  []Evidence `json:"context,omitempty"` // what changed shortly before it opened: firings of rules with `context`
	TraceIDs []string   `json:"trace_ids,omitempty"`

	InputFirstSeq uint64 `json:"input_first_seq,omitempty"`
	InputLastSeq  uint64 `json:"input_last_seq,omitempty"`
}

// Evidence is one event an incident rests on.
type Evidence struct {
	At      time.Time `json:"at"`
	EventID string    `json:"event_id"`
	Role    string    `json:"role"` // trigger, member, clear
	Step    string    `json:"step,omitempty"`
	Kind    string    `json:"kind,omitempty"`
	Service string    `json:"service,omitempty"`
	Level   string    `json:"level,omitempty"`
	TraceID string    `json:"trace_id,omitempty"`
	Line    string    `json:"line"` // at most 2 KiB
}

// StepAt says when a step of a sequence was met.
type StepAt struct {
	Name    string    `json:"name"`
	At      time.Time `json:"at"`
	EventID string    `json:"event_id"`
}

// KeyCount is one of the most frequent keys of a collapsed incident.
type KeyCount struct {
	Key   string `json:"key"`
	Count uint64 `json:"count"`
}

// Suspect is a ranked child of an incident over incidents.
type Suspect struct {
	IncidentID string `json:"incident_id"`
	Reason     string `json:"reason"`
	Rank       int    `json:"rank"`
}

// Compare orders transitions as every output has them: by the instant they
// stand for, then fingerprint, then revision.
func Compare(a, b *Transition) int {
	if c := a.ChangedAt.Compare(b.ChangedAt); c != 0 {
		return c
	}
	if c := cmp.Compare(a.Fingerprint, b.Fingerprint); c != 0 {
		return c
	}
	if c := a.StartedAt.Compare(b.StartedAt); c != 0 { // a rotated incident before its successor
		return c
	}
	return cmp.Compare(a.Rev, b.Rev)
}
