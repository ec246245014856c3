package pipeline

import (
	"strings"
	"testing"

	"corral/internal/fulldisk"
)

// TestFullDisk: what a full disk took a half of, snapshot or note, does not stand in
// the way of what comes when there is room again.
func TestFullDisk(t *testing.T) {
	d := &DirStore{Dir: t.TempDir()}
	big := func(c string) []byte { return []byte(strings.Repeat(c, 50<<10)) }
	if err := d.Save(t.Context(), []byte("first")); err != nil {
		t.Fatal(err)
	}
	lift := fulldisk.Limit(t, 0, 40<<10)
	if d.Note(t.Context(), big("n")) == nil || d.Save(t.Context(), big("s")) == nil {
		t.Error("a full disk took it")
	}
	load := func(want string, notes int) {
		t.Helper()
		err := (&DirStore{Dir: d.Dir}).Load(t.Context(), func(_ string, data []byte, noted [][]byte) error {
			if string(data) != want || len(noted) != notes {
				t.Errorf("snapshot of %d bytes with %d notes, want %d bytes with %d", len(data), len(noted), len(want), notes)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	load("first", 0)
	lift()
	if err := d.Note(t.Context(), big("n")); err != nil {
		t.Fatal(err)
	}
	load("first", 1)
	if err := d.Save(t.Context(), big("s")); err != nil {
		t.Fatal(err)
	}
	load(string(big("s")), 1)
}
