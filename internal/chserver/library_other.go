//go:build !(linux && amd64)

package chserver

// run: the library was tried on linux/amd64 only.
func (c child) run() error { return ErrNoLibrary }
