package chserver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"time"
)

// Server is a child process that serves, or, between Stop or Kill and Again, the
// ports and data of one. Its methods may be called from several goroutines, but
// for Again.
type Server struct {
	Options // with the ports that were chosen

	child atomic.Pointer[process]
}

type process struct {
	cmd   *exec.Cmd
	stdin io.WriteCloser
	done  chan struct{}
	err   error // of the process, once done is closed
}

// Start starts a server and waits until it answers. ctx limits the start only:
// the server goes on until Stop, Kill or the end of this process.
func Start(ctx context.Context, o Options) (*Server, error) {
	if o.Lib == "" {
		lib, err := FindLibrary()
		if err != nil {
			return nil, err
		}
		o.Lib = lib
	}
	s := &Server{Options: o}
	if err := s.starts(ctx, func() { s.Options = o }); err != nil {
		return nil, err
	}
	return s, nil
}

// Again starts the server with the same ports and data after Stop or Kill. The
// Server it returns is this one.
func (s *Server) Again(ctx context.Context) (*Server, error) {
	return s, s.starts(ctx, func() {})
}

// starts tries up to three times: a port that was free a moment ago may be taken
// when the child listens.
func (s *Server) starts(ctx context.Context, prepare func()) (err error) {
	for range 3 {
		prepare()
		if err = s.start(ctx); err == nil || ctx.Err() != nil {
			return err
		}
	}
	return err
}

func (s *Server) start(ctx context.Context) error {
	var inner struct{ tcp, http int } // ClickHouse's own ports, behind the shields
	ports := []*int{&inner.tcp, &inner.http, &s.TCPPort, &s.HTTPPort}
	if s.TLSCert != "" {
		ports = append(ports, &s.TLSPort, &s.HTTPSPort)
	}
	if err := freePorts(ports); err != nil {
		return err
	}
	cfg, err := s.writeConfig(inner.tcp, inner.http)
	if err != nil {
		return fmt.Errorf("configure ClickHouse: %w", err)
	}
	env, err := json.Marshal(child{
		Parent:  os.Getpid(),
		Lib:     s.Lib,
		Args:    []string{"--config-file=" + cfg, "--path=" + filepath.Join(s.Dir, "data")},
		Shields: s.shields(at(inner.tcp), at(inner.http)),
	})
	if err != nil {
		return err
	}
	p, err := s.exec(string(env))
	if err != nil {
		return fmt.Errorf("start ClickHouse: %w", err)
	}
	s.child.Store(p)
	return s.await(ctx, p)
}

func (s *Server) exec(env string) (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	p := &process{cmd: exec.Command(self), done: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), childEnv+"="+env)
	p.cmd.Dir = s.Dir
	p.cmd.Stdout, p.cmd.Stderr = s.Log, s.Log
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	return p, nil
}

// await returns when the server answers; if it does not, it is ended.
func (s *Server) await(ctx context.Context, p *process) error {
	for !ping(ctx, s.HTTPAddr()) {
		select {
		case <-p.done:
			return fmt.Errorf("ClickHouse ended while starting: %v (see %s)", p.err, filepath.Join(s.Dir, "server.err.log"))
		case <-ctx.Done():
			s.Kill()
			return context.Cause(ctx)
		case <-time.After(10 * time.Millisecond):
		}
	}
	return nil
}

func ping(ctx context.Context, addr string) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+"/ping", nil)
	if err != nil {
		return false
	}
	resp, err := oneShot.Do(req)
	if err != nil {
		return false
	}
	_ = resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

// NativeAddr is host:port of the native protocol.
func (s *Server) NativeAddr() string { return at(s.TCPPort) }

// HTTPAddr is host:port of HTTP.
func (s *Server) HTTPAddr() string { return at(s.HTTPPort) }

// TLSAddr is host:port of the native protocol over TLS.
func (s *Server) TLSAddr() string { return at(s.TLSPort) }

// HTTPSAddr is host:port of HTTPS.
func (s *Server) HTTPSAddr() string { return at(s.HTTPSPort) }

// PID is the process id of the child.
func (s *Server) PID() int { return s.child.Load().cmd.Process.Pid }

// Stop shuts the server down in good order. That takes a moment, and 5 s while
// clients are connected.
func (s *Server) Stop() error {
	p := s.child.Load()
	_ = p.stdin.Close()
	select {
	case <-p.done:
		return p.err
	case <-time.After(20 * time.Second):
		s.Kill()
		return errors.New("ClickHouse did not stop in 20 s")
	}
}

// Kill is kill -9.
func (s *Server) Kill() {
	p := s.child.Load()
	_ = p.cmd.Process.Kill()
	<-p.done
}

// Ended reports whether the child has ended, and with what.
func (s *Server) Ended() (bool, error) {
	p := s.child.Load()
	select {
	case <-p.done:
		return true, p.err
	default:
		return false, nil
	}
}

func at(port int) string { return fmt.Sprintf("127.0.0.1:%d", port) }

// freePorts fills in those that are 0, all of them different. They lie below the
// range from which the kernel takes the ports of outgoing connections (32768 and
// up), or one of those might have the port when the server comes back to it.
func freePorts(ports []*int) error {
	for _, p := range ports {
		for try := 0; *p == 0; try++ {
			l, err := net.Listen("tcp", at(20000+rand.IntN(12000)))
			if err != nil && try > 100 {
				return err
			}
			if err != nil {
				continue
			}
			defer func() { _ = l.Close() }() // only now, so that no other gets it
			*p = l.Addr().(*net.TCPAddr).Port
		}
	}
	return nil
}
