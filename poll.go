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
	spanVar(fs, &p.every, "poll", 0, "how often to ask the servers for what none of them announces (fill of streams, stalled consumers, …); default 30s if a user for it is named, else never. One worker is enough")
	fs.StringVar(&p.user.Creds, "poll-creds", "", "credentials file of a system account user, who polls (default: the connection's own user)")
	fs.StringVar(&p.user.NKey, "poll-nkey", "", "nkey seed file of a system account user for --poll")
	fs.StringVar(&p.user.Name, "poll-user", "", "system account user for --poll")
	fs.StringVar(&p.user.PasswordFile, "poll-password-file", "", "file with the password of --poll-user")
}

// pollEvery is how often a user of the system account who is named polls.
const pollEvery = 30 * time.Second

func (p *pollFlags) check() error {
	if p.every == 0 && !p.user.IsZero() {
		p.every = pollEvery
	}
	switch {
	case p.every < 0:
		return usageError("--poll %s: want an interval", p.every)
	case p.every > 0 && p.every < time.Second:
		return usageError("--poll %s: want a second or more", p.every)
	}
	return nil
}

// connect returns the connection of the system account's user, and what ends it:
// to the same servers as base, which is nc, and nc itself without a user for it.
func (p *pollFlags) connect(ctx context.Context, base *natsconn.Options, nc *nats.Conn, log *slog.Logger) (*nats.Conn, func(), error) {
	if p.user.IsZero() {
		return nc, func() {}, nil
	}
	o, err := base.As(p.user, "corral-poll")
	if err != nil {
		return nil, nil, usageError("%w", err)
	}
	system, err := o.Connect(ctx, log.With("connection", "poll"))
	if err != nil {
		return nil, nil, infra(err)
	}
	return system, system.Close, nil
}

func (p *pollFlags) source(system *nats.Conn, log *slog.Logger) (ingest.Source, error) {
	src, err := natspoll.New(system, natspoll.Config{Every: p.every, Tick: idleTick, Log: log.With("source", "poll")})
	if err != nil {
		return nil, usageError("--poll: %w", err)
	}
	return src, nil
}
