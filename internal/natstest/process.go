package natstest

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// childEnv makes a test binary a nats-server. Its value names the parent: a stale
// variable makes no one a server.
const childEnv = "CORRAL_NATS_CHILD"

const (
	patience = time.Minute // for a start or a stop, on a busy machine
	ready    = "ready"
)

func init() {
	if v := os.Getenv(childEnv); v != "" && testing.Testing() {
		_ = os.Unsetenv(childEnv)
		if err := beChild(v); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		os.Exit(0)
	}
}

type child struct {
	Parent int
	Port   int
	Dir    string
}

// beChild serves until a SIGTERM, or until standard input ends: so with the
// parent, however that ends.
func beChild(v string) error {
	var c child
	if err := json.Unmarshal([]byte(v), &c); err != nil {
		return fmt.Errorf("read %s: %w", childEnv, err)
	}
	if c.Parent != os.Getppid() {
		return fmt.Errorf("%s is set, but by process %d, which did not start this one", childEnv, c.Parent)
	}
	srv, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: c.Port, JetStream: true, StoreDir: c.Dir, NoSigs: true, NoLog: true})
	if err != nil {
		return err
	}
	end := make(chan os.Signal, 1)
	signal.Notify(end, syscall.SIGTERM)
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		end <- syscall.SIGTERM
	}()
	srv.Start()
	if !srv.ReadyForConnections(patience) {
		return errors.New("not ready for connections")
	}
	fmt.Println(ready)
	<-end
	srv.Shutdown()
	srv.WaitForShutdown()
	return nil
}

// Process is a nats-server with JetStream in a process of its own, so that it can
// be killed: this test binary, started again. Its methods are for one goroutine,
// but for URL.
type Process struct {
	dir   string
	port  int
	cmd   *exec.Cmd
	stdin io.Closer
	done  chan error
}

// StartProcess starts a server that keeps its files in dir. It goes on until Stop
// or Kill, at the longest as long as this process.
func StartProcess(dir string) (*Process, error) {
	p := &Process{dir: dir}
	var err error
	for range 3 { // a port that was free a moment ago may be taken when the child listens
		if p.port, err = freePort(); err != nil {
			return nil, err
		}
		if err = p.Start(); err == nil {
			return p, nil
		}
	}
	return nil, err
}

// freePort is below those that the kernel gives to outgoing connections: the
// server must find it free when it comes back.
func freePort() (port int, err error) {
	for range 100 {
		var l net.Listener
		if l, err = net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(20000+rand.IntN(12000))); err == nil {
			return l.Addr().(*net.TCPAddr).Port, l.Close()
		}
	}
	return 0, err
}

// Start starts the server again after Stop or Kill, with the same port and files,
// and returns when it takes connections.
func (p *Process) Start() error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	env, err := json.Marshal(child{os.Getpid(), p.port, p.dir})
	if err != nil {
		return err
	}
	p.cmd = exec.Command(self)
	p.cmd.Env = append(os.Environ(), childEnv+"="+string(env))
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		return err
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := p.cmd.Start(); err != nil {
		return err
	}
	said, err := bufio.NewReader(out).ReadString('\n')
	p.done = make(chan error, 1)
	go func() { p.done <- p.cmd.Wait() }()
	if strings.TrimSpace(said) != ready {
		p.Kill()
		return fmt.Errorf("start nats-server: %s (%w)", strings.TrimSpace(said), err)
	}
	return nil
}

// URL is what clients connect to; it stays the same.
func (p *Process) URL() string { return "nats://" + p.Addr() }

// Addr is host:port.
func (p *Process) Addr() string { return "127.0.0.1:" + strconv.Itoa(p.port) }

// Kill is kill -9. Killing twice is harmless.
func (p *Process) Kill() {
	if p.cmd == nil {
		return
	}
	_ = p.cmd.Process.Kill()
	<-p.done
	p.cmd = nil
}

// Stop ends the server in good order.
func (p *Process) Stop() error {
	_ = p.stdin.Close()
	select {
	case err := <-p.done:
		p.cmd = nil
		return err
	case <-time.After(patience):
		p.Kill()
		return errors.New("nats-server does not stop")
	}
}
