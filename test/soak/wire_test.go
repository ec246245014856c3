package soak

import (
	"net"
	"sync"
	"time"
)

// wire is a network between a client and a server that can be cut, stalled and
// slowed down.
type wire struct {
	l  net.Listener
	to string
	wg sync.WaitGroup

	mu    sync.Mutex
	conns map[net.Conn]struct{}
	cut   bool
	delay time.Duration // of every piece, in both directions
	flow  chan struct{} // closed while bytes flow
}

func newWire(to string) (*wire, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	w := &wire{l: l, to: to, conns: map[net.Conn]struct{}{}, flow: make(chan struct{})}
	close(w.flow)
	w.wg.Go(w.accept)
	return w, nil
}

func (w *wire) addr() string { return w.l.Addr().String() }

func (w *wire) close() {
	_ = w.l.Close()
	w.heal()
	w.drop()
	w.wg.Wait()
}

// sever ends all connections and lets none through until heal.
func (w *wire) sever() {
	w.mu.Lock()
	w.cut = true
	w.mu.Unlock()
	w.drop()
}

// drop ends all connections; new ones come through.
func (w *wire) drop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for c := range w.conns {
		_ = c.Close()
	}
}

// stall holds back all bytes until heal, as a network that loses every packet.
func (w *wire) stall() {
	w.mu.Lock()
	defer w.mu.Unlock()
	select {
	case <-w.flow:
		w.flow = make(chan struct{})
	default: // it is stalled
	}
}

// slow delays every piece until heal.
func (w *wire) slow(by time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.delay = by
}

func (w *wire) heal() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cut, w.delay = false, 0
	select {
	case <-w.flow:
	default:
		close(w.flow)
	}
}

func (w *wire) accept() {
	for {
		c, err := w.l.Accept()
		if err != nil {
			return
		}
		w.wg.Go(func() { w.pass(c) })
	}
}

// add remembers a connection; false: the wire is cut.
func (w *wire) add(c net.Conn) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.cut {
		w.conns[c] = struct{}{}
	}
	return !w.cut
}

func (w *wire) remove(c net.Conn) {
	_ = c.Close()
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.conns, c)
}

func (w *wire) pass(client net.Conn) {
	defer w.remove(client)
	if !w.add(client) {
		return
	}
	server, err := net.Dial("tcp", w.to)
	if err != nil {
		return
	}
	defer w.remove(server)
	if !w.add(server) {
		return
	}
	back := make(chan struct{})
	go func() {
		defer close(back)
		w.copy(client, server)
	}()
	w.copy(server, client)
	<-back
}

// copy passes bytes on until one side ends, and then ends both.
func (w *wire) copy(to, from net.Conn) {
	defer func() { _ = to.Close(); _ = from.Close() }()
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		w.wait()
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

func (w *wire) wait() {
	w.mu.Lock()
	flow, delay := w.flow, w.delay
	w.mu.Unlock()
	<-flow
	if delay > 0 {
		<-time.After(delay)
	}
}
