package decode

import (
	"testing"
	"time"

	"corral/event"
)

func TestTimes(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	at := func(s string) int64 {
		v, err := time.Parse(time.RFC3339Nano, s)
		if err != nil {
			t.Fatal(err)
		}
		return v.UnixNano()
	}
	utc := zones{ref: at("2026-03-01T12:00:00Z")}
	local := zones{loc: berlin, ref: at("2026-03-01T12:00:00Z")}
	for _, c := range []struct {
		z       zones
		in      string
		want    string // "" no time
		quality event.TimeQuality
	}{
		{utc, "2026-11-22T08:34:01Z", "2026-11-22T08:34:01Z", event.TimeExact},
		{utc, "2026-11-22T08:34:01.123456789Z", "2026-11-22T08:34:01.123456789Z", event.TimeExact},
		{utc, "2026-11-22T08:34:01.1234567891234Z", "2026-11-22T08:34:01.123456789Z", event.TimeExact},
		{utc, "2026-11-22T08:34:01.5+01:00", "2026-11-22T07:34:01.5Z", event.TimeExact},
		{utc, "2026-11-22T08:34:01.5+0100", "2026-11-22T07:34:01.5Z", event.TimeExact},
		{utc, "2026-11-22T08:34:01-05", "2026-11-22T13:34:01Z", event.TimeExact},
		{utc, "2026-11-22 08:34:01 +0200", "2026-11-22T06:34:01Z", event.TimeExact},
		{utc, "2026-11-22 08:34:01 UTC", "2026-11-22T08:34:01Z", event.TimeExact},
		{utc, "2026-11-22 08:34:01,655", "2026-11-22T08:34:01.655Z", event.TimeNoZone},
		{utc, "2026/11/22 08:34:01.440154", "2026-11-22T08:34:01.440154Z", event.TimeNoZone},
		{local, "2026-11-22 08:34:01", "2026-11-22T07:34:01Z", event.TimeNoZone},
		{local, "2026-07-22 08:34:01", "2026-07-22T06:34:01Z", event.TimeNoZone},
		{local, "2026-07-22T08:34:01Z", "2026-07-22T08:34:01Z", event.TimeExact},
		{utc, "1661140434", "2022-08-22T03:53:54Z", event.TimeExact},
		{utc, "1661140434123", "2022-08-22T03:53:54.123Z", event.TimeExact},
		{utc, "1661140434123456", "2022-08-22T03:53:54.123456Z", event.TimeExact},
		{utc, "1661140434123456789", "2022-08-22T03:53:54.123456789Z", event.TimeExact},
		{utc, "1795336441.4386518", "2026-11-22T08:34:01.4386518Z", event.TimeExact},
		{utc, "1795336441.438651812", "2026-11-22T08:34:01.438651812Z", event.TimeExact},
		{utc, "1661140434123.5", "2022-08-22T03:53:54.1235Z", event.TimeExact},
		{utc, "1.661140434e+09", "2022-08-22T03:53:54Z", event.TimeExact},
		{utc, "07/Feb/2020:11:48:51 +0000", "2020-02-07T11:48:51Z", event.TimeExact},
		{utc, "Feb  3 22:14:15", "2026-02-03T22:14:15Z", event.TimeNoYear},
		{utc, "Mar  2 11:59:59.5", "2026-03-02T11:59:59.5Z", event.TimeNoYear}, // within a day after
		{utc, "Mar  2 12:00:01", "2025-03-02T12:00:01Z", event.TimeNoYear},     // more than a day after: last year
		{utc, "Dec 31 23:59:59", "2025-12-31T23:59:59Z", event.TimeNoYear},
		{utc, "Feb 29 10:00:00", "2024-02-29T10:00:00Z", event.TimeNoYear}, // the last year that has the day
		{zones{}, "Feb  3 22:14:15", "", 0},
		{utc, "Sun, 22 Nov 2026 08:34:01 GMT", "2026-11-22T08:34:01Z", event.TimeExact},
		{zones{layout: goLayout("%y%m%d %H%M%S")}, "081109 203615", "2008-11-09T20:36:15Z", event.TimeNoZone},
		{zones{layout: goLayout("%d/%m/%Y %H:%M:%S.%L %z")}, "22/11/2026 09:34:01.250 +0100", "2026-11-22T08:34:01.25Z", event.TimeExact},
		{utc, "Sun, 22 Nov 2026 08:34:01 +0100", "2026-11-22T07:34:01Z", event.TimeExact},
		{utc, "Sunday, 22-Nov-26 08:34:01 UTC", "2026-11-22T08:34:01Z", event.TimeExact},
		{utc, "22 Nov 26 08:34 UTC", "2026-11-22T08:34:00Z", event.TimeExact},
		{utc, "22 Nov 26 08:34 +0100", "2026-11-22T07:34:00Z", event.TimeExact},
		{utc, "Sun Nov 22 08:34:01 2026", "2026-11-22T08:34:01Z", event.TimeNoZone},
		{utc, "Sun Nov  2 08:34:01.5 2025", "2025-11-02T08:34:01.5Z", event.TimeNoZone},
		{utc, "Sun Nov 22 08:34:01 UTC 2026", "2026-11-22T08:34:01Z", event.TimeExact},
		{utc, "22-Nov-2026 08:34:01.655", "2026-11-22T08:34:01.655Z", event.TimeNoZone},
		{utc, "22 Nov 2026 08:34:01,655", "2026-11-22T08:34:01.655Z", event.TimeNoZone},
		{utc, "Nov 22, 2026 8:34:01 PM", "2026-11-22T20:34:01Z", event.TimeNoZone},
		{utc, "Nov 22, 2026, 12:34:01 AM", "2026-11-22T00:34:01Z", event.TimeNoZone},
		{utc, "Nov 22, 2026 @ 08:34:01.655", "2026-11-22T08:34:01.655Z", event.TimeNoZone},
		{utc, "11/22/2026 8:34:01 PM", "2026-11-22T20:34:01Z", event.TimeNoZone},
		{utc, "11/12/2026 08:34:01", "2026-11-12T08:34:01Z", event.TimeNoZone}, // month first where both can be
		{utc, "22/11/2026 08:34:01", "2026-11-22T08:34:01Z", event.TimeNoZone},
		{utc, "22.11.2026 08:34:01", "2026-11-22T08:34:01Z", event.TimeNoZone},
		{utc, "2026.11.22 08:34:01", "2026-11-22T08:34:01Z", event.TimeNoZone},
		{utc, "2026 Nov 22 08:34:01", "2026-11-22T08:34:01Z", event.TimeNoZone},
		{utc, "20261122 08:34:01.5", "2026-11-22T08:34:01.5Z", event.TimeNoZone},
		{utc, "20261122T083401Z", "2026-11-22T08:34:01Z", event.TimeExact},
		{utc, "2026-11-22T08:34Z", "2026-11-22T08:34:00Z", event.TimeExact},
		{utc, "2026-11-22 08:34", "2026-11-22T08:34:00Z", event.TimeNoZone},
		{local, "2026-11-22", "2026-11-21T23:00:00Z", event.TimeNoZone},
		{utc, "2026-11-22T08:34:01.655+01:00[Europe/Berlin]", "2026-11-22T07:34:01.655Z", event.TimeExact},
		{utc, "2026-11-22 08:34:01.438404869 +0100 CET m=+0.5", "2026-11-22T07:34:01.438404869Z", event.TimeExact},
		{utc, "/Date(1795336441123)/", "2026-11-22T08:34:01.123Z", event.TimeExact},
		{utc, "2026-11-22T08:34:60Z", "2026-11-22T08:35:00Z", event.TimeExact}, // a leap second
		{utc, "Nov 31, 2026 8:34:01 AM", "", 0},
		{utc, "Nov 22, 2026 13:34:01 AM", "", 0},
		{utc, "2026-W47-7", "", 0},
		{utc, "2026-02-29T08:34:01Z", "", 0},
		{utc, "2026-13-01T08:34:01Z", "", 0},
		{utc, "2026-11-22T24:34:01Z", "", 0},
		{utc, "2026-11-22T08:34:01Zx", "", 0},
		{utc, "later", "", 0},
		{utc, "", "", 0},
		{utc, "1.2.3", "", 0},
		{utc, "99999999999999999999", "", 0},
	} {
		st, ok := c.z.parse(c.in)
		if ok != (c.want != "") {
			t.Errorf("parse(%q): ok = %v", c.in, ok)
			continue
		}
		if ok && (st.ns != at(c.want) || st.quality != c.quality) {
			t.Errorf("parse(%q)\n got %s %s\nwant %s %s", c.in, time.Unix(0, st.ns).UTC().Format(time.RFC3339Nano), st.quality, c.want, c.quality)
		}
	}
}

// TestSameMinute reads times one after the other as a file has them: the short
// cut for the minute of the one before must not change any.
func TestSameMinute(t *testing.T) {
	z := zones{}
	for _, s := range []string{
		"2026-11-22T08:34:01Z", "2026-11-22T08:34:59.999999999Z", "2026-11-22T08:34:60Z", "2026-11-22T08:34:61Z", "2026-11-22T08:34:5Z", "2026-11-22T08:34:05+01:00",
		"2026-11-22T08:34:05", "2026-11-22T08:34:05.Z", "2026-11-22T08:34:05.1x2Z", "2026-11-22T08:35:05Z", "2026-11-22 08:35:05Z", "2026-11-22 08:35:06.5Z",
	} {
		fresh := zones{}
		got, ok := z.parse(s)
		want, wantOK := fresh.parse(s)
		if got != want || ok != wantOK {
			t.Errorf("parse(%q) = %v %v, alone %v %v", s, got, ok, want, wantOK)
		}
	}
}

func FuzzTime(f *testing.F) {
	for _, s := range []string{"2026-11-22T08:34:01.5+01:00", "07/Feb/2020:11:48:51 +0000", "Feb 29 10:00:00", "1795336441.4386518", "1.6e9", "22/Nov/2026 08:34:01"} {
		f.Add(s)
	}
	z := zones{ref: noon.UnixNano(), layout: goLayout("%y%m%d %H%M%S")}
	f.Fuzz(func(t *testing.T, s string) {
		fresh := zones{ref: z.ref, layout: z.layout}
		got, ok := z.parse(s)
		want, wantOK := fresh.parse(s)
		if got != want || ok != wantOK {
			t.Fatalf("parse(%q) = %v %v, alone %v %v", s, got, ok, want, wantOK)
		}
		z.prefix(s)
		strict := len(s) > 13 && s[13] == ':' // package time takes hours of one digit, RFC 3339 does not
		if v, err := time.Parse(time.RFC3339Nano, s); err == nil && strict && v.Year() >= 2000 && v.Year() < 2200 && (!ok || got.ns != v.UnixNano()) {
			t.Fatalf("parse(%q) = %v %v, package time says %v", s, got, ok, v)
		}
	})
}
