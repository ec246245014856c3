package ruletest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const rule = `version: 1
rules:
  - id: pay
    match: message == "declined" && (attrs.amount > 10 || level == "error")
    group_by: {merchant: attrs.merchant}
    threshold: {window: 1m, condition: count() >= 2}
`

func files(t *testing.T, named map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range named {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// TestUpdateHolds: what an expectation adds at the end makes silences part of the
// story that were not before. What is written holds all the same, or is not written.
func TestUpdateHolds(t *testing.T) {
	const loud = `
version: 1
rules:
  - id: loud
    match: level == "error"
    threshold: {window: 5m, condition: count() >= 2}
  - id: silent
    match: true
    group_by: [service]
    absence: {every: 1m}
`
	const tests = `tests:
  - name: errors
    events:
      - {at: 0s, event: &e {service: pay, level: error}}
      - {at: 10s, event: *e}
    expect: []
`
	dir := files(t, map[string]string{"loud.yaml": loud, "loud_test.yaml": tests})
	var out strings.Builder
	if rep, err := Run([]string{dir}, Options{Update: true}, &out); err != nil || len(rep.Updated) != 1 {
		t.Fatalf("%v %+v\n%s", err, rep, &out)
	}
	if rep, err := Run([]string{dir}, Options{}, &out); err != nil || rep.Ran != 1 || rep.Failed != 0 {
		t.Errorf("after the update: %v %+v\n%s", err, rep, &out)
	}
	dir = files(t, map[string]string{"loud.yaml": loud + "    resolve: {max: 10m}\n", "loud_test.yaml": tests})
	if _, err := Run([]string{dir}, Options{Update: true}, &out); err == nil || !strings.Contains(err.Error(), "`until:`") {
		t.Errorf("what never comes to an end: %v\n%s", err, &out)
	}
	if got, err := os.ReadFile(filepath.Join(dir, "loud_test.yaml")); err != nil || string(got) != tests {
		t.Errorf("%v, rewritten: %s", err, got)
	}
}

func TestUpdateKeepsWhatHeld(t *testing.T) {
	dir := files(t, map[string]string{"pay.yaml": rule, "pay_test.yaml": `# about payments
tests:
  - name: two  # in a minute
    events:
      - {at: 0s, event: &d {msg: declined, merchant: m, amount: 11}}
      - {at: 60s, event: *d}
    expect:
      # stays, with its comment
      - {at: 1m, rule: pay, key: {merchant: m}, open: {event_count: 2}}
      # changes, and its comment stays
      - {at: 3m, rule: pay, resolved: {}}
  - name: none
    events: [{at: 0s, event: {msg: declined, merchant: m, amount: 11}}]
    expect: []
`})
	var out strings.Builder
	rep, err := Run([]string{dir}, Options{Update: true}, &out)
	if err != nil || rep.Failed != 0 || len(rep.Updated) != 1 {
		t.Fatalf("%v %+v\n%s", err, rep, out.String())
	}
	got, err := os.ReadFile(filepath.Join(dir, "pay_test.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	want := `# about payments
tests:
  - name: two  # in a minute
    events:
      - {at: 0s, event: &d {msg: declined, merchant: m, amount: 11}}
      - {at: 60s, event: *d}
    expect:
      # stays, with its comment
      - {at: 1m, rule: pay, key: {merchant: m}, open: {event_count: 2}}
      # changes, and its comment stays
      - {at: 2m, rule: pay, key: {merchant: m}, resolved: {cause: quiet}}
  - name: none
    events: [{at: 0s, event: {msg: declined, merchant: m, amount: 11}}]
    expect: []
`
	if d := cmp.Diff(want, string(got)); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
	if rep, err = Run([]string{dir}, Options{}, &out); err != nil || rep.Failed != 0 {
		t.Errorf("after the update: %v %+v\n%s", err, rep, out.String())
	}
}

func TestCoverageNamesOperands(t *testing.T) {
	dir := files(t, map[string]string{"pay.yaml": rule, "pay_test.yaml": `tests:
  - name: two
    events:
      - {at: 0s, event: {msg: declined, merchant: m, amount: 11}}
      - {at: 1s, event: {msg: other, merchant: m}}
      - {at: 2s, event: {msg: declined, merchant: m, amount: 11}}
    expect:
      - {at: 2s, rule: pay, open: {}}
      - {at: 2m, rule: pay, resolved: {}}
`})
	var out strings.Builder
	rep, err := Run([]string{dir}, Options{Coverage: true}, &out)
	if err != nil || rep.Failed != 0 {
		t.Fatalf("%v\n%s", err, out.String())
	}
	if !strings.Contains(out.String(), `never true:  match: level == "error"`) || strings.Contains(out.String(), `: message == "declined"`) {
		t.Errorf("coverage:\n%s", out.String())
	}
}

func TestMistakesHavePlaces(t *testing.T) {
	dir := files(t, map[string]string{"pay.yaml": rule, "pay_test.yaml": `tests:
  - name: bad
    evnets: []
    expect: [{at: 1s, rule: pay}]
  - events: []
    expect: []
`})
	_, err := Run([]string{dir}, Options{}, &strings.Builder{})
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{
		`pay_test.yaml:3:5: error[E090]: unknown key "evnets" of a test`,
		"pay_test.yaml:4:14: error[E090]: it does not say what is expected",
		"pay_test.yaml:5:5: error[E090]: a test needs a name",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("missing %q in:\n%v", want, err)
		}
	}
}

func TestWhatHappensToTheWorker(t *testing.T) {
	dir := files(t, map[string]string{"pay.yaml": rule, "three.yaml": strings.Replace(rule, ">= 2", ">= 3", 1), "pay_test.yaml": `tests:
  - name: restart, redelivery and reload in the middle
    events:
      - {at: 0s, event: &d {msg: declined, merchant: m, amount: 11}}
      - {at: 1s, do: restart}
      - {at: 2s, do: redeliver}
      - {at: 3s, do: reload, rules: three.yaml}
      - {at: 10s, event: *d}
      - {at: 20s, event: *d}
    expect:
      - {at: 20s, rule: pay, open: {event_count: 3, started_at: 0s}}
      - {at: 2m, rule: pay, resolved: {cause: quiet}}
`})
	var out strings.Builder
	rep, err := Run([]string{filepath.Join(dir, "pay_test.yaml")}, Options{}, &out)
	if err != nil || rep.Failed != 0 {
		t.Errorf("%v\n%s", err, out.String())
	}
}
