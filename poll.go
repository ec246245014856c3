package main

import (
	"context"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/spf13/pflag"

	"corral/ingest"
	"corral/internal/natspoll"
	"corral/natsconn"
)

// pollFlags say whether servers are asked for what they do not announce, and as
// whom: that takes a user of the system account.
type pollFlags struct {
	every time.Duration
	user  natsconn.User
}

func (p *pollFlags) add(fs *pflag.FlagSet) {
	fs.DurationVar(&p.every, "poll", 0, "how often to ask the servers for what none of them announces (fill of streams, stalled consumers, …); 0: never. One worker is enough")
	fs.StringVar(&p.user.Creds, "poll-creds", "", "credentials file of a system account user for --poll (default: the connection's own user)")
	fs.StringVar(&p.user.NKey, "poll-nkey", "", "nkey seed file of a system account user for --poll")
	fs.StringVar(&p.user.Name, "poll-user", "", "system account user for --poll")
	fs.StringVar(&p.user.PasswordFile, "poll-password-file", "", "file with the password of --poll-user")
}

func (p *pollFlags) check() error {
	switch {
	case p.every < 0:
		return usageError("--poll %s: want an interval", p.every)
	case p.every == 0 && !p.user.IsZero():
		return usageError("a user for polling is named, but not how often: say --poll 30s")
	case p.every > 0 && p.every < time.Second:
		return usageError("--poll %s: want a second or more", p.every)
	}
	return nil
}

// open returns the source and what ends its connection. It connects as base does,
// to the same servers, but as the user for polling, if there is one.
func (p *pollFlags) open(ctx context.Context, base *natsconn.Options, nc *nats.Conn, log *slog.Logger) (ingest.Source, func(), error) {
	done := func() {}
	if !p.user.IsZero() {
		o, err := base.As(p.user, "corral-poll")
		if err != nil {
			return nil, nil, usageError("%w", err)
		}
		if nc, err = o.Connect(ctx, log.With("connection", "poll")); err != nil {
			return nil, nil, infra(err)
		}
		done = nc.Close
	}
	src, err := natspoll.New(nc, natspoll.Config{Every: p.every, Tick: idleTick, Log: log.With("source", "poll")})
	if err != nil {
		done()
		return nil, nil, usageError("--poll: %w", err)
	}
	return src, done, nil
}
