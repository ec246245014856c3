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
