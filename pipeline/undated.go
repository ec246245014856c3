package pipeline

import (
	"math"

	"corral/event"
	"corral/ingest"
	"corral/ingest/decode"
)

// undated gives events of files that have no time, and none before them that the
// decoder knows, the time of the next one that has: a banner at the top of a log,
// the first lines of a piece cut out of it. When the file was written, which is all
// that is known of them else, would make everything behind them late.
type undated struct {
	batch  *ingest.Batch
	opt    decode.Options
	near   int64 // time of an event nearby
	known  bool
	looked bool
}

// assumed reports whether the time of ev is nobody's: when its file was written, or
// when standard input was read.
func assumed(ev *event.Event, rec *ingest.Record, opt *decode.Options) bool {
	switch {
	case rec.Observed != 0 || ev.TimeQuality != event.TimeObserved:
		return false
	case rec.Reference == 0 && !opt.Today.IsZero():
		return ev.Time == opt.Today.UnixNano()
	}
	return ev.Time == rec.Reference
}

func (u *undated) date(ev *event.Event, rec *ingest.Record) {
	if !assumed(ev, rec, &u.opt) {
		u.near, u.known = ev.Time, true
		return
	}
	if !u.known && !u.looked {
		u.looked = true
		u.near, u.known = u.first()
	}
	if u.known {
		ev.Time = u.near
	}
}

// first is the time of the first event of the batch that has one.
func (u *undated) first() (at int64, ok bool) {
	dec := decode.New(u.opt)
	for i := range u.batch.Records {
		rec := &u.batch.Records[i]
		dec.Decode(*rec, func(ev *event.Event) {
			if !ok && !assumed(ev, rec, &u.opt) {
				at, ok = ev.Time, true
			}
		}, func(decode.DeadRecord) {})
		if ok {
			break
		}
	}
	return at, ok
}

// never moves no watermark.
const never = math.MinInt64
