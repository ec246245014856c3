package rules

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Schedule is when a rule is active: 'Mon-Fri 08:00-18:00' in a time zone. Several
// stretches are separated by semicolons; one that ends before it begins runs past
// midnight and belongs to the day it begins on.
type Schedule struct {
	text   string
	loc    *time.Location
	spells []spell
}

// spell is a stretch of the week: days as bits from Sunday, minutes of the day.
type spell struct {
	days     uint8
	from, to int // [from, to); to may be past 24 h
}

const (
	everyDay   = 0x7f
	dayMinutes = 24 * 60
)

// ParseSchedule reads a schedule.
func ParseSchedule(text string, loc *time.Location) (*Schedule, error) {
	s := &Schedule{text: strings.Join(strings.Fields(text), " "), loc: loc}
	for part := range strings.SplitSeq(text, ";") {
		spells, err := parseSpells(strings.TrimSpace(part))
		if err != nil {
			return nil, err
		}
		s.spells = append(s.spells, spells...)
	}
	return s, nil
}

// Text is the schedule as written.
func (s *Schedule) Text() string { return s.text }

func parseSpells(text string) ([]spell, error) {
	fields := strings.Fields(text)
	if len(fields) == 0 || len(fields) > 2 {
		return nil, fmt.Errorf("%q is no schedule: days and hours, as 'Mon-Fri 08:00-18:00'", text)
	}
	days, hours := uint8(everyDay), ""
	for _, f := range fields {
		if strings.Contains(f, ":") {
			hours = f
			continue
		}
		d, err := parseDays(f)
		if err != nil {
			return nil, err
		}
		days = d
	}
	if hours == "" {
		return []spell{{days, 0, dayMinutes}}, nil
	}
	var spells []spell
	for h := range strings.SplitSeq(hours, ",") {
		from, to, err := parseHours(h)
		if err != nil {
			return nil, err
		}
		spells = append(spells, spell{days, from, to})
	}
	return spells, nil
}

func parseDays(text string) (uint8, error) {
	var days uint8
	for part := range strings.SplitSeq(text, ",") {
		a, b, ranged := strings.Cut(part, "-")
		from, err := parseDay(a)
		if err != nil {
			return 0, err
		}
		to := from
		if ranged {
			if to, err = parseDay(b); err != nil {
				return 0, err
			}
		}
		for d := from; ; d = (d + 1) % 7 { // Fri-Mon goes over the weekend
			days |= 1 << d
			if d == to {
				break
			}
		}
	}
	return days, nil
}

func parseDay(s string) (int, error) {
	for i, name := range weekdays {
		if strings.EqualFold(s, name) || strings.EqualFold(s, time.Weekday(i).String()) {
			return i, nil
		}
	}
	return 0, fmt.Errorf("%q is no day (Mon Tue Wed Thu Fri Sat Sun)", s)
}

func parseHours(text string) (from, to int, err error) {
	a, b, ok := strings.Cut(text, "-")
	if !ok {
		return 0, 0, fmt.Errorf("%q are no hours: 08:00-18:00", text)
	}
	if from, err = parseClock(a); err != nil {
		return 0, 0, err
	}
	if to, err = parseClock(b); err != nil {
		return 0, 0, err
	}
	if from == to {
		return 0, 0, fmt.Errorf("%q is empty", text)
	}
	if to < from {
		to += dayMinutes
	}
	return from, to, nil
}

func parseClock(s string) (int, error) {
	h, m, ok := strings.Cut(s, ":")
	hour, err1 := strconv.Atoi(h)
	minute, err2 := strconv.Atoi(m)
	bad := !ok || err1 != nil || err2 != nil || hour < 0 || minute < 0 || minute > 59 || len(m) != 2
	if bad || hour*60+minute > dayMinutes {
		return 0, fmt.Errorf("%q is no time of day (00:00–24:00)", s)
	}
	return hour*60 + minute, nil
}

// Active reports whether t, nanoseconds since the epoch, is inside. It goes by the
// clock on the wall, so a stretch is an hour longer or shorter on the night of a
// clock change.
func (s *Schedule) Active(t int64) bool {
	local := time.Unix(0, t).In(s.loc)
	minute := local.Hour()*60 + local.Minute()
	day := int(local.Weekday())
	before := (day + 6) % 7
	for _, p := range s.spells {
		if p.days&(1<<day) != 0 && p.from <= minute && minute < p.to {
			return true
		}
		if p.days&(1<<before) != 0 && minute+dayMinutes < p.to {
			return true
		}
	}
	return false
}
