package natsconn

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"strings"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/net/proxy"
)

// Settings that differ from the client's defaults. A dead peer is noticed after
// about a minute, not four; whatever the server says, it is tried again.
const (
	pingInterval   = 20 * time.Second
	maxPings       = 3
	reconnectBytes = 8 << 20
	drainTimeout   = 10 * time.Second
	minDelay       = 100 * time.Millisecond
	maxDelay       = 5 * time.Second
	lameDuckDelay  = 3 * time.Second
	stillWaiting   = 15 * time.Second // between two words about a server that never was there
)

// Counts is what happened to the connection so far.
type Counts struct {
	Disconnects, Reconnects uint64
	SlowConsumers           uint64 // times that a subscription began to drop messages
	PermissionErrors        uint64
	OtherErrors             uint64
	FailedAttempts          uint64 // to connect or to connect again
	LameDucks               uint64 // times that a server announced its shutdown
}

type counters struct {
	disconnects, reconnects, slow, permission, other, failed, lame atomic.Uint64
}

// Counts may be called at any time after Connect, by anyone.
func (o *Options) Counts() Counts {
	c := o.counts
	if c == nil {
		return Counts{}
	}
	return Counts{
		Disconnects: c.disconnects.Load(), Reconnects: c.reconnects.Load(), SlowConsumers: c.slow.Load(),
		PermissionErrors: c.permission.Load(), OtherErrors: c.other.Load(), FailedAttempts: c.failed.Load(), LameDucks: c.lame.Load(),
	}
}

// Connect returns a connection that reconnects for ever. It waits for the first
// connect until ctx is done, unless FailFast is set. What goes wrong later is
// logged and counted.
func (o *Options) Connect(ctx context.Context, log *slog.Logger) (*nats.Conn, error) {
	if err := o.Resolve(); err != nil {
		return nil, fmt.Errorf("configure NATS: %w", err)
	}
	if len(o.exposed) > 0 {
		log.Warn("secrets among the arguments can be seen by other users of the machine", "flags", o.exposed)
	}
	opts, err := o.natsOptions()
	if err != nil {
		return nil, fmt.Errorf("configure NATS: %w", err)
	}
	o.counts, o.log = new(counters), log
	connected := make(chan struct{})
	w := &watcher{log: log, counts: o.counts}
	opts = append(opts, w.options()...)
	opts = append(opts, nats.RetryOnFailedConnect(!o.FailFast), nats.ConnectHandler(func(*nats.Conn) { close(connected) }))
	nc, err := nats.Connect(o.URL, opts...)
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", redact(o.URL), err)
	}
	if err := o.wait(ctx, nc, connected, log); err != nil {
		nc.Close()
		return nil, err
	}
	log.Info("connected to NATS", "url", nc.ConnectedUrlRedacted(), "server", nc.ConnectedServerName(), "context", o.contextUsed)
	return nc, nil
}

func (o *Options) wait(ctx context.Context, nc *nats.Conn, connected <-chan struct{}, log *slog.Logger) error {
	if nc.IsConnected() {
		return nil
	}
	again := time.NewTicker(stillWaiting)
	defer again.Stop()
	for {
		log.Warn("NATS is not there yet, waiting", "url", redact(o.URL), "error", nc.LastError())
		select {
		case <-connected:
			return nil
		case <-again.C:
		case <-ctx.Done():
			return fmt.Errorf("connect to %s: %w", redact(o.URL), errors.Join(context.Cause(ctx), nc.LastError()))
		}
	}
}

// JetStream returns a JetStream context in the domain or with the API prefix of
// the options.
func (o *Options) JetStream(nc *nats.Conn, opts ...jetstream.JetStreamOpt) (jetstream.JetStream, error) {
	switch {
	case o.Domain != "":
		return jetstream.NewWithDomain(nc, o.Domain, opts...)
	case o.APIPrefix != "":
		return jetstream.NewWithAPIPrefix(nc, o.APIPrefix, opts...)
	}
	return jetstream.New(nc, opts...)
}

func (o *Options) natsOptions() ([]nats.Option, error) {
	opts := []nats.Option{
		nats.Name(o.Name),
		nats.Timeout(o.Timeout),
		nats.MaxReconnects(-1),
		nats.CustomReconnectDelay(delay),
		nats.IgnoreAuthErrorAbort(), // else two refusals end the connection for good
		nats.PingInterval(pingInterval),
		nats.MaxPingsOutstanding(maxPings),
		nats.ReconnectBufSize(reconnectBytes),
		nats.DrainTimeout(drainTimeout),
		nats.NoCallbacksAfterClientClose(),
		nats.PermissionErrOnSubscribe(true),
	}
	auth, err := o.authentication()
	if err != nil {
		return nil, err
	}
	opts = append(opts, auth...)
	if o.InboxPrefix != "" {
		opts = append(opts, nats.CustomInboxPrefix(o.InboxPrefix))
	}
	if o.SOCKSProxy != "" {
		dialer, err := proxy.SOCKS5("tcp", o.SOCKSProxy, nil, &net.Dialer{Timeout: o.Timeout})
		if err != nil {
			return nil, fmt.Errorf("SOCKS proxy %s: %w", o.SOCKSProxy, err)
		}
		opts = append(opts, nats.SetCustomDialer(dialer))
	}
	return append(opts, o.tls()...), nil
}

func (o *Options) tls() (opts []nats.Option) {
	if o.CA != "" {
		opts = append(opts, nats.RootCAs(o.CA))
	}
	if o.Cert != "" {
		opts = append(opts, nats.ClientCert(o.Cert, o.Key))
	}
	if o.TLSFirst {
		opts = append(opts, nats.TLSHandshakeFirst())
	}
	return opts
}

// authentication reads secrets from files at each connect.
func (o *Options) authentication() ([]nats.Option, error) {
	switch {
	case o.Creds != "":
		return []nats.Option{nats.UserCredentials(o.Creds)}, nil
	case o.NKey != "":
		opt, err := nats.NkeyOptionFromSeed(o.NKey)
		if err != nil {
			return nil, fmt.Errorf("nkey %s: %w", o.NKey, err)
		}
		return []nats.Option{opt}, nil
	case o.JWT != "":
		return o.jwtAndSeed()
	case o.TokenFile != "":
		return []nats.Option{nats.TokenHandler(func() string { return o.secret(o.TokenFile) })}, nil
	case o.Token != "":
		return []nats.Option{nats.Token(o.Token)}, nil
	case o.User != "" && o.PasswordFile != "":
		return []nats.Option{nats.UserInfoHandler(func() (string, string) { return o.User, o.secret(o.PasswordFile) })}, nil
	case o.User != "" && o.Password != "":
		return []nats.Option{nats.UserInfo(o.User, o.Password)}, nil
	case o.User != "":
		return []nats.Option{nats.Token(o.User)}, nil
	}
	return nil, nil
}

func (o *Options) jwtAndSeed() ([]nats.Option, error) {
	jwt, err := textOrFile(o.JWT, "eyJ")
	if err != nil {
		return nil, fmt.Errorf("user JWT: %w", err)
	}
	seed, err := textOrFile(o.Seed, "SU")
	if err != nil {
		return nil, fmt.Errorf("seed of the user JWT: %w", err)
	}
	return []nats.Option{nats.UserJWTAndSeed(jwt, seed)}, nil
}

// secret reads a file while connecting, where no error can be returned: without
// the secret the server refuses us.
func (o *Options) secret(file string) string {
	s, err := readSecret(file)
	if err != nil {
		o.counts.other.Add(1)
		o.log.Error("read the secret for NATS", "error", err)
	}
	return s
}

// delay is the wait before the server list is tried again, with full jitter.
func delay(attempts int) time.Duration {
	most := maxDelay
	if shift := max(attempts-1, 0); shift < 6 {
		most = min(maxDelay, minDelay<<shift)
	}
	return most/2 + rand.N(most/2)
}

// redact takes names and passwords out of URLs.
func redact(urls string) string {
	list := strings.Split(urls, ",")
	for i, u := range list {
		scheme, rest, ok := strings.Cut(strings.TrimSpace(u), "://")
		if !ok {
			scheme, rest = "nats", scheme
		}
		if at := strings.LastIndexByte(rest, '@'); at >= 0 {
			rest = rest[at+1:]
		}
		list[i] = scheme + "://" + rest
	}
	return strings.Join(list, ",")
}
