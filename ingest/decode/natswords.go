package decode

import (
	"fmt"
	"strconv"
	"strings"

	"corral/event"
	"corral/internal/phrase"
)

// describe sets level and message.
func (n *natsFields) describe() {
	level := natsLevel(n.ev, n.o)
	sev := levelWords[level]
	n.ev.Level, n.ev.SeverityNumber = sev.level, sev.number
	n.ev.Message = natsMessage(n.ev, n.o)
	if n.ev.Error == "" && level == "error" {
		n.ev.Error = n.ev.NATS.Reason
	}
}

// natsLevels are the levels of events that always have the same.
var natsLevels = map[string]string{
	"max_deliver": "error", "terminated": "warn", "nak": "warn", "stream_quorum_lost": "error", "consumer_quorum_lost": "error",
	"stream_batch_abandoned": "warn", "server_out_of_space": "error", "server_removed": "error", "meta_rescue": "error",
	"api_limit_reached": "error", "auth_error": "error", "shutdown": "warn", "lameduck": "warn", "ocsp_peer_reject": "warn",
	"ocsp_peer_link_invalid": "warn",
}

func natsLevel(ev *event.Event, o map[string]any) string {
	if level, ok := natsLevels[ev.Type]; ok {
		return level
	}
	switch {
	case ev.Type == "client_disconnect":
		return disconnectLevel(ev.NATS.Reason)
	case ev.Type == "consumer_group_unpinned" && ev.NATS.Reason == "timeout":
		return "warn"
	case strings.HasPrefix(ev.Type, "poll_"):
		return pollLevel(ev, o)
	case ev.Type == "service_latency":
		return statusLevel(o)
	case ev.Type == "api_audit" && ev.NATS.ErrCode != 0, ev.Error != "":
		return "warn"
	}
	return "info"
}

func disconnectLevel(reason string) string {
	switch reason {
	case "Client Closed", "Server Shutdown", "Duplicate Route", "Route Removed", "Internal Client", "":
		return "info"
	case "Slow Consumer (Pending Bytes)", "Slow Consumer (Write Deadline)", "Authentication Failure", "Authentication Timeout":
		return "error"
	}
	return "warn"
}

func statusLevel(o map[string]any) string {
	switch status, _ := o["status"].(int); {
	case status >= 500:
		return "error"
	case status >= 400:
		return "warn"
	}
	return "info"
}

// natsMessage says in a sentence what happened.
func natsMessage(ev *event.Event, o map[string]any) string {
	f := &ev.NATS
	asset := "stream " + f.Stream
	if f.Consumer != "" {
		asset = "consumer " + f.Consumer + " of stream " + f.Stream
	}
	text := func(key string) string { s, _ := o[key].(string); return s }
	switch ev.Type {
	case "api_audit":
		return apiMessage(ev)
	case "stream_action", "consumer_action":
		return asset + " " + past(text("action"))
	case "consumer_pause":
		if paused, _ := o["paused"].(bool); !paused {
			return asset + " resumed"
		}
		return asset + " paused until " + text("pause_until")
	case "consumer_group_pinned":
		return fmt.Sprintf("a client was pinned to group %s of %s", text("group"), asset)
	case "consumer_group_unpinned":
		return fmt.Sprintf("the client of group %s of %s was unpinned: %s", text("group"), asset, f.Reason)
	case "nak":
		return fmt.Sprintf("message %d refused by %s at delivery %d", f.Seq, asset, f.Deliveries)
	case "terminated":
		return because(fmt.Sprintf("message %d terminated by %s at delivery %d", f.Seq, asset, f.Deliveries), f.Reason)
	case "max_deliver":
		return fmt.Sprintf("message %d given up by %s after %s", f.Seq, asset, deliveries(f.Deliveries))
	case "consumer_ack":
		ns, _ := o["ack_time"].(int)
		return fmt.Sprintf("message %d acknowledged by %s after %s ms", f.Seq, asset, strconv.FormatFloat(float64(ns)/1e6, 'f', -1, 64))
	case "stream_leader_elected", "consumer_leader_elected":
		return asset + " has a new leader: " + f.Leader
	case "stream_quorum_lost", "consumer_quorum_lost":
		return because(asset+" lost its quorum", offline(o))
	case "domain_leader_elected":
		return "JetStream has a new meta leader: " + f.Leader
	}
	return systemMessage(ev, o, asset)
}

func systemMessage(ev *event.Event, o map[string]any, asset string) string {
	f := &ev.NATS
	switch ev.Type {
	case "stream_batch_abandoned":
		return because("an atomic batch on "+asset+" was abandoned", f.Reason)
	case "snapshot_create", "restore_create":
		return strings.TrimSuffix(ev.Type, "_create") + " of " + asset + " began"
	case "snapshot_complete", "restore_complete":
		return because(strings.TrimSuffix(ev.Type, "_complete")+" of "+asset+" ended", ev.Error)
	case "server_out_of_space":
		return "server " + f.Server + " is out of storage, JetStream is being disabled there"
	case "server_removed":
		return "server " + f.Server + " was removed from the cluster"
	case "meta_rescue":
		return "the quorum of the meta group was forced on server " + f.Server
	case "api_limit_reached":
		n, _ := o["dropped"].(int)
		return fmt.Sprintf("server %s dropped %s to the JetStream API", f.Server, phrase.Count(n, "request"))
	case "client_connect":
		return connection(f) + " connected"
	case "client_disconnect":
		return because(connection(f)+" disconnected", f.Reason)
	case "auth_error":
		return because(connection(f)+" was refused", f.Reason)
	case "account_connections":
		n, _ := o["conns"].(int)
		return fmt.Sprintf("account %s has %s on server %s", f.Account, phrase.Count(n, "connection"), f.Server)
	case "statsz":
		return "statistics of server " + f.Server
	case "shutdown":
		return "server " + f.Server + " shuts down"
	case "lameduck":
		return "server " + f.Server + " enters lame duck mode"
	case "ocsp_peer_reject", "ocsp_peer_link_invalid":
		return because("TLS peer refused by server "+f.Server, f.Reason)
	case "service_latency":
		status, _ := o["status"].(int)
		responder, _ := o["responder"].(map[string]any)
		name, _ := responder["name"].(string)
		return because(fmt.Sprintf("%s answered %d", strings.TrimRight("service "+name, " "), status), ev.Error)
	}
	if strings.HasPrefix(ev.Type, "poll_") {
		return pollMessage(ev, o, asset)
	}
	return because("NATS event "+ev.Type, f.Reason)
}

func deliveries(n int) string {
	if n == 1 {
		return "1 delivery"
	}
	return strconv.Itoa(n) + " deliveries"
}

func because(s, reason string) string {
	if reason == "" {
		return s
	}
	return s + ": " + reason
}

func past(action string) string {
	switch action {
	case "create":
		return "created"
	case "modify":
		return "changed"
	case "delete":
		return "deleted"
	}
	return action
}

func apiMessage(ev *event.Event) string {
	who := connection(&ev.NATS)
	return because(who+" asked "+ev.NATS.Subject, ev.Error)
}

// connection names a client as well as the event does.
func connection(f *event.NATS) string {
	s := "client"
	if f.Client != "" {
		s += " " + strconv.Quote(f.Client)
	}
	if f.User != "" {
		s += " user " + f.User
	}
	if f.Account != "" {
		s += " of account " + f.Account
	}
	if f.CID != 0 {
		s += " (cid " + strconv.Itoa(f.CID) + ")"
	}
	return s
}

// offline names the replicas an event calls offline.
func offline(o map[string]any) string {
	var names []string
	replicas, _ := o["replicas"].([]any)
	for _, x := range replicas {
		r, _ := x.(map[string]any)
		if off, _ := r["offline"].(bool); off {
			name, _ := r["name"].(string)
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return ""
	}
	return strings.Join(names, ", ") + " offline"
}
