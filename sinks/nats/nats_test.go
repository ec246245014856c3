package nats

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"corral/correlate"
	"corral/internal/natstest"
	"corral/sinks"
	"corral/sinks/sinktest"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

var update = flag.Bool("update", false, "write the golden bodies anew")

func newSink(t *testing.T, js jetstream.JetStream, opts Options) *Sink {
	t.Helper()
	s, err := New(t.Context(), js, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

var both = Options{Incidents: Incidents, Alerts: Alerts, Ensure: true, Timeout: time.Second}

// stored returns every message of a stream.
func stored(t *testing.T, js jetstream.JetStream, stream string) (msgs []*jetstream.RawStreamMsg) {
	t.Helper()
	s, err := js.Stream(t.Context(), stream)
	if err != nil {
		t.Fatal(err)
	}
	state := s.CachedInfo().State
	for seq := state.FirstSeq; seq <= state.LastSeq && state.Msgs > 0; seq++ {
		m, err := s.GetMsg(t.Context(), seq)
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		msgs = append(msgs, m)
	}
	return msgs
}

func transitionOf(t *testing.T, body []byte) *correlate.Transition {
	t.Helper()
	var e struct{ Data *correlate.Transition }
	if err := json.Unmarshal(body, &e); err != nil {
		t.Fatal(err)
	}
	return e.Data
}

// Consumers see each revision once: they drop those up to the last one seen.
func consume(t *testing.T, js jetstream.JetStream, stream string) (ts []*correlate.Transition) {
	t.Helper()
	last := map[string]int{}
	for _, m := range stored(t, js, stream) {
		tr := transitionOf(t, m.Data)
		if tr.Rev <= last[tr.IncidentID] {
			continue
		}
		last[tr.IncidentID] = tr.Rev
		ts = append(ts, tr)
	}
	return ts
}

func TestSink(t *testing.T) {
	sinktest.Run(t, func(t *testing.T) sinktest.Target {
		js := natstest.Start(t, natstest.JetStream()).JetStream()
		return sinktest.Target{
			Sink: newSink(t, js, both),
			Read: func(t *testing.T) []*correlate.Transition { return consume(t, js, "INCIDENTS") },
			Poison: func(tr *correlate.Transition) {
				tr.IncidentID = strings.Repeat("x", 2*Budget)
			},
		}
	})
}

func TestSubjectsHeadersAndStreams(t *testing.T) {
	js := natstest.Start(t, natstest.JetStream()).JetStream()
	s := newSink(t, js, both)
	ts := sinktest.Transitions(6)
	ts[1].Owner = ""
	if err := s.Write(t.Context(), ts); err != nil {
		t.Fatal(err)
	}
	all, alerts := stored(t, js, "INCIDENTS"), stored(t, js, "ALERTS")
	if len(all) != 6 {
		t.Fatalf("%d messages in INCIDENTS, want 6", len(all))
	}
	var notified []*correlate.Transition
	for i, m := range all {
		tr := ts[i]
		owner := "payments"
		if i == 1 {
			owner = "none"
		}
		if want := fmt.Sprintf("incident.v1.%s.%s.%s", owner, tr.RuleID, tr.Fingerprint); m.Subject != want {
			t.Errorf("subject %s, want %s", m.Subject, want)
		}
		want := map[string]string{
			"Nats-Msg-Id": fmt.Sprintf("%s.%d", tr.IncidentID, tr.Rev), "severity": tr.Severity, "state": tr.State,
			"content-type": "application/cloudevents+json",
			"traceparent":  "00-4bf92f3577b34da6a3ce929d0e0e4736-" + tr.Fingerprint[:16] + "-01",
		}
		if strings.Trim(tr.Fingerprint[:16], "0") == "" {
			delete(want, "traceparent") // all zero is not a valid parent
		}
		for k, v := range want {
			if got := m.Header.Get(k); got != v {
				t.Errorf("header %s: got %q, want %q", k, got, v)
			}
		}
		if tr.Notified {
			notified = append(notified, tr)
		}
	}
	if len(alerts) != len(notified) {
		t.Fatalf("%d alerts, want %d", len(alerts), len(notified))
	}
	for i, m := range alerts {
		if !strings.HasPrefix(m.Subject, "alert.v1.") || transitionOf(t, m.Data).Rev != notified[i].Rev {
			t.Errorf("alert %d on %s", i, m.Subject)
		}
	}
	if st := s.Stats(); st.Published != uint64(len(all)+len(alerts)) || st.Duplicates+st.Retries+st.Truncated != 0 {
		t.Errorf("stats %+v", st)
	}
}

func TestPublishedTwiceIsStoredOnce(t *testing.T) {
	js := natstest.Start(t, natstest.JetStream()).JetStream()
	ts := sinktest.Transitions(30)
	for range 2 {
		if err := newSink(t, js, both).Write(t.Context(), ts); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(stored(t, js, "INCIDENTS")); n != 30 {
		t.Errorf("%d messages, want 30", n)
	}
}

// The server goes while revisions are written; all are stored, those of an
// incident in order.
func TestRestartWhileWriting(t *testing.T) {
	srv := natstest.Start(t, natstest.JetStream())
	js := srv.JetStream()
	s := newSink(t, js, Options{Incidents: Incidents, Alerts: Alerts, Ensure: true, Timeout: 300 * time.Millisecond})
	ts := sinktest.Transitions(600)
	done := make(chan error, 1)
	go func() {
		for part := range slices.Chunk(ts, 50) {
			if err := s.Write(t.Context(), part); err != nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	natstest.Eventually(t, "the first messages", func() bool { return s.Stats().Published > 0 })
	srv.Restart()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if diff := sinktest.Diff(ts, consume(t, js, "INCIDENTS")); diff != "" {
		t.Errorf("delivered (-want +got):\n%s", diff)
	}
}

func TestStreamsRemovedAreMadeAgain(t *testing.T) {
	js := natstest.Start(t, natstest.JetStream()).JetStream()
	s := newSink(t, js, both)
	for _, name := range []string{"INCIDENTS", "ALERTS"} {
		if err := js.DeleteStream(t.Context(), name); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Write(t.Context(), sinktest.Transitions(4)); err != nil {
		t.Fatal(err)
	}
	if n := len(stored(t, js, "INCIDENTS")); n != 4 {
		t.Errorf("%d messages, want 4", n)
	}
}

func TestWriteGivesUpWithTheContext(t *testing.T) {
	srv := natstest.Start(t, natstest.JetStream())
	s := newSink(t, srv.JetStream(), Options{Incidents: Incidents, Ensure: true, Timeout: 50 * time.Millisecond})
	srv.Stop()
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("enough")
	done := make(chan error, 1)
	go func() { done <- s.Write(ctx, sinktest.Transitions(2)) }()
	natstest.Eventually(t, "a retry", func() bool { return s.Stats().Retries > 0 })
	cancel(why)
	if err := <-done; !errors.Is(err, why) || sinks.IsPermanent(err) {
		t.Errorf("got %v, want the context's cause", err)
	}
}

// Without streams the messages are for who listens, and when a stream comes it
// is noticed.
func TestWithoutStreams(t *testing.T) {
	for name, opts := range map[string][]natstest.Option{"no JetStream": nil, "JetStream without the stream": {natstest.JetStream()}} {
		t.Run(name, func(t *testing.T) {
			srv := natstest.Start(t, opts...)
			sub, err := srv.Connect().SubscribeSync("alert.v1.>")
			if err != nil {
				t.Fatal(err)
			}
			natstest.Eventually(t, "the subscription", func() bool { return srv.NumSubscriptions() > 0 })
			s := newSink(t, srv.JetStream(), Options{Incidents: Incidents, Alerts: Alerts})
			ts := sinktest.Transitions(6)
			if err := s.Write(t.Context(), ts); err != nil {
				t.Fatal(err)
			}
			for _, tr := range ts {
				if !tr.Notified {
					continue
				}
				m, err := sub.NextMsg(time.Minute)
				if err != nil {
					t.Fatal(err)
				}
				if got := transitionOf(t, m.Data); got.IncidentID != tr.IncidentID || got.Rev != tr.Rev {
					t.Errorf("got %s.%d, want %s.%d", got.IncidentID, got.Rev, tr.IncidentID, tr.Rev)
				}
			}
		})
	}
}

func TestStreamMadeByTheOperatorIsUsed(t *testing.T) {
	srv := natstest.Start(t, natstest.JetStream())
	srv.Stream("EVERYTHING", "incident.>", "alert.>")
	js := srv.JetStream()
	for _, ensure := range []bool{false, true} {
		s := newSink(t, js, Options{Incidents: Incidents, Ensure: ensure})
		if err := s.Write(t.Context(), sinktest.Transitions(3)); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(stored(t, js, "EVERYTHING")); n != 3 {
		t.Errorf("%d messages, want 3", n)
	}
	if _, err := js.Stream(t.Context(), "INCIDENTS"); !errors.Is(err, jetstream.ErrStreamNotFound) {
		t.Errorf("INCIDENTS was created beside it: %v", err)
	}
}

func TestEnsureFailsWhereItCannotHelp(t *testing.T) {
	if _, err := New(t.Context(), natstest.Start(t).JetStream(), both); !noJetStream(err) && !errors.Is(err, nats.ErrNoResponders) {
		t.Errorf("without JetStream: %v", err)
	}
	srv := natstest.Start(t, natstest.JetStream())
	srv.Stream("INCIDENTS", "other.>")
	_, err := New(t.Context(), srv.JetStream(), both)
	if !errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) || !strings.HasPrefix(err.Error(), "create stream INCIDENTS: ") {
		t.Errorf("with a stream of that name: %v", err)
	}
}

func TestOpenMirrorHoldsTheLastRevision(t *testing.T) {
	js := natstest.Start(t, natstest.JetStream()).JetStream()
	opts := both
	opts.Open = true
	newSink(t, js, opts) // and again, when all is there
	s := newSink(t, js, opts)
	ts := sinktest.Transitions(6) // two incidents of three revisions
	if err := s.Write(t.Context(), ts); err != nil {
		t.Fatal(err)
	}
	natstest.Eventually(t, "the mirror", func() bool {
		m, err := js.Stream(t.Context(), "INCIDENTS_OPEN")
		return err == nil && m.CachedInfo().State.Msgs == 2 && m.CachedInfo().State.LastSeq == 6
	})
	m, err := js.Stream(t.Context(), "INCIDENTS_OPEN")
	if err != nil {
		t.Fatal(err)
	}
	last, err := m.GetLastMsgForSubject(t.Context(), Subject(Incidents, ts[0]))
	if err != nil {
		t.Fatal(err)
	}
	if got := last.Header.Get("state"); got != "resolved" {
		t.Errorf("state %s, want resolved", got)
	}
}

func TestLeaderGoesInACluster(t *testing.T) {
	servers := natstest.Cluster(t, 3)
	nc, err := nats.Connect(servers[0].URL()+","+servers[1].URL()+","+servers[2].URL(), nats.MaxReconnects(-1), nats.ReconnectWait(50*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	s := newSink(t, js, Options{Incidents: Incidents, Ensure: true, Replicas: 3, Timeout: time.Second})
	str, err := js.Stream(t.Context(), "INCIDENTS")
	if err != nil {
		t.Fatal(err)
	}
	ts := sinktest.Transitions(120)
	if err := s.Write(t.Context(), ts[:60]); err != nil {
		t.Fatal(err)
	}
	for _, srv := range servers {
		if srv.Name() == str.CachedInfo().Cluster.Leader {
			srv.Stop()
		}
	}
	if err := s.Write(t.Context(), ts[60:]); err != nil {
		t.Fatal(err)
	}
	if diff := sinktest.Diff(ts, consume(t, js, "INCIDENTS")); diff != "" {
		t.Errorf("delivered (-want +got):\n%s", diff)
	}
}

// The wire format is a promise: within v1 it changes by additions only.
func TestGoldenBodies(t *testing.T) {
	ts := sinktest.Transitions(6)
	large := sinktest.Transitions(8)[7]
	for range 50 {
		e := large.Evidence[0]
		e.Line = strings.Repeat("declined ", 227)
		large.Evidence = append(large.Evidence, e)
	}
	for name, tr := range map[string]*correlate.Transition{
		"opened": ts[0], "updated": ts[2], "resolved": ts[4], "rare": ts[1], "truncated": large,
	} {
		t.Run(name, func(t *testing.T) {
			body, truncated, err := Body(tr, "/corral/prod/worker", Budget)
			if err != nil || truncated != (name == "truncated") {
				t.Fatalf("truncated %v, error %v", truncated, err)
			}
			var got bytes.Buffer
			if err := json.Indent(&got, body, "", "  "); err != nil {
				t.Fatal(err)
			}
			got.WriteByte('\n')
			file := filepath.Join("testdata", name+".json")
			if *update {
				if err := os.WriteFile(file, got.Bytes(), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got.Bytes(), want) {
				t.Errorf("%s differs; if that is meant and an addition, run with -update. got:\n%s", file, got.Bytes())
			}
		})
	}
}

func TestBodiesFit(t *testing.T) {
	long := strings.Repeat("ü€\x00\xff\"", 20_000)
	many := func(n int) map[string]string {
		m := map[string]string{}
		for i := range n {
			m[fmt.Sprintf("name-%05d", i)] = long[:100]
		}
		return m
	}
	tests := map[string]func(*correlate.Transition){
		"evidence": func(tr *correlate.Transition) { tr.Evidence[0].Line, tr.Evidence[1].Line = long, long },
		"context":  func(tr *correlate.Transition) { tr.Context = []correlate.Evidence{{Line: long}} },
		"top keys": func(tr *correlate.Transition) { tr.TopKeys = []correlate.KeyCount{{Key: long}} },
		"children": func(tr *correlate.Transition) { tr.ChildIDs = slices.Repeat([]string{"0123456789abcdef"}, 10_000) },
		"vars":     func(tr *correlate.Transition) { tr.Vars = many(1500) },
		"labels":   func(tr *correlate.Transition) { tr.Labels = many(1500) },
		"key":      func(tr *correlate.Transition) { tr.Key = map[string]string{"k": long} },
		"title":    func(tr *correlate.Transition) { tr.Title, tr.Summary = long, long },
		"all": func(tr *correlate.Transition) {
			tr.Evidence[0].Line, tr.TopKeys, tr.Labels, tr.Title = long, []correlate.KeyCount{{Key: long}}, many(1500), long
		},
	}
	for name, grow := range tests {
		t.Run(name, func(t *testing.T) {
			tr := sinktest.Transitions(1)[0]
			grow(tr)
			before, err := sinks.AppendJSON(nil, tr)
			if err != nil {
				t.Fatal(err)
			}
			body, truncated, err := Body(tr, "/corral", Budget)
			if err != nil || !truncated || len(body) > Budget {
				t.Fatalf("%d bytes, truncated %v, error %v", len(body), truncated, err)
			}
			got := transitionOf(t, body)
			if !got.Truncated || got.IncidentID != tr.IncidentID || got.EventCount != tr.EventCount {
				t.Errorf("got %+v", got)
			}
			if name != "evidence" && name != "all" && !slices.ContainsFunc(got.Evidence, func(e correlate.Evidence) bool { return e.Role == "trigger" }) {
				t.Error("the trigger is gone")
			}
			if after, _ := sinks.AppendJSON(nil, tr); !bytes.Equal(before, after) {
				t.Error("the transition was changed")
			}
		})
	}
}

func TestTokens(t *testing.T) {
	for in, want := range map[string]string{
		"": "none", "payments": "payments", "team a.b": "team_a_b", "*": "_", ">": "_", "a\nb\x00": "a_b_", "größe": "gr__e",
		strings.Repeat("x", 1000): strings.Repeat("x", 128),
	} {
		if got := token(in); got != want {
			t.Errorf("token(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestDeadLetters(t *testing.T) {
	js := natstest.Start(t, natstest.JetStream()).JetStream()
	d, err := NewDeadLetters(t.Context(), js, "", Options{Ensure: true})
	if err != nil {
		t.Fatal(err)
	}
	letters := []sinks.DeadLetter{
		{Reason: "late", Source: "stream:LOGS", Seq: 7, Data: `{"msg":"x"}`},
		{Reason: "undecodable", Source: "stream:LOGS", Seq: 8, Base64: []byte{0xff, 0}},
		{Reason: "oversize", Source: "stream:LOGS", Seq: 9, Data: strings.Repeat("\x01", 1<<20)},
	}
	for range 2 {
		if err := d.Write(t.Context(), letters...); err != nil {
			t.Fatal(err)
		}
	}
	msgs := stored(t, js, "DEAD_LETTERS")
	if len(msgs) != 3 {
		t.Fatalf("%d messages, want 3", len(msgs))
	}
	for i, m := range msgs {
		var got sinks.DeadLetter
		if err := json.Unmarshal(m.Data, &got); err != nil {
			t.Fatal(err)
		}
		if got.Seq != letters[i].Seq || m.Subject != "dead.v1" || m.Header.Get("reason") != got.Reason {
			t.Errorf("letter %d: %+v on %s", i, got, m.Subject)
		}
		if i < 2 && !bytes.Equal(got.Record(), letters[i].Record()) {
			t.Errorf("letter %d: record %q", i, got.Record())
		}
	}
	var cut sinks.DeadLetter
	if err := json.Unmarshal(msgs[2].Data, &cut); err != nil {
		t.Fatal(err)
	}
	if n := len(cut.Record()); n == 0 || !strings.HasSuffix(cut.Error, fmt.Sprintf("(record cut from 1048576 to %d bytes)", n)) {
		t.Errorf("%d bytes, error %q", n, cut.Error)
	}
}
