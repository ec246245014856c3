//go:build linux

// Package fulldisk lets tests see what a full disk does: files that take a part of
// a write, and then nothing.
package fulldisk

import (
	"testing"

	"golang.org/x/sys/unix"
)

// Limit lets the files of a process, 0: this one, grow to so many bytes and no
// further, until the returned function is called or the test ends.
func Limit(t testing.TB, pid int, bytes uint64) (lift func()) {
	t.Helper()
	var was unix.Rlimit
	if err := unix.Prlimit(pid, unix.RLIMIT_FSIZE, nil, &was); err != nil {
		t.Fatal(err)
	}
	if err := unix.Prlimit(pid, unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: bytes, Max: was.Max}, nil); err != nil {
		t.Fatal(err)
	}
	lift = func() { _ = unix.Prlimit(pid, unix.RLIMIT_FSIZE, &was, nil) } // of a process that has ended: nothing to lift
	t.Cleanup(lift)
	return lift
}
