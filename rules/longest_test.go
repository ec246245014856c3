package rules

import (
	"testing"
	"time"
)

func TestCronLongest(t *testing.T) {
	const day = 24 * time.Hour
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	havana, err := time.LoadLocation("America/Havana")
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range []struct {
		schedule string
		loc      *time.Location
		want     time.Duration
	}{
		{"* * * * *", time.UTC, day},
		{"0 2 * * *", time.UTC, day},
		{"0 2 * * *", berlin, day + time.Hour},    // when the clocks go back
		{"*/20 * * * *", havana, day + time.Hour}, // in spring midnight is skipped
		{"30 8-18 * * Mon-Fri", time.UTC, 3 * day},
		{"0 0 1 * *", time.UTC, 31 * day},
		{"0 0 29 2 *", time.UTC, 1461 * day},
	} {
		c, err := ParseCron(x.schedule, x.loc)
		if err != nil {
			t.Fatal(err)
		}
		if got := c.longest(); got != x.want {
			t.Errorf("%s in %s: longest %v, want %v", x.schedule, x.loc, got, x.want)
		}
	}
}

// A key is remembered until it can be missed once, whatever `remember` says.
func TestScheduledKeysAreRemembered(t *testing.T) {
	const day, week = 24 * time.Hour, 7 * 24 * time.Hour
	for _, x := range []struct {
		absence          string
		remember, forget time.Duration
	}{
		{"every: {schedule: '0 2 * * Sun', grace: 30m}", week + 30*time.Minute, 3 * (week + 30*time.Minute)},
		{"every: {schedule: '0 2 * * Sun', grace: 30m}, remember: 24h", week + 30*time.Minute, 3 * (week + 30*time.Minute)},
		{"every: {schedule: '0 2 * * Sun', grace: 30m}, remember: 30d", 30 * day, 3 * (week + 30*time.Minute)},
		{"every: {schedule: '0 2 * * *'}", 2 * day, 3 * day},
		{"every: {schedule: '0 2 * * *', timezone: Europe/Berlin, grace: 30m}, remember: 24h, forget_after: 72h", 25*time.Hour + 30*time.Minute, 3 * day},
		{"every: 10m", day, 3 * day},
		{"every: 10m, remember: 1h, forget_after: 2h", time.Hour, 2 * time.Hour},
		{"every: 48h", 2 * day, 6 * day},
	} {
		set, found := Parse(absenceFile(x.absence))
		if set == nil {
			t.Errorf("%s: %v", x.absence, found)
			continue
		}
		if a := set.Rules[0].Absence; a.Remember != x.remember || a.ForgetAfter != x.forget {
			t.Errorf("%s: remember %v, forget_after %v; want %v, %v", x.absence, a.Remember, a.ForgetAfter, x.remember, x.forget)
		}
	}
	for _, absence := range []string{"every: 10m, remember: 5m", "every: {schedule: '0 2 * * Sun'}, forget_after: 72h"} {
		if set, found := Parse(absenceFile(absence)); set != nil || len(found) == 0 || found[0].Code != codeConflict {
			t.Errorf("%s: a key forgotten before it can be missed: %v", absence, found)
		}
	}
}

func absenceFile(absence string) []File {
	return []File{{Name: "r.yaml", Data: []byte(`
version: 1
rules:
  - id: backup
    match: message == "done"
    group_by: [service]
    absence: {` + absence + `}
`)}}
}
