//go:build unix

package chserver

import "syscall"

// Pause and Resume stop and continue the process: a server that has gone silent
// without closing its connections.
func (s *Server) Pause() error { return s.child.Load().cmd.Process.Signal(syscall.SIGSTOP) }

// Resume undoes Pause.
func (s *Server) Resume() error { return s.child.Load().cmd.Process.Signal(syscall.SIGCONT) }
