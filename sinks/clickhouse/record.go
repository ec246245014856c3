package clickhouse

import (
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"corral/correlate"
)

// record is a row of incident_transitions and of incidents: the columns are the
// names in the tags, in this order.
type record struct {
	Mode        string     `ch:"mode"`
	RunID       uuid.UUID  `ch:"run_id"`
	IncidentID  string     `ch:"incident_id"`
	Rev         uint32     `ch:"rev"`
	Fingerprint string     `ch:"fingerprint"`
	State       string     `ch:"state"`
	Cause       string     `ch:"cause"`
	Severity    string     `ch:"severity"`
	SeverityNow string     `ch:"severity_now"`
	RuleID      string     `ch:"rule_id"`
	RuleTitle   string     `ch:"rule_title"`
	RuleFile    string     `ch:"rule_file"`
	RuleLine    uint32     `ch:"rule_line"`
	RuleHash    string     `ch:"rule_hash"`
	RulesGen    uint64     `ch:"rules_gen"`
	Owner       string     `ch:"owner"`
	RunbookURL  string     `ch:"runbook_url"`
	Key         stringMap  `ch:"key"`
	Labels      stringMap  `ch:"labels"`
	Title       string     `ch:"title"`
	Summary     string     `ch:"summary"`
	StartedAt   time.Time  `ch:"started_at"`
	OpenedAt    time.Time  `ch:"opened_at"`
	LastEventAt time.Time  `ch:"last_event_at"`
	ResolvedAt  *time.Time `ch:"resolved_at"`
	ChangedAt   time.Time  `ch:"changed_at"`
	DetectedAt  time.Time  `ch:"detected_at"`
	DurationMS  uint64     `ch:"duration_ms"`
	DetectLagMS int64      `ch:"detect_lag_ms"`
	EventCount  uint64     `ch:"event_count"`
	Firings     uint32     `ch:"firings"`
	Relapses    uint32     `ch:"relapses"`
	Vars        stringMap  `ch:"vars"`
	Steps       []step     `ch:"steps"`

	DistinctKeys uint64     `ch:"distinct_keys"`
	TopKeys      []keyCount `ch:"top_keys"`
	PreviousID   string     `ch:"previous_id"`
	Recurrence   uint32     `ch:"recurrence"`
	ParentID     string     `ch:"parent_id"`
	ChildIDs     []string   `ch:"child_ids"`
	Suspects     []suspect  `ch:"suspects"`
	RotatedFrom  string     `ch:"rotated_from"`

	Flapping       bool       `ch:"flapping"`
	Collapsed      bool       `ch:"collapsed"`
	Suppressed     bool       `ch:"suppressed"`
	SuppressedBy   []string   `ch:"suppressed_by"`
	Notified       bool       `ch:"notified"`
	NotifyReason   string     `ch:"notify_reason"`
	TruncatedStart bool       `ch:"truncated_start"`
	TruncatedEnd   bool       `ch:"truncated_end"`
	Truncated      bool       `ch:"truncated"`
	Evidence       []evidence `ch:"evidence"`
	Context        []evidence `ch:"context"`
	TraceIDs       []string   `ch:"trace_ids"`
	InputFirstSeq  uint64     `ch:"input_first_seq"`
	InputLastSeq   uint64     `ch:"input_last_seq"`
	WriteID        uint64     `ch:"write_id"`
}

type stringMap = map[string]string

type step struct {
	Name    string    `ch:"name"`
	At      time.Time `ch:"at"`
	EventID string    `ch:"event_id"`
}

type keyCount struct {
	Key   string `ch:"key"`
	Count uint64 `ch:"count"`
}

type suspect struct {
	IncidentID string `ch:"incident_id"`
	Reason     string `ch:"reason"`
	Rank       uint32 `ch:"rank"`
}

type evidence struct {
	At      time.Time `ch:"at"`
	EventID string    `ch:"event_id"`
	Role    string    `ch:"role"`
	Step    string    `ch:"step"`
	Kind    string    `ch:"kind"`
	Service string    `ch:"service"`
	Level   string    `ch:"level"`
	TraceID string    `ch:"trace_id"`
	Line    string    `ch:"line"`
}

// eventRow is a row of incident_evidence.
type eventRow struct {
	Mode       string    `ch:"mode"`
	RunID      uuid.UUID `ch:"run_id"`
	IncidentID string    `ch:"incident_id"`
	Rev        uint32    `ch:"rev"`
	RuleID     string    `ch:"rule_id"`
	OpenedAt   time.Time `ch:"opened_at"`
	At         time.Time `ch:"at"`
	EventID    string    `ch:"event_id"`
	Role       string    `ch:"role"`
	Step       string    `ch:"step"`
	Kind       string    `ch:"kind"`
	Service    string    `ch:"service"`
	Level      string    `ch:"level"`
	TraceID    string    `ch:"trace_id"`
	Line       string    `ch:"line"`
	WriteID    uint64    `ch:"write_id"`
}

// Limits of what a row takes: beyond them text is cut and maps lose keys.
const (
	maxText    = 64 << 10
	maxMapKeys = 128
)

// Times outside are stored as the nearest one inside (the driver would wrap them
// silently) and in vars as they were, under originalTime and the column's name.
var (
	minTime = time.Unix(0, 0).UTC()
	maxTime = time.Date(2100, 1, 1, 0, 0, 0, -1, time.UTC)
)

const originalTime = "corral.time."

// newRecord returns the row of a transition. The error says what no column can
// hold: it is permanent.
func newRecord(t *correlate.Transition) (*record, error) {
	run, err := runID(t)
	if err != nil {
		return nil, err
	}
	if err := check(t); err != nil {
		return nil, err
	}
	r := &record{
		Mode: mode(t), RunID: run, IncidentID: text(t.IncidentID), Rev: uint32(t.Rev), Fingerprint: t.Fingerprint,
		State: t.State, Cause: text(t.Cause), Severity: t.Severity, SeverityNow: t.SeverityNow,
		RuleID: text(t.RuleID), RuleTitle: text(t.RuleTitle), RuleFile: text(t.RuleFile), RuleLine: natural32(t.RuleLine),
		RuleHash: packHash(t.RuleHash), RulesGen: t.RulesGen, Owner: text(t.Owner), RunbookURL: text(t.RunbookURL),
		Key: texts(t.Key), Labels: texts(t.Labels), Title: text(t.Title), Summary: text(t.Summary),
		DurationMS: natural(t.DurationMS), DetectLagMS: t.DetectLagMS,
		EventCount: natural(t.EventCount), Firings: natural32(t.Firings), Relapses: natural32(t.Relapses), Vars: texts(t.Vars),
		DistinctKeys: natural(t.DistinctKeys), PreviousID: text(t.PreviousID), Recurrence: natural32(t.Recurrence),
		ParentID: text(t.ParentID), ChildIDs: list(t.ChildIDs), RotatedFrom: text(t.RotatedFrom),
		Flapping: t.Flapping, Collapsed: t.Collapsed, Suppressed: t.Suppressed, SuppressedBy: list(t.SuppressedBy),
		Notified: t.Notified, NotifyReason: notifyReason(t),
		TruncatedStart: t.TruncatedStart, TruncatedEnd: t.TruncatedEnd, Truncated: t.Truncated,
		Evidence: newEvidence(t.Evidence), Context: newEvidence(t.Context), TraceIDs: list(t.TraceIDs),
		InputFirstSeq: t.InputFirstSeq, InputLastSeq: t.InputLastSeq,
	}
	r.setTimes(t)
	for _, s := range t.Steps {
		r.Steps = append(r.Steps, step{text(s.Name), inRange(s.At), text(s.EventID)})
	}
	for _, k := range t.TopKeys {
		r.TopKeys = append(r.TopKeys, keyCount{text(k.Key), k.Count})
	}
	for _, s := range t.Suspects {
		r.Suspects = append(r.Suspects, suspect{text(s.IncidentID), text(s.Reason), natural32(s.Rank)})
	}
	return r, nil
}

func runID(t *correlate.Transition) (uuid.UUID, error) {
	if t.RunID == "" {
		return uuid.Nil, nil
	}
	id, err := uuid.Parse(t.RunID)
	if err != nil {
		return id, fmt.Errorf("run_id %q is no UUID", t.RunID)
	}
	return id, nil
}

func mode(t *correlate.Transition) string {
	if t.Mode == "" {
		return "live"
	}
	return t.Mode
}

func notifyReason(t *correlate.Transition) string {
	if t.NotifyReason == "" {
		return "none"
	}
	return t.NotifyReason
}

// The words the Enum8 columns know. 'none' and the like are in the migrations.
var (
	states     = []string{"open", "resolved"}
	severities = []string{"info", "warning", "error", "critical"}
	reasons    = []string{"none", "first", "severity", "growth", "repeat", "resolved", "flap_start", "flap_end"}
	modes      = []string{"live", "batch"}
	roles      = []string{"trigger", "member", "clear"}
)

// check says what would spoil a whole insert.
func check(t *correlate.Transition) error {
	for _, e := range []struct {
		column, value string
		known         []string
	}{
		{"state", t.State, states},
		{"severity", t.Severity, severities},
		{"severity_now", t.SeverityNow, severities},
		{"notify_reason", notifyReason(t), reasons},
		{"mode", mode(t), modes},
	} {
		if !slices.Contains(e.known, e.value) {
			return fmt.Errorf("%s %q is none of %s", e.column, e.value, strings.Join(e.known, ", "))
		}
	}
	for _, e := range slices.Concat(t.Evidence, t.Context) {
		if !slices.Contains(roles, e.Role) {
			return fmt.Errorf("role %q of evidence %s is none of %s", e.Role, e.EventID, strings.Join(roles, ", "))
		}
	}
	if len(t.Fingerprint) != 32 {
		return fmt.Errorf("fingerprint %q has not 32 characters", t.Fingerprint)
	}
	if t.IncidentID == "" || t.Rev < 1 {
		return fmt.Errorf("incident_id %q rev %d is no revision", t.IncidentID, t.Rev)
	}
	return nil
}

// setTimes clamps the times and keeps what they were.
func (r *record) setTimes(t *correlate.Transition) {
	for _, c := range []struct {
		name string
		from time.Time
		to   *time.Time
	}{
		{"started_at", t.StartedAt, &r.StartedAt},
		{"opened_at", t.OpenedAt, &r.OpenedAt},
		{"last_event_at", t.LastEventAt, &r.LastEventAt},
		{"changed_at", t.ChangedAt, &r.ChangedAt},
		{"detected_at", t.DetectedAt, &r.DetectedAt},
	} {
		*c.to = r.clamp(c.name, c.from)
	}
	if t.ResolvedAt != nil {
		r.ResolvedAt = new(r.clamp("resolved_at", *t.ResolvedAt))
	}
}

func (r *record) clamp(name string, t time.Time) time.Time {
	in := inRange(t)
	if !in.Equal(t) && !t.IsZero() {
		r.Vars = maps.Clone(r.Vars)
		if r.Vars == nil {
			r.Vars = stringMap{}
		}
		r.Vars[originalTime+name] = t.UTC().Format(time.RFC3339Nano)
	}
	return in
}

func inRange(t time.Time) time.Time {
	switch {
	case t.Before(minTime):
		return minTime
	case t.After(maxTime):
		return maxTime
	}
	return t.UTC()
}

func newEvidence(es []correlate.Evidence) []evidence {
	out := make([]evidence, 0, len(es))
	for _, e := range es {
		out = append(out, evidence{
			inRange(e.At), text(e.EventID), e.Role, text(e.Step), text(e.Kind), text(e.Service), text(e.Level), text(e.TraceID), text(e.Line),
		})
	}
	return out
}

func (r *record) withID(id uint64) any {
	c := *r
	c.WriteID = id
	return &c
}

func (e *eventRow) withID(id uint64) any {
	c := *e
	c.WriteID = id
	return &c
}

// eventRows returns the rows of incident_evidence that a revision gives.
func (r *record) eventRows() []*eventRow {
	rows := make([]*eventRow, 0, len(r.Evidence)+len(r.Context))
	add := func(e evidence, role string) {
		rows = append(rows, &eventRow{
			Mode: r.Mode, RunID: r.RunID, IncidentID: r.IncidentID, Rev: r.Rev, RuleID: r.RuleID, OpenedAt: r.OpenedAt,
			At: e.At, EventID: e.EventID, Role: role, Step: e.Step, Kind: e.Kind, Service: e.Service, Level: e.Level,
			TraceID: e.TraceID, Line: e.Line,
		})
	}
	for _, e := range r.Evidence {
		add(e, e.Role)
	}
	for _, e := range r.Context {
		add(e, "context")
	}
	return rows
}

// transition is the inverse of newRecord, but for what was cut.
func (r *record) transition() *correlate.Transition {
	t := &correlate.Transition{
		IncidentID: r.IncidentID, Rev: int(r.Rev), Fingerprint: r.Fingerprint, State: r.State, Cause: r.Cause,
		Severity: r.Severity, SeverityNow: r.SeverityNow, RuleID: r.RuleID, RuleTitle: r.RuleTitle, RuleFile: r.RuleFile,
		RuleLine: int(r.RuleLine), RuleHash: unpackHash(r.RuleHash), RulesGen: r.RulesGen,
		Owner: r.Owner, RunbookURL: r.RunbookURL, Key: r.Key, Labels: r.Labels, Title: r.Title, Summary: r.Summary,
		DurationMS: int64(r.DurationMS), DetectLagMS: r.DetectLagMS, EventCount: int(r.EventCount),
		Firings: int(r.Firings), Relapses: int(r.Relapses), DistinctKeys: int(r.DistinctKeys), PreviousID: r.PreviousID,
		Recurrence: int(r.Recurrence), ParentID: r.ParentID, ChildIDs: none(r.ChildIDs), RotatedFrom: r.RotatedFrom,
		Flapping: r.Flapping, Collapsed: r.Collapsed, Suppressed: r.Suppressed, SuppressedBy: none(r.SuppressedBy),
		Notified: r.Notified, NotifyReason: r.NotifyReason,
		TruncatedStart: r.TruncatedStart, TruncatedEnd: r.TruncatedEnd, Truncated: r.Truncated, Mode: r.Mode,
		Evidence: oldEvidence(r.Evidence), Context: none(oldEvidence(r.Context)), TraceIDs: none(r.TraceIDs),
		InputFirstSeq: r.InputFirstSeq, InputLastSeq: r.InputLastSeq,
	}
	if r.RunID != uuid.Nil {
		t.RunID = r.RunID.String()
	}
	r.getTimes(t)
	for _, s := range r.Steps {
		t.Steps = append(t.Steps, correlate.StepAt{Name: s.Name, At: s.At.UTC(), EventID: s.EventID})
	}
	for _, k := range r.TopKeys {
		t.TopKeys = append(t.TopKeys, correlate.KeyCount{Key: k.Key, Count: k.Count})
	}
	for _, s := range r.Suspects {
		t.Suspects = append(t.Suspects, correlate.Suspect{IncidentID: s.IncidentID, Reason: s.Reason, Rank: int(s.Rank)})
	}
	return t
}

func (r *record) getTimes(t *correlate.Transition) {
	if len(r.Vars) > 0 {
		t.Vars = maps.Clone(r.Vars)
	}
	original := func(name string, stored time.Time) time.Time {
		was, ok := t.Vars[originalTime+name]
		if !ok {
			return stored.UTC()
		}
		delete(t.Vars, originalTime+name)
		at, err := time.Parse(time.RFC3339Nano, was)
		if err != nil {
			return stored.UTC()
		}
		return at
	}
	t.StartedAt, t.OpenedAt = original("started_at", r.StartedAt), original("opened_at", r.OpenedAt)
	t.LastEventAt, t.ChangedAt = original("last_event_at", r.LastEventAt), original("changed_at", r.ChangedAt)
	if t.DetectedAt = original("detected_at", r.DetectedAt); t.DetectedAt.Equal(minTime) {
		t.DetectedAt = time.Time{}
	}
	if r.ResolvedAt != nil {
		t.ResolvedAt = new(original("resolved_at", *r.ResolvedAt))
	}
	if len(t.Vars) == 0 {
		t.Vars = nil
	}
}

func oldEvidence(es []evidence) []correlate.Evidence {
	out := make([]correlate.Evidence, 0, len(es))
	for _, e := range es {
		out = append(out, correlate.Evidence{
			At: e.At.UTC(), EventID: e.EventID, Role: e.Role, Step: e.Step, Kind: e.Kind,
			Service: e.Service, Level: e.Level, TraceID: e.TraceID, Line: e.Line,
		})
	}
	return out
}

// text returns s as a column takes it: valid UTF-8, cut at a character. It comes
// to the same whether s was spooled as JSON in between or not.
func text(s string) string {
	if !utf8.ValidString(s) {
		s = string([]rune(s)) // each bad byte becomes U+FFFD, as in JSON
	}
	if len(s) <= maxText {
		return s
	}
	end := maxText
	for !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end]
}

const hashLen = 16

// packHash makes the 16 bytes of a hash in hex.
func packHash(s string) string {
	b, err := hex.DecodeString(s)
	if err != nil {
		b = []byte(s)
	}
	return string(b[:min(hashLen, len(b))])
}

// unpackHash is its inverse. No hash is all zeros.
func unpackHash(s string) string {
	if strings.Trim(s, "\x00") == "" {
		return ""
	}
	return hex.EncodeToString([]byte(s))
}

func list(ss []string) []string {
	out := make([]string, len(ss))
	for i, s := range ss {
		out[i] = text(s)
	}
	return out
}

// texts keeps the first keys by name where there are too many.
func texts(m map[string]string) stringMap {
	out := make(stringMap, len(m))
	for k, v := range m {
		out[text(k)] = text(v)
	}
	if len(out) > maxMapKeys {
		for _, k := range slices.Sorted(maps.Keys(out))[maxMapKeys:] {
			delete(out, k)
		}
	}
	return out
}

// none returns nil for an empty list: the record leaves it out.
func none[T any](s []T) []T {
	if len(s) == 0 {
		return nil
	}
	return s
}

func natural[T ~int | ~int64](n T) uint64 { return uint64(max(0, n)) }

func natural32(n int) uint32 { return uint32(min(max(0, n), 1<<32-1)) }
