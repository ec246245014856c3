// Package natstest runs real nats-servers inside a test: on loopback, on a free
// port, with their files in the test's own directory, gone when it ends.
package natstest

import (
	"net"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Option changes how a server is started.
type Option func(testing.TB, *server.Options)

// JetStream gives the server a file store in a directory of the test, which a
// Restart finds again.
func JetStream() Option {
	return func(t testing.TB, o *server.Options) {
		o.JetStream = true
		o.StoreDir = t.TempDir()
	}
}

// Config adds text in the format of a nats-server configuration file: accounts,
// users, TLS, limits. Host and port in it are not used.
func Config(text string) Option {
	return func(t testing.TB, o *server.Options) {
		t.Helper()
		file := filepath.Join(t.TempDir(), "nats.conf")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := o.ProcessConfigFile(file); err != nil {
			t.Fatalf("nats-server configuration: %v", err)
		}
	}
}

// With changes the server's options directly.
func With(change func(*server.Options)) Option {
	return func(_ testing.TB, o *server.Options) { change(o) }
}

// Server is a running nats-server. Stop and Restart are for the goroutine of
// the test.
type Server struct {
	*server.Server
	t    testing.TB
	opts *server.Options
}

// Start runs a server until the test ends.
func Start(t testing.TB, opts ...Option) *Server {
	t.Helper()
	o := &server.Options{}
	for _, opt := range opts {
		opt(t, o)
	}
	o.Host, o.Port = "127.0.0.1", server.RANDOM_PORT
	o.NoSigs, o.NoLog = true, true
	s := &Server{t: t, opts: o}
	t.Cleanup(s.Stop)
	s.start()
	return s
}

func (s *Server) start() {
	s.t.Helper()
	s.boot()
	if !s.ReadyForConnections(time.Minute) {
		s.t.Fatal("nats-server is not ready for connections after a minute")
	}
}

// boot starts the server on the port it had before, if it had one.
func (s *Server) boot() {
	s.t.Helper()
	if s.opts.AuthTimeout == 0 {
		s.opts.AuthTimeout = patience.Seconds() // a busy machine is no attack
	}
	srv, err := server.NewServer(s.opts.Clone())
	if err != nil {
		s.t.Fatalf("start nats-server: %v", err)
	}
	s.Server = srv
	srv.Start()
	if a, ok := srv.Addr().(*net.TCPAddr); ok && s.opts.Port == server.RANDOM_PORT {
		s.opts.Port = a.Port
	}
}

// URL is what clients connect to; it stays the same over a Restart.
func (s *Server) URL() string {
	return "nats://127.0.0.1:" + strconv.Itoa(s.opts.Port)
}

// Stop ends the server as a clean shutdown does; stopping twice is harmless.
func (s *Server) Stop() {
	if s.Server == nil {
		return
	}
	s.Shutdown()
	s.WaitForShutdown()
}

// Restart starts the server again on the same port and store, after a Stop if
// it was running.
func (s *Server) Restart() {
	s.t.Helper()
	s.Stop()
	s.start()
}

// Reload changes the configuration of the running server, as a signal does after
// an edit of its file.
func (s *Server) Reload(change func(*server.Options)) {
	s.t.Helper()
	change(s.opts)
	if err := s.ReloadOptions(s.opts.Clone()); err != nil {
		s.t.Fatalf("reload nats-server: %v", err)
	}
}

// Dial returns a connection that reconnects for ever and fast, or why there is
// none.
func (s *Server) Dial(opts ...nats.Option) (*nats.Conn, error) {
	return nats.Connect(s.URL(), append([]nats.Option{
		nats.Timeout(patience),
		nats.MaxReconnects(-1),
		nats.ReconnectWait(20 * time.Millisecond),
		nats.ReconnectJitter(10*time.Millisecond, 10*time.Millisecond),
	}, opts...)...)
}

// Connect is Dial for a test that cannot go on without; the connection is
// closed when the test ends.
func (s *Server) Connect(opts ...nats.Option) *nats.Conn {
	s.t.Helper()
	nc, err := s.Dial(opts...)
	if err != nil {
		s.t.Fatalf("connect to %s: %v", s.URL(), err)
	}
	s.t.Cleanup(nc.Close)
	return nc
}

// JetStream returns a JetStream context on a connection of its own. A question
// whose answer a restart swallowed fails after the client's usual 5 s, so that who
// asks again still gets an answer within the patience of Eventually.
func (s *Server) JetStream(opts ...nats.Option) jetstream.JetStream {
	s.t.Helper()
	js, err := jetstream.New(s.Connect(opts...))
	if err != nil {
		s.t.Fatal(err)
	}
	return js
}

// Stream creates a stream with the server's defaults.
func (s *Server) Stream(name string, subjects ...string) jetstream.Stream {
	s.t.Helper()
	str, err := s.JetStream().CreateStream(s.t.Context(), jetstream.StreamConfig{Name: name, Subjects: subjects})
	if err != nil {
		s.t.Fatalf("create stream %s: %v", name, err)
	}
	return str
}

// Eventually polls until cond is true and fails the test if that takes longer
// than a minute, which a busy machine may need; what says what was waited for.
func Eventually(t testing.TB, what string, cond func() bool) {
	t.Helper()
	deadline := time.After(time.Minute)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !cond() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("still waiting after a minute: %s", what)
		}
	}
}
