package jetstream

import (
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"corral/internal/natstest"
)

// TestStreamsOfStreams: a mirror and a stream with sources are read as any other,
// in their own order and under the subjects they give to messages.
func TestStreamsOfStreams(t *testing.T) {
	_, js := server(t)
	publish(t, js, 0, 100)
	from := jetstream.StreamSource{Name: "LOGS", SubjectTransforms: []jetstream.SubjectTransformConfig{{Source: "logs.*", Destination: "p.{{partition(2,1)}}.{{wildcard(1)}}"}}}
	for _, config := range []jetstream.StreamConfig{
		{Name: "MIRROR", Mirror: &jetstream.StreamSource{Name: "LOGS"}},
		{Name: "SOURCED", Subjects: []string{"own.>"}, Sources: []*jetstream.StreamSource{&from}},
		{Name: "CHANGED", Mirror: &from},
	} {
		if _, err := js.CreateStream(t.Context(), config); err != nil {
			t.Fatal(err)
		}
	}
	for name, subject := range map[string]string{"MIRROR": "logs.0", "SOURCED": "p.", "CHANGED": "p."} {
		c := collect(t, js, quick(name), nil)
		c.wantSeqs(1, 100)
		c.mu.Lock()
		if got := c.batches[0].Records[0].Subject; len(got) < len(subject) || got[:len(subject)] != subject {
			t.Errorf("%s: subject %s", name, got)
		}
		c.mu.Unlock()
		c.release()
		natstest.Eventually(t, "acknowledged: "+name, func() bool { return floor(t, js, name, c.src.Durable()) == 100 })
	}
}

// TestPurged: a stream that is emptied while it is read goes on behind.
func TestPurged(t *testing.T) {
	_, js := server(t)
	c := collect(t, js, quick("LOGS"), nil)
	publish(t, js, 0, 20)
	c.wantSeqs(1, 20)
	s, err := js.Stream(t.Context(), "LOGS")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Purge(t.Context()); err != nil {
		t.Fatal(err)
	}
	publish(t, js, 20, 5)
	c.wantSeqs(1, 25)
	c.release() // of messages that are gone too
	natstest.Eventually(t, "acknowledged", func() bool { return floor(t, js, "LOGS", c.src.Durable()) == 25 })
	if st := c.src.Stats()[0]; st.Missing != 0 {
		t.Errorf("%d missing", st.Missing)
	}
}
