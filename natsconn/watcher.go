package natsconn

import (
	"errors"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/nats-io/nats.go"
)

// watcher logs and counts what the client tells of the connection, so that no
// error is silent. Its methods are called by the client, one at a time.
type watcher struct {
	log    *slog.Logger
	counts *counters
	failed int // attempts in a row
}

func (w *watcher) options() []nats.Option {
	return []nats.Option{
		nats.ErrorHandler(w.failure),
		nats.DisconnectErrHandler(w.disconnected),
		nats.ReconnectHandler(w.reconnected),
		nats.ReconnectErrHandler(w.attempt),
		nats.ClosedHandler(w.closed),
		nats.LameDuckModeHandler(w.lameDuck),
	}
}

func (w *watcher) failure(_ *nats.Conn, sub *nats.Subscription, err error) {
	log := w.log
	if sub != nil {
		log = log.With("subject", sub.Subject)
	}
	switch {
	case isRefusal(err):
		w.attempt(nil, err)
	case errors.Is(err, nats.ErrSlowConsumer):
		w.counts.slow.Add(1)
		dropped := 0
		if sub != nil {
			dropped, _ = sub.Dropped() // of a closed subscription: unknown
		}
		log.Error("slow consumer: messages are dropped", "dropped", dropped)
	case errors.Is(err, nats.ErrPermissionViolation):
		w.counts.permission.Add(1)
		log.Error("no permission", "error", err)
	default:
		w.counts.other.Add(1)
		log.Warn("NATS error", "error", err)
	}
}

func (w *watcher) disconnected(_ *nats.Conn, err error) {
	w.counts.disconnects.Add(1)
	w.log.Warn("disconnected from NATS, reconnecting", "error", err)
}

func (w *watcher) reconnected(nc *nats.Conn) {
	w.counts.reconnects.Add(1)
	w.failed = 0
	w.log.Info("reconnected to NATS", "url", nc.ConnectedUrlRedacted(), "server", nc.ConnectedServerName())
}

// attempt is logged ever more seldom while the server stays away.
func (w *watcher) attempt(_ *nats.Conn, err error) {
	w.counts.failed.Add(1)
	w.failed++
	if w.failed&(w.failed-1) == 0 {
		w.log.Warn("reconnect to NATS", "error", err, "attempts", w.failed)
	}
}

// isRefusal reports whether the server does not accept who we are. The client
// tells these as errors of the connection, not of the attempt to connect.
func isRefusal(err error) bool {
	for _, refusal := range []error{nats.ErrAuthorization, nats.ErrAuthExpired, nats.ErrAuthRevoked, nats.ErrAccountAuthExpired} {
		if errors.Is(err, refusal) {
			return true
		}
	}
	return false
}

func (w *watcher) closed(nc *nats.Conn) {
	w.log.Error("connection to NATS is closed", "error", nc.LastError())
}

// lameDuck leaves a server that is about to shut down, not all clients at once,
// if there is another one to go to.
func (w *watcher) lameDuck(nc *nats.Conn) {
	w.counts.lame.Add(1)
	if len(nc.Servers()) < 2 {
		w.log.Warn("server shuts down, and no other one is known")
		return
	}
	wait, leaving := rand.N(lameDuckDelay), nc.ConnectedServerId()
	w.log.Warn("server shuts down, changing to another one", "in", wait)
	time.AfterFunc(wait, func() {
		if nc.ConnectedServerId() != leaving {
			return // it was faster
		}
		if err := nc.ForceReconnect(); err != nil && !nc.IsClosed() {
			w.log.Warn("leave the server that shuts down", "error", err)
		}
	})
}
