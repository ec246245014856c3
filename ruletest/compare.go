package ruletest

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"corral/correlate"
	"corral/internal/phrase"
)

// difference is a place where the timeline is not the one expected.
type difference struct {
	at   time.Duration
	want *Expect               // nil: nothing was expected
	got  *correlate.Transition // nil: nothing came
	// fields that differ, when want and got are the same kind of transition.
	fields []string
}

// kindOf names a transition as expectations do.
func kindOf(t *correlate.Transition) string {
	switch {
	case t.State == "resolved":
		return "resolved"
	case t.Rev == 1:
		return "open"
	}
	return "updated"
}

// compare pairs expectations with transitions: the exact list, in event time;
// the order at one instant is free.
func compare(start time.Time, want []Expect, got []*correlate.Transition) []difference {
	left := slices.Clone(got)
	var missing []*Expect
	for i := range want {
		x := &want[i]
		j := slices.IndexFunc(left, func(t *correlate.Transition) bool { return same(start, x, t) && len(differing(start, x, t)) == 0 })
		if j < 0 {
			missing = append(missing, x)
			continue
		}
		left = slices.Delete(left, j, j+1)
	}
	var out []difference
	for _, x := range missing {
		d := difference{at: x.At, want: x}
		if j := nearest(start, x, left); j >= 0 {
			d.got, d.fields = left[j], differing(start, x, left[j])
			left = slices.Delete(left, j, j+1)
		}
		out = append(out, d)
	}
	for _, t := range left {
		out = append(out, difference{at: t.ChangedAt.Sub(start), got: t})
	}
	slices.SortStableFunc(out, func(a, b difference) int { return cmp.Compare(a.at, b.at) })
	return out
}

// unlike pairs the timeline of a variant with that of the run as written: in all
// that depends on the events alone they must be the same.
func unlike(start time.Time, want, got []*correlate.Transition) []difference {
	left := slices.Clone(got)
	var out []difference
	for _, w := range want {
		j := slices.IndexFunc(left, func(t *correlate.Transition) bool { return t.IncidentID == w.IncidentID && t.Rev == w.Rev })
		if j >= 0 && reflect.DeepEqual(ofEvents(w), ofEvents(left[j])) {
			left = slices.Delete(left, j, j+1)
			continue
		}
		x := expectationOf(start, w)
		if j < 0 {
			out = append(out, difference{at: x.At, want: x})
			continue
		}
		if fields := differing(start, x, left[j]); len(fields) > 0 {
			out = append(out, difference{at: x.At, want: x, got: left[j], fields: fields})
		}
		left = slices.Delete(left, j, j+1)
	}
	for _, t := range left {
		out = append(out, difference{at: t.ChangedAt.Sub(start), got: t})
	}
	slices.SortStableFunc(out, func(a, b difference) int { return cmp.Compare(a.at, b.at) })
	return out
}

// provenance are the fields that tell how a revision came about, and those that
// may show it: texts may hold `observed`, and the end of a batch is told.
var provenance = []string{"detected_at", "detect_lag_ms", "mode", "run_id", "rules_gen", "input_first_seq", "input_last_seq", "truncated_end", "title", "summary", "labels"}

// ofEvents is a transition without its provenance.
func ofEvents(t *correlate.Transition) correlate.Transition {
	c := *t
	c.DetectedAt, c.DetectLagMS, c.Mode, c.RunID, c.RulesGen, c.InputFirstSeq, c.InputLastSeq, c.TruncatedEnd = time.Time{}, 0, "", "", 0, 0, 0, false
	c.Title, c.Summary, c.Labels = "", "", nil
	return c
}

// expectationOf is a transition as a test would expect it, whole.
func expectationOf(start time.Time, t *correlate.Transition) *Expect {
	fields := asMap(t)
	for _, name := range provenance {
		delete(fields, name)
	}
	return &Expect{At: t.ChangedAt.Sub(start), Rule: t.RuleID, Key: t.Key, Kind: kindOf(t), Fields: fields}
}

// same: the transition is of the rule, kind and key expected.
func same(_ time.Time, x *Expect, t *correlate.Transition) bool {
	if x.Rule != t.RuleID || x.Kind != kindOf(t) {
		return false
	}
	return x.Key == nil || maps.Equal(x.Key, t.Key)
}

// nearest is the transition that was most probably meant: same rule, kind and
// key, at the same time if there is one, else the first.
func nearest(start time.Time, x *Expect, ts []*correlate.Transition) int {
	best := -1
	for i, t := range ts {
		if !same(start, x, t) {
			continue
		}
		if t.ChangedAt.Sub(start) == x.At {
			return i
		}
		if best < 0 {
			best = i
		}
	}
	return best
}

// differing lists what is not as expected, as `field: got …, want …`.
func differing(start time.Time, x *Expect, t *correlate.Transition) []string {
	var out []string
	if at := t.ChangedAt.Sub(start); at != x.At {
		out = append(out, fmt.Sprintf("at: got %s, want %s", offset(at), offset(x.At)))
	}
	if len(x.Fields) == 0 {
		return out
	}
	record := asMap(t)
	for _, name := range slices.Sorted(maps.Keys(x.Fields)) {
		want := x.Fields[name]
		got, ok := record[name]
		if !ok {
			got = nil
		}
		if !subset(start, want, got) {
			out = append(out, fmt.Sprintf("%s: got %s, want %s", name, text(got), text(want)))
		}
	}
	return out
}

func asMap(t *correlate.Transition) map[string]any {
	data, err := json.Marshal(t)
	if err != nil {
		return map[string]any{"error": err.Error()}
	}
	var m map[string]any
	dec := json.NewDecoder(strings.NewReader(string(data)))
	dec.UseNumber()
	if err := dec.Decode(&m); err != nil {
		return map[string]any{"error": err.Error()}
	}
	return m
}

// subset compares a value of the YAML with one of the record: mappings by the
// keys named, times also as offsets from the start, the rest as text.
func subset(start time.Time, want, got any) bool {
	if w, ok := want.(map[string]any); ok {
		g, ok := got.(map[string]any)
		for k, v := range w {
			if !ok || !subset(start, v, g[k]) {
				return false
			}
		}
		return true
	}
	if text(want) == text(got) {
		return true
	}
	ws, ok := want.(string)
	gs, gok := got.(string)
	if !ok || !gok {
		return false
	}
	at, err := time.Parse(time.RFC3339Nano, gs)
	if err != nil {
		return false
	}
	if d, err := time.ParseDuration(ws); err == nil {
		return at.Equal(start.Add(d))
	}
	wt, err := time.Parse(time.RFC3339Nano, ws)
	return err == nil && wt.Equal(at)
}

func text(v any) string {
	switch v := v.(type) {
	case nil:
		return "nothing"
	case string:
		return v
	case time.Time:
		return v.UTC().Format(time.RFC3339Nano)
	case map[string]any, []any:
		data, err := json.Marshal(v)
		if err == nil {
			return string(data)
		}
	}
	return fmt.Sprint(v)
}

func offset(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = s[:len(s)-2]
	}
	if strings.HasSuffix(s, "h0m") {
		s = s[:len(s)-2]
	}
	return s
}

// line is one row of a timeline.
func line(start time.Time, t *correlate.Transition) string {
	return fmt.Sprintf("%-8s %-8s %s%s  %s, %s", offset(t.ChangedAt.Sub(start)), kindOf(t), t.RuleID, phrase.Key(t.Key), t.Cause, phrase.Count(t.EventCount, "event"))
}
