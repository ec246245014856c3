package pipeline

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"corral/ingest"
	"corral/ingest/decode"
	"corral/rules"
	"corral/sinks"
)

// begun counts the partitions of a source that are being read.
type begun struct {
	ingest.Puller
	mu   sync.Mutex
	now  map[int]bool
	most int
}

func (b *begun) Next(ctx context.Context, i int) (ingest.Batch, error) {
	b.mu.Lock()
	b.now[i] = true
	b.most = max(b.most, len(b.now))
	b.mu.Unlock()
	batch, err := b.Puller.Next(ctx, i)
	if err != nil || batch.End {
		b.mu.Lock()
		delete(b.now, i)
		b.mu.Unlock()
	}
	return batch, err
}

// TestFilesAreReadWhenTheirTimeComes cuts half an hour into rotated files: the
// result is that of one file, and one or two are read at a time, whatever their
// order on the command line.
func TestFilesAreReadWhenTheirTimeComes(t *testing.T) {
	lines := shop()
	set := parseRules(t, shopRules)
	want, _ := runBatch(t, set, lines, 2, 5*time.Second)
	dir := t.TempDir()
	var names []string
	for n := 0; len(lines) > 0; n++ {
		k := min(4, len(lines))
		// The names count backwards: nothing is gained by their order.
		name := filepath.Join(dir, fmt.Sprintf("app-%04d.log", 9999-n))
		if err := os.WriteFile(name, []byte(strings.Join(lines[:k], "\n")+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		names, lines = append(names, name), lines[k:]
	}
	if len(names) < 100 {
		t.Fatalf("only %d files", len(names))
	}
	files, err := ingest.NewFiles(names, ingest.FileOptions{Cut: decode.SafeCut})
	if err != nil {
		t.Fatal(err)
	}
	defer files.Close()
	src, sink := &begun{Puller: files, now: map[int]bool{}}, &collect{}
	b := Batch{
		Lanes: []*Lane{{Rules: set, Sink: sink}}, Source: src, Dead: func(sinks.DeadLetter) {},
		Lateness: 5 * time.Second, Workers: 2, Now: time.Now,
	}
	if err := b.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(bare(t, want.ts), bare(t, sink.ts)); d != "" {
		t.Errorf("%d files differ from one (-one +many):\n%s", len(names), d)
	}
	if src.most > 12 {
		t.Errorf("%d of %d files were being read at once", src.most, len(names))
	}
}

// TestLanesShareTheReading runs two sets in one pass: each lane has what it has
// alone, and lanes that read the same attributes share the decoding.
func TestLanesShareTheReading(t *testing.T) {
	a := parseRules(t, shopRules)
	b := parseRules(t, strings.Replace(shopRules, ">= 3", ">= 5", 1))
	c := parseRules(t, shopRules+`  - {id: attr, match: attrs.extra == 1, event: {}}`+"\n")
	lines := shop()
	dir := t.TempDir()
	name := filepath.Join(dir, "a.log")
	if err := os.WriteFile(name, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	files, err := ingest.NewFiles([]string{name}, ingest.FileOptions{Cut: decode.SafeCut})
	if err != nil {
		t.Fatal(err)
	}
	defer files.Close()
	got := []*collect{{}, {}, {}}
	run := Batch{Source: files, Dead: func(sinks.DeadLetter) {}, Lateness: 5 * time.Second, Workers: 2, Now: time.Now}
	settled := 0
	run.Progress = func() {
		settled++
		for _, l := range run.Lanes {
			if l.Engine.Watermark() != run.Lanes[0].Engine.Watermark() {
				t.Error("lanes are at different watermarks")
			}
		}
	}
	for i, set := range []*rules.Set{a, b, c} {
		run.Lanes = append(run.Lanes, &Lane{Rules: set, Sink: got[i]})
	}
	if err := run.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if settled == 0 {
		t.Error("no progress was told")
	}
	for i, set := range run.Lanes {
		alone, _ := runBatch(t, set.Rules, lines, 1, 5*time.Second)
		if len(alone.ts) == 0 {
			t.Fatal("nothing happens alone")
		}
		if d := cmp.Diff(bare(t, alone.ts), bare(t, got[i].ts)); d != "" {
			t.Errorf("lane %d differs from its set alone (-alone +lane):\n%s", i, d)
		}
	}
}
