package demo

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"corral/correlate"
	"corral/ingest"
	"corral/ingest/decode"
	"corral/pipeline"
	"corral/rules"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// liveSession is corral at its smallest: the stream's records, in order, through
// the pipeline's session.
type liveSession struct {
	nc      *nats.Conn
	consume jetstream.ConsumeContext
}

func (l *liveSession) Start(ctx context.Context, c ConnInfo, rulesPath string, on func(*correlate.Transition)) error {
	set, problems, err := rules.Load([]string{rulesPath})
	if err != nil || len(problems) > 0 {
		return errors.Join(err, errors.New("the rules have problems"))
	}
	session := pipeline.NewSession(set, c.Lateness, correlate.Options{}, decode.Options{AttrPaths: set.AttrPaths})
	if l.nc, err = nats.Connect(c.URL, nats.UserInfo(c.User, c.Password)); err != nil {
		return err
	}
	js, err := jetstream.New(l.nc)
	if err != nil {
		return err
	}
	consumer, err := js.OrderedConsumer(ctx, c.Stream, jetstream.OrderedConsumerConfig{})
	if err != nil {
		return err
	}
	var seq uint64
	told := 0
	l.consume, err = consumer.Consume(func(m jetstream.Msg) {
		seq++
		session.Feed(ingest.Record{Data: m.Data(), Subject: m.Subject(), Observed: time.Now().UnixNano(), Seq: seq}, 0)
		for ; told < len(session.Transitions); told++ {
			on(session.Transitions[told])
		}
	})
	return err
}

func (l *liveSession) Stop() {
	if l.consume != nil {
		l.consume.Stop()
	}
	if l.nc != nil {
		l.nc.Close()
	}
}

// briskly is a tour with a system and a corral of its own.
func briskly(t *testing.T, rulesPath string, faults ...string) (string, error) {
	t.Helper()
	sys, _ := start(t)
	var out bytes.Buffer
	tr := &tour{
		sys: sys, rec: newRecorder(), out: &story{w: &out},
		pace: pace{warmUp: time.Second, detection: 15 * time.Second, recovery: 10 * time.Second, afterglow: lateness + 300*time.Millisecond},
	}
	err := tr.run(t.Context(), RunOptions{Corral: new(liveSession), Rules: rulesPath, Faults: faults, Once: true})
	return out.String(), err
}

func TestTourFindsWhatItInjects(t *testing.T) {
	t.Parallel()
	quick := quickRules(t)
	for _, fault := range FaultNames() {
		t.Run(fault, func(t *testing.T) {
			t.Parallel()
			out, err := briskly(t, quick, fault)
			if err != nil {
				t.Errorf("%v\n%s", err, out)
			}
			if !strings.Contains(out, "FOUND AFTER") {
				t.Errorf("no table in\n%s", out)
			}
		})
	}
}

// quickRules are the example's, with less patience for a silent service.
func quickRules(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(exampleRules)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "rules.yaml")
	quick := bytes.Replace(text, []byte("every: 8s"), []byte("every: 3s"), 1)
	if err := os.WriteFile(file, quick, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// A tour fails when a rule that should fire is not there, and when one fires
// that should not.
func TestTourFails(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "rules.yaml")
	err := os.WriteFile(file, []byte(`
version: 1
rules:
  - id: any-request
    match: http.status == 202
    threshold: {window: 1s, condition: count() >= 1}
`), 0o600)
	if err != nil {
		t.Fatal(err)
	}
	sys, _ := start(t)
	var out bytes.Buffer
	tr := &tour{sys: sys, rec: newRecorder(), out: &story{w: &out}, pace: pace{
		warmUp: 3 * time.Second, detection: time.Second, recovery: time.Second,
	}}
	err = tr.run(t.Context(), RunOptions{Corral: new(liveSession), Rules: file, Faults: []string{"wrong-credentials"}, Once: true})
	if !errors.Is(err, ErrUnexpected) {
		t.Fatalf("got %v, want ErrUnexpected", err)
	}
	for _, want := range []string{
		"unexpected: any-request fired without a fault",
		"unexpected: wrong-credentials: nats-auth-failure user=reports did not open within 1s",
		"FAILED",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
}

// The demo obeys what is typed, and ends when told to.
func TestInteract(t *testing.T) {
	t.Parallel()
	in, typed, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer typed.Close()
	out := &lockedBuffer{}
	done := make(chan error, 1)
	go func() {
		done <- Run(t.Context(), RunOptions{
			Corral: new(liveSession), Rules: exampleRules, In: in, Out: out, System: Options{Dir: t.TempDir()},
		})
	}()
	say := func(line, answer string) {
		t.Helper()
		if _, err := typed.WriteString(line + "\n"); err != nil {
			t.Fatal(err)
		}
		out.await(t, answer)
	}
	out.await(t, "5  wrong-credentials")
	say("nonsense", `there is no fault "nonsense"`)
	say("s", "no fault, no open incident")
	say("wrong", "nightly-report tries to log in")
	out.await(t, "nats-auth-failure user=reports")
	say("s", "open since")
	say("5", "wrong-credentials is over")
	say("q", "")
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

func TestUnknownFault(t *testing.T) {
	t.Parallel()
	err := Run(t.Context(), RunOptions{Corral: new(liveSession), Faults: []string{"fire"}, Out: new(bytes.Buffer)})
	want := `there is no fault "fire"; there are slow-worker, worker-gone, poison, slow-consumer, wrong-credentials`
	if err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

// lockedBuffer is written by the demo and read by the test.
type lockedBuffer struct {
	mu   sync.Mutex
	b    bytes.Buffer
	more chan struct{}
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.more != nil {
		close(l.more)
		l.more = nil
	}
	return l.b.Write(p)
}

// await waits for text that was not awaited yet.
func (l *lockedBuffer) await(t *testing.T, text string) {
	t.Helper()
	limit := time.NewTimer(20 * time.Second)
	defer limit.Stop()
	for {
		l.mu.Lock()
		_, after, found := strings.Cut(l.b.String(), text)
		if found {
			l.b.Reset()
			l.b.WriteString(after)
			l.mu.Unlock()
			return
		}
		if l.more == nil {
			l.more = make(chan struct{})
		}
		more := l.more
		l.mu.Unlock()
		select {
		case <-more:
		case <-limit.C:
			t.Fatalf("no %q in\n%s", text, l.b.String())
		}
	}
}
