package natspoll

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
)

// round asks every server everything once; if none says who it is, nothing more.
func (s *Source) round(ctx context.Context, send func([]sample)) {
	servers := s.servers(ctx, send)
	s.heard(ctx, len(servers) > 0)
	if len(servers) == 0 {
		return
	}
	s.health(ctx, len(servers), send)
	s.jetstream(ctx, servers, send)
}

// heard says once that nobody answers, and once that somebody does again.
func (s *Source) heard(ctx context.Context, now bool) {
	switch {
	case ctx.Err() != nil || now == !s.memory.deaf:
	case now:
		s.cfg.Log.Info("polls are answered again")
		s.memory.deaf = false
	default:
		s.cfg.Log.Error("nobody answers polls: they take a user of the system account who may publish to $SYS.REQ.SERVER.PING.> (corral nats-setup makes one)")
		s.memory.deaf = true
	}
}

// identity is what every answer says of the server it came from.
type identity struct {
	Name    string `json:"name"`
	ID      string `json:"id"`
	Cluster string `json:"cluster"`

	Time time.Time `json:"time"` // of the answer, by the server's clock
}

// sample begins what is known of a server.
func (id identity) sample(typ string) sample {
	x := sample{"type": typ, "server": id.Name, "server_id": id.ID}
	if id.Cluster != "" {
		x["cluster"] = id.Cluster
	}
	return x
}

// answer is a server's to any request.
type answer[T any] struct {
	Server identity `json:"server"`
	Data   T        `json:"data"`
	Statsz T        `json:"statsz"` // STATSZ has its own word for data
}

// servers asks for statistics: who is there, and who has cut off readers.
func (s *Source) servers(ctx context.Context, send func([]sample)) []identity {
	type statsz struct {
		CPU           float64 `json:"cpu"`
		Mem           int64   `json:"mem"`
		Connections   int     `json:"connections"`
		SlowConsumers int64   `json:"slow_consumers"`
	}
	var samples []sample
	var all, cut []identity
	for _, a := range gather[statsz](ctx, s, "STATSZ", nil, crowd{known: len(s.memory.servers), open: true}) {
		x := a.Server.sample("poll_server")
		x["cpu"], x["mem"], x["connections"], x["slow_consumers"] = a.Statsz.CPU, a.Statsz.Mem, a.Statsz.Connections, a.Statsz.SlowConsumers
		samples = append(samples, x)
		all = append(all, a.Server)
		if s.memory.slower(a.Server, a.Statsz.SlowConsumers) {
			cut = append(cut, a.Server)
		}
	}
	send(append(samples, s.memory.missing(all, time.Now(), s.cfg.Missing)...))
	for _, id := range cut {
		send(s.closed(ctx, id))
	}
	return all
}

// closed asks a server for the connections it closed last: those of slow
// consumers, with what they listened to. Nobody else keeps that.
func (s *Source) closed(ctx context.Context, id identity) []sample {
	type connz struct {
		Connections []struct {
			CID     uint64    `json:"cid"`
			IP      string    `json:"ip"`
			Name    string    `json:"name"`
			User    string    `json:"authorized_user"`
			Account string    `json:"account"`
			NameTag string    `json:"name_tag"`
			Stop    time.Time `json:"stop"`
			Reason  string    `json:"reason"`
			Pending int       `json:"pending_bytes"`
			Subs    []string  `json:"subscriptions_list"`
		} `json:"connections"`
	}
	const most = 128 // connections looked at, and subjects kept of each
	request := map[string]any{"state": 1, "sort": "stop", "limit": most, "subscriptions": true, "auth": true}
	told := s.memory.told[id.ID]
	var samples []sample
	for _, a := range ask[connz](ctx, s, "$SYS.REQ.SERVER."+id.ID+".CONNZ", request, crowd{known: 1}) {
		for _, c := range a.Data.Connections {
			if !slowConsumer(c.Reason) || !c.Stop.After(told) {
				continue
			}
			s.memory.told[id.ID] = latest(s.memory.told[id.ID], c.Stop)
			x := id.sample("poll_conn_closed")
			client := map[string]any{"id": c.CID, "name": c.Name, "host": c.IP, "acc": c.Account, "user": c.User}
			if c.NameTag != "" {
				client["name_tag"] = c.NameTag
			}
			x["client"], x["reason"], x["pending_bytes"] = client, c.Reason, c.Pending
			x["subscriptions"] = c.Subs[:min(len(c.Subs), most)]
			samples = append(samples, x)
		}
	}
	return samples
}

func slowConsumer(reason string) bool { return strings.HasPrefix(reason, "Slow Consumer") }

// health asks whether servers are in touch with a meta leader. It asks for no
// more: looking at every stream takes long on a large server.
func (s *Source) health(ctx context.Context, servers int, send func([]sample)) {
	type healthz struct {
		Status string `json:"status"`
		Error  string `json:"error"`
	}
	var samples []sample
	for _, a := range gather[healthz](ctx, s, "HEALTHZ", map[string]any{"js-meta-only": true}, crowd{known: servers}) {
		x := a.Server.sample("poll_health")
		x["healthy"] = a.Data.Status == "ok"
		if a.Data.Error != "" {
			x["error"] = a.Data.Error
		}
		samples = append(samples, x)
	}
	send(samples)
}

// crowd is who should answer: so many, and others if it is open.
type crowd struct {
	known int
	open  bool
}

// gather asks all servers.
func gather[T any](ctx context.Context, s *Source, what string, request any, who crowd) []answer[T] {
	return ask[T](ctx, s, "$SYS.REQ.SERVER.PING."+what, request, who)
}

// ask publishes a request and collects answers until all have come, none came for a
// while, or the time is up, which an open crowd's known ones have to the full.
// Answers that are not understood are left out.
func ask[T any](ctx context.Context, s *Source, subject string, request any, who crowd) []answer[T] {
	var body []byte
	if request != nil {
		body, _ = json.Marshal(request)
	}
	inbox := s.nc.NewRespInbox()
	sub, err := s.nc.SubscribeSync(inbox)
	if err != nil {
		s.cfg.Log.Warn("poll", "subject", subject, "error", err)
		return nil
	}
	defer func() { _ = sub.Unsubscribe() }()
	if err := s.nc.PublishRequest(subject, inbox, body); err != nil {
		s.cfg.Log.Warn("poll", "subject", subject, "error", err)
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Timeout)
	defer cancel()
	var answers []answer[T]
	for who.open || len(answers) < who.known {
		patience := s.cfg.Stall
		if len(answers) == 0 || who.open && len(answers) < who.known {
			patience = s.cfg.Timeout
		}
		msg, err := next(ctx, sub, patience)
		if err != nil {
			break
		}
		var a answer[T]
		if err := json.Unmarshal(msg.Data, &a); err != nil || a.Server.Name == "" {
			s.cfg.Log.Warn("poll: answer not understood", "subject", subject, "error", err)
			continue
		}
		answers = append(answers, a)
	}
	return answers
}

func next(ctx context.Context, sub *nats.Subscription, patience time.Duration) (*nats.Msg, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return sub.NextMsgWithContext(ctx)
}
