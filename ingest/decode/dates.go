package decode

import "strings"

// dateLayouts are the dates other than ISO's that loggers write, in the notation of
// civil.match. A fraction of a second and a zone may follow a time of day.
var dateLayouts = [...]string{
	"D-B-Y h:m:s",     // Tomcat, PHP
	"D B Y h:m:s",     // log4j's DATE, Redis
	"B D, Y h:m:s p",  // java.util.logging
	"B D, Y, h:m:s p", // browsers
	"B D, Y @ h:m:s",  // Kibana
	"B D Y h:m:s",
	"W B D h:m:s Y", // C's asctime, Apache's error log
	"W B D h:m:s Z Y",
	"W, D B Y h:m:s", // mail and HTTP
	"W D B Y h:m:s",
	"D B y h:m", // RFC 822
	"Y B D h:m:s",
	"N/D/Y h:m:s p",
	"N/D/Y, h:m:s p",
	"N/D/Y h:m:s", // day and month change places where the first cannot be a month
	"N/D/Y, h:m:s",
	"D.N.Y h:m:s",
	"Y.N.D h:m:s",
	"YND h:m:s",
	"YNDTh:m:s",
	"YNDThms",
	"Y-N-D h:m",
	"Y-N-DTh:m",
}

// leadDate reads the date in one of dateLayouts that s starts with; n is its length,
// 0 if it starts with none.
func leadDate(s string) (c civil, n int) {
	if len(s) < 10 || s[0]-'0' > 9 && month(s[:3]) == 0 && !weekday(s[:3]) {
		return c, 0
	}
	for _, layout := range dateLayouts {
		c = civil{}
		if n = c.match(s, layout); n > 0 {
			return c, n
		}
	}
	return c, 0
}

// match reads s by a layout: Y and y are years of four and two digits, B a month's
// name, N its number, D the day, W a day's name, h m s the time of day, p AM or PM,
// Z a zone; what else stands in the layout stands in the text.
func (c *civil) match(s, layout string) (n int) {
	c.zone = false
	i := 0
	for k := 0; k < len(layout); k++ {
		if i >= len(s) {
			return 0
		}
		end := c.part(s, i, layout[k])
		if end < 0 {
			return 0
		}
		i = end
	}
	if c.month > 12 && c.day <= 12 && strings.HasPrefix(layout, "N/") {
		c.month, c.day = c.day, c.month
	}
	if !c.validDate() || !c.validTime() {
		return 0
	}
	if strings.IndexByte(layout, 'h') >= 0 && strings.IndexByte(layout, 'Z') < 0 {
		i = c.readZone(s, i)
	}
	if i < len(s) && isWord(s[i]) {
		return 0 // it goes on: this is another layout, or no date
	}
	return i
}

// part reads what one letter of a layout stands for at s[i:] and returns where it
// ends, -1 if it is not there.
func (c *civil) part(s string, i int, letter byte) int {
	switch letter {
	case 'Y':
		return digitsAt(s, i, 4, 4, &c.year)
	case 'y':
		end := digitsAt(s, i, 2, 2, &c.year)
		c.year += 2000
		return end
	case 'N':
		return digitsAt(s, i, 1, 2, &c.month)
	case 'D':
		if s[i] == ' ' && i > 0 && s[i-1] == ' ' {
			i++ // padded
		}
		return digitsAt(s, i, 1, 2, &c.day)
	case 'h':
		return digitsAt(s, i, 1, 2, &c.hour)
	case 'm':
		return digitsAt(s, i, 2, 2, &c.min)
	case 's':
		end := digitsAt(s, i, 2, 2, &c.sec)
		if end > 0 {
			c.nano, end = fraction(s, end)
		}
		return end
	}
	return c.word(s, i, letter)
}

// word is part for what is no number.
func (c *civil) word(s string, i int, letter byte) int {
	switch letter {
	case 'B':
		if len(s) < i+3 {
			return -1
		}
		if c.month = month(s[i : i+3]); c.month == 0 {
			return -1
		}
		return i + 3
	case 'W':
		if len(s) < i+3 || !weekday(s[i:i+3]) {
			return -1
		}
		return i + 3
	case 'p':
		if len(s) < i+2 || s[i+1]|0x20 != 'm' || c.hour < 1 || c.hour > 12 {
			return -1
		}
		return c.halfDay(s[i], i+2)
	case 'Z':
		end := c.readZone(s, i-1)
		if end < i {
			return -1
		}
		return end
	}
	if s[i] != letter {
		return -1
	}
	return i + 1
}

// halfDay applies AM or PM, of which the first letter is given.
func (c *civil) halfDay(letter byte, end int) int {
	switch letter | 0x20 {
	case 'a':
		c.hour %= 12
	case 'p':
		c.hour = c.hour%12 + 12
	default:
		return -1
	}
	return end
}

// digitsAt reads a number of least to most digits.
func digitsAt(s string, i, least, most int, to *int) int {
	n, start := 0, i
	for i < len(s) && i-start < most && s[i]-'0' <= 9 {
		n = n*10 + int(s[i]-'0')
		i++
	}
	if i-start < least {
		return -1
	}
	*to = n
	return i
}

func weekday(s string) bool {
	switch s {
	case "Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun":
		return true
	}
	return false
}

// lead is the time a line starts with.
type lead struct {
	civil
	n       int  // its length
	noYear  bool // the year is missing
	noDate  bool // the date is
	isEpoch bool // it is a number of seconds
	epoch   int64
}

// leadTime reads the time that s starts with in any notation a line may have it in.
func leadTime(s string) (l lead) {
	if l.civil, l.n = isoTime(s); l.n > 0 {
		return l
	}
	if l.civil, l.n = clockTime(s); l.n > 0 {
		l.noDate = true
		return l
	}
	if l.civil, l.n = monthDayTime(s); l.n > 0 {
		l.noYear = true
		return l
	}
	if l.civil, l.n = commonLogTime(s); l.n > 0 {
		return l
	}
	if l.civil, l.n = leadDate(s); l.n > 0 {
		return l
	}
	if l.n = kitchenTime(s); l.n > 0 {
		l.noDate = true
		return l
	}
	if l.epoch, l.n = leadEpoch(s); l.n > 0 {
		l.isEpoch = true
	}
	return l
}

// kitchenTime returns the length of "8:34AM", zerolog's console's time, 0 if s does
// not start with one.
func kitchenTime(s string) int {
	var c civil
	i := digitsAt(s, 0, 1, 2, &c.hour)
	if i < 0 || len(s) < i+6 || s[i] != ':' {
		return 0
	}
	if i = digitsAt(s, i+1, 2, 2, &c.min); i < 0 || i >= len(s) {
		return 0
	}
	if i = c.word(s, i, 'p'); i < 0 || i >= len(s) || s[i] != ' ' {
		return 0
	}
	return i
}

// leadEpoch reads seconds since 1970 with their fraction, as the word s starts with.
func leadEpoch(s string) (ns int64, n int) {
	if len(s) < 12 || s[0] != '1' && s[0] != '2' {
		return 0, 0
	}
	n = strings.IndexAny(clip(s, 32), " \t")
	if n < 10 || strings.IndexByte(s[:n], '.') < 0 {
		return 0, 0
	}
	ns, ok := epoch(s[:n])
	if !ok || ns < earliest || ns > latest {
		return 0, 0
	}
	return ns, n
}
