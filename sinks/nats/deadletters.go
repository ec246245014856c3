package nats

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"corral/sinks"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// DeadSubject is where dead letters go unless another subject is named.
const DeadSubject = "dead.v1"

const deadStream = "DEAD_LETTERS"

// DeadLetters publishes records that could not be used, as JSON, one a message.
// The same letter published twice is stored once. It is used by one goroutine at
// a time.
type DeadLetters struct {
	subject string
	pending int
	pub     *publisher
}

// NewDeadLetters publishes on subject. Of the options Ensure, Replicas, MaxAge,
// Pending, Timeout and Log apply.
func NewDeadLetters(ctx context.Context, js jetstream.JetStream, subject string, opts Options) (*DeadLetters, error) {
	subject = cmp.Or(subject, DeadSubject)
	var streams []jetstream.StreamConfig
	if opts.Ensure {
		config := opts.stream(subject)
		config.Name, config.Subjects = deadStream, []string{subject}
		config.Description = "corral: records that could not be used"
		streams = append(streams, config)
	}
	pending := cmp.Or(opts.Pending, 256)
	pub, err := newPublisher(js, pending, cmp.Or(opts.Timeout, 5*time.Second), streams, cmp.Or(opts.Log, slog.New(slog.DiscardHandler)))
	if err != nil {
		return nil, err
	}
	if err := pub.ensure(ctx); err != nil {
		return nil, err
	}
	return &DeadLetters{subject: subject, pending: pending, pub: pub}, nil
}

// Write returns when the letters are stored, or sent where no stream holds the
// subject; it tries until ctx is done. A record too large for a message is cut,
// and its letter says so.
func (d *DeadLetters) Write(ctx context.Context, letters ...sinks.DeadLetter) error {
	for part := range slices.Chunk(letters, d.pending) {
		msgs := make([]*nats.Msg, len(part))
		for i, l := range part {
			body, err := deadBody(l, d.limit())
			if err != nil {
				return err
			}
			msgs[i] = deadMessage(d.subject, l.Reason, body)
		}
		if err := d.pub.settle(ctx, msgs); err != nil {
			return err
		}
	}
	return nil
}

// limit is the largest body, with room for the headers.
func (d *DeadLetters) limit() int {
	const headers, unknown = 1 << 10, 1 << 20
	return max(headers, cmp.Or(int(d.pub.nc.MaxPayload()), unknown)-headers)
}

func deadMessage(subject, reason string, body []byte) *nats.Msg {
	m := nats.NewMsg(subject)
	m.Data = body
	id := sha256.Sum256(body)
	m.Header.Set(nats.MsgIdHdr, hex.EncodeToString(id[:16]))
	m.Header.Set("reason", token(reason))
	m.Header.Set("content-type", "application/json")
	return m
}

// deadBody halves the record until it fits.
func deadBody(l sinks.DeadLetter, limit int) ([]byte, error) {
	record, why := l.Record(), shorten(cmp.Or(l.Error, l.Reason), 512)
	for keep := len(record); ; keep /= 2 {
		if keep < len(record) {
			l.SetRecord(record[:keep])
			l.Error = fmt.Sprintf("%s (record cut from %d to %d bytes)", why, len(record), keep)
		}
		body, err := json.Marshal(l)
		if err != nil {
			return nil, fmt.Errorf("encode dead letter: %w", err)
		}
		if len(body) <= limit || keep == 0 {
			return body, nil
		}
	}
}

// Stats may be called at any time, by anyone.
func (d *DeadLetters) Stats() Stats { return d.pub.stats() }
