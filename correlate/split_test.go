package correlate

import (
	"testing"
	"time"

	"corral/rules"
)

// TestLocalDays: windows aligned to local midnight hold what is in them and lie
// side by side, on days of 23 and 25 hours too, where clocks skip or repeat
// midnight, and where a whole day is missing.
func TestLocalDays(t *testing.T) {
	for _, tt := range []struct {
		zone, around string
		hours        int // of the day that holds `around`
	}{
		{"Europe/Berlin", "2026-03-29T12:00:00Z", 23},
		{"Europe/Berlin", "2026-10-25T12:00:00Z", 25},
		{"Africa/Cairo", "2026-04-24T12:00:00Z", 23},   // 00:00 → 01:00
		{"Africa/Cairo", "2026-10-29T12:00:00Z", 25},   // 24:00 → 23:00
		{"America/Havana", "2026-03-08T12:00:00Z", 23}, // 00:00 → 01:00
		{"America/Havana", "2026-11-01T12:00:00Z", 25}, // 01:00 → 00:00
		{"America/Santiago", "2026-09-06T12:00:00Z", 23},
		{"Pacific/Apia", "2011-12-31T00:00:00Z", 24}, // the day before was left out
	} {
		loc, err := time.LoadLocation(tt.zone)
		if err != nil {
			t.Fatal(err)
		}
		around, err := time.Parse(time.RFC3339, tt.around)
		if err != nil {
			t.Fatal(err)
		}
		day := &rules.Threshold{Window: rules.Tumbling, Size: 24 * time.Hour, Location: loc}
		if start, end := bucket(day, around.UnixNano()); end-start != int64(time.Duration(tt.hours)*time.Hour) {
			t.Errorf("%s: the day of %s is from %v to %v", tt.zone, tt.around, utc(start), utc(end))
		}
		for _, size := range []time.Duration{24 * time.Hour, 72 * time.Hour, 6 * time.Hour, 5 * time.Hour, 10 * time.Minute} {
			th := &rules.Threshold{Window: rules.Tumbling, Size: size, Location: loc}
			begin := around.Add(-80 * time.Hour).UnixNano()
			for now, stop := begin, around.Add(80*time.Hour).UnixNano(); now < stop; {
				start, end := bucket(th, now)
				again, same := bucket(th, end-1)
				if start > now || end <= now || again != start || same != end || (now > begin && start != now) {
					t.Fatalf("%s, %v: %v is in [%v, %v), and its end in [%v, %v)", tt.zone, size, utc(now), utc(start), utc(end), utc(again), utc(same))
				}
				now = end
			}
		}
	}
}

// TestADayThatIsThereTwice: clocks that go back over midnight do not stop time.
func TestADayThatIsThereTwice(t *testing.T) {
	loc, err := time.LoadLocation("America/St_Johns")
	if err != nil {
		t.Fatal(err)
	}
	begin := time.Date(2008, 11, 1, 0, 0, 0, 0, time.UTC).UnixNano() // 00:01 → 23:01 the day after
	for _, size := range []time.Duration{24 * time.Hour, 48 * time.Hour, time.Hour} {
		th := &rules.Threshold{Window: rules.Tumbling, Size: size, Location: loc}
		for now := begin; now < begin+int64(72*time.Hour); now += int64(30 * time.Second) {
			if start, end := bucket(th, now); start > now || end <= now {
				t.Fatalf("%v: %v is in [%v, %v)", size, utc(now), utc(start), utc(end))
			}
		}
	}
}
