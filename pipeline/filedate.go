package pipeline

import (
	"bytes"
	"math"
	"time"

	"corral/event"
	"corral/ingest"
	"corral/ingest/decode"
)

// fileDate knows whether the date of a file, when it was written last, is one. No
// event of it should be more than a day later: that is a clock gone wrong, and
// would make everything behind it late. But a file whose first events are all so
// was copied, unpacked or touched, and its date says nothing of its events.
type fileDate struct {
	opt          decode.Options
	asked, wrong bool
}

// check takes a wrong date away from a piece of the file. The first piece decides.
func (f *fileDate) check(b *ingest.Batch) {
	for i := range b.Records {
		rec := &b.Records[i]
		if rec.Observed != 0 || rec.Reference == 0 {
			return
		}
		if !f.asked {
			f.asked, f.wrong = true, f.begins(*rec) > rec.Reference+int64(24*time.Hour)
		}
		if f.wrong {
			rec.Reference = 0
		}
	}
}

// begins is the earliest time that the first events of a piece say.
func (f *fileDate) begins(rec ingest.Record) int64 {
	const enough = 16 << 10
	if len(rec.Data) > enough {
		rec.Data = rec.Data[:max(enough, bytes.IndexByte(rec.Data[enough:], '\n')+enough+1)]
	}
	rec.Reference, f.opt.Today = 0, time.Time{}
	at := int64(math.MaxInt64)
	decode.New(f.opt).Decode(rec, func(ev *event.Event) {
		if ev.TimeQuality != event.TimeObserved {
			at = min(at, ev.Time)
		}
	}, func(decode.DeadRecord) {})
	if at == math.MaxInt64 {
		return math.MinInt64
	}
	return at
}
