// Package pipeline is the one path from records to sinks that both drivers use:
// batches are decoded and matched on several goroutines, take effect on the
// engine in order on one, and their transitions go to the sinks. Stream and
// Batch differ only in where batches come from and who moves the clock.
package pipeline

import (
	"math"
	"slices"
	"strings"
	"time"

	"corral/event"
	"corral/ingest"
	"corral/ingest/decode"
	"corral/rules"
	"corral/sinks"
)

// Range limits the events of a run by their time; zero values do not limit.
type Range struct {
	From, To int64 // nanoseconds since the epoch, both inside
}

func (r Range) holds(t int64) bool {
	return (r.From == 0 || t >= r.From) && (r.To == 0 || t <= r.To)
}

// matched is an event that met at least one rule.
type matched struct {
	n       int // number of the event in its batch
	ev      *event.Event
	matches []rules.Match
}

// prepared is a batch after decoding and matching, which need no state.
type prepared struct {
	batch   ingest.Batch
	arrived int64   // wall clock when a live source handed it over, else 0
	times   []int64 // of every event in the range, in order
	clocks  []int64 // what each may move the watermark to, nil: the same as times
	min     int64   // of times
	max     int64   // of clocks
	latest  int64   // of times
	reach   int64   // of the clocks of all events, those outside the range too
	matched []matched
	dead    []sinks.DeadLetter
	bytes   int
	skipped int // outside the range
	unmet   []unmet
	opt     decode.Options
	rng     Range
}

// unmet counts the events of a batch on which a rule's selection failed, and those
// that met it but had no key.
type unmet struct {
	rule          string
	errors, noKey uint64
}

// preparer decodes and matches. One per goroutine.
type preparer struct {
	rules     []*rules.Rule
	dec       *decode.Decoder
	opt       decode.Options
	matcher   *rules.Matcher
	partition string
	rng       Range
	shift     int64 // added to event times: recordings replayed at another time
	buf       []rules.Match
	out       *prepared
	others    []*preparer // match what this one decodes
	follows   bool        // it is one of them

	rec     *ingest.Record // being decoded
	undated undated
	// decoded and unreadable, made once: closures for each record would be two
	// allocations for each message.
	emit func(*event.Event)
	dead func(decode.DeadRecord)
}

func newPreparer(set *rules.Set, opt decode.Options, rng Range) *preparer {
	opt.AttrPaths = set.AttrPaths
	p := &preparer{rules: set.Rules, dec: decode.New(opt), opt: opt, matcher: set.Matcher(), rng: rng}
	p.emit, p.dead = p.decoded, p.unreadable
	return p
}

// newPreparers makes one for each set. Sets that read the same attributes share
// the decoding, which costs more than matching does.
func newPreparers(sets []*rules.Set, opt decode.Options, rng Range) []*preparer {
	var all []*preparer
	for _, set := range sets {
		p := newPreparer(set, opt, rng)
		i := slices.IndexFunc(all, func(q *preparer) bool { return slices.Equal(q.opt.AttrPaths, p.opt.AttrPaths) })
		if i >= 0 && !all[i].follows {
			p.follows = true
			all[i].others = append(all[i].others, p)
		}
		all = append(all, p)
	}
	return all
}

// prepareAll prepares a batch for each of newPreparers.
func prepareAll(ps []*preparer, b ingest.Batch, partition string) []*prepared {
	outs := make([]*prepared, len(ps))
	for i, p := range ps {
		p.out = newPrepared(p, b)
		outs[i] = p.out
	}
	for _, p := range ps {
		if !p.follows {
			p.decode(b, partition)
		}
	}
	for _, p := range ps {
		p.out.unmet = p.takeUnmet()
		p.out = nil
	}
	return outs
}

// takeUnmet takes what the matcher has counted since it was last asked.
func (p *preparer) takeUnmet() (all []unmet) {
	m := p.matcher
	for i, r := range p.rules {
		if m.Errors[i]+m.NoKey[i] > 0 {
			all = append(all, unmet{r.ID, m.Errors[i], m.NoKey[i]})
			m.Errors[i], m.NoKey[i] = 0, 0
		}
	}
	return all
}

func newPrepared(p *preparer, b ingest.Batch) *prepared {
	times := make([]int64, 0, len(b.Records)) // of messages with one event each: most
	return &prepared{batch: b, times: times, opt: p.opt, rng: p.rng, min: math.MaxInt64, max: math.MinInt64, latest: math.MinInt64, reach: math.MinInt64}
}

// prepare never fails: what cannot be read is in dead.
func (p *preparer) prepare(b ingest.Batch, partition string) *prepared {
	return prepareAll([]*preparer{p}, b, partition)[0]
}

func (p *preparer) decode(b ingest.Batch, partition string) {
	p.partition = partition
	p.undated = undated{batch: &b, opt: p.opt}
	for i := range b.Records {
		p.rec = &b.Records[i]
		p.dec.Decode(*p.rec, p.emit, p.dead)
		p.out.bytes += len(p.rec.Data)
	}
	p.rec, p.undated = nil, undated{}
}

func (p *preparer) decoded(ev *event.Event) {
	p.undated.date(ev, p.rec)
	ev.Time += p.shift
	p.event(ev, p.rec)
	for _, q := range p.others {
		q.event(ev, p.rec)
	}
}

func (p *preparer) unreadable(d decode.DeadRecord) {
	p.out.dead = append(p.out.dead, deadLetter(d, p.rec, p.partition))
}

func (p *preparer) event(ev *event.Event, rec *ingest.Record) {
	p.out.reach = max(p.out.reach, clockOf(ev, rec, &p.opt))
	if !p.rng.holds(ev.Time) {
		p.out.skipped++
		return
	}
	ev.Pos.Partition = uint32(p.out.batch.Partition)
	p.out.note(ev, rec)
	p.buf = p.matcher.Match(ev, p.buf[:0])
	if len(p.buf) > 0 {
		p.out.keep(ev, p.buf)
	}
}

// clockOf is what an event may move the watermark to: a sender whose clock runs
// ahead of the arrival must not push it past everybody else, nor may a time that
// is nobody's.
func clockOf(ev *event.Event, rec *ingest.Record, opt *decode.Options) int64 {
	switch {
	case rec.Observed > 0:
		return min(ev.Time, rec.Observed)
	case assumed(ev, rec, opt):
		return never
	}
	return ev.Time
}

// note records the event's time.
func (out *prepared) note(ev *event.Event, rec *ingest.Record) {
	clock := clockOf(ev, rec, &out.opt)
	if out.clocks == nil && clock != ev.Time {
		out.clocks = append(make([]int64, 0, len(out.times)+1), out.times...)
	}
	out.times = append(out.times, ev.Time)
	if out.clocks != nil {
		out.clocks = append(out.clocks, clock)
	}
	out.min = min(out.min, ev.Time)
	out.latest = max(out.latest, ev.Time)
	out.max = max(out.max, clock)
}

func (out *prepared) clock(i int) int64 {
	if out.clocks == nil {
		return out.times[i]
	}
	return out.clocks[i]
}

// keep copies an event and what it met out of the record's buffer.
func (out *prepared) keep(ev *event.Event, ms []rules.Match) {
	own := make([]rules.Match, len(ms))
	copy(own, ms)
	for i := range own {
		own[i].Key = strings.Clone(own[i].Key)
		if len(own[i].Args) > 0 {
			own[i].Args = append([]event.Value(nil), own[i].Args...)
			for j := range own[i].Args {
				own[i].Args[j].Str = strings.Clone(own[i].Args[j].Str)
			}
		}
	}
	out.matched = append(out.matched, matched{n: len(out.times) - 1, ev: ev.Clone(), matches: own})
}

func deadLetter(d decode.DeadRecord, rec *ingest.Record, partition string) sinks.DeadLetter {
	l := sinks.DeadLetter{
		Reason: d.Reason, Error: d.Error, Source: partition,
		Subject: rec.Subject, Seq: d.Seq, Sub: d.Sub, Observed: stamp(rec.Observed),
	}
	l.SetRecord(d.Data)
	return l
}

func stamp(ns int64) string {
	if ns == 0 {
		return ""
	}
	return time.Unix(0, ns).UTC().Format(time.RFC3339Nano)
}
