package demo

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"corral/correlate"
)

// pace is how long a checked tour waits for what. All but warmUp and afterglow
// are limits.
type pace struct {
	warmUp    time.Duration // nothing may fire
	detection time.Duration // from the fault to its incidents
	recovery  time.Duration // from the end of a fault to health
	afterglow time.Duration // …until what its last events cause has come
}

// steady keeps a whole tour under 90 s. Its warm-up is as long as the shortest
// absence rule needs to cry wolf.
var steady = pace{warmUp: 9 * time.Second, detection: 25 * time.Second, recovery: 15 * time.Second, afterglow: lateness + 1500*time.Millisecond}

// outcome is what became of one fault.
type outcome struct {
	fault    *Fault
	limit    time.Duration           // for the detection
	detected []*correlate.Transition // by Fault.Expect; nil: missing
	after    []time.Duration         // from injection to the transition's arrival
	wrong    []string
}

// once injects every fault in turn and checks what corral makes of it.
func (t *tour) once(ctx context.Context, faults []*Fault) error {
	t.out.say("warming up for %s: nothing may fire", t.pace.warmUp)
	if !pause(ctx, t.pace.warmUp) {
		return context.Cause(ctx)
	}
	wrong := unexpected(t.rec.since(0), nil)
	var outcomes []*outcome
	for _, f := range faults {
		o, err := t.check(ctx, f)
		if err != nil {
			return err
		}
		outcomes = append(outcomes, o)
		wrong = append(wrong, o.wrong...)
	}
	t.out.table(outcomes, t.rec.since(0))
	if len(wrong) == 0 {
		return nil
	}
	for _, w := range wrong {
		t.out.say("unexpected: %s", w)
	}
	return fmt.Errorf("%w: %d findings, the first: %s", ErrUnexpected, len(wrong), wrong[0])
}

// check takes the system from health through one fault back to health.
func (t *tour) check(ctx context.Context, f *Fault) (*outcome, error) {
	mark, start := t.rec.len(), time.Now()
	t.out.inject(f)
	if err := f.Start(ctx); err != nil {
		return nil, err
	}
	o := &outcome{fault: f, limit: t.pace.detection}
	o.await(ctx, t.rec, mark, start)
	f.Stop()
	t.out.stop(f)
	if !t.recover(ctx, f, mark) {
		o.fail("orders are still refused %s after the fault", t.pace.recovery)
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	o.judge(t.rec.since(mark), start)
	return o, nil
}

// await waits until every expected incident opened.
func (o *outcome) await(ctx context.Context, rec *recorder, mark int, start time.Time) {
	ctx, cancel := context.WithTimeout(ctx, o.limit)
	defer cancel()
	o.detected = make([]*correlate.Transition, len(o.fault.Expect))
	o.after = make([]time.Duration, len(o.fault.Expect))
	rec.wait(ctx, mark, func(ts []*correlate.Transition) bool {
		missing := false
		for i, e := range o.fault.Expect {
			if o.detected[i] != nil {
				continue
			}
			if o.detected[i] = e.find(opened(ts)); o.detected[i] == nil {
				missing = true
				continue
			}
			o.after[i] = time.Since(start)
		}
		return !missing
	})
}

// recover waits until orders are accepted again, what resolves at once has
// resolved, and what the fault's last events cause has come. It reports whether
// orders are accepted.
func (t *tour) recover(ctx context.Context, f *Fault, mark int) bool {
	limit, cancel := context.WithTimeout(ctx, t.pace.recovery)
	defer cancel()
	for t.sys.load.inARow.Load() < 20 {
		if !pause(limit, 50*time.Millisecond) {
			return false
		}
	}
	t.rec.wait(limit, mark, func(ts []*correlate.Transition) bool {
		return !slices.ContainsFunc(f.Expect, func(e Expectation) bool { return e.Resolves && !e.resolved(ts) })
	})
	return pause(ctx, t.pace.afterglow)
}

// judge compares what fired with what was to fire.
func (o *outcome) judge(ts []*correlate.Transition, start time.Time) {
	for i, e := range o.fault.Expect {
		tr := o.detected[i]
		if tr == nil {
			o.fail("%s did not open within %s", e, o.limit)
			continue
		}
		if tr.OpenedAt.Before(start) {
			o.fail("%s opened %s before the fault", e, start.Sub(tr.OpenedAt).Round(time.Millisecond))
		}
		if missing := e.missingEvidence(tr); len(missing) > 0 {
			o.fail("%s has no evidence of %v", e, missing)
		}
		if e.Resolves && !e.resolved(ts) {
			o.fail("%s is still open after the fault", e)
		}
	}
	for _, w := range unexpected(ts, o.fault) {
		o.fail("%s", w)
	}
}

func (o *outcome) fail(format string, args ...any) {
	o.wrong = append(o.wrong, o.fault.Name+": "+fmt.Sprintf(format, args...))
}

// unexpected names the incidents that opened and are neither expected nor a
// symptom of the fault; nil is a healthy system.
func unexpected(ts []*correlate.Transition, f *Fault) []string {
	var names []string
	for _, tr := range opened(ts) {
		if f == nil {
			names = append(names, fmt.Sprintf("%s fired without a fault: %s", tr.RuleID, tr.Title))
			continue
		}
		if !f.explains(tr) {
			names = append(names, fmt.Sprintf("%s fired too: %s", tr.RuleID, tr.Title))
		}
	}
	return names
}

func (f *Fault) explains(tr *correlate.Transition) bool {
	return slices.Contains(f.Symptoms, tr.RuleID) ||
		slices.ContainsFunc(f.Expect, func(e Expectation) bool { return e.is(tr) })
}

func (e Expectation) is(tr *correlate.Transition) bool {
	if tr.RuleID != e.Rule {
		return false
	}
	for k, v := range e.Key {
		if tr.Key[k] != v {
			return false
		}
	}
	return true
}

func (e Expectation) find(ts []*correlate.Transition) *correlate.Transition {
	if i := slices.IndexFunc(ts, e.is); i >= 0 {
		return ts[i]
	}
	return nil
}

func (e Expectation) resolved(ts []*correlate.Transition) bool {
	return slices.ContainsFunc(ts, func(tr *correlate.Transition) bool { return e.is(tr) && tr.State == "resolved" })
}

func (e Expectation) missingEvidence(tr *correlate.Transition) []string {
	shown := protocols(tr)
	return slices.DeleteFunc(slices.Clone(e.Evidence), func(p string) bool { return slices.Contains(shown, p) })
}

func (e Expectation) String() string {
	s := e.Rule
	for _, k := range slices.Sorted(maps.Keys(e.Key)) {
		s += " " + k + "=" + e.Key[k]
	}
	return s
}
