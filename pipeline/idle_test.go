package pipeline

import (
	"testing"
	"time"

	"corral/ingest"
)

// TestIdleBatchKeptWaiting: a source found nothing more at noon and 2 s, and could
// say so only at noon and 10 s. What was stored meanwhile is not late for that.
func TestIdleBatchKeptWaiting(t *testing.T) {
	at := func(d time.Duration) time.Time { return noon.Add(d) }
	steps := []scripted{
		{at(0), ingest.Batch{Records: []ingest.Record{record(1, 0, "a")}, At: at(0).UnixNano()}},
		{at(10 * time.Second), ingest.Batch{At: at(2 * time.Second).UnixNano()}},
		{at(10 * time.Second), ingest.Batch{At: at(2 * time.Second).UnixNano(), Records: []ingest.Record{
			record(2, 999*time.Millisecond, "a"), // late: the watermark is at 1 s
			record(3, 3*time.Second, "a"), record(4, 4*time.Second, "a"),
		}}},
		{at(3 * time.Minute), ingest.Batch{}},
	}
	said, letters, err := life(t, nil, steps, func(s *Stream) bool { return s.Counters.Resolved.Load() == 1 })
	if err != nil {
		t.Fatal(err)
	}
	if len(letters) != 1 || letters[0].Seq != 2 {
		t.Errorf("dead letters: %+v", letters)
	}
	if len(said) != 2 || said[0].EventCount != 3 {
		t.Errorf("want one incident of 3 events, got %+v", said)
	}
}
