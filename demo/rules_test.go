package demo

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"corral/correlate"
	"corral/ingest"
	"corral/ingest/decode"
	"corral/internal/phrase"
	"corral/pipeline"
	"corral/rules"
	"corral/ruletest"
)

const exampleRules = "../rules.example.yaml"

// fired is what each recording must make of the rules: the incidents that open,
// as "rule key=value…", and nothing else. What is recorded was recorded from the
// demo or from a cluster (testdata/nats-advisories); deploy is written by hand,
// and in the two silences the heartbeats' times are.
var fired = map[string][]string{
	"slow-worker": {
		"nats-timeout-fails-requests call=shop.v1.Orders/Create",
		"grpc-deadline-exceeded call=shop.v1.Orders/Create",
		"http-5xx-ratio http.route=/orders service=gateway",
		"service-error-burst service=gateway",
		"service-error-burst service=orders",
	},
	"worker-gone": {
		"no-responders-fails-requests call=shop.v1.Orders/Create",
		"http-5xx-ratio http.route=/orders service=gateway",
		"service-error-burst service=gateway",
		"service-error-burst service=orders",
	},
	"service-silent": {"service-silent service=inventory"},
	"poison": {
		"accepted-but-not-fulfilled order=o-LNUT1UI9v3",
		"poison-message consumer=fulfilment seq=21 stream=ORDERS",
		"consumer-naks consumer=fulfilment stream=ORDERS",
		"consumer-max-deliver consumer=fulfilment stream=ORDERS",
	},
	"slow-consumer":      {"nats-slow-consumer client=price-board"},
	"wrong-credentials":  {"nats-auth-failure user=reports"},
	"deploy":             {"deploy-then-errors service=billing"},
	"quorum-lost":        {"jetstream-quorum-lost"},
	"terminated":         {"message-terminated consumer=billing stream=ORDERS"},
	"shutdown":           {"nats-server-shutdown server=n2", "nats-server-shutdown server=n3"},
	"lame-duck":          {"nats-lame-duck server=n1"},
	"nats-server-silent": {"nats-server-silent server=demo-1"},
}

func TestExampleRulesFire(t *testing.T) {
	set := loadExample(t)
	seen := map[string]bool{}
	for name, want := range fired {
		t.Run(name, func(t *testing.T) {
			got := firings(replay(t, set, filepath.Join("testdata/rules", name+".ndjson")))
			compare(t, got, want)
		})
		for _, incident := range want {
			rule, _, _ := strings.Cut(incident, " ")
			seen[rule] = true
		}
	}
	for _, r := range set.Rules {
		if !seen[r.ID] {
			t.Errorf("no recording makes %s fire", r.ID)
		}
	}
}

// The recordings as tests of rules, so in every way that `corral test` runs them.
func TestExampleRulesPassTheirTests(t *testing.T) {
	var out strings.Builder
	rep, err := ruletest.Run([]string{"../rules.example_test.yaml"}, ruletest.Options{}, &out)
	if err != nil || rep.Ran != len(fired) || rep.Failed > 0 {
		t.Errorf("%d of %d tests failed, %v\n%s", rep.Failed, rep.Ran, err, &out)
	}
}

// What a cluster of three servers went through, told by its logs and advisories
// together: every part of the script is one incident.
func TestExampleRulesTellTheStoryOfTheCluster(t *testing.T) {
	set := loadExample(t)
	files, err := filepath.Glob("../testdata/nats-advisories/*[lg]")
	if err != nil || len(files) != 4 {
		t.Fatalf("recordings: got %q, %v", files, err)
	}
	compare(t, firings(replay(t, set, files...)), []string{
		"consumer-naks consumer=billing stream=ORDERS",
		"consumer-max-deliver consumer=billing stream=ORDERS",
		"message-terminated consumer=billing stream=ORDERS",
		"nats-auth-failure user=app",
		"nats-slow-consumer client=slow-reader",
		"nats-server-shutdown server=n2",
		"nats-server-shutdown server=n3",
		"jetstream-quorum-lost",
	})
}

// Every rule says who owns it, how bad it is, what is wrong and what to do.
func TestExampleRulesAreComplete(t *testing.T) {
	for _, r := range loadExample(t).Rules {
		if r.Owner == "" || r.Runbook == "" || r.Title == nil || r.Summary == nil || len(r.Severity) == 0 {
			t.Errorf("%s:%d: %s lacks owner, runbook, title, summary or severity", r.File, r.Line, r.ID)
		}
	}
}

func loadExample(t *testing.T) *rules.Set {
	t.Helper()
	set, problems, err := rules.Load([]string{exampleRules})
	if err != nil || len(problems) > 0 {
		t.Fatalf("load: %v, %v", problems, err)
	}
	return set
}

// replay runs recordings through the pipeline up to their last event.
func replay(t *testing.T, set *rules.Set, files ...string) []*correlate.Transition {
	t.Helper()
	s := pipeline.NewSession(set, 24*time.Hour, correlate.Options{}, decode.Options{AttrPaths: set.AttrPaths})
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		s.Feed(ingest.Record{Data: data, Seq: 1, Lines: true}, 0)
	}
	if len(s.Dead) > 0 {
		t.Fatalf("dead letters: %v", s.Dead)
	}
	s.Finish(s.Counters.MaxEventTime.Load())
	return s.Transitions
}

// firings names the incidents that opened.
func firings(ts []*correlate.Transition) []string {
	var names []string
	for _, tr := range opened(ts) {
		names = append(names, tr.RuleID+phrase.Key(tr.Key))
	}
	return names
}

// compare compares without regard to order.
func compare(t *testing.T, got, want []string) {
	t.Helper()
	count := map[string]int{}
	for _, g := range got {
		count[g]++
	}
	for _, w := range want {
		count[w]--
	}
	for _, name := range slices.Sorted(maps.Keys(count)) {
		switch n := count[name]; {
		case n > 0:
			t.Errorf("opened, and should not have (%d): %s", n, name)
		case n < 0:
			t.Errorf("did not open: %s", name)
		}
	}
}
