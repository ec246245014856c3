package main

import (
	"context"
	"fmt"

	"corral/internal/natssetup"
)

func cmdNATSSetup(_ context.Context, args []string, e env) error {
	var o natssetup.Options
	fs := newFlags("nats-setup", "--account NAME…", `Prints what a NATS system needs so that corral sees all of it: exports, an account that imports them, and users with no right too many.

  corral nats-setup --account APP > corral.conf`)
	fs.StringArrayVar(&o.Accounts, "account", nil, "account whose JetStream is to be observed; repeatable")
	fs.StringVar(&o.System, "system-account", "SYS", "name of the system account")
	fs.StringVar(&o.Observer, "observer", "OBS", "name of the account that will see everything")
	fs.StringVar(&o.Stream, "stream", "OBS", "name of its stream")
	fs.StringVar(&o.Bucket, "bucket", "corral", "bucket of the worker's state, as in --state kv:BUCKET")
	format := fs.String("format", "config", "config (of nats-server) or nsc (commands, for operator mode)")
	if done, err := parse(fs, args, e); done {
		return err
	}
	if err := noArgs(fs); err != nil {
		return err
	}
	text, err := natssetup.Print(*format, o)
	if err != nil {
		return usageError("%w", err)
	}
	_, err = fmt.Fprint(e.out, text)
	return err
}
