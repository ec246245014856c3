package oracle

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"slices"
	"time"

	"corral/correlate"
	"corral/rules"
)

const (
	flapOpens  = 4
	flapWindow = int64(time.Hour)
	memory     = int64(30 * 24 * time.Hour) // of earlier episodes
)

// life is the incident of a key: none, pending, open, and none again.
type life struct {
	holds    bool  // the condition, now
	lastTrue int64 // while !holds: the last instant at which it did

	pending   *verdict // holds since pending.at, shorter than `for`
	began     int      // key.done[began:] came since
	swallowed *verdict // fired while suppressed and holds still
	suppress  int64    // no new incident up to and at this instant
	quiet     bool     // there was a suppress time at all

	open    *incident
	last    *incident // the latest, open or not
	wipe    bool      // there was a firing that clears the state when this event or these timers are done
	cause   string    // of the revision to be made when this event or these timers are done
	opens   []int64   // opened_at of every episode
	flapped bool      // the last episode was flapping

	out   []*rev
	steps []step
}

// verdict is what a kind finds at one instant.
type verdict struct {
	at      int64
	holds   bool
	instant bool   // holds at this instant only
	enters  bool   // an event is what is being judged, not a timer
	first   *entry // the earliest event that belongs to it
	began   int64  // where there is none: since when
	cause   string
	env     *rules.Env
}

// incident is an open one.
type incident struct {
	id, previousID           string
	rotatedFrom              *incident
	ended                    int64 // once resolved
	started, opened, changed int64
	origin                   int64 // when it started before any rotation
	counts                   int   // entries of key.done from here on may count
	severity                 rules.Severity
	now                      rules.Severity
	firings, relapses, revs  int
	flapping, flapStart      bool
	keep                     int64
}

// rev is a transition before it is settled who hears of it.
type rev struct {
	correlate.Transition
	in        *incident
	rule      *rules.Rule
	severity  bool // severity went up
	rotated   bool // opened by rotation
	flapStart bool
}

// judge takes in what the kind found.
func (k *key) judge(v verdict) {
	rises := v.holds && !k.holds
	if k.holds && !v.holds {
		k.falls(v.at)
	}
	k.holds = v.holds
	if !v.holds {
		return
	}
	fires := rises || k.rule.Refire == rules.Level && v.enters
	switch {
	case k.open != nil:
		k.goesOn(v, rises, fires && k.rule.Refire != rules.Edge)
	case rises && k.rule.For > 0:
		k.begins()
		k.pending = &v
	case k.pending == nil && fires:
		k.fire(v)
	}
	if v.instant && k.holds {
		k.falls(v.at)
	}
}

func (k *key) falls(t int64) {
	k.holds, k.lastTrue = false, t
	k.pending, k.swallowed = nil, nil
}

// goesOn is a condition that holds while the incident is open.
func (k *key) goesOn(v verdict, rises, fires bool) {
	in := k.open
	if rises {
		in.relapses++
	}
	if fires {
		in.firings++
	}
	k.weigh(v)
	if fires && k.cause == "" {
		k.cause = "firing"
	}
	k.wipe = k.wipe || fires && k.rule.Refire == rules.Reset
}

// weigh looks at the severity of an open incident.
func (k *key) weigh(v verdict) {
	in := k.open
	in.now = k.ladder(v.env, in.now)
	if in.now > in.severity && in.revs > 0 { // else what opens it tells of this
		k.cause = "severity"
	}
	in.severity = max(in.severity, in.now)
}

// fire opens an incident, unless that is suppressed.
func (k *key) fire(v verdict) {
	if k.suppressed(v.at) {
		if k.swallowed == nil {
			k.begins()
			k.swallowed = &v
		}
	} else {
		k.begin(v)
	}
	k.wipe = k.rule.Refire == rules.Reset
}

// suppressed: up to and at the instant, but a timer at it comes after it.
func (k *key) suppressed(t int64) bool {
	return k.quiet && t <= k.suppress && k.ticks < k.suppress
}

func (k *key) reset(t int64) {
	k.wipe = false
	k.from = len(k.done)
	k.kind.reset(k, t)
	if k.holds {
		k.falls(t)
	}
}

// begins notes that what happens from now on belongs to an episode.
func (k *key) begins() {
	if !k.begun() {
		k.began = len(k.done)
		if k.now != nil {
			k.began--
		}
	}
}

func (k *key) begin(v verdict) {
	k.begins()
	in := &incident{started: v.began, opened: v.at, counts: len(k.done), firings: 1, keep: int64(k.rule.KeepFiringFor)}
	if v.first != nil {
		in.started, in.counts = v.first.time(), slices.Index(k.done, v.first)
	}
	in.origin = in.started
	in.severity = k.ladder(v.env, rules.Warning)
	in.now = in.severity
	k.opens = append(k.opens, v.at)
	var recent int
	for _, t := range k.opens {
		if t >= v.at-flapWindow {
			recent++
		}
	}
	in.flapping = recent >= flapOpens
	in.flapStart = in.flapping && !k.flapped
	k.flapped = in.flapping
	k.open, k.last, k.swallowed = in, in, nil
	k.cause = v.cause
	if k.cause == "" {
		k.cause = "condition"
	}
}

// tell makes the revision that is due.
func (k *key) tell(t int64) {
	if k.open == nil || k.cause == "" {
		return
	}
	r := k.emit("open", k.cause, t)
	r.severity = k.cause == "severity"
	r.flapStart = k.open.flapStart
	k.cause = ""
}

func (k *key) resolve(t int64, cause string) {
	k.tell(t)
	k.emit("resolved", cause, t)
	k.open.ended = t
	k.open = nil
	if s := int64(k.rule.Suppress); s > 0 {
		k.quiet, k.suppress = true, t+s
	}
}

// grow says that an open incident is still growing.
func (k *key) grow(t int64) {
	if k.rule.Kind != rules.AbsenceKind && t-k.open.changed >= int64(k.rule.UpdateEvery) {
		k.cause = "growth"
	}
}

// due are the instants at which the incident changes by itself.
func (k *key) due() []int64 {
	var due []int64
	if k.pending != nil {
		due = append(due, k.pending.at+int64(k.rule.For))
	}
	if k.swallowed != nil {
		due = append(due, k.suppress)
	}
	if k.open != nil && !k.holds {
		due = append(due, k.lastTrue+k.open.keep)
	}
	if k.open != nil && k.rule.ResolveMax > 0 {
		due = append(due, k.open.opened+int64(k.rule.ResolveMax))
	}
	return due
}

func (k *key) openDue(t int64) {
	if p := k.pending; p != nil && t == p.at+int64(k.rule.For) {
		v := k.since(p, t)
		began := k.began
		k.pending = nil
		k.fire(v)
		k.began = began
	}
	if s := k.swallowed; s != nil && t == k.suppress {
		k.begin(k.since(s, t))
	}
}

// since is a verdict of old that holds still at t: what began then, seen as it is now.
func (k *key) since(old *verdict, t int64) verdict {
	v := *old
	v.at, v.enters, v.env = t, false, k.kind.view(k, t)
	return v
}

func (k *key) resolveDue(t int64) {
	if k.open != nil && !k.holds && k.lastTrue+k.open.keep <= t {
		k.resolve(t, "quiet")
	}
}

// rotateDue ends an incident that is too old and goes on with a new one.
func (k *key) rotateDue(t int64) {
	if k.open == nil || k.rule.ResolveMax == 0 || t < k.open.opened+int64(k.rule.ResolveMax) {
		return
	}
	old := k.open
	k.emit("resolved", "rotated", t)
	in := *old
	in.started, in.opened, in.counts = t, t, len(k.done)
	in.firings, in.relapses, in.revs = 1, 0, 0
	in.rotatedFrom, old.ended = old, t
	k.open, k.last = &in, &in
	k.emit("open", "rotated", t).rotated = true
}

// ladder is the severity now: the first step that holds.
func (k *key) ladder(env *rules.Env, otherwise rules.Severity) rules.Severity {
	for _, step := range k.rule.Severity {
		if step.When == nil {
			return step.Is
		}
		if ok, _ := step.When.Bool(env); ok {
			return step.Is
		}
	}
	return otherwise
}

// emit appends the incident as it is at t.
func (k *key) emit(state, cause string, t int64) *rev {
	in := k.open
	in.revs++
	in.changed = t
	r := &rev{rule: k.rule, in: in}
	r.Transition = correlate.Transition{
		Rev: in.revs, Fingerprint: fingerprint(k.rule, k.values),
		State: state, Cause: cause,
		Severity: in.severity.String(), SeverityNow: in.now.String(),
		RuleID: k.rule.ID, Key: named(k.rule, k.values),
		StartedAt: utc(in.started), OpenedAt: utc(in.opened), ChangedAt: utc(t),
		LastEventAt: utc(in.origin),
		EventCount:  k.countSince(in),
		Firings:     in.firings, Relapses: in.relapses,
		Flapping: in.flapping,
	}
	if e := k.latest(); e != nil && e.time() > in.origin {
		r.LastEventAt = utc(e.time())
	}
	if state == "resolved" {
		at := utc(t)
		r.ResolvedAt = &at
	}
	k.out = append(k.out, r)
	return r
}

func (k *key) countSince(in *incident) int {
	var n int
	for _, e := range k.done[in.counts:] {
		if e.selected() {
			n++
		}
	}
	return n
}

func utc(t int64) time.Time { return time.Unix(0, t).UTC() }

func named(r *rules.Rule, values []string) map[string]string {
	key := map[string]string{}
	for i, name := range r.KeyNames {
		key[name] = values[i]
	}
	return key
}

func fingerprint(r *rules.Rule, values []string) string {
	var text []byte
	write := func(s string) {
		text = binary.BigEndian.AppendUint64(text, uint64(len(s)))
		text = append(text, s...)
	}
	write(r.ID)
	for i := range values {
		write(r.KeyNames[i])
		write(values[i])
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:16])
}

func crockford(n int64) string {
	const digits = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
	out := make([]byte, 13)
	for i := 12; i >= 0; i-- {
		out[i] = digits[n%32]
		n /= 32
	}
	return string(out)
}
