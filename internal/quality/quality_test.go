package main

import (
	"archive/tar"
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"corral/correlate"
	"corral/ruletest"
)

const rulesDir = "../../examples/trainticket"

// TestDay scores a day of two services: 22 minutes, three faults, one of them of a
// service that logs nothing.
func TestDay(t *testing.T) {
	corral := build(t)
	var out bytes.Buffer
	if err := run(t.Context(), corral, rulesDir, "testdata", &out); err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile("testdata/report.txt")
	if err != nil {
		t.Fatal(err)
	}
	if got := out.String(); got != string(want) {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}

	t.Run("from an archive", func(t *testing.T) {
		dir := t.TempDir()
		for _, name := range []string{"2026-01-01.json", "onset-derived-2026-01-01.txt"} {
			copyFile(t, filepath.Join("testdata", name), filepath.Join(dir, name))
		}
		archive(t, "testdata/day.csv", filepath.Join(dir, "shop-2026-01-01-logs.tar.zst"))
		var packed bytes.Buffer
		if err := run(t.Context(), corral, rulesDir, dir, &packed); err != nil {
			t.Fatal(err)
		}
		if packed.String() != out.String() {
			t.Errorf("got\n%s\nwant\n%s", &packed, &out)
		}
	})
}

// TestRules runs the rules' own tests, in every variant, and makes sure that they
// were not written for the faults they are measured by.
func TestRules(t *testing.T) {
	var out strings.Builder
	rep, err := ruletest.Run([]string{rulesDir}, ruletest.Options{}, &out)
	if err != nil || rep.Failed > 0 || rep.Ran == 0 {
		t.Fatalf("%v, %d ran\n%s", err, rep.Ran, &out)
	}
	text, err := os.ReadFile(filepath.Join(rulesDir, "traces.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	for _, forbidden := range []string{"ts-", "2023", "Impl", `service == "`} {
		if bytes.Contains(text, []byte(forbidden)) {
			t.Errorf("the rules say %q", forbidden)
		}
	}
}

func TestScore(t *testing.T) {
	base := time.Date(2026, 1, 1, 10, 0, 0, 0, time.UTC)
	at := func(s int) time.Time { return base.Add(time.Duration(s) * time.Second) }
	named := func(id string, opened int, services ...string) incident {
		return incident{correlate.Transition{IncidentID: id, OpenedAt: at(opened)}, services}
	}
	faults := []fault{
		{At: at(0), Onset: at(10), Service: "a"},
		{At: at(600), Onset: at(600), Service: "b"},
		{At: at(700), Onset: at(700), Service: "a"},
	}
	results, wrong := score(faults, []incident{
		named("too early", -91, "a"),
		named("other", 20, "b"),
		named("hit", 30, "c", "a"),
		named("again", 40, "a"),
		named("in time", 609, "b"),
		named("belongs to the next", 640, "b", "a"),
	})
	if r := results[0]; r.by == nil || r.by.IncidentID != "hit" || r.rank != 2 || r.delay != 20*time.Second || r.also != 1 {
		t.Errorf("first fault: %+v", r)
	}
	if r := results[1]; r.by == nil || r.by.IncidentID != "in time" || r.rank != 1 || r.also != 0 {
		t.Errorf("second fault: %+v", r)
	}
	if r := results[2]; r.by == nil || r.by.IncidentID != "belongs to the next" || r.delay != -time.Minute {
		t.Errorf("third fault: %+v", r)
	}
	if len(wrong) != 2 || wrong[0].IncidentID != "too early" || wrong[1].IncidentID != "other" {
		t.Errorf("false: %+v", wrong)
	}
}

func TestNamed(t *testing.T) {
	all := map[string]correlate.Transition{
		"1": {Key: map[string]string{"service": "stock"}},
		"2": {Labels: map[string]string{"service.name": "mail"}},
	}
	got := named(correlate.Transition{
		Suspects: []correlate.Suspect{{IncidentID: "1"}, {IncidentID: "2"}, {IncidentID: "gone"}},
		Key:      map[string]string{"service": "mail"},
		Labels:   map[string]string{"service.name": "gateway"},
		Evidence: []correlate.Evidence{{Service: "x"}, {Service: "y"}, {Service: "y"}},
	}, all)
	if want := "stock mail gateway y x"; strings.Join(got, " ") != want {
		t.Errorf("got %v, want %s", got, want)
	}
}

func TestMistakes(t *testing.T) {
	dir := t.TempDir()
	if err := run(t.Context(), "corral", rulesDir, dir, &bytes.Buffer{}); err == nil || !strings.Contains(err.Error(), "no fault list") {
		t.Errorf("an empty directory: %v", err)
	}
	copyFile(t, "testdata/2026-01-01.json", filepath.Join(dir, "2026-01-01.json"))
	if err := run(t.Context(), "corral", rulesDir, dir, &bytes.Buffer{}); err == nil || !strings.Contains(err.Error(), "no *.csv") {
		t.Errorf("no logs: %v", err)
	}
}

// build makes the corral the tool runs.
func build(t *testing.T) string {
	t.Helper()
	bin := filepath.Join(t.TempDir(), "corral")
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	if out, err := exec.CommandContext(ctx, "go", "build", "-o", bin, "corral").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return bin
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	data, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, data, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func archive(t *testing.T, from, to string) {
	t.Helper()
	data, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	z, err := zstd.NewWriter(&b)
	if err != nil {
		t.Fatal(err)
	}
	w := tar.NewWriter(z)
	if err := w.WriteHeader(&tar.Header{Name: "./logs/day.csv", Mode: 0o600, Size: int64(len(data))}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	for _, c := range []interface{ Close() error }{w, z} {
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(to, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
}
