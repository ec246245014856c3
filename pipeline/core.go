package pipeline

import (
	"math"
	"sync/atomic"
	"time"

	"corral/correlate"
	"corral/event"
	"corral/ingest"
	"corral/rules"
	"corral/sinks"
)

// Counters of a run. They may be read at any time.
type Counters struct {
	Records, Bytes, Events, Matched atomic.Uint64
	Late, Dead, Skipped             atomic.Uint64
	Transitions, Opened, Resolved   atomic.Uint64
	// MaxEventTime is the latest event time seen, nanoseconds since the epoch, and
	// MinEventTime the earliest; 0: none yet.
	MaxEventTime, MinEventTime atomic.Int64
	Delay                      Delays // of transitions
}

// partition is what the core knows of one part of a source.
type partition struct {
	name  string
	clock int64 // latest time that counts for the watermark; MinInt64: none yet
	// floor: nothing on time comes before it, known before any of it was applied;
	// MinInt64: not known.
	floor int64
	// tick is where the wall clock moved the watermark. It moves only with a batch
	// that says its source holds nothing more: with a backlog, or cut off from its
	// server, a source says no such thing, so what it still has cannot become late.
	tick  int64
	seq   uint64 // of the last record applied
	ended bool
	noting
}

// watermark of the partition: no event before it will be taken.
func (p *partition) watermark(lateness int64) int64 {
	if p.clock == math.MinInt64 {
		return p.tick
	}
	return max(p.clock-lateness, p.tick)
}

// horizon is what the partition lets the engine advance to.
func (p *partition) horizon(lateness int64) int64 {
	return max(p.watermark(lateness), p.floor)
}

// progress is how far the partition has come, for choosing whom to read next.
func (p *partition) progress() int64 { return max(p.clock, p.floor) }

// core applies prepared batches to the engine, in one goroutine.
type core struct {
	eng      *correlate.Engine
	lateness int64
	parts    []partition
	counters *Counters
	emit     func(*correlate.Transition)
	dead     func(sinks.DeadLetter)
	unmet    map[string]unmet                                   // by rule id
	watch    func(ev *event.Event, ms []rules.Match, late bool) // nil: nobody wants to know
}

func newCore(eng *correlate.Engine, parts []ingest.Partition, lateness time.Duration, c *Counters) *core {
	k := &core{eng: eng, lateness: int64(lateness), counters: c, unmet: map[string]unmet{}}
	for _, p := range parts {
		k.parts = append(k.parts, partition{name: p.Name, clock: math.MinInt64, tick: math.MinInt64, floor: math.MinInt64, noting: noting{replay: p.Replay}})
	}
	return k
}

// apply puts a batch into the engine and moves the watermark.
func (k *core) apply(b *prepared) {
	p := &k.parts[b.batch.Partition]
	k.count(b)
	for _, d := range b.dead {
		k.dead(d)
	}
	k.push(p, b)
	if n := len(b.batch.Records); n > 0 {
		p.seq = b.batch.Records[n-1].Seq
	}
	p.comesFrom(b.batch.Origin)
	if b.batch.Pending == 0 && b.arrived != 0 {
		p.ticked(b.arrived-k.lateness, k.lateness)
	}
	p.ended = p.ended || b.batch.End
	k.advance()
}

// stats are the engine's counts by rule, with those of its selections.
func (k *core) stats(set *rules.Set, e correlate.Stats) []RuleStats {
	out := make([]RuleStats, len(e.Rules))
	for i, r := range e.Rules {
		id := set.Rules[i].ID
		u := k.unmet[id]
		r.Errors += u.errors
		out[i] = RuleStats{ID: id, NoKey: u.noKey, RuleStats: r}
	}
	return out
}

func (k *core) count(b *prepared) {
	for _, u := range b.unmet {
		sum := k.unmet[u.rule]
		k.unmet[u.rule] = unmet{u.rule, sum.errors + u.errors, sum.noKey + u.noKey}
	}
	c := k.counters
	c.Records.Add(uint64(len(b.batch.Records)))
	c.Bytes.Add(uint64(b.bytes))
	c.Events.Add(uint64(len(b.times)))
	c.Dead.Add(uint64(len(b.dead)))
	c.Skipped.Add(uint64(b.skipped))
	if len(b.times) == 0 {
		return
	}
	if b.latest > c.MaxEventTime.Load() {
		c.MaxEventTime.Store(b.latest)
	}
	if first := c.MinEventTime.Load(); first == 0 || b.min < first {
		c.MinEventTime.Store(b.min)
	}
}

// push decides for each event in source order whether it is late: older than
// the partition's watermark as it stood when the event came. That depends on the
// partition's own order alone, never on how fast others were read.
func (k *core) push(p *partition, b *prepared) {
	if len(b.times) == 0 {
		return
	}
	var late []bool
	if b.min < max(p.watermark(k.lateness), b.max-k.lateness) { // perhaps
		late = k.findLate(p, b)
	}
	if first := k.firstOnTime(b, late); first != math.MaxInt64 {
		k.eng.Seen(first)
	}
	for i := range b.matched {
		m := &b.matched[i]
		tooLate := late != nil && late[m.n]
		if k.watch != nil {
			k.watch(m.ev, m.matches, tooLate)
		}
		if tooLate {
			continue
		}
		k.counters.Matched.Add(1)
		k.eng.Push(m.ev, m.matches)
	}
	p.clock = max(p.clock, b.max)
}

func (k *core) firstOnTime(b *prepared, late []bool) int64 {
	if late == nil {
		return b.min
	}
	first := int64(math.MaxInt64)
	for i, t := range b.times {
		if !late[i] {
			first = min(first, t)
		}
	}
	return first
}

// findLate walks the batch event by event and sends the late ones to the dead
// letters.
func (k *core) findLate(p *partition, b *prepared) []bool {
	late := make([]bool, len(b.times))
	at, any := *p, false
	for i, t := range b.times {
		if t < at.watermark(k.lateness) {
			late[i], any = true, true
			k.counters.Late.Add(1)
			continue
		}
		at.clock = max(at.clock, b.clock(i))
	}
	if !any {
		return nil
	}
	b.lateLetters(p.name, late, k.dead)
	return late
}

// advance moves the engine to the lowest watermark of the partitions that can
// still deliver.
func (k *core) advance() {
	wm := int64(math.MaxInt64)
	for i := range k.parts {
		if p := &k.parts[i]; !p.ended {
			wm = min(wm, p.horizon(k.lateness))
		}
	}
	if wm != math.MaxInt64 && wm > k.eng.Watermark() {
		k.eng.Advance(wm, k.emit)
	}
}

// behind returns the partition to read next: the one whose clock is lowest, of
// which nothing is known first; -1 when all have ended.
func (k *core) behind() int {
	best := -1
	for i := range k.parts {
		if k.parts[i].ended {
			continue
		}
		if best < 0 || k.parts[i].progress() < k.parts[best].progress() {
			best = i
		}
	}
	return best
}
