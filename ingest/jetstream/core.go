package jetstream

import (
	"cmp"
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
)

// CoreConfig says what a Core subscribes to. Only Subjects is required.
type CoreConfig struct {
	Subjects []string
	Queue    string // queue group; "": every worker gets every message
	// MaxMessages and MaxBytes bound what waits for the reader, per subject;
	// beyond them messages are dropped and counted. Default 256 Ki and 64 MiB.
	MaxMessages, MaxBytes int
	// Optional: subjects that the user may not subscribe to are logged and left out.
	// Otherwise a refusal ends Run.
	Optional bool
	Name     string // in front of the partitions' names, for one who reads by way of several connections
	Tick     time.Duration
	Log      *slog.Logger
}

// Core reads core NATS subjects, one partition each. What is published while the
// connection is down, or too fast for the reader, is lost: the latter is counted,
// both are logged. A record's sequence counts what was received since the start.
type Core struct {
	nc    *nats.Conn
	cfg   CoreConfig
	parts []ingest.Partition
	subs  []*coreSub
}

var _ ingest.Source = (*Core)(nil)

// NewCore prepares a source; Run subscribes.
func NewCore(nc *nats.Conn, cfg CoreConfig) (*Core, error) {
	if len(cfg.Subjects) == 0 {
		return nil, errors.New("no subjects named")
	}
	cfg.MaxMessages = cmp.Or(cfg.MaxMessages, 256<<10)
	cfg.MaxBytes = cmp.Or(cfg.MaxBytes, 64<<20)
	cfg.Tick = cmp.Or(cfg.Tick, DefaultTick)
	cfg.Log = cmp.Or(cfg.Log, slog.Default())
	c := &Core{nc: nc, cfg: cfg}
	for i, subject := range cfg.Subjects {
		c.parts = append(c.parts, ingest.Partition{Name: cfg.Name + "subject:" + subject})
		c.subs = append(c.subs, &coreSub{
			nc: nc, cfg: &c.cfg, subject: subject, partition: i, stats: new(counters),
			msgs: make(chan arrived, 1024), log: cfg.Log.With("subject", subject),
		})
	}
	return c, nil
}

// Partitions are the subjects, in the order they were named.
func (c *Core) Partitions() []ingest.Partition { return c.parts }

// Run subscribes and hands messages over until ctx is done.
func (c *Core) Run(ctx context.Context, out func(ingest.Batch) error) error {
	return runAll(ctx, c.subs, out)
}

// Stats may be called at any time, by anyone: one for each partition.
func (c *Core) Stats() []Stats {
	all := make([]Stats, len(c.subs))
	for i, s := range c.subs {
		all[i] = s.stats.stats(c.parts[i].Name)
	}
	return all
}

// coreSub is one subscription. The goroutine of run owns it, except that the
// client's goroutine sends to msgs.
type coreSub struct {
	nc        *nats.Conn
	cfg       *CoreConfig
	subject   string
	partition int
	msgs      chan arrived
	log       *slog.Logger
	stats     *counters
	seq       uint64
	dropped   int
	sub       *nats.Subscription
	account   string // of the connection, where the messages need it
}

// arrived is a message and when it came, nanoseconds since the epoch.
type arrived struct {
	msg *nats.Msg
	at  int64
}

func (s *coreSub) run(ctx context.Context, emit emitFunc) error {
	// Registered first, so that no reconnect is missed.
	status := s.nc.StatusChanged(nats.RECONNECTING, nats.CLOSED)
	defer s.nc.RemoveStatusListener(status)
	closed, err := s.subscribe(ctx)
	if s.cfg.Optional && errors.Is(err, nats.ErrPermissionViolation) {
		return s.leaveOut(ctx, emit, err)
	}
	if err != nil {
		return err
	}
	defer closed()
	if strings.HasPrefix(s.subject, advisories) {
		s.account = accountOf(ctx, s.nc)
	}
	tick := time.NewTicker(s.cfg.Tick)
	defer tick.Stop()
	for {
		select {
		case m := <-s.msgs:
			if err := emit(ctx, s.gather(m)); err != nil {
				return err
			}
		case <-tick.C:
			if err := s.idle(ctx, emit); err != nil {
				return err
			}
		case st := <-status:
			if st == nats.CLOSED {
				return nats.ErrConnectionClosed
			}
			s.stats.gaps.Add(1)
			s.log.Warn("disconnected: what is published now is lost")
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// leaveOut ends the partition, so that nobody waits for it.
func (s *coreSub) leaveOut(ctx context.Context, emit emitFunc, why error) error {
	s.log.Warn("left out: this user may not subscribe", "error", why)
	if err := emit(ctx, ingest.Batch{Partition: s.partition, End: true}); err != nil {
		return err
	}
	<-ctx.Done()
	return context.Cause(ctx)
}

// subscribe lets the client's goroutine wait for room in msgs: what comes
// meanwhile fills the client's own buffer, whose limits are in bytes too. The
// returned function ends the subscription.
func (s *coreSub) subscribe(ctx context.Context) (func(), error) {
	ctx, cancel := context.WithCancel(ctx)
	handler := func(m *nats.Msg) {
		select {
		case s.msgs <- arrived{m, time.Now().UnixNano()}:
		case <-ctx.Done():
		}
	}
	sub, err := s.nc.QueueSubscribe(s.subject, s.cfg.Queue, handler)
	if err == nil {
		err = sub.SetPendingLimits(s.cfg.MaxMessages, s.cfg.MaxBytes)
	}
	if err != nil {
		cancel()
		return nil, fmt.Errorf("subscribe to %s: %w", s.subject, err)
	}
	s.sub = sub
	end := func() { cancel(); _ = sub.Unsubscribe() }
	if err := s.permitted(ctx); err != nil {
		end()
		return nil, err
	}
	return end, nil
}

// permitted asks the server whether it took the subscription. A refusal comes as
// an error of the connection, and the subscription would stay silent for ever.
func (s *coreSub) permitted(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	if err := s.nc.FlushWithContext(ctx); err != nil {
		return nil //nolint:nilerr // not connected now: the subscription is made when it is
	}
	if refused(s.nc, s.subject) {
		return fmt.Errorf("subscribe to %s: %w", s.subject, s.nc.LastError())
	}
	return nil
}

// refused reports whether the last that the connection heard is that it may not use
// the subject.
func refused(nc *nats.Conn, subject string) bool {
	err := nc.LastError()
	return errors.Is(err, nats.ErrPermissionViolation) && strings.Contains(err.Error(), strconv.Quote(subject))
}

// advisories begins the subjects on which JetStream tells an account what happens
// in it, and takes for granted that whoever hears it knows which one that is.
const advisories = "$JS.EVENT."

// userInfo is where a user asks who it is.
const userInfo = "$SYS.REQ.USER.INFO"

// accountOf asks the server what account the connection is in, by the name its
// owner gave it; "" if it does not say, or the user may not ask.
func accountOf(ctx context.Context, nc *nats.Conn) string {
	ctx, cancel := context.WithTimeout(ctx, 6*apiTimeout) // an answer too late would be another key of incidents until the next start
	defer cancel()
	inbox := nc.NewRespInbox()
	sub, err := nc.SubscribeSync(inbox)
	if err != nil {
		return ""
	}
	defer func() { _ = sub.Unsubscribe() }()
	if err := nc.PublishRequest(userInfo, inbox, nil); err != nil {
		return ""
	}
	if err := nc.FlushWithContext(ctx); err != nil || refused(nc, userInfo) {
		return ""
	}
	msg, err := sub.NextMsgWithContext(ctx)
	if err != nil {
		return ""
	}
	var info struct {
		Data struct {
			ID   string `json:"account"`
			Name string `json:"account_name"`
		} `json:"data"`
	}
	if err := json.Unmarshal(msg.Data, &info); err != nil {
		return ""
	}
	return cmp.Or(info.Data.Name, info.Data.ID)
}

// gather takes m and all that is here already, up to the size of a batch.
func (s *coreSub) gather(m arrived) ingest.Batch {
	b := ingest.Batch{Partition: s.partition, Records: make([]ingest.Record, 0, 1+len(s.msgs))}
	for size := 0; ; {
		s.seq++
		size += len(m.msg.Data)
		b.Records = append(b.Records, ingest.Record{Data: m.msg.Data, Subject: m.msg.Subject, Headers: m.msg.Header, Observed: m.at, Seq: s.seq, Account: s.account})
		if len(b.Records) == batchRecords || size >= batchBytes {
			break
		}
		select {
		case m = <-s.msgs:
			continue
		default:
		}
		break
	}
	b.Pending, b.At = s.waiting(), m.at
	s.stats.received.Add(uint64(len(b.Records)))
	s.stats.last.Store(s.seq)
	s.stats.lastTime.Store(m.at)
	s.stats.pending.Store(b.Pending)
	return b
}

// waiting is what was received and not handed over.
func (s *coreSub) waiting() int64 {
	n, _, _ := s.sub.Pending() // fails after the end only
	return int64(max(0, n) + len(s.msgs))
}

// idle says that everything was read, if so, and reports what was dropped.
func (s *coreSub) idle(ctx context.Context, emit emitFunc) error {
	if n, err := s.sub.Dropped(); err == nil && n > s.dropped {
		s.log.Error("slow consumer: messages were dropped", "dropped", n-s.dropped, "total", n)
		s.stats.dropped.Store(uint64(n))
		s.dropped = n
	}
	if !s.nc.IsConnected() || s.waiting() > 0 {
		return nil
	}
	at := time.Now()
	short, cancel := context.WithTimeout(ctx, silence*s.cfg.Tick)
	defer cancel()
	if err := s.nc.FlushWithContext(short); err != nil || s.waiting() > 0 {
		return nil //nolint:nilerr // cut off, or no longer idle: nothing to tell
	}
	return emit(ctx, ingest.Batch{Partition: s.partition, At: at.UnixNano()})
}
