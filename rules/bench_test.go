package rules

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"corral/event"
)

// mixedRules writes n rules in the proportions seen in practice: most name a
// service, a level and a word; some a path and a status; some one rare word; a few
// a list, a range, or a negation only.
func mixedRules(n int) string {
	var b strings.Builder
	b.WriteString("version: 1\nrules:\n")
	levels := []string{"error", "warn", "info", "fatal"}
	for i := range n {
		var match string
		switch k := i % 100; {
		case k < 62:
			match = fmt.Sprintf(`service == "svc-%d" && level == "%s" && message contains "word%d"`, i%200, levels[i%4], i%50)
		case k < 77:
			match = fmt.Sprintf(`http.path == "/api/v1/thing%d" && http.status >= 500`, i%300)
		case k < 89:
			match = fmt.Sprintf(`message contains "rare needle %d" && level == "%s"`, i, levels[i%4])
		case k < 94:
			match = fmt.Sprintf(`attrs.user in ["u%d", "u%d", "u%d"] && http.status >= 400`, i, i+1, i+2)
		case k < 99:
			match = fmt.Sprintf(`http.duration_ms > %d && http.status == 50%d`, 1000+i, i%5)
		default:
			match = fmt.Sprintf(`service != "svc-%d" && level == "fatal" && http.status == 599`, i%200)
		}
		fmt.Fprintf(&b, "  - id: r%d\n    match: '%s'\n    group_by: [service]\n    threshold: {window: 5m, condition: count() >= 10}\n", i, match)
	}
	return b.String()
}

func benchEvents(r *rand.Rand, n int) []*event.Event {
	levels := []string{"error", "warn", "info", "info", "info", "fatal"}
	events := make([]*event.Event, n)
	for i := range events {
		events[i] = &event.Event{
			Kind: "log", Service: fmt.Sprintf("svc-%d", r.IntN(400)), Level: levels[r.IntN(len(levels))],
			Message: fmt.Sprintf("request %d handled by worker %d after waiting for upstream word%d done", r.IntN(1e6), r.IntN(64), r.IntN(100)),
			HTTP:    event.HTTP{Method: "GET", Path: fmt.Sprintf("/api/v1/thing%d", r.IntN(1000)), Status: []int{200, 200, 200, 404, 500}[r.IntN(5)], DurationMS: float64(r.IntN(900))},
		}
		events[i].SetAttrs(map[string]any{"user": fmt.Sprintf("u%d", r.IntN(1e6))})
	}
	return events
}

// BenchmarkMatch is the cost of one decoded event against n rules; with as many
// rules evaluated one by one in the VM beside it.
func BenchmarkMatch(b *testing.B) {
	events := benchEvents(rand.New(rand.NewPCG(1, 1)), 4096)
	for _, n := range []int{10, 100, 1000, 10000} {
		set := mustParse(b, mixedRules(n))
		b.Run(fmt.Sprintf("index/%d", n), func(b *testing.B) {
			m := set.Matcher()
			var out []Match
			matches, i := 0, 0
			b.ReportAllocs()
			for b.Loop() {
				out = m.Match(events[i&4095], out[:0])
				matches += len(out)
				i++
			}
			b.ReportMetric(float64(matches)/float64(i), "matches/event")
		})
		if n > 1000 {
			continue
		}
		b.Run(fmt.Sprintf("vm/%d", n), func(b *testing.B) {
			i := 0
			for b.Loop() {
				env := &Env{Event: events[i&4095]}
				for _, r := range set.Rules {
					_, _ = r.match.runVM(env)
				}
				i++
			}
		})
	}
}

// BenchmarkLoad is the cost of reading and compiling a thousand rules.
func BenchmarkLoad(b *testing.B) {
	text := []byte(mixedRules(1000))
	for b.Loop() {
		if set, diags := Parse([]File{{"rules.yaml", text}}); set == nil {
			b.Fatal(diags)
		}
	}
}
