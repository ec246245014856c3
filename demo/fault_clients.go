package demo

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

const (
	slowReaderName = "price-board"
	pricesSubject  = "prices.all"
)

// wrongCredentials keeps logging in with a password that is no longer right. The
// first attempt must be refused, or there is no fault.
func (s *System) wrongCredentials(ctx context.Context) (func(), error) {
	login := func() error {
		nc, err := nats.Connect(s.broker.url(), nats.Name("nightly-report"),
			nats.UserInfo("reports", "summer-2025"), nats.NoReconnect())
		if err == nil {
			nc.Close()
		}
		return err
	}
	if err := login(); !errors.Is(err, nats.ErrAuthorization) {
		return nil, fmt.Errorf("login with a wrong password: %w", err)
	}
	return whileActive(ctx, func(ctx context.Context) {
		for pause(ctx, 500*time.Millisecond) {
			_ = login() // refused each time
		}
	}), nil
}

// slowConsumer lets a client subscribe and then read nothing more, while another
// publishes more than the server is willing to hold for it. The server cuts it,
// it comes back, and so on.
func (s *System) slowConsumer(ctx context.Context) (func(), error) {
	feed, err := s.broker.connect("app", "price-feed")
	if err != nil {
		return nil, err
	}
	reader, err := s.stuckReader()
	if err != nil {
		feed.Close()
		return nil, err
	}
	return whileActive(ctx, func(ctx context.Context) {
		defer feed.Close()
		for {
			flood(ctx, feed, reader.gone)
			reader.close()
			if !pause(ctx, 2*time.Second) {
				return
			}
			if reader, err = s.stuckReader(); err != nil {
				return
			}
		}
	}), nil
}

// flood publishes until the reader is gone.
func flood(ctx context.Context, nc *nats.Conn, gone <-chan struct{}) {
	price := make([]byte, 32<<10)
	for ctx.Err() == nil {
		select {
		case <-gone:
			return
		default:
		}
		for range 32 {
			_ = nc.Publish(pricesSubject, price)
		}
		_ = nc.FlushTimeout(2 * time.Second) // the server slows down who feeds a slow reader
	}
}

// stuckReader is a client whose socket nobody reads once it has subscribed.
type stuckReader struct {
	nc   *nats.Conn
	conn *stuckConn
	gone chan struct{} // closed when the client knows that it was cut
}

func (s *System) stuckReader() (*stuckReader, error) {
	r := &stuckReader{conn: newStuckConn(), gone: make(chan struct{})}
	var err error
	r.nc, err = s.broker.connect("app", slowReaderName,
		nats.NoReconnect(), nats.SetCustomDialer(r.conn),
		// Only its own pings tell the client that the server has cut it.
		nats.PingInterval(100*time.Millisecond), nats.MaxPingsOutstanding(1<<20),
		nats.ClosedHandler(func(*nats.Conn) { close(r.gone) }))
	if err != nil {
		return nil, err
	}
	if _, err := r.nc.Subscribe("prices.>", func(*nats.Msg) {}); err != nil {
		r.close()
		return nil, fmt.Errorf("subscribe: %w", err)
	}
	if err := r.nc.Flush(); err != nil {
		r.close()
		return nil, fmt.Errorf("subscribe: %w", err)
	}
	r.conn.stick()
	return r, nil
}

func (r *stuckReader) close() { r.nc.Close() }

// stuckConn is a TCP connection, and its own dialer, whose Read stops returning.
type stuckConn struct {
	net.Conn
	stuck, closed       chan struct{}
	stickOnce, shutOnce sync.Once
}

func newStuckConn() *stuckConn {
	return &stuckConn{stuck: make(chan struct{}), closed: make(chan struct{})}
}

// Dial implements nats.CustomDialer.
func (c *stuckConn) Dial(network, address string) (net.Conn, error) {
	conn, err := net.Dial(network, address)
	if err != nil {
		return nil, err
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetReadBuffer(16 << 10) // what the kernel holds, the server need not
	}
	c.Conn = conn
	return c, nil
}

func (c *stuckConn) stick() { c.stickOnce.Do(func() { close(c.stuck) }) }

func (c *stuckConn) Read(p []byte) (int, error) {
	select {
	case <-c.stuck:
		<-c.closed
		return 0, net.ErrClosed
	default:
		return c.Conn.Read(p)
	}
}

func (c *stuckConn) Close() error {
	c.shutOnce.Do(func() { close(c.closed) })
	return c.Conn.Close()
}
