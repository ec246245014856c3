package nats

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"corral/correlate"
	"corral/internal/natstest"
	"corral/sinks"
	"corral/sinks/sinktest"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// TestFullStream: a stream that takes no more holds the worker back, which says so;
// when there is room everything is stored, once.
func TestFullStream(t *testing.T) {
	js := natstest.Start(t, natstest.JetStream()).JetStream()
	full := jetstream.StreamConfig{Name: "INCIDENTS", Subjects: []string{"incident.v1.>"}, MaxMsgs: 5, Discard: jetstream.DiscardNew}
	if _, err := js.CreateStream(t.Context(), full); err != nil {
		t.Fatal(err)
	}
	s := newSink(t, js, Options{Incidents: Incidents, Ensure: true, Timeout: time.Second})
	ts := sinktest.Transitions(20)
	done := make(chan error, 1)
	go func() { done <- s.Write(t.Context(), ts) }()
	natstest.Eventually(t, "a word about it", func() bool {
		err := s.Ready()
		return err != nil && strings.Contains(err.Error(), "maximum messages exceeded")
	})
	full.MaxMsgs = 100
	if _, err := js.UpdateStream(t.Context(), full); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if diff := sinktest.Diff(ts, consume(t, js, "INCIDENTS")); diff != "" || len(stored(t, js, "INCIDENTS")) != len(ts) {
		t.Errorf("%d messages of %d (-want +got):\n%s", len(stored(t, js, "INCIDENTS")), len(ts), diff)
	}
	if err := s.Ready(); err != nil {
		t.Errorf("in the end: %v", err)
	}
}

// TestSmallMessages: however little a server allows a message to be, a revision is
// cut until it fits, and what does not fit at all is said to be refused.
func TestSmallMessages(t *testing.T) {
	for _, most := range []int{512, 3 << 10, 16 << 10} {
		t.Run(fmt.Sprint(most), func(t *testing.T) {
			js := natstest.Start(t, natstest.JetStream(), natstest.Config(fmt.Sprintf("max_payload: %d", most))).JetStream()
			s := newSink(t, js, both)
			tr := sinktest.Transitions(1)[0]
			tr.Title, tr.Summary = strings.Repeat("t", 20_000), strings.Repeat("s", 20_000)
			tr.Labels = map[string]string{"service.name": strings.Repeat("l", 20_000)}
			err := s.Write(t.Context(), []*correlate.Transition{tr})
			if most == 512 {
				if !sinks.IsPermanent(err) {
					t.Errorf("got %v, want a permanent error", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := consume(t, js, "INCIDENTS"); len(got) != 1 || !got[0].Truncated || got[0].IncidentID != tr.IncidentID {
				t.Errorf("got %+v", got)
			}
		})
	}
}

// TestPermissions: for a user who may publish and not ask JetStream anything, streams
// that are there are taken for granted; none that is missing is waited for in vain.
func TestPermissions(t *testing.T) {
	srv := natstest.Start(t, natstest.JetStream(), natstest.Config(`authorization { users [
		{user: admin, password: a},
		{user: asks, password: w, permissions: {publish: ["incident.v1.>", "$JS.API.STREAM.NAMES"]}}
		{user: w, password: w, permissions: {publish: ["incident.v1.>"], subscribe: ["_INBOX.>"]}}]}`))
	admin := srv.JetStream(nats.UserInfo("admin", "a"))
	quick := Options{Incidents: Incidents, Timeout: 200 * time.Millisecond}
	quick.Ensure = true
	if _, err := New(t.Context(), srv.JetStream(nats.UserInfo("asks", "w")), quick); err == nil || !strings.Contains(err.Error(), "$JS.API.STREAM.CREATE") {
		t.Errorf("create a stream without the right to: %v", err)
	}
	if _, err := admin.CreateStream(t.Context(), jetstream.StreamConfig{Name: "INCIDENTS", Subjects: []string{"incident.v1.>"}}); err != nil {
		t.Fatal(err)
	}
	ts := sinktest.Transitions(6)
	for i, ensure := range []bool{false, true} {
		quick.Ensure = ensure
		s := newSink(t, srv.JetStream(nats.UserInfo("w", "w")), quick)
		if err := s.Write(t.Context(), ts[3*i:3*i+3]); err != nil {
			t.Fatal(err)
		}
	}
	if diff := sinktest.Diff(ts, consume(t, admin, "INCIDENTS")); diff != "" {
		t.Errorf("delivered (-want +got):\n%s", diff)
	}
}

// TestPublishRefused: what a user may not publish waits, and is not lost, until he
// may; why is said. That holds where no stream acknowledges too.
func TestPublishRefused(t *testing.T) {
	for _, streams := range []bool{true, false} {
		t.Run(fmt.Sprint("streams ", streams), func(t *testing.T) {
			srv := natstest.Start(t, natstest.JetStream(), natstest.Config(
				`authorization { users [{user: admin, password: a}, {user: w, password: w, permissions: {publish: {deny: "alert.v1.>"}}}]}`))
			admin := srv.JetStream(nats.UserInfo("admin", "a"))
			heard, err := admin.Conn().SubscribeSync("alert.v1.>")
			if err != nil {
				t.Fatal(err)
			}
			s := newSink(t, srv.JetStream(nats.UserInfo("w", "w")), Options{Alerts: Alerts, Ensure: streams, Timeout: time.Second})
			ts := sinktest.Transitions(1)
			ts[0].Notified = true
			done := make(chan error, 1)
			go func() { done <- s.Write(t.Context(), ts) }()
			natstest.Eventually(t, "a word about it", func() bool {
				err := s.Ready()
				return err != nil && strings.Contains(err.Error(), `"alert.v1.`)
			})
			srv.Reload(func(o *server.Options) {
				for _, u := range o.Users {
					u.Permissions = nil
				}
			})
			if err := <-done; err != nil {
				t.Fatal(err)
			}
			m, err := heard.NextMsg(time.Minute)
			if err != nil || transitionOf(t, m.Data).IncidentID != ts[0].IncidentID {
				t.Errorf("heard %v, %v", m, err)
			}
		})
	}
}

func TestIsSubject(t *testing.T) {
	for s, want := range map[string]bool{
		"alert.v1": true, "a": true, "$x.größe": true, "": false, "a b": false, "a.>": false, "a.*.b": false, "a..b": false, ".a": false, "a.": false, "a\nb": false, "a\x00": false,
	} {
		if IsSubject(s) != want {
			t.Errorf("%q: want %v", s, want)
		}
	}
}
