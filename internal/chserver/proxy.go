package chserver

import (
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Proxy is a TCP proxy that makes the outcome of a request unknown. Put it
// between the client under test and a Server.
type Proxy struct {
	// Swallow lets requests through, but drops the answer and then the
	// connection: the server has done the work and the client cannot know.
	Swallow atomic.Bool
	// Cut drops the connection when the client says anything: nothing is done.
	Cut atomic.Bool

	l     net.Listener
	to    string
	mu    sync.Mutex
	conns map[net.Conn]struct{}
	wg    sync.WaitGroup
}

// NewProxy listens on a free port and passes connections on to the address to.
func NewProxy(to string) (*Proxy, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &Proxy{l: l, to: to, conns: map[net.Conn]struct{}{}}
	p.wg.Go(p.accept)
	return p, nil
}

// Addr is where it listens.
func (p *Proxy) Addr() string { return p.l.Addr().String() }

// Close stops listening and ends every connection.
func (p *Proxy) Close() error {
	err := p.l.Close()
	p.mu.Lock()
	for c := range p.conns {
		_ = c.Close()
	}
	p.mu.Unlock()
	p.wg.Wait()
	return err
}

func (p *Proxy) accept() {
	for {
		c, err := p.l.Accept()
		if err != nil {
			return
		}
		p.wg.Go(func() { p.pass(c) })
	}
}

// track remembers a connection until it is closed by the returned function.
func (p *Proxy) track(c net.Conn) (closeIt func()) {
	p.mu.Lock()
	p.conns[c] = struct{}{}
	p.mu.Unlock()
	return func() {
		_ = c.Close()
		p.mu.Lock()
		delete(p.conns, c)
		p.mu.Unlock()
	}
}

func (p *Proxy) pass(client net.Conn) {
	defer p.track(client)()
	server, err := net.Dial("tcp", p.to)
	if err != nil {
		return
	}
	defer p.track(server)()
	done := make(chan struct{})
	go func() {
		defer close(done)
		copyUntil(server, client, &p.Cut, 0)
		_ = server.Close()
		_ = client.Close()
	}()
	copyUntil(client, server, &p.Swallow, 50*time.Millisecond)
	_ = server.Close()
	_ = client.Close()
	<-done
}

// copyUntil copies until either side ends, or until something comes while stop
// is set: that is dropped, after a wait in which the other side may do its work.
func copyUntil(to io.Writer, from io.Reader, stop *atomic.Bool, wait time.Duration) {
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 && stop.Load() {
			time.Sleep(wait)
			return
		}
		if n > 0 {
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}
