package decode

import (
	"strings"
	"time"

	"corral/event"
)

// stamp is a time as a record gave it.
type stamp struct {
	ns      int64
	quality event.TimeQuality // TimeExact, TimeNoZone, TimeNoYear or TimeNoDate
}

// zones turns times without zone or year into instants.
type zones struct {
	loc    *time.Location // of times without zone; nil is UTC
	ref    int64          // instant years are guessed from; 0: none
	layout string         // a Go layout to try first; "" none

	minute   [17]byte // "2026-11-22T08:34:" as read last, of a time that ended in Z
	minuteNS int64    // the instant it stands for
}

const (
	second   = int64(time.Second)
	day      = 24 * 3600 * second
	earliest = 946684800 * second  // 2000-01-01T00:00:00Z
	latest   = 4102444800 * second // 2100-01-01T00:00:00Z, where no clock says better
)

// unixDays returns the days from 1970-01-01 to a date of the proleptic Gregorian
// calendar, counting years from March so that leap days come last.
func unixDays(y, m, d int) int64 {
	if m <= 2 {
		y--
		m += 12
	}
	era := y / 400
	yoe := y - era*400
	doy := (153*(m-3)+2)/5 + d - 1
	return int64(era)*146097 + int64(yoe*365+yoe/4-yoe/100+doy) - 719468
}

func daysIn(y, m int) int {
	switch m {
	case 4, 6, 9, 11:
		return 30
	case 2:
		if y%4 == 0 && (y%100 != 0 || y%400 == 0) {
			return 29
		}
		return 28
	}
	return 31
}

// civil is a date and time of day read from a text.
type civil struct {
	year, month, day, hour, min, sec int
	nano                             int64
	offset                           int // seconds east of UTC
	zone                             bool
}

func (c *civil) validDate() bool {
	return c.month >= 1 && c.month <= 12 && c.day >= 1 && c.day <= daysIn(c.year, c.month)
}

// validTime allows second 60: leap seconds are logged.
func (c *civil) validTime() bool { return c.hour <= 23 && c.min <= 59 && c.sec <= 60 }

// ns returns the instant. A time without zone is one of loc's.
func (c *civil) ns(loc *time.Location) int64 {
	if !c.zone && loc != nil && loc != time.UTC {
		return time.Date(c.year, time.Month(c.month), c.day, c.hour, c.min, c.sec, int(c.nano), loc).UnixNano()
	}
	s := unixDays(c.year, c.month, c.day)*86400 + int64(c.hour*3600+c.min*60+c.sec-c.offset)
	return s*second + c.nano
}

// two reads two digits at s[i:]; a result above 99 says they are none.
func two(s string, i int) int {
	a, b := s[i]-'0', s[i+1]-'0'
	if a > 9 || b > 9 {
		return 1000
	}
	return int(a)*10 + int(b)
}

// isoTime reads the time s starts with: 2026-11-22T08:34:01.438Z with T or space,
// - or / between the date's parts, . or , before the fraction, and any or no
// zone. n is its length, 0 if s starts with none.
func isoTime(s string) (c civil, n int) {
	if len(s) < 19 || s[4] != s[7] || s[4] != '-' && s[4] != '/' || s[13] != ':' || s[16] != ':' || s[10] != 'T' && s[10] != ' ' && s[10] != 't' && s[10] != '_' {
		return c, 0
	}
	c.year, c.month, c.day = two(s, 0)*100+two(s, 2), two(s, 5), two(s, 8)
	c.hour, c.min, c.sec = two(s, 11), two(s, 14), two(s, 17)
	if c.year > 9999 || !c.validDate() || !c.validTime() {
		return c, 0
	}
	n = 19
	c.nano, n = fraction(s, n)
	n = c.readZone(s, n)
	return c, n
}

// fraction reads .123 or ,123 at s[i:] as nanoseconds; digits beyond nine do not
// count.
func fraction(s string, i int) (ns int64, end int) {
	if i+1 >= len(s) || s[i] != '.' && s[i] != ',' || s[i+1]-'0' > 9 {
		return 0, i
	}
	i++
	unit := second
	for ; i < len(s) && s[i]-'0' <= 9; i++ {
		unit /= 10
		ns += int64(s[i]-'0') * unit
	}
	return ns, i
}

// readZone reads Z, +01:00, +0100, +01, " +0000" or " UTC" at s[i:].
func (c *civil) readZone(s string, i int) int {
	if i >= len(s) {
		return i
	}
	switch s[i] {
	case 'Z', 'z':
		c.zone = true
		return i + 1
	case '+', '-':
		return c.readOffset(s, i)
	case ' ':
		if strings.HasPrefix(s[i:], " UTC") || strings.HasPrefix(s[i:], " GMT") {
			c.zone = true
			return i + 4
		}
		if i+6 <= len(s) && (s[i+1] == '+' || s[i+1] == '-') {
			if end := c.readOffset(s, i+1); end >= i+6 {
				return end
			}
			c.zone = false
		}
	}
	return i
}

// readOffset reads a numeric offset whose sign is s[i].
func (c *civil) readOffset(s string, i int) int {
	if i+3 > len(s) || two(s, i+1) > 24 { // as package time takes them
		return i
	}
	off, end := two(s, i+1)*3600, i+3
	if j := end; j < len(s) {
		if s[j] == ':' {
			j++
		}
		if j+2 <= len(s) && two(s, j) <= 60 {
			off += two(s, j) * 60
			end = j + 2
		}
	}
	if s[i] == '-' {
		off = -off
	}
	c.offset, c.zone = off, true
	return end
}

// stampOf makes a stamp of a civil time with a year.
func (z *zones) stampOf(c *civil) stamp {
	if c.zone {
		return stamp{c.ns(nil), event.TimeExact}
	}
	return stamp{c.ns(z.loc), event.TimeNoZone}
}

// withYear guesses the year of a date without one: the reference's, the one
// before if that lies more than a day after the reference, and for a leap day
// the next leap year before. Without a reference there is no time.
func (z *zones) withYear(c *civil) (stamp, bool) {
	if z.ref == 0 {
		return stamp{}, false
	}
	year := time.Unix(0, z.ref).UTC().Year() + 1
	for range 9 {
		c.year = year
		if c.validDate() {
			if ns := c.ns(z.loc); ns <= z.ref+day {
				return stamp{ns, event.TimeNoYear}, true
			}
		}
		year--
	}
	return stamp{}, false
}

// parse understands a time given as text.
func (z *zones) parse(s string) (stamp, bool) {
	if z.layout != "" {
		if st, ok := z.parseLayout(s); ok {
			return st, true
		}
	}
	if ns, ok := z.sameMinute(s); ok {
		return stamp{ns, event.TimeExact}, true
	}
	if c, n := isoTime(s); n > 0 && n == len(s) {
		if s[n-1] == 'Z' {
			copy(z.minute[:], s)
			z.minuteNS = c.ns(nil) - int64(c.sec)*second - c.nano
		}
		return z.stampOf(&c), true
	}
	if len(s) > 0 && (s[0]-'0' <= 9 || s[0] == '-') {
		if ns, ok := epoch(s); ok {
			return stamp{ns, event.TimeExact}, true
		}
	}
	return z.parseRare(strings.TrimSpace(s))
}

// sameMinute reads a time in the minute of the one read last: most are, and then
// only the seconds are left to read.
func (z *zones) sameMinute(s string) (ns int64, ok bool) {
	last := len(s) - 1
	if last < 19 || s[last] != 'Z' || s[:17] != string(z.minute[:]) {
		return 0, false
	}
	sec := two(s, 17)
	nano, end := fraction(s, 19)
	return z.minuteNS + int64(sec)*second + nano, sec <= 60 && end == last
}
