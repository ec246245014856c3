package rules

import (
	"fmt"
	"slices"
	"strings"
)

// The keys of a rule file. schema.json describes the same ones.
var (
	fileKeys = []string{"version", "defaults", "lists", "rules"}

	kindKeys = []string{"event", "threshold", "absence", "change", "temporal", "sequence"}

	envelopeKeys = []string{
		"title", "summary", "severity", "owner", "runbook", "labels", "match", "from", "group_by", "for", "keep_firing_for",
		"resolve", "refire", "suppress", "update_every", "limits", "inhibited_by", "signal", "context", "evidence", "active", "notify",
	}

	ruleKeys = slices.Concat([]string{"id", "renamed_from"}, envelopeKeys, kindKeys, []string{"tests"})

	blockKeys = map[string][]string{
		"event":     {},
		"threshold": {"window", "condition", "clear"},
		"absence":   {"every", "min", "expect", "remember", "forget_after"},
		"change":    {"of", "detect", "memory", "learn", "changes", "within"},
		"temporal":  {"window", "events", "condition"},
		"sequence":  {"within", "steps", "until", "contiguity", "skip", "on_timeout"},
	}

	windowKeys   = []string{"sliding", "tumbling", "timezone", "session", "last", "start", "end", "max"}
	stepKeys     = []string{"name", "match", "where", "times", "optional", "greedy", "absent", "within"}
	scheduleKeys = []string{"schedule", "timezone", "grace"}
	activeKeys   = []string{"schedule", "timezone"}
	resolveKeys  = []string{"when", "max"}
	limitKeys    = []string{"groups", "open", "partials"}
	inhibitKeys  = []string{"rule", "same"}
	ladderKeys   = []string{"when", "is"}
	timesKeys    = []string{"min", "max"}
	notifyKeys   = []string{"resolved"}
)

// elsewhere says of a key where it belongs, if it is known in another place than
// the one it was found in: a kind's block, or the rule itself ("").
func elsewhere(in string) func(string) string {
	return func(key string) string {
		if in != "" && slices.Contains(ruleKeys, key) && !slices.Contains(kindKeys, key) {
			return fmt.Sprintf("belongs to the rule itself, not into `%s`", in)
		}
		var of []string
		for _, kind := range kindKeys {
			if kind != in && slices.Contains(blockKeys[kind], key) {
				of = append(of, "`"+kind+"`")
			}
		}
		switch {
		case len(of) == 0:
			return ""
		case in == "":
			return "belongs into a block: " + strings.Join(of, " or ")
		}
		return fmt.Sprintf("is a key of %s, this is `%s`", strings.Join(of, " and "), in)
	}
}
