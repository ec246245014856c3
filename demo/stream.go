package demo

import (
	"context"
	"fmt"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

func createStream(ctx context.Context, nc *nats.Conn, c jetstream.StreamConfig) error {
	js, err := jetstream.New(nc)
	if err != nil {
		return fmt.Errorf("create stream %s: %w", c.Name, err)
	}
	if _, err := js.CreateOrUpdateStream(ctx, c); err != nil {
		return fmt.Errorf("create stream %s: %w", c.Name, err)
	}
	return nil
}
