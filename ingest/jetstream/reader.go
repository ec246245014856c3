package jetstream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"corral/ingest"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	pullExpires  = 30 * time.Second
	pullBytes    = 16 << 20 // of one pull request, raised to the server's maximum payload
	batchRecords = 2048
	batchBytes   = 4 << 20
	silence      = 4  // ticks without a word from the server, then it is asked again
	auditEvery   = 10 // heartbeats
	steady       = 10 * time.Second
	maxSilent    = 3 // pull requests in a row without an answer, then the consumer is looked up
)

var (
	errRebind = errors.New("consumer must be bound anew")
	errEnd    = errors.New("end of the partition")

	errDisconnected = errors.New("disconnected")
)

// consumer is what a reader pulls from.
type consumer interface {
	// bind returns a consumer that delivers what follows the last message read.
	bind(ctx context.Context) (bound, error)
	info(ctx context.Context) (*jetstream.ConsumerInfo, error)
}

// limit is where a bounded partition ends; a zero field is no limit.
type limit struct {
	seq  uint64 // the last stream sequence
	time int64  // the last instant of storing, nanoseconds since the epoch
}

// reader pulls the messages of one consumer, in stream order and each once: a
// delivery that is missing, whatever lost it, shows as a gap in the delivery
// sequence, which counts every delivery, and the consumer is rewound; what comes
// again is dropped.
//
// It pulls by hand, not with the client's Consume, because a heartbeat of the
// server is the only proof that nothing is waiting, and Consume hides it.
type reader struct {
	nc        *nats.Conn
	partition int
	consumer  consumer
	acks      *acks // nil: deliveries are not acknowledged
	limit     limit
	whole     bool // the consumer has no filter: a gap in the stream sequence is a removed message
	tick      time.Duration
	pull      int    // messages per request
	prefix    string // of the API, "$JS.API"
	stream    string
	log       *slog.Logger
	stats     *counters

	// The goroutine of run owns what follows.
	sub     *nats.Subscription
	inbox   string
	msgs    chan *nats.Msg
	bound   bound
	last    uint64 // stream sequence of the last message taken
	expect  uint64 // delivery sequence of the next one
	pending uint64 // what the consumer had left after the last one
	asked   int    // messages asked for and not here yet
	hold    time.Time
	beats   int
	beaten  bool // a heartbeat came
	doubt   bool // deliveries may have been lost: no heartbeat is believed before a look at the consumer
	silent  int  // requests in a row without an answer
	retry   *backoff
	account *string // of the connection; nil: not asked for yet
}

// run reads until ctx is done (then its error is the cause), the limit is
// reached (nil) or nothing can help.
func (r *reader) run(ctx context.Context, emit emitFunc) error {
	status := r.nc.StatusChanged(nats.CONNECTED, nats.CLOSED)
	defer r.nc.RemoveStatusListener(status)
	r.retry = newBackoff()
	again := newBackoff()
	for {
		if err := r.attach(ctx); err != nil {
			return err
		}
		begin := time.Now()
		err := r.read(ctx, status, emit)
		r.detach()
		if errors.Is(err, errEnd) {
			return nil
		}
		if !errors.Is(err, errRebind) {
			return err
		}
		if time.Since(begin) > steady {
			again.reset()
		}
		if err := again.wait(ctx); err != nil { // two that rob each other must not do it at full speed
			return err
		}
	}
}

// attach binds the consumer, trying until it succeeds.
func (r *reader) attach(ctx context.Context) error {
	for try := 1; ; try++ {
		b, err := r.bindNow(ctx)
		if err == nil {
			return r.subscribe(b)
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if errors.Is(err, errFatal) || r.nc.IsClosed() {
			return err
		}
		if try&(try-1) == 0 { // ever more seldom
			r.log.Warn("consumer is not available, trying on", "error", err, "tries", try)
		}
		if err := r.retry.wait(ctx); err != nil {
			return err
		}
	}
}

// bindNow gives up when the connection goes: the answer to what was asked before
// would never come.
func (r *reader) bindNow(ctx context.Context) (bound, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	gone := r.nc.StatusChanged(nats.RECONNECTING)
	defer r.nc.RemoveStatusListener(gone)
	go func() {
		if _, ok := <-gone; ok { // closed when bindNow returns
			cancel(errDisconnected)
		}
	}()
	b, err := r.consumer.bind(ctx)
	if err != nil && errors.Is(context.Cause(ctx), errDisconnected) {
		err = fmt.Errorf("%w: %w", errDisconnected, err)
	}
	return b, err
}

func (r *reader) subscribe(b bound) error {
	r.bound, r.expect, r.pending = b, b.delivery, b.pending
	r.last = r.stats.last.Load()
	r.asked, r.hold, r.doubt, r.silent = 0, time.Time{}, false, 0
	r.inbox = r.nc.NewInbox()
	r.msgs = make(chan *nats.Msg, 4*r.pull+1024) // requests given up may still be served beside new ones
	sub, err := r.nc.ChanSubscribe(r.inbox, r.msgs)
	if err != nil {
		return fmt.Errorf("subscribe for stream %s: %w", r.stream, err)
	}
	r.sub = sub
	return nil
}

func (r *reader) detach() { _ = r.sub.Unsubscribe() } // fails only on a closed connection

// read hands over batches until the consumer has to be bound anew.
func (r *reader) read(ctx context.Context, status <-chan nats.Status, emit emitFunc) error {
	if r.limit.seq > 0 && r.pending == 0 {
		return r.finish(ctx, emit)
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		timer.Reset(r.ask())
		select {
		case m := <-r.msgs:
			if err := r.handOver(ctx, m, emit); err != nil {
				return err
			}
		case s := <-status:
			if s == nats.CLOSED {
				return nats.ErrConnectionClosed
			}
			r.reconnected()
		case <-timer.C:
			if err := r.unanswered(ctx); err != nil {
				return err
			}
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// ask keeps enough messages asked for and returns how long to wait for a word
// of the server.
func (r *reader) ask() time.Duration {
	if wait := time.Until(r.hold); wait > 0 {
		return wait
	}
	if r.asked > r.pull/2 || !r.nc.IsConnected() {
		return silence * r.tick
	}
	request, _ := json.Marshal(pullRequest{ // cannot fail: numbers only
		Batch: r.pull - r.asked, MaxBytes: max(pullBytes, int(r.nc.MaxPayload())+64<<10),
		Expires: max(pullExpires, 2*r.tick), Heartbeat: r.tick,
	})
	if err := r.nc.PublishRequest(r.prefix+".CONSUMER.MSG.NEXT."+r.stream+"."+r.bound.consumer, r.inbox, request); err != nil {
		r.postpone("ask for messages", err)
		return time.Until(r.hold)
	}
	r.asked = r.pull
	return silence * r.tick
}

// pullRequest is the body of a request for the next messages.
type pullRequest struct {
	Batch     int           `json:"batch"`
	MaxBytes  int           `json:"max_bytes"`
	Expires   time.Duration `json:"expires"`
	Heartbeat time.Duration `json:"idle_heartbeat"`
}

// handOver takes m and what came with it. An error of the reader itself comes
// after the batch.
func (r *reader) handOver(ctx context.Context, m *nats.Msg, emit emitFunc) error {
	b, reason := r.gather(m)
	if len(b.Records) > 0 {
		r.retry.reset()
		b.End = errors.Is(reason, errEnd)
		if err := r.emit(ctx, b, emit); err != nil || reason != nil {
			return errors.Join(err, reason)
		}
	}
	if errors.Is(reason, errEnd) {
		return r.finish(ctx, emit)
	}
	if reason != nil {
		return reason
	}
	if r.silent >= maxSilent {
		return r.look(ctx)
	}
	if r.beaten && len(b.Records) == 0 {
		return r.idle(ctx, emit)
	}
	return nil
}

func (r *reader) finish(ctx context.Context, emit emitFunc) error {
	if err := emit(ctx, ingest.Batch{Partition: r.partition, End: true}); err != nil {
		return err
	}
	return errEnd
}

// emit hands b over. While the receiver makes us wait, requests expire and what
// is stored meanwhile is not announced: the heartbeats that queued up are stale.
func (r *reader) emit(ctx context.Context, b ingest.Batch, emit emitFunc) error {
	begin := time.Now()
	err := emit(ctx, b)
	r.doubt = r.doubt || time.Since(begin) > r.tick/2
	return err
}

// gather takes m and all that is here already, up to the size of a batch.
func (r *reader) gather(m *nats.Msg) (ingest.Batch, error) {
	b := ingest.Batch{Partition: r.partition, Origin: r.bound.origin, Records: make([]ingest.Record, 0, min(1+len(r.msgs), batchRecords))}
	r.beaten = false
	var last ack
	var size int
	var reason error
	for reason == nil {
		size += len(m.Data)
		last, reason = r.take(m, &b, last)
		if len(b.Records) == batchRecords || size >= batchBytes {
			break
		}
		select {
		case m = <-r.msgs:
			continue
		default:
		}
		break
	}
	if len(b.Records) == 0 {
		return b, reason
	}
	b.Pending = int64(r.pending) + int64(len(r.msgs))
	b.At = b.Records[len(b.Records)-1].Observed // what follows was stored later
	if r.acks != nil {
		b.Done = r.acks.hand(last)
	}
	r.count(&b)
	return b, reason
}

func (r *reader) count(b *ingest.Batch) {
	n := len(b.Records)
	r.stats.received.Add(uint64(n))
	r.stats.last.Store(b.Records[n-1].Seq)
	r.stats.lastTime.Store(b.Records[n-1].Observed)
	r.stats.pending.Store(b.Pending)
}

// take puts a message into b, if it is one and did not come before, and returns
// the last delivery of b.
func (r *reader) take(m *nats.Msg, b *ingest.Batch, last ack) (ack, error) {
	if m.Subject == r.inbox {
		return last, r.status(m)
	}
	p, ok := parseReply(m.Reply)
	if !ok {
		return last, fmt.Errorf("stream %s: %w: reply subject %q is not JetStream's", r.stream, errFatal, m.Reply)
	}
	r.silent = 0
	r.asked--
	this := ack{stream: p.stream, delivery: p.delivery, reply: m.Reply}
	if p.delivery != r.expect { // of a message that came before, too: what was lost may be new
		return last, r.gap("deliveries lost on the way", p.delivery)
	}
	r.expect++
	if p.stream <= r.last {
		r.again(this)
		return last, nil
	}
	if r.limit.seq > 0 && (p.stream > r.limit.seq || r.limit.time > 0 && p.time > r.limit.time) {
		return last, errEnd
	}
	r.checkRemoved(p.stream)
	r.last, r.pending = p.stream, p.pending
	b.Records = append(b.Records, ingest.Record{Data: m.Data, Subject: m.Subject, Input: r.stream, Headers: m.Header, Observed: p.time, Seq: p.stream, Account: r.accountOf(m.Subject)})
	if r.limit.seq > 0 && (p.stream == r.limit.seq || p.pending == 0) {
		return this, errEnd
	}
	return this, nil
}

// accountOf is the account that an advisory was published in, "" of other messages:
// a stream keeps them under their own subject only where they were published.
func (r *reader) accountOf(subject string) string {
	if !strings.HasPrefix(subject, advisories) {
		return ""
	}
	if r.account == nil {
		account := accountOf(context.Background(), r.nc)
		r.account = &account
	}
	return *r.account
}

// again drops a message that came before: AckWait passed, or the consumer was
// rewound.
func (r *reader) again(m ack) {
	r.stats.redelivered.Add(1)
	if r.acks != nil {
		r.acks.redelivered(m)
	}
}

// gap is called with a delivery that is not the next one. One that is behind it
// is of a server that lost the end of the consumer's state: it counts anew, so
// that the count says no longer what is missing.
func (r *reader) gap(why string, delivery uint64) error {
	r.log.Warn(why+", rewinding the consumer", "delivery", delivery, "expected", r.expect, "after", r.last)
	r.stats.gaps.Add(1)
	if r.stats.robbed(time.Now()) {
		r.log.Error("somebody else reads from this consumer again and again: two workers must not share a durable", "consumer", r.bound.consumer)
	}
	return errRebind
}

// checkRemoved counts messages that the stream removed before they were read.
func (r *reader) checkRemoved(seq uint64) {
	if r.whole && r.last > 0 && seq > r.last+1 {
		r.stats.missing.Add(seq - r.last - 1)
	}
}

// status handles a message of the server about our requests.
func (r *reader) status(m *nats.Msg) error {
	code, text := m.Header.Get("Status"), m.Header.Get("Description")
	switch {
	case code == "100":
		r.beaten, r.silent = true, 0
	case code == "408", code == "404", text == "Batch Completed", text == "Message Size Exceeds MaxBytes":
		left, _ := strconv.Atoi(m.Header.Get("Nats-Pending-Messages")) // absent: 0
		r.asked = max(0, r.asked-left)
	case text == "Consumer Deleted":
		r.log.Warn("consumer was deleted, creating it again", "consumer", r.bound.consumer)
		return errRebind
	case text == "Consumer is push based", code == "400":
		return fmt.Errorf("pull from consumer %s of stream %s: %w: %s %s", r.bound.consumer, r.stream, errFatal, code, text)
	case code == "503":
		r.silent++
		r.postpone("pull", errors.New("no responders"))
	default: // leadership change, server shutdown, limits of the server
		r.postpone("pull", errors.New(code+" "+text))
	}
	return nil
}

// postpone gives up what was asked for and asks again a little later.
func (r *reader) postpone(what string, err error) {
	r.log.Warn(what+" postponed", "consumer", r.bound.consumer, "error", err)
	r.asked, r.doubt = 0, true
	r.hold = time.Now().Add(r.retry.duration())
}

func (r *reader) reconnected() {
	r.asked, r.doubt, r.hold = 0, true, time.Time{}
}

// unanswered is called when the server said nothing for too long, or when what
// was postponed is due.
func (r *reader) unanswered(ctx context.Context) error {
	if !r.hold.IsZero() {
		r.hold = time.Time{}
		return nil
	}
	if !r.nc.IsConnected() {
		return nil
	}
	r.asked, r.doubt = 0, true
	r.silent++
	if r.silent < maxSilent {
		return nil
	}
	return r.look(ctx)
}

// look finds out whether the consumer that does not answer still exists.
func (r *reader) look(ctx context.Context) error {
	r.silent = 0
	_, err := r.consumer.info(ctx)
	if errors.Is(err, jetstream.ErrConsumerNotFound) || errors.Is(err, jetstream.ErrStreamNotFound) {
		r.log.Warn("consumer is gone, creating it again", "consumer", r.bound.consumer, "error", err)
		return errRebind
	}
	if err != nil && ctx.Err() == nil {
		r.log.Warn("consumer does not answer", "consumer", r.bound.consumer, "error", err)
	}
	return nil
}

// idle is called when the server had nothing for us for a tick. If that means
// that everything was read, an empty batch says so.
func (r *reader) idle(ctx context.Context, emit emitFunc) error {
	r.beats++
	if r.doubt || r.beats%auditEvery == 0 {
		if err := r.audit(ctx); err != nil {
			return err
		}
	}
	if r.doubt || r.pending > 0 || len(r.msgs) > 0 || r.stalled() {
		return nil
	}
	if r.limit.seq > 0 {
		return r.finish(ctx, emit)
	}
	r.stats.pending.Store(0)
	at := time.Now()
	if !r.heard(ctx) {
		return nil
	}
	return r.emit(ctx, ingest.Batch{Partition: r.partition, Origin: r.bound.origin, At: at.UnixNano()}, emit)
}

// heard asks the server for a sign of life and reports whether nothing else came
// before it. A heartbeat alone says what was so when it was sent: the network may
// have held it back, and behind it are messages that were stored since.
func (r *reader) heard(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, silence*r.tick)
	defer cancel()
	if err := r.nc.FlushWithContext(ctx); err != nil {
		r.doubt = true
		return false
	}
	return len(r.msgs) == 0
}

// audit compares what the consumer delivered with what came.
func (r *reader) audit(ctx context.Context) error {
	defer r.stats.audits.Add(1)
	info, err := r.consumer.info(ctx)
	if err != nil {
		r.doubt = true
		return r.look(ctx)
	}
	if len(r.msgs) > 0 {
		return nil // not yet comparable
	}
	if info.Delivered.Consumer+1 != r.expect {
		return r.gap("last deliveries lost on the way", info.Delivered.Consumer+1)
	}
	r.pending, r.doubt = info.NumPending, info.Paused
	return nil
}

// stalled reports whether the server delivers nothing because too much is not
// acknowledged yet.
func (r *reader) stalled() bool {
	return r.acks != nil && r.bound.maxUnsafe > 0 && r.acks.outstanding(r.expect-1) >= r.bound.maxUnsafe
}
