package correlate_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/txtar"

	"corral/correlate"
	"corral/event"
	"corral/ingest"
	"corral/ingest/decode"
	"corral/rules"
)

var update = flag.Bool("update", false, "rewrite incidents.jsonl of the stories")

// TestStories plays testdata/stories: rules.yaml over events.jsonl makes the
// transitions of incidents.jsonl, however the events arrive. A comment line
// `end: T` lets time go on to T after the last event. Each line of incidents.jsonl
// names fields of a record; there is a line for every transition.
func TestStories(t *testing.T) {
	names, err := filepath.Glob("testdata/stories/*.txtar")
	if err != nil || len(names) == 0 {
		t.Fatalf("no stories: %v", err)
	}
	for _, name := range names {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txtar"), func(t *testing.T) {
			s := readStory(t, name)
			if *update {
				s.rewrite(t, s.play(t, way{}))
			}
			for _, w := range ways {
				t.Run(w.name, func(t *testing.T) { s.compare(t, s.play(t, w)) })
			}
		})
	}
}

// way is how events reach the engine. It must not matter.
type way struct {
	name     string
	shards   int
	parallel bool
	shuffle  bool // within an hour
	restart  bool // after every event
	step     bool // the watermark moves a nanosecond before every event, and with it
}

var ways = []way{
	{name: "plain"},
	{name: "shards", shards: 3},
	{name: "parallel", shards: 4, parallel: true},
	{name: "shuffled", shuffle: true},
	{name: "restarted", restart: true, shards: 2},
	{name: "stepped", step: true},
}

type story struct {
	name    string
	archive *txtar.Archive
	set     *rules.Set
	events  []*event.Event
	end     int64
	want    []map[string]any
}

func (s *story) file(name string) *txtar.File {
	for i := range s.archive.Files {
		if s.archive.Files[i].Name == name {
			return &s.archive.Files[i]
		}
	}
	s.archive.Files = append(s.archive.Files, txtar.File{Name: name})
	return &s.archive.Files[len(s.archive.Files)-1]
}

func readStory(t *testing.T, name string) *story {
	archive, err := txtar.ParseFile(name)
	if err != nil {
		t.Fatal(err)
	}
	s := &story{name: name, archive: archive}
	s.set = parse(t, string(s.file("rules.yaml").Data))
	s.events = decoded(t, s.file("events.jsonl").Data)
	for _, ev := range s.events {
		s.end = max(s.end, ev.Time)
	}
	for line := range strings.Lines(string(archive.Comment)) {
		if at, ok := strings.CutPrefix(line, "end: "); ok {
			s.end = instant(t, strings.TrimSpace(at))
		}
	}
	for line := range bytes.Lines(s.file("incidents.jsonl").Data) {
		s.want = append(s.want, object(t, line))
	}
	return s
}

func instant(t testing.TB, text string) int64 {
	at, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		t.Fatal(err)
	}
	return at.UnixNano()
}

func parse(t testing.TB, text string) *rules.Set {
	t.Helper()
	set, diags := rules.Parse([]rules.File{{Name: "rules.yaml", Data: []byte(text)}})
	if set == nil {
		var b strings.Builder
		if err := rules.FormatText(&b, diags, rules.TextStyle{}); err != nil {
			t.Fatal(err)
		}
		t.Fatalf("rules:\n%s", b.String())
	}
	return set
}

// decoded are the events of lines as a service would log them.
func decoded(t testing.TB, data []byte) []*event.Event {
	t.Helper()
	var evs []*event.Event
	d := decode.New(decode.Options{})
	d.Decode(ingest.Record{Data: data, Seq: 1, Lines: true}, func(ev *event.Event) {
		evs = append(evs, ev.Clone())
	}, func(dead decode.DeadRecord) { t.Fatalf("dead record: %+v", dead) })
	return evs
}

func object(t *testing.T, line []byte) map[string]any {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal(line, &m); err != nil {
		t.Fatalf("%v: %s", err, line)
	}
	return m
}

// arrivals are the events in the order they come.
func (s *story) arrivals(w way) []*event.Event {
	evs := make([]*event.Event, len(s.events))
	for i, ev := range s.events {
		evs[i] = ev.Clone()
	}
	slices.SortStableFunc(evs, event.Compare)
	if w.shuffle {
		rng := rand.New(rand.NewPCG(1, 2))
		rng.Shuffle(len(evs), func(i, j int) { evs[i], evs[j] = evs[j], evs[i] })
	}
	return evs
}

func (s *story) play(t *testing.T, w way) []*correlate.Transition {
	o := correlate.Options{Shards: w.shards}
	if w.parallel {
		o.Parallel = concurrently
	}
	e := correlate.New(s.set, o)
	var out []*correlate.Transition
	emit := func(tr *correlate.Transition) { out = append(out, tr) }
	m := s.set.Matcher()
	for _, ev := range s.arrivals(w) {
		if !w.shuffle {
			if w.step {
				e.Advance(ev.Time-1, emit)
			}
			e.Advance(ev.Time, emit)
		}
		if !e.Push(ev, m.Match(ev, nil)) {
			t.Fatalf("event at %v was refused", ev.When())
		}
		if w.restart {
			e = restart(t, e, s.set, o)
		}
	}
	e.Finish(s.end, emit)
	return out
}

func concurrently(n int, do func(int)) {
	done := make(chan struct{})
	for i := range n {
		go func() {
			do(i)
			done <- struct{}{}
		}()
	}
	for range n {
		<-done
	}
}

func restart(t testing.TB, e *correlate.Engine, set *rules.Set, o correlate.Options) *correlate.Engine {
	t.Helper()
	var b bytes.Buffer
	if err := e.Snapshot(&b); err != nil {
		t.Fatal(err)
	}
	e, err := correlate.Restore(set, o, &b)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func (s *story) compare(t *testing.T, got []*correlate.Transition) {
	t.Helper()
	for i := range max(len(got), len(s.want)) {
		switch {
		case i >= len(got):
			t.Errorf("missing %v", s.want[i])
		case i >= len(s.want):
			t.Errorf("not expected: %s", marshal(t, got[i]))
		default:
			is := object(t, marshal(t, got[i]))
			for field, want := range s.want[i] {
				if string(marshal(t, is[field])) != string(marshal(t, want)) {
					t.Errorf("transition %d: %s: got %v, want %v\n%s", i+1, field, is[field], want, marshal(t, got[i]))
				}
			}
		}
	}
}

func marshal(t *testing.T, v any) []byte {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// told are the fields that -update writes where they say something.
var told = []string{
	"changed_at", "rule_id", "key", "rev", "state", "cause", "severity", "severity_now", "title", "started_at", "opened_at",
	"resolved_at", "event_count", "firings", "relapses", "vars", "steps", "distinct_keys", "top_keys", "recurrence",
	"rotated_from", "flapping", "collapsed", "suppressed_by", "suspects", "context", "notify_reason",
}

func (s *story) rewrite(t *testing.T, got []*correlate.Transition) {
	var b bytes.Buffer
	s.want = nil
	for _, tr := range got {
		all := object(t, marshal(t, tr))
		b.WriteByte('{')
		for i, name := range told {
			v, ok := all[name]
			if !ok || v == false || v == 0.0 {
				continue
			}
			if i > 0 {
				b.WriteString(", ")
			}
			b.Write(append(append(marshal(t, name), ": "...), marshal(t, v)...))
		}
		b.WriteString("}\n")
	}
	s.file("incidents.jsonl").Data = b.Bytes()
	if err := os.WriteFile(s.name, txtar.Format(s.archive), 0o644); err != nil {
		t.Fatal(err)
	}
	for line := range bytes.Lines(b.Bytes()) {
		s.want = append(s.want, object(t, line))
	}
}
