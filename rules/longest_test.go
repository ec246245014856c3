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
	for _, x := range []struct {
		schedule string
		loc      *time.Location
		want     time.Duration
	}{
		{"* * * * *", time.UTC, day},
		{"0 2 * * *", time.UTC, day},
		{"0 2 * * *", berlin, day + time.Hour}, // when the clocks go back
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

func TestScheduledKeysAreRemembered(t *testing.T) {
	text := func(more string) []File {
		return []File{{Name: "r.yaml", Data: []byte(`
version: 1
rules:
  - id: backup
    match: message == "done"
    group_by: [service]
    absence: {every: {schedule: '0 2 * * Sun', grace: 30m}` + more + `}
`)}}
	}
	const week = 7*24*time.Hour + 30*time.Minute
	set, found := Parse(text(""))
	if set == nil {
		t.Fatal(found)
	}
	if a := set.Rules[0].Absence; a.Remember != week || a.ForgetAfter != 3*week {
		t.Errorf("remember %v, forget_after %v; want %v, %v", a.Remember, a.ForgetAfter, week, 3*week)
	}
	set, found = Parse(text(", remember: 24h"))
	if set != nil || len(found) == 0 || found[0].Code != codeConflict {
		t.Errorf("a key forgotten before it can be missed: %v", found)
	}
}
