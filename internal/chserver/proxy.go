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
	// MinRequest bytes must have been said since the last answer for Swallow to
	// act. A few thousand choose inserts, and of them the answer that counts.
	MinRequest atomic.Int64
	// Swallowed counts the answers that were dropped.
	Swallowed atomic.Int64
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
	var said atomic.Int64 // by the client since the last answer
	done := make(chan struct{})
	go func() {
		defer close(done)
		copyUntil(server, client, func(n int) bool {
			said.Add(int64(n))
			return p.Cut.Load()
		})
		_ = server.Close()
		_ = client.Close()
	}()
	copyUntil(client, server, func(int) bool {
		if said.Swap(0) < p.MinRequest.Load() || !p.Swallow.Load() {
			return false
		}
		p.Swallowed.Add(1)
		time.Sleep(50 * time.Millisecond) // for the server to end what it has begun
		return true
	})
	_ = server.Close()
	_ = client.Close()
	<-done
}

// copyUntil copies until either side ends, or until stop, which is told how much
// came, says that it is to be dropped.
func copyUntil(to io.Writer, from io.Reader, stop func(n int) bool) {
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 && stop(n) {
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
