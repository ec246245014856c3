package rules

import (
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func at2(t *testing.T, zone, text string) int64 {
	t.Helper()
	loc, err := time.LoadLocation(zone)
	if err != nil {
		t.Fatal(err)
	}
	when, err := time.ParseInLocation("2006-01-02 15:04:05", text, loc)
	if err != nil {
		t.Fatal(err)
	}
	return when.UnixNano()
}

func cron(t *testing.T, zone, text string) *Cron {
	t.Helper()
	loc, err := time.LoadLocation(zone)
	if err != nil {
		t.Fatal(err)
	}
	c, err := ParseCron(text, loc)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestCronNext(t *testing.T) {
	const berlin = "Europe/Berlin"
	tests := []struct{ zone, schedule, after, want string }{
		{"UTC", "0 2 * * *", "2026-01-01 00:00:00", "2026-01-01T02:00:00Z"},
		{"UTC", "0 2 * * *", "2026-01-01 02:00:00", "2026-01-02T02:00:00Z"},
		{"UTC", "*/15 * * * *", "2026-01-01 00:14:59", "2026-01-01T00:15:00Z"},
		{"UTC", "5-10/2 3 * * *", "2026-01-01 03:07:00", "2026-01-01T03:09:00Z"},
		{"UTC", "0 0 29 2 *", "2026-01-01 00:00:00", "2028-02-29T00:00:00Z"},
		{"UTC", "0 0 1 * Mon", "2026-01-02 00:00:00", "2026-01-05T00:00:00Z"}, // either day suffices
		{"UTC", "0 0 * * 7", "2026-01-01 00:00:00", "2026-01-04T00:00:00Z"},   // 7 is Sunday
		{"UTC", "0 9 * jan-mar Mon-Fri", "2026-01-02 09:00:00", "2026-01-05T09:00:00Z"},
		{berlin, "0 2 * * *", "2026-01-01 00:00:00", "2026-01-01T01:00:00Z"},
		// Clocks go from 02:00 to 03:00 on 2026-03-29: 02:30 comes once, at the change.
		{berlin, "30 2 * * *", "2026-03-28 12:00:00", "2026-03-29T01:00:00Z"},
		{berlin, "30 2 * * *", "2026-03-29 03:00:00", "2026-03-30T00:30:00Z"},
		// They go from 03:00 back to 02:00 on 2026-10-25: 02:30 comes once, the first time.
		{berlin, "30 2 * * *", "2026-10-24 12:00:00", "2026-10-25T00:30:00Z"},
		{berlin, "0 3 * * *", "2026-10-25 00:00:00", "2026-10-25T02:00:00Z"},
		{"America/New_York", "30 1 * * *", "2026-10-31 12:00:00", "2026-11-01T05:30:00Z"},
		// Lord Howe moves by half an hour: 02:00 to 02:30 on 2026-10-04.
		{"Australia/Lord_Howe", "15 2 * * *", "2026-10-03 12:00:00", "2026-10-03T15:30:00Z"},
		// Samoa had no 30 December 2011.
		{"Pacific/Apia", "0 12 30 * *", "2011-12-01 00:00:00", "2011-12-30T10:00:00Z"},
	}
	for _, tt := range tests {
		c := cron(t, tt.zone, tt.schedule)
		got := time.Unix(0, c.Next(at2(t, tt.zone, tt.after))).UTC().Format(time.RFC3339)
		if got != tt.want {
			t.Errorf("%s in %s after %s: got %s, want %s", tt.schedule, tt.zone, tt.after, got, tt.want)
		}
	}
}

// The night the clock is set back must not bring 02:30 twice.
func TestCronRunsOnceOnTheLongNight(t *testing.T) {
	c := cron(t, "Europe/Berlin", "30 2 * * *")
	first := c.Next(at2(t, "Europe/Berlin", "2026-10-24 12:00:00"))
	second := c.Next(first)
	if d := time.Duration(second - first); d != 25*time.Hour {
		t.Errorf("the next one is %s later", d)
	}
}

func TestCronErrors(t *testing.T) {
	for text, want := range map[string]string{
		"0 2 * *":     "a schedule has 5 fields (minute hour day month weekday), this has 4",
		"60 * * * *":  `minute "60": "60" is not 0–59`,
		"0 5-2 * * *": `hour "5-2": "5-2" runs backwards`,
		"*/0 * * * *": `minute "*/0": bad step "0"`,
		"0 0 31 2 *":  `"0 0 31 2 *" never comes`,
		"0 0 * foo *": `month "foo": "foo" is not 1–12`,
		"0 0 * * ,":   `day of week ",": "" is not 0–7`,
	} {
		if _, err := ParseCron(text, time.UTC); err == nil || err.Error() != want {
			t.Errorf("%q: got %v, want %s", text, err, want)
		}
	}
}

// Next must be strictly later, on a minute that the fields name, and skip nothing:
// a walk over all minutes finds the same.
func TestCronAgreesWithAWalkOverMinutes(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		pick := func(name string, options ...string) string { return rapid.SampledFrom(options).Draw(rt, name) }
		text := pick("minute", "0", "30", "*/20", "5,50") + " " + pick("hour", "2", "*", "1-3", "0,23") + " " +
			pick("day", "*", "1", "29", "25-31") + " * " + pick("weekday", "*", "Sun", "Mon-Fri")
		zone := pick("zone", "UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe")
		loc, err := time.LoadLocation(zone)
		if err != nil {
			rt.Fatal(err)
		}
		c, err := ParseCron(text, loc)
		if err != nil {
			rt.Fatal(err)
		}
		from := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(rapid.IntRange(0, 400*24*60).Draw(rt, "minutes")) * time.Minute)
		got := c.Next(from.UnixNano())
		if want := walk(c, from); want < math.MaxInt64 && got != want {
			rt.Errorf("%s in %s after %s: got %s, want %s", text, zone, from, time.Unix(0, got).In(loc), time.Unix(0, want).In(loc))
		}
	})
}

// walk looks at every minute of the clock on the wall for 40 days.
func walk(c *Cron, from time.Time) int64 {
	best := int64(math.MaxInt64)
	day := from.In(c.loc)
	for d := -1; d < 40; d++ {
		y, m, dd := day.Date()
		date := time.Date(y, m, dd+d, 12, 0, 0, 0, time.UTC)
		if !c.on(date) {
			continue
		}
		for minute := range 24 * 60 {
			if c.hour&(1<<(minute/60)) == 0 || c.minute&(1<<(minute%60)) == 0 {
				continue
			}
			if at := wallMinute(date, minute, c.loc); at > from.UnixNano() {
				best = min(best, at)
			}
		}
		if best < math.MaxInt64 && d > 1 {
			return best
		}
	}
	return best
}

// wallMinute finds the first instant of the date at which clocks show the minute,
// or have passed it, by looking at all of them.
func wallMinute(date time.Time, minute int, loc *time.Location) int64 {
	start := time.Date(date.Year(), date.Month(), date.Day()-1, 12, 0, 0, 0, time.UTC)
	want := date.Format("2006-01-02") + time.Unix(int64(minute)*60, 0).UTC().Format(" 15:04")
	for t := start; ; t = t.Add(time.Minute) {
		if t.In(loc).Format("2006-01-02 15:04") >= want {
			return t.UnixNano()
		}
	}
}

func TestScheduleActive(t *testing.T) {
	tests := []struct {
		schedule, zone, at string
		want               bool
	}{
		{"Mon-Fri 08:00-18:00", "Europe/Berlin", "2026-01-05 08:00:00", true},
		{"Mon-Fri 08:00-18:00", "Europe/Berlin", "2026-01-05 07:59:59", false},
		{"Mon-Fri 08:00-18:00", "Europe/Berlin", "2026-01-05 18:00:00", false},
		{"Mon-Fri 08:00-18:00", "Europe/Berlin", "2026-01-04 12:00:00", false},
		{"Sat,Sun", "UTC", "2026-01-04 23:59:59", true},
		{"Fri-Mon", "UTC", "2026-01-04 12:00:00", true},
		{"Fri-Mon", "UTC", "2026-01-06 12:00:00", false},
		{"22:00-06:00", "UTC", "2026-01-06 05:59:59", true},
		{"22:00-06:00", "UTC", "2026-01-06 06:00:00", false},
		{"Fri 22:00-06:00", "UTC", "2026-01-03 05:00:00", true}, // Saturday morning, of Friday's night
		{"Fri 22:00-06:00", "UTC", "2026-01-02 05:00:00", false},
		{"Mon 09:00-12:00,13:00-17:00", "UTC", "2026-01-05 12:30:00", false},
		{"Mon 09:00-12:00,13:00-17:00", "UTC", "2026-01-05 13:00:00", true},
		{"Mon 08:00-09:00; Tuesday 10:00-24:00", "UTC", "2026-01-06 23:59:59", true},
	}
	for _, tt := range tests {
		loc, err := time.LoadLocation(tt.zone)
		if err != nil {
			t.Fatal(err)
		}
		s, err := ParseSchedule(tt.schedule, loc)
		if err != nil {
			t.Fatal(err)
		}
		if got := s.Active(at2(t, tt.zone, tt.at)); got != tt.want {
			t.Errorf("%q at %s: got %v", tt.schedule, tt.at, got)
		}
	}
}

func TestDurations(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"90s": 90 * time.Second, "1h30m": 90 * time.Minute, "7d": 7 * 24 * time.Hour, "2w": 14 * 24 * time.Hour, "0": 0, "0s": 0,
		"1.5h": 90 * time.Minute, "250ms": 250 * time.Millisecond, "1d12h": 36 * time.Hour, "-5m": -5 * time.Minute, "3us": 3000, "3µs": 3000, "7ns": 7,
	} {
		if got, err := ParseDuration(text); err != nil || got != want {
			t.Errorf("%s: got %s, %v; want %s", text, got, err, want)
		}
	}
	for _, text := range []string{"", "5", "5 m", "m5", "5x", "1h 5m", "--5m", "5m5", "999999999999w", "1..5h", "٣m"} {
		if got, err := ParseDuration(text); err == nil {
			t.Errorf("%q: got %s, want an error", text, got)
		}
	}
}

func TestDurationsReadBack(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		d := time.Duration(rapid.Int64Range(0, 1<<55).Draw(rt, "d"))
		got, err := ParseDuration(FormatDuration(d))
		if err != nil || got != d {
			rt.Errorf("%d: %s reads as %d, %v", d, FormatDuration(d), got, err)
		}
	})
}
