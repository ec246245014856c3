package nats

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"corral/sinks"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// publisher stores messages in streams, or sends them where no stream holds
// their subject. It is used by one goroutine at a time.
type publisher struct {
	js      jetstream.JetStream
	nc      *nats.Conn
	pending int
	timeout time.Duration
	streams []jetstream.StreamConfig // that have to exist
	backoff sinks.Backoff
	log     *slog.Logger

	mu    sync.Mutex
	plain map[string]time.Time // subject prefixes without a stream, until when that is believed

	published, duplicates, retries atomic.Uint64
	trouble                        atomic.Pointer[error] // why the last try failed, nil: it did not
}

// lookAgain is how long the absence of a stream is believed.
const lookAgain = 30 * time.Second

func newPublisher(js jetstream.JetStream, pending int, timeout time.Duration, streams []jetstream.StreamConfig, log *slog.Logger) (*publisher, error) {
	own, err := withOptions(js, jetstream.WithPublishAsyncMaxPending(2*pending), jetstream.WithPublishAsyncTimeout(timeout))
	if err != nil {
		return nil, err
	}
	return &publisher{
		js: own, nc: js.Conn(), pending: pending, timeout: timeout, streams: streams, log: log,
		backoff: sinks.Backoff{Min: 50 * time.Millisecond, Max: 5 * time.Second}, plain: map[string]time.Time{},
	}, nil
}

// withOptions is js with settings that can be given at the beginning only.
func withOptions(js jetstream.JetStream, opts ...jetstream.JetStreamOpt) (jetstream.JetStream, error) {
	switch have := js.Options(); {
	case have.Domain != "":
		return jetstream.NewWithDomain(js.Conn(), have.Domain, opts...)
	case have.APIPrefix != "":
		return jetstream.NewWithAPIPrefix(js.Conn(), have.APIPrefix, opts...)
	}
	return jetstream.New(js.Conn(), opts...)
}

// budget is what a body may have: Budget, less on a server that allows less.
func (p *publisher) budget() int {
	const headers = 1 << 10
	if most := int(p.nc.MaxPayload()); most > 0 { // 0: not connected yet
		return min(Budget, max(most-headers, most/2))
	}
	return Budget
}

func (p *publisher) stats() Stats {
	return Stats{Published: p.published.Load(), Duplicates: p.duplicates.Load(), Retries: p.retries.Load()}
}

// publish returns when all messages are stored. Messages of one subject are
// stored in order: no two of them are on their way at once.
func (p *publisher) publish(ctx context.Context, msgs []*nats.Msg) error {
	for len(msgs) > 0 {
		n := wave(msgs, p.pending)
		if err := p.settle(ctx, msgs[:n]); err != nil {
			return err
		}
		msgs = msgs[n:]
	}
	return nil
}

// wave is how many messages from the first on have different subjects.
func wave(msgs []*nats.Msg, most int) int {
	seen := make(map[string]bool, min(len(msgs), most))
	for i, m := range msgs {
		if i == most || seen[m.Subject] {
			return i
		}
		seen[m.Subject] = true
	}
	return len(msgs)
}

// settle tries until all messages are stored or ctx is done.
func (p *publisher) settle(ctx context.Context, msgs []*nats.Msg) error {
	for try := 0; ; try++ {
		failed, err := p.attempt(ctx, msgs)
		if len(failed) == 0 {
			p.trouble.Store(nil)
			return nil
		}
		if ctx.Err() != nil {
			return fmt.Errorf("publish on NATS: %w", errors.Join(context.Cause(ctx), err))
		}
		if isFinal(err) {
			return fmt.Errorf("publish on NATS: %w", sinks.Permanent(err))
		}
		p.trouble.Store(&err)
		if p.nc.IsClosed() {
			return fmt.Errorf("publish on NATS: %w", err)
		}
		if try&(try+1) == 0 { // ever more seldom
			p.log.Warn("publish on NATS, trying again", "messages", len(failed), "tries", try+1, "error", err)
		}
		p.retries.Add(uint64(len(failed)))
		if err := p.backoff.Wait(ctx, try); err != nil {
			return fmt.Errorf("publish on NATS: %w", err)
		}
		p.mend(ctx, err)
		msgs = failed
	}
}

// isFinal reports whether a message will never be taken.
func isFinal(err error) bool {
	const tooLargeForStream = 10054
	if errors.Is(err, nats.ErrMaxPayload) || errors.Is(err, nats.ErrBadSubject) {
		return true
	}
	var api *jetstream.APIError
	return errors.As(err, &api) && api.ErrorCode == tooLargeForStream
}

// mend creates streams that somebody removed.
func (p *publisher) mend(ctx context.Context, why error) {
	if !errors.Is(why, jetstream.ErrNoStreamResponse) {
		return
	}
	if err := p.ensureOnce(ctx); err != nil {
		p.log.Warn("create streams", "error", err)
	}
}

// outcome waits until a message is stored.
type outcome func(context.Context) error

func failed(err error) outcome { return func(context.Context) error { return err } }

// attempt sends all messages and waits for their acknowledgements. It returns
// the messages that were not stored, in order, and the first reason.
func (p *publisher) attempt(ctx context.Context, msgs []*nats.Msg) (left []*nats.Msg, reason error) {
	ctx, cancel := context.WithTimeout(ctx, 3*p.timeout)
	defer cancel()
	before := p.nc.LastError()
	flush := sync.OnceValue(func() error {
		return errors.Join(p.nc.FlushWithContext(ctx), p.refused(before, "")) // a refusal is told before the flush is answered
	})
	outcomes := make([]outcome, len(msgs))
	for i, m := range msgs {
		outcomes[i] = p.send(ctx, m, flush)
	}
	for i, wait := range outcomes {
		err := wait(ctx)
		if err == nil {
			p.published.Add(1)
			continue
		}
		if reason == nil {
			reason = err
		}
		left = append(left, msgs[i])
	}
	if why := p.refused(before, ""); reason != nil && why != nil && !errors.Is(reason, why) {
		reason = fmt.Errorf("%w: %w", reason, why)
	}
	return left, reason
}

// refused returns what the server said since before about a subject that has part
// in it and that this user may not publish on. It tells only the connection.
func (p *publisher) refused(before error, part string) error {
	last := p.nc.LastError()
	if last == before || !errors.Is(last, nats.ErrPermissionViolation) || !strings.Contains(last.Error(), "Publish to") || !strings.Contains(last.Error(), part) {
		return nil
	}
	return last
}

// ask asks the API of JetStream. Where this user may not, the answer would never
// come: that is errMayNot.
func (p *publisher) ask(ctx context.Context, subject string, question func(context.Context) error) error {
	before := p.nc.LastError()
	ctx, cancel := context.WithTimeout(ctx, p.timeout)
	defer cancel()
	err := question(ctx)
	if errors.Is(err, context.DeadlineExceeded) && p.refused(before, subject) != nil {
		return fmt.Errorf("%w: %w", errMayNot, p.refused(before, subject))
	}
	return err
}

var errMayNot = errors.New("this user may not ask")

// holder asks which stream holds a subject.
func (p *publisher) holder(ctx context.Context, subject string) error {
	return p.ask(ctx, "STREAM.NAMES", func(ctx context.Context) error {
		_, err := p.js.StreamNameBySubject(ctx, subject)
		return err
	})
}

// send puts m on its way. Where no stream holds it, flush says that the server
// has it, and all before it.
func (p *publisher) send(ctx context.Context, m *nats.Msg, flush func() error) outcome {
	stored, err := p.stored(ctx, m.Subject)
	if err != nil {
		return failed(err)
	}
	again := &nats.Msg{Subject: m.Subject, Header: m.Header, Data: m.Data} // the client writes to it
	if !stored {
		if err := p.nc.PublishMsg(again); err != nil {
			return failed(err)
		}
		return func(context.Context) error { return flush() }
	}
	future, err := p.js.PublishMsgAsync(again, jetstream.WithRetryAttempts(0))
	if err != nil {
		return failed(err)
	}
	return func(ctx context.Context) error { return p.acknowledged(ctx, future) }
}

func (p *publisher) acknowledged(ctx context.Context, future jetstream.PubAckFuture) error {
	select {
	case ack := <-future.Ok():
		if ack.Duplicate {
			p.duplicates.Add(1)
		}
		return nil
	case err := <-future.Err():
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// stored reports whether a stream holds the subject. With streams of our own it
// has to; else the server is asked, once per prefix and owner as long as the
// answer is no, for that is what may change.
func (p *publisher) stored(ctx context.Context, subject string) (bool, error) {
	if len(p.streams) > 0 {
		return true, nil
	}
	prefix := withoutTokens(subject, 2)
	p.mu.Lock()
	until, known := p.plain[prefix]
	p.mu.Unlock()
	if known && (until.IsZero() || time.Now().Before(until)) {
		return until.IsZero(), nil
	}
	err := p.holder(ctx, subject)
	switch {
	case err == nil:
		p.believe(prefix, time.Time{})
		return true, nil
	case errors.Is(err, errMayNot):
		p.log.Warn("taken for subjects of a stream, whose acknowledgements are waited for", "subjects", prefix+".>", "error", err)
		p.believe(prefix, time.Time{})
		return true, nil
	case errors.Is(err, jetstream.ErrStreamNotFound), noJetStream(err), errors.Is(err, nats.ErrNoResponders):
		if !known {
			p.log.Warn("no stream holds these subjects: only who listens now gets them", "subjects", prefix+".>")
		}
		p.believe(prefix, time.Now().Add(lookAgain))
		return false, nil
	}
	return false, fmt.Errorf("look up the stream of %s: %w", subject, err)
}

func (p *publisher) believe(prefix string, until time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.plain[prefix] = until
}

// withoutTokens drops the last n tokens of a subject that has more than n+1.
func withoutTokens(subject string, n int) string {
	rest := subject
	for range n {
		i := strings.LastIndexByte(rest, '.')
		if i < 0 {
			return subject
		}
		rest = rest[:i]
	}
	if !strings.Contains(rest, ".") {
		return subject
	}
	return rest
}
