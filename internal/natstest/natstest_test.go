package natstest_test

import (
	"testing"

	"corral/internal/natstest"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

func TestRestartKeepsPortAndStore(t *testing.T) {
	s := natstest.Start(t, natstest.JetStream())
	s.Stream("LOGS", "logs.>")
	js, url := s.JetStream(), s.URL()
	if _, err := js.Publish(t.Context(), "logs.a", []byte("x")); err != nil {
		t.Fatal(err)
	}
	s.Restart()
	if s.URL() != url {
		t.Errorf("URL is %s after the restart, was %s", s.URL(), url)
	}
	natstest.Eventually(t, "the message after the restart", func() bool {
		str, err := js.Stream(t.Context(), "LOGS")
		return err == nil && str.CachedInfo().State.Msgs == 1
	})
}

func TestConfigAccounts(t *testing.T) {
	s := natstest.Start(t, natstest.Config(`
		accounts { A { users [{user: a, password: secret}] } }
	`))
	if nc, err := s.Dial(); err == nil {
		nc.Close()
		t.Error("connected without a user")
	}
	nc, err := s.Dial(nats.UserInfo("a", "secret"))
	if err != nil {
		t.Fatal(err)
	}
	nc.Close()
}

func TestClusterReplicates(t *testing.T) {
	servers := natstest.Cluster(t, 3)
	js := servers[0].JetStream()
	str, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "S", Subjects: []string{"s"}, Replicas: 3})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := js.Publish(t.Context(), "s", []byte("x")); err != nil {
		t.Fatal(err)
	}
	if n := len(str.CachedInfo().Cluster.Replicas); n != 2 {
		t.Errorf("replicas besides the leader: got %d, want 2", n)
	}
}
