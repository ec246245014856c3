package sinks_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"corral/correlate"
	"corral/internal/fulldisk"
	"corral/sinks"
)

// TestFullDisk: a disk that is full in the middle of a line costs nothing once
// there is room again, and what it took is not there twice.
func TestFullDisk(t *testing.T) {
	for what, size := range map[string]int{"in the second line": 30 << 10, "in the first line": 45 << 10} {
		t.Run(what, func(t *testing.T) { fullDisk(t, size) })
	}
}

func fullDisk(t *testing.T, size int) {
	dir := t.TempDir()
	letters, err := sinks.OpenDeadLetters(filepath.Join(dir, "dead.ndjson"), true)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = letters.Close() }()
	out, err := sinks.OpenNDJSON(filepath.Join(dir, "out.ndjson"), true)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = out.Close() }()
	var ds []sinks.DeadLetter
	var ts []*correlate.Transition
	for seq := range 3 {
		d := sinks.DeadLetter{Reason: "late", Source: "stream:LOGS", Seq: uint64(seq + 1)}
		d.SetRecord([]byte(strings.Repeat("x", size)))
		ds = append(ds, d)
		ts = append(ts, &correlate.Transition{IncidentID: "i", Rev: seq + 1, State: "open", Summary: d.Data})
	}
	lift := fulldisk.Limit(t, 0, 40<<10)
	for range 2 { // the second time nothing goes at all
		if letters.Write(ds...) == nil || out.Write(t.Context(), ts) == nil {
			t.Error("a full disk took it")
		}
	}
	lift()
	if err := letters.Write(ds...); err != nil {
		t.Fatal(err)
	}
	if err := out.Write(t.Context(), ts); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(filepath.Join(dir, "dead.ndjson"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	torn, next := 0, uint64(1)
	for d, err := range sinks.ReadDeadLetters(f) {
		switch {
		case err != nil:
			torn++
		case d.Seq != next:
			t.Errorf("letter %d, want %d", d.Seq, next)
		default:
			next++
		}
	}
	if torn != 1 || next != 4 {
		t.Errorf("%d torn lines and %d letters, want 1 and 3", torn, next-1)
	}
	text, err := os.ReadFile(filepath.Join(dir, "out.ndjson"))
	if err != nil {
		t.Fatal(err)
	}
	got, err := sinks.ReadNDJSON(strings.NewReader(string(text)))
	if err != nil || len(got) != 3 || strings.Count(string(text), "\n") != 3 {
		t.Errorf("%d revisions in %d lines, %v", len(got), strings.Count(string(text), "\n"), err)
	}
}
