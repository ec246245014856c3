package jetstream

import (
	"errors"
	"io"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"corral/ingest"

	"github.com/nats-io/nats.go/jetstream"
)

func newReplay(t *testing.T, js jetstream.JetStream, cfg ReplayConfig) *Replay {
	t.Helper()
	cfg.Log = slog.New(slog.DiscardHandler)
	p, err := NewReplay(js, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	return p
}

// pullAll reads one partition to its end.
func pullAll(t *testing.T, p ingest.Puller, partition int) (seqs []uint64) {
	t.Helper()
	ended := false
	for {
		b, err := p.Next(t.Context(), partition)
		if errors.Is(err, io.EOF) {
			if !ended {
				t.Error("EOF without a batch that says End")
			}
			return seqs
		}
		if err != nil {
			t.Fatal(err)
		}
		if ended {
			t.Error("a batch after the end")
		}
		ended = b.End
		for _, r := range b.Records {
			seqs = append(seqs, r.Seq)
		}
	}
}

func numbers(from, to uint64) (s []uint64) {
	for ; from <= to; from++ {
		s = append(s, from)
	}
	return s
}

func TestReplayRange(t *testing.T) {
	_, js := server(t)
	publish(t, js, 0, 500)
	str, err := js.Stream(t.Context(), "LOGS")
	if err != nil {
		t.Fatal(err)
	}
	stored := func(seq uint64) time.Time {
		m, err := str.GetMsg(t.Context(), seq)
		if err != nil {
			t.Fatal(err)
		}
		return m.Time
	}
	tests := []struct {
		name string
		cfg  ReplayConfig
		want []uint64
	}{
		{"all", ReplayConfig{}, numbers(1, 500)},
		{"small requests", ReplayConfig{Pull: 7}, numbers(1, 500)},
		{"by sequence", ReplayConfig{FromSeq: 100, ToSeq: 200}, numbers(100, 200)},
		{"by time", ReplayConfig{From: stored(100), To: stored(200)}, numbers(100, 200)},
		{"to the last one", ReplayConfig{FromSeq: 500}, numbers(500, 500)},
		{"beyond the end", ReplayConfig{FromSeq: 501}, nil},
		{"after the end", ReplayConfig{From: time.Now().Add(time.Hour)}, nil},
		{"before the beginning", ReplayConfig{To: stored(1).Add(-time.Hour)}, nil},
		{"resumed", ReplayConfig{FromSeq: 7, Resume: map[string]Span{"LOGS": {After: 100, Until: 200}}}, numbers(101, 200)},
		{"resumed at its end", ReplayConfig{Resume: map[string]Span{"LOGS": {After: 200, Until: 200}}}, nil},
		{"resumed before it was asked", ReplayConfig{Resume: map[string]Span{"LOGS": {}}}, numbers(1, 500)},
		{"filtered", ReplayConfig{Filter: []string{"logs.0"}, ToSeq: 8}, []uint64{1, 4, 7}},
		{"filtered to nothing", ReplayConfig{Filter: []string{"logs.none"}}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.cfg.Streams = []string{"LOGS"}
			if got := pullAll(t, newReplay(t, js, tt.cfg), 0); !slices.Equal(got, tt.want) {
				t.Errorf("got %v, want %v", clip(got), clip(tt.want))
			}
		})
	}
	names := str.ConsumerNames(t.Context())
	for name := range names.Name() {
		info, err := js.Consumer(t.Context(), "LOGS", name)
		if err == nil && info.CachedInfo().Config.Durable != "" {
			t.Errorf("replay left the durable consumer %s", name)
		}
	}
}

func TestReplayIsASource(t *testing.T) {
	s, js := server(t)
	s.Stream("EMPTY", "empty.>")
	publish(t, js, 0, 5000)
	var n int
	ends := map[int]bool{}
	err := newReplay(t, js, ReplayConfig{Streams: []string{"LOGS", "EMPTY"}}).Run(t.Context(), func(b ingest.Batch) error {
		n += len(b.Records)
		if b.End {
			ends[b.Partition] = true
		}
		return nil
	})
	if err != nil || n != 5000 || !ends[0] || !ends[1] {
		t.Errorf("got %d messages, ends %v, error %v", n, ends, err)
	}
}

func TestReplayHead(t *testing.T) {
	s, js := server(t)
	s.Stream("EMPTY", "empty.>")
	publish(t, js, 0, 10)
	p := newReplay(t, js, ReplayConfig{Streams: []string{"LOGS", "EMPTY"}})
	for range 2 {
		b, err := p.Head(t.Context(), 0)
		if err != nil || b.Records[0].Seq != 1 {
			t.Fatalf("head: %+v, %v", b, err)
		}
	}
	if _, err := p.Head(t.Context(), 1); !errors.Is(err, io.EOF) {
		t.Errorf("head of an empty stream: %v, want EOF", err)
	}
	if got := pullAll(t, p, 0); !slices.Equal(got, numbers(1, 10)) {
		t.Errorf("got %v after Head", got)
	}
	if got := pullAll(t, p, 1); got != nil {
		t.Errorf("got %v of an empty stream", got)
	}
}

// What is stored after the replay began does not belong to it.
func TestReplayEndsWhereTheStreamDid(t *testing.T) {
	_, js := server(t)
	publish(t, js, 0, 300)
	p := newReplay(t, js, ReplayConfig{Streams: []string{"LOGS"}, Pull: 10})
	if _, err := p.Head(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	publish(t, js, 300, 300)
	if got := pullAll(t, p, 0); !slices.Equal(got, numbers(1, 300)) {
		t.Errorf("got %d messages up to %d, want 300", len(got), got[len(got)-1])
	}
}

func TestReplaySurvivesARestart(t *testing.T) {
	s, js := server(t)
	publish(t, js, 0, 3000)
	p := newReplay(t, s.JetStream(), ReplayConfig{Streams: []string{"LOGS"}, Pull: 50})
	var got []uint64
	for {
		b, err := p.Next(t.Context(), 0)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range b.Records {
			got = append(got, r.Seq)
		}
		if n := len(got); n > 0 && n-len(b.Records) < 500 && n >= 500 {
			s.Restart()
		}
	}
	if !slices.Equal(got, numbers(1, 3000)) {
		t.Errorf("got %d messages", len(got))
	}
}

func TestReplayOfNoStream(t *testing.T) {
	_, js := server(t)
	p := newReplay(t, js, ReplayConfig{Streams: []string{"NONE"}})
	_, err := p.Next(t.Context(), 0)
	if err == nil || !strings.HasPrefix(err.Error(), "stream NONE: cannot be read") {
		t.Errorf("got %v", err)
	}
	for range 2 {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	}
}
