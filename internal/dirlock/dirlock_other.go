//go:build !unix

package dirlock

import "os"

func take(f *os.File) (free func() error, err error) { return f.Close, nil }
