package clickhouse

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"corral/correlate"
	"corral/internal/chserver"
	"corral/internal/chserver/chtest"
	"corral/sinks/sinktest"
)

// nowhere is a DSN where nothing listens.
const nowhere = "clickhouse://127.0.0.1:1/d"

func files(t *testing.T, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.Name() != "lock" {
			names = append(names, e.Name())
		}
	}
	return names
}

// TestSpool: what is written while ClickHouse is away is on disk when Write
// returns; another process sends it, once ClickHouse is there.
func TestSpool(t *testing.T) {
	dir := t.TempDir()
	ts := sinktest.Transitions(30)
	s := open(t, Options{DSN: nowhere, Spool: dir, Patience: time.Millisecond, RetryInterval: time.Millisecond})
	for i := range 10 {
		if err := s.Write(t.Context(), ts[3*i:3*i+3]); err != nil {
			t.Fatal(err)
		}
	}
	if x := s.Stats(); x.SpooledWrites != 10 || x.SpooledBytes == 0 || x.SpooledAge <= 0 || !x.Failing || s.Ready() == nil {
		t.Errorf("stats %+v, ready %v", x, s.Ready())
	}
	if _, err := Open(Options{DSN: nowhere, Spool: dir}); err == nil || !strings.Contains(err.Error(), "in use by another process") {
		t.Errorf("a second process has the spool: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if got := files(t, dir); len(got) != 10 {
		t.Fatalf("spool: %v", got)
	}

	server := chtest.Shared(t)
	dsn := chtest.DSN(server, chtest.Name())
	s = open(t, Options{DSN: dsn, Spool: dir})
	more := sinktest.Transitions(36)
	if err := s.Write(t.Context(), more[30:]); err != nil {
		t.Fatal(err)
	}
	until(t, "the spool is empty", s.spool.empty)
	if diff := sinktest.Diff(more, all(t, reader(t, dsn))); diff != "" {
		t.Error(diff)
	}
	if got := files(t, dir); len(got) != 0 {
		t.Errorf("left in the spool: %v", got)
	}
	if x := s.Stats(); x.Looks == 0 || x.Found != 0 || x.SpooledBytes != 0 {
		t.Errorf("every replayed batch is looked for, and was not there: %+v", x)
	}
}

// TestSpoolSent: what was stored just before a crash, and is in the spool still,
// is found by the look and not sent again.
func TestSpoolSent(t *testing.T) {
	dir := t.TempDir()
	ts := sinktest.Transitions(6)
	s := open(t, Options{DSN: nowhere, Spool: dir, Patience: time.Millisecond})
	if err := errors.Join(s.Write(t.Context(), ts), s.Close()); err != nil {
		t.Fatal(err)
	}
	kept := files(t, dir)[0]
	bytes, err := os.ReadFile(filepath.Join(dir, kept))
	if err != nil {
		t.Fatal(err)
	}
	server := chtest.Shared(t)
	db := chtest.Name()
	for round := range 2 {
		s := open(t, Options{DSN: chtest.DSN(server, db), Spool: dir})
		until(t, "the spool is empty", s.spool.empty)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if x := s.Stats(); x.Looks != 3 || int(x.Found) != round || len(x.Batches) != 3*(1-round) {
			t.Errorf("round %d: stats %+v", round, x)
		}
		if err := os.WriteFile(filepath.Join(dir, kept), bytes, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c := chtest.Conn(t, server, db)
	if n := chtest.One[uint64](t, c, "SELECT count() FROM incident_transitions"); n != 6 {
		t.Errorf("%d rows without FINAL, want 6: the second look found them", n)
	}
}

// TestSpoolHalfSent: of a write that a crash left half stored, the rest is sent.
func TestSpoolHalfSent(t *testing.T) {
	dir := t.TempDir()
	ts := sinktest.Transitions(6)
	s := open(t, Options{DSN: nowhere, Spool: dir, Patience: time.Millisecond})
	if err := errors.Join(s.Write(t.Context(), ts), s.Close()); err != nil {
		t.Fatal(err)
	}
	server := chtest.Shared(t)
	dsn := chtest.DSN(server, chtest.Name())
	s = open(t, Options{DSN: dsn})
	var id uint64
	if _, err := fmt.Sscanf(files(t, dir)[0], "%d", &id); err != nil {
		t.Fatal(err)
	}
	good, err := s.admit(ts)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.deliver(t.Context(), number(freeze(good), id, false)[:2]); err != nil {
		t.Fatal(err)
	}
	s = open(t, Options{DSN: dsn, Spool: dir})
	until(t, "the spool is empty", s.spool.empty)
	if x := s.Stats(); x.Found != 2 || x.Rows["incidents"] != 2 {
		t.Errorf("stats %+v", x)
	}
	if got, err := reader(t, dsn).Incidents(t.Context(), Query{}); err != nil || len(got) != 2 {
		t.Errorf("%d incidents, %v", len(got), err)
	}
}

// TestSpoolFull: a full spool is back-pressure, and lets one write in when it is
// empty, however large.
func TestSpoolFull(t *testing.T) {
	dir := t.TempDir()
	ts := sinktest.Transitions(12)
	s := open(t, Options{DSN: nowhere, Spool: dir, SpoolLimit: 10, Patience: time.Millisecond})
	if err := s.Write(t.Context(), ts[:6]); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := s.Write(ctx, ts[6:]); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want the deadline", err)
	}
	if err := s.Ready(); err == nil {
		t.Error("ready with a full spool and nobody there")
	}
	done := make(chan error, 1)
	go func() { done <- s.Write(t.Context(), ts[6:]) }()
	fs, _ := s.spool.next(t.Context())
	if err := s.spool.remove(fs[0]); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// TestSpoolDamaged: a file that cannot be read is set aside and told, and those
// behind it are sent; one that a crash left half written was never accepted.
func TestSpoolDamaged(t *testing.T) {
	dir := t.TempDir()
	ts := sinktest.Transitions(9)
	s := open(t, Options{DSN: nowhere, Spool: dir, Patience: time.Millisecond})
	for i := range 3 {
		if err := s.Write(t.Context(), ts[3*i:3*i+3]); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	names := files(t, dir)
	first := filepath.Join(dir, names[0])
	b, err := os.ReadFile(first)
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)/2] ^= 0x10
	for path, b := range map[string][]byte{first: b, filepath.Join(dir, "1"+spoolSuffix+".tmp"): b, filepath.Join(dir, "notes.txt"): b} {
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	server := chtest.Shared(t)
	dsn := chtest.DSN(server, chtest.Name())
	s = open(t, Options{DSN: dsn, Spool: dir})
	until(t, "the spool is empty", s.spool.empty)
	if diff := sinktest.Diff(ts[3:], all(t, reader(t, dsn))); diff != "" {
		t.Error(diff)
	}
	if got := fmt.Sprint(files(t, dir)); got != fmt.Sprint([]string{names[0] + ".corrupt", "notes.txt"}) || s.Stats().Corrupt != 1 {
		t.Errorf("left: %s, corrupt %d", got, s.Stats().Corrupt)
	}
}

// TestStartWithout: the sink starts before ClickHouse; Write waits when there is
// no spool.
func TestStartWithout(t *testing.T) {
	server := chtest.Start(t, chserverOptions)
	server.Kill()
	dsn := chtest.DSN(server, "d")
	s := open(t, Options{DSN: dsn, RetryInterval: 20 * time.Millisecond})
	ts := sinktest.Transitions(12)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := s.Write(ctx, ts[:6]); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want the deadline", err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Write(t.Context(), ts) }()
	if _, err := server.Again(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if diff := sinktest.Diff(ts, all(t, reader(t, dsn))); diff != "" {
		t.Error(diff)
	}
}

// TestCloseWhileWaiting: Close ends a Write that waits.
func TestCloseWhileWaiting(t *testing.T) {
	s := open(t, Options{DSN: nowhere})
	done := make(chan error, 1)
	go func() { done <- s.Write(t.Context(), []*correlate.Transition{sinktest.Transitions(1)[0]}) }()
	until(t, "it tries", func() bool { return s.Stats().Failing })
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; !errors.Is(err, errClosed) {
		t.Errorf("got %v, want %v", err, errClosed)
	}
}

// TestCloseWithin: however long Close may take, one who has no time does not wait for
// a server that says nothing; the spool keeps what it has.
func TestCloseWithin(t *testing.T) {
	server := chtest.Start(t, chserver.Options{Dir: t.TempDir()})
	dir := t.TempDir()
	s := open(t, Options{DSN: chtest.DSN(server, "corral"), Spool: dir, Patience: 50 * time.Millisecond, DrainTimeout: time.Hour})
	until(t, "the schema is there", func() bool { return s.Ready() == nil })
	server.Pause()
	defer server.Resume()
	if err := s.Write(t.Context(), sinktest.Transitions(3)); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.CloseWithin(50 * time.Millisecond) }()
	select {
	case err := <-done:
		if err != nil {
			t.Fatal(err)
		}
	case <-time.After(time.Minute):
		t.Fatal("it does not end")
	}
	if files, err := filepath.Glob(filepath.Join(dir, "*"+spoolSuffix)); err != nil || len(files) != 1 {
		t.Errorf("spooled: %v, %v", files, err)
	}
}

// TestSpoolGroups: what was never sent is sent together, what may have been comes
// alone.
func TestSpoolGroups(t *testing.T) {
	f := func(id uint64, bytes int64, fresh bool) spooled { return spooled{id: id, bytes: bytes, fresh: fresh} }
	for want, files := range map[int][]spooled{
		0: nil,
		1: {f(1, 10, false), f(2, 10, true)},
		2: {f(1, 10, true), f(2, 10, true), f(3, 10, false)},
		3: {f(1, 10, true), f(2, 10, true), f(3, spoolGroup-20, true), f(4, 10, true)},
	} {
		if got := len(goodInsert(files)); got != want {
			t.Errorf("%v: %d together, want %d", files, got, want)
		}
	}
	if got := len(goodInsert([]spooled{f(1, 2*spoolGroup, true), f(2, 1, true)})); got != 1 {
		t.Errorf("a large one: %d, want it alone", got)
	}
}

// TestUnpackDamaged: no flipped bit and no cut end goes unnoticed.
func TestUnpackDamaged(t *testing.T) {
	s := &spool{}
	if err := s.codecs(); err != nil {
		t.Fatal(err)
	}
	plain, err := encode(sinktest.Transitions(2))
	if err != nil {
		t.Fatal(err)
	}
	whole := s.enc.EncodeAll(plain, nil)
	for i := range whole {
		damaged := slices.Clone(whole)
		damaged[i] ^= 1 << (i % 8)
		if ts, err := s.unpack(damaged); err == nil && sinktest.Diff(sinktest.Transitions(2), ts) != "" {
			t.Errorf("byte %d flipped: read %d transitions", i, len(ts))
		}
		if ts, err := s.unpack(whole[:i]); err == nil && i > 0 {
			t.Errorf("cut at %d: read %d transitions", i, len(ts))
		}
	}
	if _, err := s.unpack(s.enc.EncodeAll([]byte("{}\nno json\n"), nil)); err == nil {
		t.Error("read what is no JSON")
	}
	if _, err := s.unpack(nil); err == nil {
		t.Error("read an empty file")
	}
}

// TestSpoolLarge: a write too large to be read back at once is cut.
func TestSpoolLarge(t *testing.T) {
	ts := sinktest.Transitions(600)
	for _, x := range ts {
		x.Summary = strings.Repeat("x", 60_000)
	}
	dir := t.TempDir()
	s := open(t, Options{DSN: nowhere, Spool: dir, Patience: time.Millisecond})
	if err := s.Write(t.Context(), ts); err != nil {
		t.Fatal(err)
	}
	var got []*correlate.Transition
	for _, f := range s.spool.left() {
		part, err := s.spool.load(f)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, part...)
	}
	if n := len(files(t, dir)); n != 3 || len(got) != len(ts) {
		t.Errorf("%d files with %d transitions, want 3 with %d", n, len(got), len(ts))
	}
}
