package objstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go/jetstream"

	"corral/internal/natstest"
	"corral/pipeline"
)

// loaded is what a store gives: every snapshot it offers until one is taken, with
// the notes that come with it.
func loaded(t *testing.T, s *Store, refuse string) []string {
	t.Helper()
	var got []string
	err := s.Load(t.Context(), func(_ string, data []byte, notes [][]byte) error {
		got = append(got, fmt.Sprintf("%s: %s", data, bytes.Join(notes, []byte(" "))))
		if refuse != "" && strings.HasPrefix(string(data), refuse) {
			return errors.New("refused")
		}
		return nil
	})
	if err != nil && !errors.Is(err, pipeline.ErrNoSnapshot) {
		t.Fatal(err)
	}
	return got
}

// TestStore keeps snapshots and notes in a real object store, over restarts of the
// worker and of the server.
func TestStore(t *testing.T) {
	srv := natstest.Start(t, natstest.JetStream())
	js := srv.JetStream()
	open := func() *Store { return &Store{JS: js, Bucket: "STATE", Keep: 2} }
	s := open()
	if got := loaded(t, s, ""); got != nil {
		t.Fatalf("an empty store gives %v", got)
	}
	note := func(text string) {
		t.Helper()
		if err := s.Note(t.Context(), []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	save := func(text string) {
		t.Helper()
		if err := s.Save(t.Context(), []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	want := func(refuse string, want ...string) {
		t.Helper()
		look := open()
		look.claim = s.claim // as one worker
		if d := cmp.Diff(want, loaded(t, look, refuse)); d != "" {
			t.Error(d)
		}
	}
	note("n0")
	want("", ": n0")
	s = open() // a worker that goes on keeps the notes of the one before
	note("n1")
	want("", ": n0 n1")
	save("one")
	note("n2")
	want("", "one: n0 n1 n2") // those from while it was stored are among the ones before it
	save("two")
	note("n3")
	want("", "two: n2 n3")
	srv.Restart()
	js = srv.JetStream() // a request sent while the old connection came back could be lost
	natstest.Eventually(t, "the server", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := js.ObjectStore(ctx, "STATE")
		return err == nil
	})
	want("two", "two: n2 n3", "one: n0 n1 n2 n3")
	s = open()
	save(strings.Repeat("three ", 100_000)) // several chunks
	for i := range 5 {
		save(fmt.Sprint("more ", i))
	}
	note("n4")
	want("more 4", "more 4: n4", "more 3: n4")
	obs, err := js.ObjectStore(t.Context(), "STATE")
	if err != nil {
		t.Fatal(err)
	}
	list, err := obs.List(t.Context())
	if err != nil || len(list) > 6 {
		t.Errorf("%d objects are kept, %v", len(list), err)
	}
}

// deaf is an object store whose next answers never come.
type deaf struct {
	jetstream.ObjectStore
	lost map[string]int // by what was asked
}

func (d *deaf) hears(ctx context.Context, what string) error {
	if d.lost[what] == 0 {
		return nil
	}
	d.lost[what]--
	<-ctx.Done()
	return ctx.Err()
}

func (d *deaf) List(ctx context.Context, opts ...jetstream.ListObjectsOpt) ([]*jetstream.ObjectInfo, error) {
	if err := d.hears(ctx, "list"); err != nil {
		return nil, err
	}
	return d.ObjectStore.List(ctx, opts...)
}

func (d *deaf) GetBytes(ctx context.Context, name string, opts ...jetstream.GetObjectOpt) ([]byte, error) {
	if err := d.hears(ctx, "get"); err != nil {
		return nil, err
	}
	return d.ObjectStore.GetBytes(ctx, name, opts...)
}

func (d *deaf) PutBytes(ctx context.Context, name string, data []byte) (*jetstream.ObjectInfo, error) {
	if err := d.hears(ctx, "put"); err != nil {
		return nil, err
	}
	return d.ObjectStore.PutBytes(ctx, name, data)
}

func (d *deaf) Delete(ctx context.Context, name string) error {
	if err := d.hears(ctx, "delete"); err != nil {
		return err
	}
	return d.ObjectStore.Delete(ctx, name)
}

// deafServer loses the answers to the first questions for a bucket.
type deafServer struct {
	jetstream.JetStream
	lost int
}

func (d *deafServer) ObjectStore(ctx context.Context, bucket string) (jetstream.ObjectStore, error) {
	if d.lost > 0 {
		d.lost--
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return d.JetStream.ObjectStore(ctx, bucket)
}

// TestLostAnswers: an answer that a restart of the server swallowed is asked for
// again, long before the context of the call ends; one that never comes is an error.
func TestLostAnswers(t *testing.T) {
	js := &deafServer{natstest.Start(t, natstest.JetStream()).JetStream(), 2}
	s := &Store{JS: js, Bucket: "STATE", Keep: 1, Patience: 50 * time.Millisecond}
	for i := range 2 {
		if i == 1 {
			s.next = 0
			s.obs = &deaf{s.obs, map[string]int{"list": 3, "get": 1, "put": 2, "delete": 1}}
		}
		if err := errors.Join(s.Note(t.Context(), []byte("n")), s.Save(t.Context(), fmt.Append(nil, "s", i))); err != nil {
			t.Fatal(err)
		}
	}
	if d := cmp.Diff(map[string]int{"list": 0, "get": 0, "put": 0, "delete": 0}, s.obs.(*deaf).lost); d != "" {
		t.Error("not asked:", d)
	}
	if d := cmp.Diff([]string{"s1: n"}, loaded(t, s, "")); d != "" {
		t.Error(d)
	}
	if js.lost != 0 {
		t.Error("the bucket was not asked for")
	}
	s.obs.(*deaf).lost["put"] = 1 << 30
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if err := s.Save(ctx, []byte("never")); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "STATE") {
		t.Errorf("no answer ever: %v", err)
	}
}

// TestTaken: the worker that comes last has the bucket, and the one before writes
// nothing over what it stores.
func TestTaken(t *testing.T) {
	js := natstest.Start(t, natstest.JetStream()).JetStream()
	first, second := &Store{JS: js, Bucket: "STATE"}, &Store{JS: js, Bucket: "STATE"}
	if err := errors.Join(first.Save(t.Context(), []byte("one")), first.Note(t.Context(), []byte("n1"))); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{"one: n1"}, loaded(t, second, "")); d != "" {
		t.Error(d)
	}
	for what, err := range map[string]error{"save": first.Save(t.Context(), []byte("late")), "note": first.Note(t.Context(), []byte("late"))} {
		if !errors.Is(err, pipeline.ErrTaken) || !strings.Contains(err.Error(), fmt.Sprint("process ", os.Getpid())) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if err := errors.Join(second.Note(t.Context(), []byte("n2")), second.Save(t.Context(), []byte("two"))); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{"two: n1 n2"}, loaded(t, second, "")); d != "" {
		t.Error(d)
	}
	obs, err := js.ObjectStore(t.Context(), "STATE")
	if err != nil {
		t.Fatal(err)
	}
	if err := obs.Delete(t.Context(), owner); err != nil { // somebody tidies up
		t.Fatal(err)
	}
	if err := second.Save(t.Context(), []byte("three")); err != nil {
		t.Error(err)
	}
}

// TestStoreTellsWhatIsWrong: a bucket on a server without JetStream is an error, and
// all snapshots refused is one that names each.
func TestStoreTellsWhatIsWrong(t *testing.T) {
	none := &Store{JS: natstest.Start(t).JetStream(), Bucket: "STATE"}
	if err := none.Save(t.Context(), nil); err == nil || !strings.Contains(err.Error(), "STATE") {
		t.Errorf("without JetStream: %v", err)
	}
	s := &Store{JS: natstest.Start(t, natstest.JetStream()).JetStream(), Bucket: "STATE"}
	for i := range 2 {
		if err := s.Save(t.Context(), []byte(fmt.Sprint(i))); err != nil {
			t.Fatal(err)
		}
	}
	err := s.Load(t.Context(), func(string, []byte, [][]byte) error { return errors.New("damaged") })
	if err == nil || strings.Count(err.Error(), "damaged") != 2 || !strings.Contains(err.Error(), "STATE/snapshot-2") {
		t.Errorf("all refused: %v", err)
	}
}
