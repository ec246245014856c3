package objstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

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
		if d := cmp.Diff(want, loaded(t, open(), refuse)); d != "" {
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
	if err != nil || len(list) > 5 {
		t.Errorf("%d objects are kept, %v", len(list), err)
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
