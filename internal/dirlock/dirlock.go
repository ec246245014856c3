// Package dirlock keeps a directory to one process.
package dirlock

import (
	"fmt"
	"os"
	"path/filepath"
)

// Lock takes dir, which must exist, until unlock, or fails at once if another
// process has it. name is that of the file in it that is locked; it stays when the
// process ends, but the lock goes with the process however that ends. Where the
// system or the file system has no such locks Lock only makes the file.
func Lock(dir, name string) (unlock func() error, err error) {
	f, err := os.OpenFile(filepath.Join(dir, name), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	free, err := take(f)
	if err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("%s is in use by another process: %w", dir, err)
	}
	return free, nil
}
