package jetstream

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

const apiTimeout = 5 * time.Second

// errFatal marks what no retry can mend.
var errFatal = errors.New("cannot be read")

// bound is a consumer ready to be pulled from.
type bound struct {
	consumer  string
	delivery  uint64 // sequence of its next delivery
	pending   uint64 // messages it has still to deliver
	maxUnsafe uint64 // unacknowledged deliveries at which it stops, 0: never
	origin    string // of the stream: when it was made
}

// durable finds, creates and rewinds the durable consumer of one stream.
type durable struct {
	api     jetstream.JetStream
	stream  string
	config  jetstream.ConsumerConfig
	acks    *acks
	log     *slog.Logger
	stats   *counters
	created time.Time // of the stream
	before  time.Time // of the stream a snapshot knows, zero: not known
	known   bool      // acks.floor says where to begin
	bounds  int       // times that it was bound
}

// bind makes the consumer deliver everything above the floor of the
// acknowledgements, in order, from its next delivery on. What an earlier life of
// the consumer, perhaps of a process that died, delivered and nobody
// acknowledged comes again at once, not after AckWait.
func (d *durable) bind(ctx context.Context) (bound, error) {
	ctx, cancel := context.WithTimeout(ctx, 4*apiTimeout)
	defer cancel()
	stream, err := d.api.Stream(ctx, d.stream)
	if errors.Is(err, jetstream.ErrStreamNotFound) && d.created.IsZero() {
		return bound{}, fmt.Errorf("stream %s: %w: %w", d.stream, errFatal, err)
	}
	if err != nil {
		return bound{}, fmt.Errorf("look up stream %s: %w", d.stream, err)
	}
	d.checkStream(stream.CachedInfo())
	info, next, err := d.find(ctx, stream)
	if err != nil {
		return bound{}, err
	}
	d.bounds++
	d.begin(info.AckFloor.Stream)
	d.checkLoss(stream.CachedInfo().State.FirstSeq)
	return bound{d.config.Durable, next, info.NumPending, uint64(max(0, info.Config.MaxAckPending)), d.created.UTC().Format(time.RFC3339Nano)}, nil
}

// firstDelivery is what a consumer that was created or rewound delivers next.
// What is known of it a moment later does not say so: a request of somebody
// else, say of a worker whose machine died, may have been served already.
const firstDelivery = 1

// find returns the consumer with nothing delivered beyond its floor, and the
// sequence of its next delivery.
func (d *durable) find(ctx context.Context, stream jetstream.Stream) (*jetstream.ConsumerInfo, uint64, error) {
	c, err := stream.Consumer(ctx, d.config.Durable)
	if errors.Is(err, jetstream.ErrConsumerNotFound) {
		info, err := d.create(ctx, stream)
		return info, firstDelivery, err
	}
	if err != nil {
		return nil, 0, fmt.Errorf("look up consumer %s of stream %s: %w", d.config.Durable, d.stream, err)
	}
	info := c.CachedInfo()
	if info.Config.AckPolicy != jetstream.AckAllPolicy || info.Config.DeliverSubject != "" {
		return nil, 0, fmt.Errorf("consumer %s of stream %s: %w: it is not a pull consumer with ack policy all; name another durable or delete it",
			d.config.Durable, d.stream, errFatal)
	}
	if err := d.update(ctx, stream, info.Config); err != nil {
		return nil, 0, err
	}
	if d.bounds == 0 && info.NumWaiting > 0 {
		d.log.Warn("somebody else pulls from this consumer, or did a moment ago: two workers must not share a durable", "consumer", d.config.Durable)
	}
	if !d.known {
		d.acks.rewound(info.AckFloor.Stream)
	}
	floor := d.acks.floor()
	if info.Delivered.Stream == info.AckFloor.Stream && info.AckFloor.Stream == floor {
		return info, info.Delivered.Consumer + 1, nil
	}
	info, err = d.rewind(ctx, stream, floor+1)
	return info, firstDelivery, err
}

// create makes the consumer begin above what is known to be safe, or as the
// configuration says where nothing is.
func (d *durable) create(ctx context.Context, stream jetstream.Stream) (*jetstream.ConsumerInfo, error) {
	config := d.limited(stream)
	if d.known {
		config.DeliverPolicy = jetstream.DeliverByStartSequencePolicy
		config.OptStartSeq = d.acks.floor() + 1
	}
	c, err := stream.CreateConsumer(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("create consumer %s of stream %s: %w", config.Durable, d.stream, err)
	}
	d.log.Info("consumer created", "consumer", config.Durable, "from", c.CachedInfo().AckFloor.Stream+1)
	return c.CachedInfo(), nil
}

// limited is the configuration within what the stream allows its consumers.
func (d *durable) limited(stream jetstream.Stream) jetstream.ConsumerConfig {
	config := d.config
	if most := stream.CachedInfo().Config.ConsumerLimits.MaxAckPending; most > 0 {
		config.MaxAckPending = min(config.MaxAckPending, most)
	}
	return config
}

// update gives an existing consumer our settings, where they may be changed.
func (d *durable) update(ctx context.Context, stream jetstream.Stream, have jetstream.ConsumerConfig) error {
	limited, want := d.limited(stream), have
	want.AckWait, want.MaxAckPending = limited.AckWait, limited.MaxAckPending
	want.MaxDeliver, want.BackOff = limited.MaxDeliver, nil
	want.FilterSubject, want.FilterSubjects = limited.FilterSubject, limited.FilterSubjects
	same := want.AckWait == have.AckWait && want.MaxAckPending == have.MaxAckPending &&
		want.MaxDeliver == have.MaxDeliver && len(have.BackOff) == 0 &&
		want.FilterSubject == have.FilterSubject && slices.Equal(want.FilterSubjects, have.FilterSubjects)
	if same {
		return nil
	}
	if _, err := stream.UpdateConsumer(ctx, want); err != nil {
		return fmt.Errorf("update consumer %s of stream %s: %w", want.Durable, d.stream, err)
	}
	return nil
}

// rewind makes the consumer deliver from seq on. A server before 2.14 cannot do
// that, nor can one go back beyond where the consumer was created to begin: then
// it is created anew.
func (d *durable) rewind(ctx context.Context, stream jetstream.Stream, seq uint64) (*jetstream.ConsumerInfo, error) {
	resetCtx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	resp, err := d.api.ResetConsumerToSequence(resetCtx, d.stream, d.config.Durable, seq)
	if err == nil {
		d.log.Info("consumer rewound", "consumer", d.config.Durable, "from", seq)
		d.stats.rewinds.Add(1)
		return resp.ConsumerInfo, nil
	}
	if !errors.Is(err, jetstream.ErrConsumerInvalidReset) && canReset(d.api.Conn().ConnectedServerVersion()) {
		return nil, fmt.Errorf("rewind consumer %s of stream %s: %w", d.config.Durable, d.stream, err)
	}
	if err := stream.DeleteConsumer(ctx, d.config.Durable); err != nil && !errors.Is(err, jetstream.ErrConsumerNotFound) {
		return nil, fmt.Errorf("delete consumer %s of stream %s to rewind it: %w", d.config.Durable, d.stream, err)
	}
	d.known = true // a retry must not begin where a new consumer would
	d.stats.rewinds.Add(1)
	return d.create(ctx, stream)
}

// canReset reports whether a server of this version can rewind consumers; one
// that cannot does not answer.
func canReset(version string) bool {
	var major, minor int
	if _, err := fmt.Sscanf(version, "%d.%d", &major, &minor); err != nil {
		return true
	}
	return major > 2 || major == 2 && minor >= 14
}

// begin tells the acknowledgements about the consumer's new life.
func (d *durable) begin(floor uint64) {
	d.acks.rewound(floor)
	d.known = true
}

// checkStream notices a stream that was deleted and made again, or lost its end
// in a power failure: its sequences now mean other messages.
func (d *durable) checkStream(info *jetstream.StreamInfo) {
	was := d.created
	if was.IsZero() {
		was = d.before
	}
	anew := !was.IsZero() && !was.Equal(info.Created)
	floor := d.acks.floor()
	switch {
	case anew, d.created.IsZero() && info.State.LastSeq < floor:
		d.log.Error("stream was created anew, reading it from its beginning", "known", floor, "last", info.State.LastSeq)
		d.acks.forget(0)
		d.stats.last.Store(0)
	case info.State.LastSeq < d.stats.last.Load():
		d.log.Error("stream lost its end, reading on behind it", "read", d.stats.last.Load(), "last", info.State.LastSeq)
		d.acks.forget(min(floor, info.State.LastSeq))
		d.stats.last.Store(info.State.LastSeq)
	}
	d.created = info.Created
}

// checkLoss counts what the stream's limits removed before it was read.
func (d *durable) checkLoss(first uint64) {
	read := d.stats.last.Load()
	if read > 0 && first > read+1 {
		d.stats.missing.Add(first - read - 1)
		d.stats.last.Store(first - 1)
		d.log.Error("messages were removed from the stream before they were read", "up_to", first-read-1, "from", read+1)
	}
}

func (d *durable) info(ctx context.Context) (*jetstream.ConsumerInfo, error) {
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	c, err := d.api.Consumer(ctx, d.stream, d.config.Durable)
	if err != nil {
		return nil, err
	}
	return c.CachedInfo(), nil
}
