package natstest

import (
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// TestProcess kills a server and stops it; what it acknowledged is there after
// each.
func TestProcess(t *testing.T) {
	p, err := StartProcess(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Kill)
	connect := func() jetstream.JetStream {
		nc, err := nats.Connect(p.URL())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(nc.Close)
		js, err := jetstream.New(nc)
		if err != nil {
			t.Fatal(err)
		}
		return js
	}
	stop := func() {
		if err := p.Stop(); err != nil {
			t.Error(err)
		}
	}
	if _, err := connect().CreateStream(t.Context(), jetstream.StreamConfig{Name: "S", Subjects: []string{"s"}}); err != nil {
		t.Fatal(err)
	}
	for i, end := range []func(){p.Kill, stop} {
		if _, err := connect().Publish(t.Context(), "s", nil); err != nil {
			t.Fatal(err)
		}
		end()
		if err := p.Start(); err != nil {
			t.Fatal(err)
		}
		s, err := connect().Stream(t.Context(), "S")
		if err != nil {
			t.Fatal(err)
		}
		if got, want := s.CachedInfo().State.Msgs, uint64(i+1); got != want {
			t.Errorf("%d messages, want %d", got, want)
		}
	}
}
