package decode

import (
	"strings"
	"time"

	"corral/event"
)

// parseRare knows the layouts that are not an ISO date.
func (z *zones) parseRare(s string) (stamp, bool) {
	if c, n := isoTime(s); n > 0 && n == len(s) {
		return z.stampOf(&c), true
	}
	if c, n := commonLogTime(s); n > 0 && n == len(s) {
		return z.stampOf(&c), true
	}
	if c, n := monthDayTime(s); n > 0 && n == len(s) {
		return z.withYear(&c)
	}
	if c, n := leadDate(s); n > 0 && n == len(s) {
		return z.stampOf(&c), true
	}
	var c civil
	if n := c.match(s, "Y-N-D"); n > 0 && n == len(s) {
		return z.stampOf(&c), true
	}
	if len(s) > 96 {
		return stamp{}, false
	}
	for _, layout := range rareLayouts {
		if t, err := time.Parse(layout, s); err == nil {
			return stamp{t.UnixNano(), event.TimeExact}, true
		}
	}
	if plain := undecorated(s); plain != s {
		return z.parse(plain)
	}
	return stamp{}, false
}

// undecorated takes off a time what its writer put around it: Go's monotonic clock,
// Java's name of the zone beside its offset, .NET's /Date(…)/.
func undecorated(s string) string {
	if i := strings.Index(s, " m="); i > 0 {
		return s[:i]
	}
	if i := strings.IndexByte(s, '['); i > 0 && s[len(s)-1] == ']' {
		return s[:i]
	}
	if inner, ok := strings.CutPrefix(s, "/Date("); ok {
		return strings.TrimSuffix(inner, ")/")
	}
	return s
}

var rareLayouts = []string{time.RFC1123, time.RFC850, time.UnixDate, time.RubyDate, time.RFC822, "2006-01-02 15:04:05.999999999 -0700 MST", "Jan _2, 2006 3:04:05 PM MST"}

// prefix reads the time a line begins with in the layout the user gave: as many
// words as the layout has, in brackets or not.
func (z *zones) prefix(s string) (st stamp, n int) {
	if z.layout == "" {
		return st, 0
	}
	open := len(s) - len(strings.TrimLeft(s, "[( "))
	end := open
	for words := strings.Count(z.layout, " ") + 1; words > 0; words-- {
		i := strings.IndexAny(s[end:], " \t\n")
		if i < 0 {
			i = len(s) - end
		}
		if end += i; words > 1 && end < len(s) {
			end++
		}
	}
	text := strings.TrimRight(s[open:end], "]),: \t")
	st, ok := z.parseLayout(text)
	if !ok {
		return st, 0
	}
	return st, end
}

// parseLayout reads a time in the layout the user gave.
func (z *zones) parseLayout(s string) (stamp, bool) {
	loc := z.loc
	if loc == nil {
		loc = time.UTC
	}
	t, err := time.ParseInLocation(z.layout, s, loc)
	if err != nil {
		return stamp{}, false
	}
	if t.Year() == 0 {
		c := civil{month: int(t.Month()), day: t.Day(), hour: t.Hour(), min: t.Minute(), sec: t.Second(), nano: int64(t.Nanosecond())}
		return z.withYear(&c)
	}
	if strings.Contains(z.layout, "-07") || strings.Contains(z.layout, "Z07") || strings.Contains(z.layout, "MST") {
		return stamp{t.UnixNano(), event.TimeExact}, true
	}
	return stamp{t.UnixNano(), event.TimeNoZone}, true
}

// commonLogTime reads 07/Feb/2020:11:48:51 +0000, the time of access logs.
func commonLogTime(s string) (c civil, n int) {
	if len(s) < 20 || s[2] != '/' || s[6] != '/' || s[11] != ':' && s[11] != ' ' || s[14] != ':' || s[17] != ':' {
		return c, 0
	}
	c.day, c.month, c.year = two(s, 0), month(s[3:6]), two(s, 7)*100+two(s, 9)
	c.hour, c.min, c.sec = two(s, 12), two(s, 15), two(s, 18)
	if c.year > 9999 || !c.validDate() || !c.validTime() {
		return c, 0
	}
	c.nano, n = fraction(s, 20)
	return c, c.readZone(s, n)
}

// monthDayTime reads "Oct 11 22:14:15" with or without a fraction, syslog's time.
func monthDayTime(s string) (c civil, n int) {
	if len(s) < 15 || s[3] != ' ' || s[6] != ' ' || s[9] != ':' || s[12] != ':' {
		return c, 0
	}
	c.year = 2000 // a leap year: the day must exist in some year
	c.month = month(s[:3])
	if s[4] == ' ' {
		c.day = int(s[5] - '0')
	} else {
		c.day = two(s, 4)
	}
	c.hour, c.min, c.sec = two(s, 7), two(s, 10), two(s, 13)
	if !c.validDate() || !c.validTime() {
		return c, 0
	}
	c.nano, n = fraction(s, 15)
	return c, n
}

// month returns the number of an English month's first three letters, 0 if they
// are none.
func month(s string) int {
	const names = "JanFebMarAprMayJunJulAugSepOctNovDec"
	if i := strings.Index(names, s); i >= 0 && i%3 == 0 && len(s) == 3 {
		return i/3 + 1
	}
	return 0
}

// clockTime reads 15:07:41.206, a time of day without a date.
func clockTime(s string) (c civil, n int) {
	if len(s) < 8 || s[2] != ':' || s[5] != ':' {
		return c, 0
	}
	c.hour, c.min, c.sec = two(s, 0), two(s, 3), two(s, 6)
	if !c.validTime() {
		return c, 0
	}
	c.nano, n = fraction(s, 8)
	return c, n
}
