package clickhouse

import (
	"fmt"
	"testing"
	"time"

	"corral/internal/chserver/chtest"
	"corral/rules"
)

// TestRuleAsItWas: every version of a rule that was loaded is found again by its
// hash, whichever is in force now.
func TestRuleAsItWas(t *testing.T) {
	server := chtest.Shared(t)
	dsn := chtest.DSN(server, chtest.Name())
	s, r := open(t, Options{DSN: dsn}), reader(t, dsn)
	versions := map[string]string{}
	for gen, limit := range []int{5, 10} {
		text := fmt.Sprintf("version: 1\nrules:\n  - id: declines # of cards\n    match: level == \"error\"\n    threshold: {window: 5m, condition: count() >= %d}\n", limit)
		set, diags := rules.Parse([]rules.File{{Name: "pay.yaml", Data: []byte(text)}})
		if set == nil {
			t.Fatal(diags)
		}
		s.Rules(set, uint64(gen+1))
		s.Rules(set, uint64(gen+1)) // a second worker
		versions[set.Rules[0].LogicHash] = set.Rules[0].Text
	}
	for hash, want := range versions {
		got := await(t, r, hash)
		if got.Text != want || got.File != "pay.yaml" || got.Line != 3 {
			t.Errorf("got %+v, want %q", got, want)
		}
	}
	if _, ok, err := r.Rule(t.Context(), "declines", "00"); ok || err != nil {
		t.Errorf("a version that never was: %v, %v", ok, err)
	}
}

// await waits for a rule that is stored in the background.
func await(t *testing.T, r *Reader, hash string) RuleText {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for {
		got, ok, err := r.Rule(t.Context(), "declines", hash)
		switch {
		case ok:
			return got
		case time.Now().After(deadline):
			t.Fatalf("the rule is not stored: %v", err)
		}
		select {
		case <-t.Context().Done():
			t.Fatal(t.Context().Err())
		case <-time.After(20 * time.Millisecond):
		}
	}
}
