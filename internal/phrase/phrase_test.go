package phrase

import "testing"

func TestPhrases(t *testing.T) {
	for got, want := range map[string]string{
		Count(0, "rule"): "0 rules",
		Count(1, "rule"): "1 rule",
		Count(2, "rule"): "2 rules",
		Key(nil):         "",
		Key(map[string]string{"service": "pay", "env": "prod"}): " env=prod service=pay",
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
