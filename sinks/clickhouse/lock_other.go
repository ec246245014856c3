//go:build !unix

package clickhouse

import (
	"os"
	"path/filepath"
)

// lockDir opens the lock file; there is no advisory lock to take here.
func lockDir(dir string) (unlock func() error, err error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	return f.Close, nil
}
