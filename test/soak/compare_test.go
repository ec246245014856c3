package soak

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/nats-io/nats.go/jetstream"

	"corral/correlate"
	"corral/sinks"
	"corral/sinks/clickhouse"
)

// compare returns every difference between what live said, what batch says and
// what was published.
func (r *round) compare(ctx context.Context, end time.Time) ([]string, error) {
	logs, err := r.rig.js.Stream(ctx, stream)
	if err != nil {
		return nil, err
	}
	told, err := readLetters(r.letters)
	if err != nil {
		return nil, err
	}
	diffs, err := r.account(ctx, logs, told, end)
	if err != nil {
		return nil, err
	}
	for seq := range told["late"] {
		if err := logs.DeleteMsg(ctx, seq); err != nil {
			return nil, fmt.Errorf("take message %d out of the stream: %w", seq, err)
		}
	}
	out, err := r.batch(ctx, end)
	if err != nil {
		return nil, err
	}
	batch, err := readNDJSON(out)
	if err != nil {
		return nil, err
	}
	want := index(batch, end)
	r.tally.revisions = len(want.byName)
	stored, err := r.stored(ctx)
	if err != nil {
		return nil, err
	}
	incidents, err := published(ctx, r.rig.js, "INCIDENTS")
	if err != nil {
		return nil, err
	}
	alerts, err := published(ctx, r.rig.js, "ALERTS")
	if err != nil {
		return nil, err
	}
	diffs = append(diffs, differ("ClickHouse", want, index(stored, end))...)
	diffs = append(diffs, differ("INCIDENTS", want, index(incidents, end))...)
	heard := want.notified()
	r.tally.alerts = len(heard.byName)
	diffs = append(diffs, differ("ALERTS", heard, index(alerts, end))...)
	diffs = append(diffs, unended(stored)...)
	return append(diffs, disorder(incidents)...), nil
}

// account checks that every message is accounted for.
func (r *round) account(ctx context.Context, logs jetstream.Stream, told map[string]map[uint64]bool, end time.Time) (diffs []string, err error) {
	state := logs.CachedInfo().State
	if err := r.acknowledged(ctx); err != nil { // it was, before the worker stopped
		diffs = append(diffs, err.Error())
	}
	binary, words := map[uint64]bool{}, 0
	for seq := state.FirstSeq; seq <= state.LastSeq; seq++ {
		m, err := logs.GetMsg(ctx, seq)
		if err != nil {
			return nil, fmt.Errorf("message %d: %w", seq, err)
		}
		var e struct {
			Time time.Time
			Msg  string
		}
		switch err := json.Unmarshal(m.Data, &e); {
		case err != nil:
			binary[seq] = true
		case e.Msg == "over":
			words++
			delete(told["late"], seq)
		case e.Time.After(end):
			r.tally.then++
		}
	}
	ledger, err := r.ledger(ctx)
	if err != nil {
		return nil, err
	}
	t := &r.tally
	t.messages, t.counted, t.late, t.undecodable = int(state.Msgs)-words, ledger, len(told["late"]), len(binary)
	if t.messages != t.counted+t.late+t.undecodable+t.then {
		diffs = append(diffs, fmt.Sprintf("%d messages are not %d counted + %d late + %d undecodable + %d in the future",
			t.messages, t.counted, t.late, t.undecodable, t.then))
	}
	if want := len(r.lines); t.messages != want {
		diffs = append(diffs, fmt.Sprintf("the stream holds %d lines, acknowledged were %d: the server lost some", t.messages, want))
	}
	if d := cmp.Diff(binary, told["undecodable"], cmpopts.EquateEmpty()); d != "" {
		diffs = append(diffs, "undecodable messages (-stream +dead letters):\n"+d)
	}
	return diffs, nil
}

// ledger is how many events the ledger's incidents counted.
func (r *round) ledger(ctx context.Context) (n int, err error) {
	db, err := r.reader()
	if err != nil {
		return 0, err
	}
	defer func() { _ = db.Close() }()
	ts, err := db.Incidents(ctx, clickhouse.Query{Rule: ledgerRule})
	for _, t := range ts {
		n += t.EventCount
	}
	return n, err
}

func (r *round) reader() (*clickhouse.Reader, error) {
	return clickhouse.OpenReader("clickhouse://" + r.rig.ch.NativeAddr() + "/" + r.database)
}

// stored are the revisions in ClickHouse.
func (r *round) stored(ctx context.Context) (ts []*correlate.Transition, err error) {
	db, err := r.reader()
	if err != nil {
		return nil, err
	}
	defer func() { _ = db.Close() }()
	for t, err := range db.Revisions(ctx, clickhouse.Query{}) {
		if err != nil {
			return nil, err
		}
		ts = append(ts, t)
	}
	return ts, nil
}

// published are the revisions on a stream, in its order.
func published(ctx context.Context, js jetstream.JetStream, name string) (ts []*correlate.Transition, err error) {
	s, err := js.Stream(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("stream %s: %w", name, err)
	}
	state := s.CachedInfo().State
	for seq := max(1, state.FirstSeq); seq <= state.LastSeq; seq++ {
		m, err := s.GetMsg(ctx, seq)
		if err != nil {
			return nil, fmt.Errorf("stream %s, message %d: %w", name, seq, err)
		}
		var e struct{ Data *correlate.Transition }
		if err := json.Unmarshal(m.Data, &e); err != nil || e.Data == nil {
			return nil, fmt.Errorf("stream %s, message %d: no CloudEvent with data: %w", name, seq, err)
		}
		ts = append(ts, e.Data)
	}
	return ts, nil
}

func readNDJSON(path string) ([]*correlate.Transition, error) {
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	return sinks.ReadNDJSON(f)
}

// readLetters returns the sequences of dead letters by reason. After a kill some
// are there twice, and a line may be torn: its letter comes again.
func readLetters(path string) (map[string]map[uint64]bool, error) {
	told := map[string]map[uint64]bool{"late": {}, "undecodable": {}}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	for l := range bytes.Lines(data) {
		var d sinks.DeadLetter
		if json.Unmarshal(l, &d) != nil {
			continue
		}
		if told[d.Reason] == nil {
			return nil, fmt.Errorf("dead letter: %s", l)
		}
		told[d.Reason][d.Seq] = true
	}
	return told, nil
}

// revisions by name, "incident.rev".
type revisions struct {
	byName map[string]*correlate.Transition
	double []string
}

// ownRules is what the ids of the worker's incidents about itself begin with.
const ownRules = "corral-"

// index leaves out the last word, what came after it, and what the worker tells
// about itself.
func index(ts []*correlate.Transition, end time.Time) *revisions {
	v := &revisions{byName: map[string]*correlate.Transition{}}
	for _, t := range ts {
		if t.RuleID == overRule || strings.HasPrefix(t.RuleID, ownRules) || t.ChangedAt.After(end) {
			continue
		}
		if n := name(t); v.byName[n] != nil {
			v.double = append(v.double, n)
		} else {
			v.byName[n] = normal(t)
		}
	}
	return v
}

// unended finds what the worker says is still wrong with itself. All is well
// again, and it knows.
func unended(ts []*correlate.Transition) (diffs []string) {
	open := map[string]*correlate.Transition{}
	for _, t := range ts {
		if strings.HasPrefix(t.RuleID, ownRules) {
			open[t.IncidentID] = t // they come in order
			if t.State == "resolved" {
				delete(open, t.IncidentID)
			}
		}
	}
	for _, t := range open {
		diffs = append(diffs, "still open: "+describe(t))
	}
	return diffs
}

func name(t *correlate.Transition) string { return fmt.Sprintf("%s.%d", t.IncidentID, t.Rev) }

// normal is t without what tells of the run.
func normal(t *correlate.Transition) *correlate.Transition {
	n := *t
	n.DetectedAt, n.DetectLagMS = time.Time{}, 0
	n.Mode, n.RunID, n.RulesGen, n.TruncatedEnd = "", "", 0, false
	return &n
}

// notified are those that somebody should hear of.
func (v *revisions) notified() *revisions {
	n := &revisions{byName: map[string]*correlate.Transition{}}
	for name, t := range v.byName {
		if t.Notified {
			n.byName[name] = t
		}
	}
	return n
}

func differ(where string, want, got *revisions) (diffs []string) {
	for n, w := range want.byName {
		g := got.byName[n]
		if g == nil {
			diffs = append(diffs, fmt.Sprintf("%s lacks %s", where, describe(w)))
		} else if d := cmp.Diff(w, g, cmpopts.EquateEmpty()); d != "" {
			diffs = append(diffs, fmt.Sprintf("%s has another %s (-batch +live):\n%s", where, describe(w), d))
		}
	}
	for n, g := range got.byName {
		if want.byName[n] == nil {
			diffs = append(diffs, fmt.Sprintf("%s has, and batch has not: %s", where, describe(g)))
		}
	}
	for _, n := range got.double {
		diffs = append(diffs, fmt.Sprintf("%s has %s twice", where, n))
	}
	slices.Sort(diffs)
	return diffs
}

func describe(t *correlate.Transition) string {
	return fmt.Sprintf("%s %s %v %s %s at %s, %d events", name(t), t.RuleID, t.Key, t.State, t.Cause, t.ChangedAt.Format("15:04:05.000000"), t.EventCount)
}

// disorder finds revisions of an incident that came before earlier ones.
func disorder(ts []*correlate.Transition) (diffs []string) {
	last := map[string]int{}
	for _, t := range ts {
		if t.Rev <= last[t.IncidentID] {
			diffs = append(diffs, fmt.Sprintf("on INCIDENTS revision %s came after %d", name(t), last[t.IncidentID]))
		}
		last[t.IncidentID] = t.Rev
	}
	return diffs
}
