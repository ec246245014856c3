package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// record is one message of the stream corral reads.
type record struct {
	subject string
	data    string
}

// field returns a field of a JSON record by its path, "" if it is not there.
func (r record) field(path ...string) any {
	var v any
	if json.Unmarshal([]byte(r.data), &v) != nil {
		return nil
	}
	for _, p := range path {
		m, ok := v.(map[string]any)
		if !ok {
			return nil
		}
		v = m[p]
	}
	return v
}

func (r record) has(text ...string) bool {
	for _, t := range text {
		if !strings.Contains(r.data, t) {
			return false
		}
	}
	return true
}

// watcher holds what came on the stream so far.
type watcher struct {
	mu      sync.Mutex
	records []record
	more    chan struct{}
}

// watch reads a system's stream from its beginning, with the credentials that
// corral gets.
func watch(t *testing.T, s *System) *watcher {
	t.Helper()
	c := s.Conn()
	nc, err := nats.Connect(c.URL, nats.UserInfo(c.User, c.Password))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	consumer, err := js.OrderedConsumer(t.Context(), c.Stream, jetstream.OrderedConsumerConfig{})
	if err != nil {
		t.Fatal(err)
	}
	w := &watcher{more: make(chan struct{})}
	cc, err := consumer.Consume(func(m jetstream.Msg) { w.add(m.Subject(), m.Data()) })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cc.Stop)
	return w
}

func (w *watcher) add(subject string, data []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.records = append(w.records, record{subject, string(bytes.Clone(data))})
	close(w.more)
	w.more = make(chan struct{})
}

// find waits for n records that match and returns them.
func (w *watcher) find(t *testing.T, what string, n int, match func(record) bool) []record {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for {
		w.mu.Lock()
		more := w.more
		var found []record
		for _, r := range w.records {
			if match(r) {
				found = append(found, r)
			}
		}
		total := len(w.records)
		w.mu.Unlock()
		if len(found) >= n {
			return found
		}
		select {
		case <-more:
		case <-ctx.Done():
			t.Fatalf("%s: got %d of %d records within 20s (%d seen)", what, len(found), n, total)
		}
	}
}

func (w *watcher) none(t *testing.T, what string, match func(record) bool) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, r := range w.records {
		if match(r) {
			t.Errorf("%s: %s %s", what, r.subject, r.data)
			return
		}
	}
}

func start(t *testing.T) (*System, *watcher) {
	t.Helper()
	s, err := Start(t.Context(), Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s, watch(t, s)
}
