//go:build unix

package dirlock

import (
	"errors"
	"os"
	"syscall"
)

func take(f *os.File) (free func() error, err error) {
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); errors.Is(err, syscall.EWOULDBLOCK) {
		return nil, err
	}
	return func() error {
		// Closing alone leaves the lock with a child that is just being started.
		_ = syscall.Flock(int(f.Fd()), syscall.LOCK_UN) // fails where there was none
		return f.Close()
	}, nil
}
