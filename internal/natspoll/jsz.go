package natspoll

import (
	"context"
	"time"
)

// jsz is what a server says of its JetStream.
type jsz struct {
	Streams   int       `json:"streams"`
	Consumers int       `json:"consumers"`
	Total     int       `json:"total"` // accounts
	Accounts  []account `json:"account_details"`
}

type account struct {
	Name    string   `json:"name"`
	Streams []stream `json:"stream_detail"`
}

type stream struct {
	Name    string   `json:"name"`
	Cluster *cluster `json:"cluster"`
	Config  struct {
		MaxMsgs       int64  `json:"max_msgs"`
		MaxBytes      int64  `json:"max_bytes"`
		MaxPerSubject int64  `json:"max_msgs_per_subject"`
		Discard       string `json:"discard"`
	} `json:"config"`
	State struct {
		Messages uint64 `json:"messages"`
		Bytes    uint64 `json:"bytes"`
		First    uint64 `json:"first_seq"`
		Last     uint64 `json:"last_seq"`
	} `json:"state"`
	Consumers []consumer `json:"consumer_detail"`
}

type consumer struct {
	Name   string `json:"name"`
	Config struct {
		MaxAckPending int      `json:"max_ack_pending"`
		AckPolicy     string   `json:"ack_policy"`
		Filter        string   `json:"filter_subject"`
		Filters       []string `json:"filter_subjects"`
	} `json:"config"`
	Delivered   sequence `json:"delivered"`
	AckFloor    sequence `json:"ack_floor"`
	AckPending  int      `json:"num_ack_pending"`
	Redelivered int      `json:"num_redelivered"`
	Waiting     int      `json:"num_waiting"`
	Pending     uint64   `json:"num_pending"`
	Paused      bool     `json:"paused"`
	Cluster     *cluster `json:"cluster"`
}

type sequence struct {
	Consumer uint64 `json:"consumer_seq"`
	Stream   uint64 `json:"stream_seq"`
}

type cluster struct {
	Leader   string `json:"leader"`
	Replicas []struct {
		Name    string        `json:"name"`
		Current bool          `json:"current"`
		Offline bool          `json:"offline"`
		Active  time.Duration `json:"active"`
		Lag     uint64        `json:"lag"`
	} `json:"replicas"`
}

// leads reports whether the server that answered speaks for the asset: a follower
// knows only what was true a while ago.
func (c *cluster) leads(server string) bool {
	return c == nil || c.Leader == server
}

// accountsPerAnswer bounds one answer; a server's streams and consumers are
// bounded by the configuration.
const accountsPerAnswer = 256

// jetstream asks servers how much they hold, and those that hold no more than is
// allowed about each stream and consumer.
func (s *Source) jetstream(ctx context.Context, servers []identity, send func([]sample)) {
	kept := newPositions()
	for _, a := range gather[jsz](ctx, s, "JSZ", nil, crowd{known: len(servers)}) {
		switch held := a.Data; {
		case held.Streams == 0:
		case held.Streams > s.cfg.MaxStreams:
			s.cfg.Log.Warn("a server holds too many streams to be polled", "server", a.Server.Name, "streams", held.Streams, "most", s.cfg.MaxStreams)
		default:
			s.assets(ctx, a.Server, held.Consumers <= s.cfg.MaxConsumers, kept, send)
			if held.Consumers > s.cfg.MaxConsumers {
				s.cfg.Log.Warn("a server holds too many consumers to be polled", "server", a.Server.Name, "consumers", held.Consumers, "most", s.cfg.MaxConsumers)
			}
		}
	}
	s.memory.positions = kept
}

// assets asks a server about what it leads, page by page.
func (s *Source) assets(ctx context.Context, id identity, consumers bool, kept positions, send func([]sample)) {
	for offset := 0; ctx.Err() == nil; offset += accountsPerAnswer {
		request := map[string]any{"accounts": true, "streams": true, "consumer": consumers, "config": true, "offset": offset, "limit": accountsPerAnswer}
		answers := ask[jsz](ctx, s, "$SYS.REQ.SERVER."+id.ID+".JSZ", request, crowd{known: 1})
		if len(answers) == 0 {
			return
		}
		for _, acc := range answers[0].Data.Accounts {
			for _, str := range acc.Streams {
				send(s.stream(id, acc.Name, &str, kept))
			}
		}
		if offset+accountsPerAnswer >= answers[0].Data.Total {
			return
		}
	}
}

// stream is what one server knows of a stream it keeps, and of its consumers.
func (s *Source) stream(id identity, acc string, str *stream, kept positions) []sample {
	base := func(typ string) sample {
		x := id.sample(typ)
		x["account"], x["stream"] = acc, str.Name
		return x
	}
	var samples []sample
	if str.Cluster.leads(id.Name) {
		x := base("poll_stream")
		x["leader"], x["fill"], x["discard"] = id.Name, str.fill(), str.Config.Discard
		x["messages"], x["max_msgs"], x["bytes"], x["max_bytes"] = str.State.Messages, str.Config.MaxMsgs, str.State.Bytes, str.Config.MaxBytes
		samples = append(samples, x)
		samples = append(samples, behind(str.Cluster, func() sample { return base("poll_replica") })...)
	}
	for i := range str.Consumers {
		c := &str.Consumers[i]
		if !c.Cluster.leads(id.Name) {
			continue
		}
		was, known := s.memory.positions[assetKey{acc, str.Name, c.Name}]
		kept[assetKey{acc, str.Name, c.Name}] = position{delivered: c.Delivered, floor: c.AckFloor, first: str.State.First}
		x := base("poll_consumer")
		x["consumer"], x["leader"] = c.Name, id.Name
		x["ack_pending"], x["max_ack_pending"], x["pending"], x["waiting"] = c.AckPending, c.Config.MaxAckPending, c.Pending, c.Waiting
		x["redelivered"], x["paused"], x["stalled"] = c.Redelivered, c.Paused, c.stalled()
		if known {
			x["acked"], x["redeliveries"], x["lost"] = since(was.floor.Consumer, c.AckFloor.Consumer), c.redeliveries(was), str.lost(c, was)
		}
		samples = append(samples, x)
		samples = append(samples, behind(c.Cluster, func() sample {
			r := base("poll_replica")
			r["consumer"] = c.Name
			return r
		})...)
	}
	return samples
}

// behindOps is how many operations a replica may lag without being called behind.
const behindOps = 1000

// behind are the replicas that are there and do not keep up. That one is offline
// is its server's story, not each stream's.
func behind(c *cluster, base func() sample) []sample {
	if c == nil {
		return nil
	}
	var samples []sample
	for _, r := range c.Replicas {
		if r.Offline || r.Current && r.Lag <= behindOps || r.Lag == 0 {
			continue
		}
		x := base()
		x["server"], x["lag"], x["current"], x["behind"] = r.Name, r.Lag, r.Current, true
		samples = append(samples, x)
	}
	return samples
}

// fill is how full a stream is, 0 to 1, by the limit it is closest to.
func (s *stream) fill() float64 {
	full := 0.0
	if s.Config.MaxMsgs > 0 {
		full = float64(s.State.Messages) / float64(s.Config.MaxMsgs)
	}
	if s.Config.MaxBytes > 0 {
		full = max(full, float64(s.State.Bytes)/float64(s.Config.MaxBytes))
	}
	return full
}

// lost is how many messages were removed since the last poll before the consumer
// had seen them; those in flight the server counts as acknowledged. A consumer with a filter skips messages it does not want,
// and one message a subject is meant to replace the one before: of those nothing
// is known.
func (s *stream) lost(c *consumer, was position) uint64 {
	if c.Config.Filter != "" || len(c.Config.Filters) > 0 || s.Config.MaxPerSubject > 0 || c.Config.AckPolicy == "none" {
		return 0
	}
	return since(max(was.first, c.AckFloor.Stream+1), s.State.First)
}

// stalled: every slot is taken, so nothing is delivered, and something waits.
func (c *consumer) stalled() bool {
	return c.Config.MaxAckPending > 0 && c.AckPending >= c.Config.MaxAckPending && c.Pending > 0 && !c.Paused
}

// redeliveries is how many deliveries since the last poll were not first ones: at
// least so many, for messages a filter skips count as if delivered.
func (c *consumer) redeliveries(was position) uint64 {
	return since(since(was.delivered.Stream, c.Delivered.Stream), since(was.delivered.Consumer, c.Delivered.Consumer))
}

func since(then, now uint64) uint64 {
	if now < then {
		return 0
	}
	return now - then
}
