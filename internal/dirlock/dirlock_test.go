package dirlock

import (
	"strings"
	"testing"
)

// TestLock: one at a time, and the next when it has gone.
func TestLock(t *testing.T) {
	dir := t.TempDir()
	for range 2 {
		unlock, err := Lock(dir, "lock")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Lock(dir, "lock"); err == nil || !strings.Contains(err.Error(), dir+" is in use by another process") {
			t.Errorf("locked twice: %v", err)
		}
		if err := unlock(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := Lock(dir+"/none", "lock"); err == nil {
		t.Error("a directory that is not there was locked")
	}
}
