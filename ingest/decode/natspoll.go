package decode

import (
	"fmt"
	"strconv"

	"corral/event"
	"corral/internal/phrase"
)

// pollLevel is how bad an answer to a poll is by itself.
func pollLevel(ev *event.Event, o map[string]any) string {
	yes := func(key string) bool { b, _ := o[key].(bool); return b }
	switch ev.Type {
	case "poll_consumer":
		if yes("stalled") {
			return "warn"
		}
	case "poll_replica":
		if yes("offline") || yes("behind") {
			return "warn"
		}
	case "poll_health":
		if !yes("healthy") {
			return "error"
		}
	case "poll_missing":
		return "error"
	case "poll_conn_closed":
		return disconnectLevel(ev.NATS.Reason)
	}
	return "info"
}

// pollMessage says in a sentence what a poll saw.
func pollMessage(ev *event.Event, o map[string]any, asset string) string {
	f := &ev.NATS
	num := func(key string) int { n, _ := o[key].(int); return n }
	switch ev.Type {
	case "poll_stream":
		return asset + " is " + percent(o["fill"]) + " full"
	case "poll_consumer":
		return fmt.Sprintf("%s has %d of %d acknowledgements outstanding and %s waiting",
			asset, num("ack_pending"), num("max_ack_pending"), phrase.Count(num("pending"), "message"))
	case "poll_replica":
		return fmt.Sprintf("the replica of %s on %s is %s behind", asset, f.Server, phrase.Count(num("lag"), "operation"))
	case "poll_server":
		return fmt.Sprintf("server %s has %s", f.Server, phrase.Count(num("connections"), "connection"))
	case "poll_missing":
		return fmt.Sprintf("server %s has not answered %s", f.Server, phrase.Count(num("polls"), "poll"))
	case "poll_health":
		return because("health of server "+f.Server, firstText(ev.Error, "ok"))
	case "poll_conn_closed":
		return because(connection(f)+" had been closed", f.Reason)
	}
	return asset + " of account " + f.Account
}

// percent writes a share as a whole percentage.
func percent(share any) string {
	switch v := share.(type) {
	case float64:
		return strconv.Itoa(int(v*100)) + "%"
	case int:
		return strconv.Itoa(v*100) + "%"
	}
	return "?%"
}
