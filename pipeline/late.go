package pipeline

import (
	"corral/event"
	"corral/ingest/decode"
	"corral/sinks"
)

// lateLetters decodes the batch once more to give every late event to dead as
// the record it came as. Late events are rare, so nothing keeps records for them.
func (b *prepared) lateLetters(partition string, late []bool, dead func(sinks.DeadLetter)) {
	n := 0
	dec := decode.New(b.opt)
	u := undated{batch: &b.batch, opt: b.opt}
	for i := range b.batch.Records {
		rec := &b.batch.Records[i]
		dec.Decode(*rec, func(ev *event.Event) {
			u.date(ev, rec)
			if !b.rng.holds(ev.Time) {
				return
			}
			if late[n] {
				l := sinks.DeadLetter{
					Reason: "late", Source: partition, Subject: rec.Subject,
					Seq: ev.Pos.Seq, Sub: ev.Pos.Sub, Time: stamp(ev.Time), Observed: stamp(rec.Observed),
				}
				l.SetRecord([]byte(ev.Raw))
				dead(l)
			}
			n++
		}, func(decode.DeadRecord) {})
	}
}
