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
	"time"
)

// Server is a running child process.
type Server struct {
	Options // with the ports that were chosen

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
	s, err := start(ctx, o)
	// A port that was free a moment ago may be taken when the child listens.
	for try := 0; err != nil && ctx.Err() == nil && try < 2; try++ {
		s, err = start(ctx, o)
	}
	return s, err
}

func start(ctx context.Context, o Options) (*Server, error) {
	var inner struct{ tcp, http int } // ClickHouse's own ports, behind the shields
	ports := []*int{&inner.tcp, &inner.http, &o.TCPPort, &o.HTTPPort}
	if o.TLSCert != "" {
		ports = append(ports, &o.TLSPort, &o.HTTPSPort)
	}
	if err := freePorts(ports); err != nil {
		return nil, err
	}
	cfg, err := o.writeConfig(inner.tcp, inner.http)
	if err != nil {
		return nil, fmt.Errorf("configure ClickHouse: %w", err)
	}
	env, err := json.Marshal(child{
		Parent:  os.Getpid(),
		Lib:     o.Lib,
		Args:    []string{"--config-file=" + cfg, "--path=" + filepath.Join(o.Dir, "data")},
		Shields: o.shields(at(inner.tcp), at(inner.http)),
	})
	if err != nil {
		return nil, err
	}
	s := &Server{Options: o, done: make(chan struct{})}
	if err := s.exec(string(env)); err != nil {
		return nil, fmt.Errorf("start ClickHouse: %w", err)
	}
	return s, s.await(ctx)
}

func (s *Server) exec(env string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	s.cmd = exec.Command(self)
	s.cmd.Env = append(os.Environ(), childEnv+"="+env)
	s.cmd.Dir = s.Dir
	s.cmd.Stdout, s.cmd.Stderr = s.Log, s.Log
	if s.stdin, err = s.cmd.StdinPipe(); err != nil {
		return err
	}
	if err := s.cmd.Start(); err != nil {
		return err
	}
	go func() {
		s.err = s.cmd.Wait()
		close(s.done)
	}()
	return nil
}

// await returns when the server answers; if it does not, it is ended.
func (s *Server) await(ctx context.Context) error {
	for !ping(ctx, s.HTTPAddr()) {
		select {
		case <-s.done:
			return fmt.Errorf("ClickHouse ended while starting: %v (see %s)", s.err, filepath.Join(s.Dir, "server.err.log"))
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
func (s *Server) PID() int { return s.cmd.Process.Pid }

// Stop shuts the server down in good order. That takes a moment, and 5 s while
// clients are connected.
func (s *Server) Stop() error {
	_ = s.stdin.Close()
	select {
	case <-s.done:
		return s.err
	case <-time.After(20 * time.Second):
		s.Kill()
		return errors.New("ClickHouse did not stop in 20 s")
	}
}

// Kill is kill -9.
func (s *Server) Kill() {
	_ = s.cmd.Process.Kill()
	<-s.done
}

// Again starts a server with the same ports and data after Stop or Kill.
func (s *Server) Again(ctx context.Context) (*Server, error) { return Start(ctx, s.Options) }

// Ended reports whether the child has ended, and with what.
func (s *Server) Ended() (bool, error) {
	select {
	case <-s.done:
		return true, s.err
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
