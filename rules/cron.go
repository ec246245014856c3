package rules

import (
	"fmt"
	"math"
	"math/bits"
	"strconv"
	"strings"
	"time"
)

// Cron is a five-field schedule (minute, hour, day of month, month, day of week)
// in a time zone. A local time that a clock change skips counts once, at the
// change; one that it repeats counts once, at its first occurrence. Where both
// days are restricted either suffices, as in cron.
type Cron struct {
	text                     string
	loc                      *time.Location
	minute, hour             uint64
	day, month, weekday      uint64
	dayRestricted, wdayAsked bool
}

var cronFields = []struct {
	name     string
	min, max int
	names    []string
}{
	{"minute", 0, 59, nil},
	{"hour", 0, 23, nil},
	{"day of month", 1, 31, nil},
	{"month", 1, 12, []string{"jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"}},
	{"day of week", 0, 7, []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}},
}

// ParseCron reads a schedule such as "0 2 * * Mon-Fri".
func ParseCron(text string, loc *time.Location) (*Cron, error) {
	fields := strings.Fields(text)
	if len(fields) != len(cronFields) {
		return nil, fmt.Errorf("a schedule has 5 fields (minute hour day month weekday), this has %d", len(fields))
	}
	var sets [5]uint64
	for i, f := range fields {
		set, err := parseCronField(f, i)
		if err != nil {
			return nil, err
		}
		sets[i] = set
	}
	if sets[4]&(1<<7) != 0 { // 7 is Sunday too
		sets[4] = sets[4]&^(1<<7) | 1
	}
	c := &Cron{
		text: strings.Join(fields, " "), loc: loc,
		minute: sets[0], hour: sets[1], day: sets[2], month: sets[3], weekday: sets[4],
		dayRestricted: !strings.HasPrefix(fields[2], "*"), wdayAsked: !strings.HasPrefix(fields[4], "*"),
	}
	if c.Next(0) == math.MaxInt64 {
		return nil, fmt.Errorf("%q never comes", text)
	}
	return c, nil
}

// Text is the schedule as written.
func (c *Cron) Text() string { return c.text }

func parseCronField(text string, field int) (uint64, error) {
	var set uint64
	for part := range strings.SplitSeq(text, ",") {
		s, err := parseCronPart(part, field)
		if err != nil {
			return 0, fmt.Errorf("%s %q: %w", cronFields[field].name, text, err)
		}
		set |= s
	}
	return set, nil
}

// parseCronPart reads *, n, a-b and a step of those.
func parseCronPart(part string, field int) (uint64, error) {
	f := cronFields[field]
	span, stepText, stepped := strings.Cut(part, "/")
	from, to := f.min, f.max
	if field == 4 {
		to = 6
	}
	if span != "*" {
		a, b, ranged := strings.Cut(span, "-")
		var err error
		if from, err = cronNumber(a, field); err != nil {
			return 0, err
		}
		switch {
		case ranged:
			if to, err = cronNumber(b, field); err != nil {
				return 0, err
			}
		case !stepped:
			to = from
		}
	}
	step := 1
	if stepped {
		n, err := strconv.Atoi(stepText)
		if err != nil || n < 1 || n > f.max {
			return 0, fmt.Errorf("bad step %q", stepText)
		}
		step = n
	}
	if from > to {
		return 0, fmt.Errorf("%q runs backwards", span)
	}
	var set uint64
	for i := from; i <= to; i += step {
		set |= 1 << i
	}
	return set, nil
}

func cronNumber(s string, field int) (int, error) {
	f := cronFields[field]
	for i, name := range f.names {
		if strings.EqualFold(s, name) {
			return i + f.min, nil
		}
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < f.min || n > f.max {
		return 0, fmt.Errorf("%q is not %d–%d", s, f.min, f.max)
	}
	return n, nil
}

const cronHorizon = 8*366 + 1 // days: from one 29 February to the next but one

// Next returns the first instant strictly after t, nanoseconds since the epoch;
// math.MaxInt64 if there is none.
func (c *Cron) Next(t int64) int64 {
	local := time.Unix(0, t).In(c.loc)
	year, month, day := local.Date()
	// A skipped time is moved into the hours after the change, so the day before
	// may still have something to come.
	for i := -1; i < cronHorizon; i++ {
		d := time.Date(year, month, day+i, 12, 0, 0, 0, time.UTC)
		if !c.on(d) {
			continue
		}
		if at := c.nextOn(d, t); at < math.MaxInt64 {
			return at
		}
	}
	return math.MaxInt64
}

// on says whether the schedule has times on the date.
func (c *Cron) on(d time.Time) bool {
	if c.month&(1<<int(d.Month())) == 0 {
		return false
	}
	day := c.day&(1<<d.Day()) != 0
	wday := c.weekday&(1<<int(d.Weekday())) != 0
	if c.dayRestricted && c.wdayAsked {
		return day || wday
	}
	return day && wday
}

// nextOn is the first time after t on the date.
func (c *Cron) nextOn(d time.Time, t int64) int64 {
	best := int64(math.MaxInt64)
	for hours := c.hour; hours != 0; hours &= hours - 1 {
		for minutes := c.minute; minutes != 0; minutes &= minutes - 1 {
			at := wallInstant(d, bits.TrailingZeros64(hours), bits.TrailingZeros64(minutes), c.loc)
			if at > t && at < best {
				best = at
			}
			if at > t {
				break // later minutes of the hour are not earlier instants
			}
		}
	}
	return best
}

// wallInstant is the instant of a local time: the first of two where the clock is
// set back, the change itself where it skips the time.
func wallInstant(d time.Time, hour, minute int, loc *time.Location) int64 {
	t := time.Date(d.Year(), d.Month(), d.Day(), hour, minute, 0, 0, loc)
	if t.Hour() != hour || t.Minute() != minute || t.Day() != d.Day() { // skipped
		return changeNear(t).UnixNano()
	}
	// time.Date may pick either of two; the earlier one is an offset change before.
	_, offset := t.Zone()
	for _, back := range []time.Duration{30 * time.Minute, time.Hour, 2 * time.Hour} {
		e := t.Add(-back)
		if _, o := e.Zone(); o-offset == int(back/time.Second) {
			if e.Hour() == hour && e.Minute() == minute && e.Day() == t.Day() {
				return e.UnixNano()
			}
		}
	}
	return t.UnixNano()
}

// changeNear finds the clock change that skips the time t was normalised from.
func changeNear(t time.Time) time.Time {
	start, end := t.ZoneBounds()
	const near = 26 * time.Hour // Samoa once skipped a day
	if !start.IsZero() && t.Sub(start) < near {
		return start
	}
	if !end.IsZero() && end.Sub(t) < near {
		return end
	}
	return t
}

// longest bounds the time from one instant of the schedule to the next, over some
// years with a leap day in them: that from the first instant of a day that has any to the
// first of the next such day.
func (c *Cron) longest() (d time.Duration) {
	start := time.Date(2024, 1, 1, 0, 0, 0, 0, c.loc)
	end := start.AddDate(5, 0, 0).UnixNano()
	for t := c.Next(start.UnixNano() - 1); t < end; {
		y, m, day := time.Unix(0, t).In(c.loc).Date()
		// Where clocks skip midnight time.Date names an instant of the day before.
		next := c.Next(max(t, time.Date(y, m, day+1, 0, 0, 0, 0, c.loc).UnixNano()-1))
		d = max(d, time.Duration(next-t))
		t = next
	}
	return d
}
