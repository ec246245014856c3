// Package objstore keeps a worker's snapshots in a JetStream object store, so
// that another machine can go on where this one stopped.
package objstore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"corral/pipeline"
)

// Store implements pipeline.Store. An object becomes visible with its last
// message, so a crash leaves the old or the new one.
type Store struct {
	JS       jetstream.JetStream
	Bucket   string
	Replicas int // of a bucket that has to be made, default 1
	Keep     int // snapshots kept, default 3
	// Patience is how long an answer is waited for before the question is asked
	// again, twice as long each time, until the context of the call ends. Default
	// 5 s. A server that is restarted loses the ephemeral consumer that lists or
	// reads a bucket, and the client may wait for it for ever.
	Patience time.Duration

	mu    sync.Mutex // guards what follows
	obs   jetstream.ObjectStore
	claim string // of the object that says whose the bucket is, "": not ours yet
	next  uint64 // of the next snapshot, 0: not known
	notes []byte // that follow snapshot next-1
}

const (
	owner       = "owner" // put anew by each worker that takes the bucket
	prefix      = "snapshot-"
	notesPrefix = "notes-" // and the number of the snapshot they follow
)

func (s *Store) open(ctx context.Context) error {
	if s.obs != nil {
		return nil
	}
	err := s.ask(ctx, func(ctx context.Context) (err error) {
		s.obs, err = s.JS.ObjectStore(ctx, s.Bucket)
		if errors.Is(err, jetstream.ErrBucketNotFound) {
			s.obs, err = s.JS.CreateObjectStore(ctx, jetstream.ObjectStoreConfig{
				Bucket: s.Bucket, Description: "corral: state of a worker", Replicas: max(s.Replicas, 1),
			})
		}
		return err
	})
	if err != nil {
		s.obs = nil
		return fmt.Errorf("open object store %s: %w", s.Bucket, err)
	}
	return nil
}

// ask has do answered, however often the question is lost.
func (s *Store) ask(ctx context.Context, do func(context.Context) error) error {
	for wait := cmp.Or(s.Patience, 5*time.Second); ; wait *= 2 {
		once, cancel := context.WithTimeout(ctx, wait)
		err := do(once)
		lost := once.Err() != nil
		cancel()
		if err == nil || !lost || ctx.Err() != nil {
			return err
		}
	}
}

// take makes the bucket this worker's. One that had it before finds out when it
// stores something: it may be cut off for now, and must not write over what comes.
func (s *Store) take(ctx context.Context) error {
	host, err := os.Hostname()
	if err != nil {
		host = "a host without a name"
	}
	return s.ask(ctx, func(ctx context.Context) error {
		info, err := s.obs.PutString(ctx, owner, fmt.Sprintf("process %d on %s", os.Getpid(), host))
		if err != nil {
			return fmt.Errorf("take object store %s: %w", s.Bucket, err)
		}
		s.claim = info.NUID
		return nil
	})
}

// mine returns pipeline.ErrTaken if another worker has taken the bucket since.
func (s *Store) mine(ctx context.Context) error {
	if err := s.open(ctx); err != nil {
		return err
	}
	if s.claim == "" {
		return s.take(ctx)
	}
	return s.ask(ctx, func(ctx context.Context) error {
		info, err := s.obs.GetInfo(ctx, owner)
		switch {
		case errors.Is(err, jetstream.ErrObjectNotFound): // somebody tidied up
			return s.take(ctx)
		case err != nil:
			return fmt.Errorf("look whose object store %s is: %w", s.Bucket, err)
		case info.NUID == s.claim:
			return nil
		}
		by, err := s.obs.GetString(ctx, owner)
		if err != nil {
			by = "a worker that cannot be read"
		}
		return fmt.Errorf("object store %s: %w: %s", s.Bucket, pipeline.ErrTaken, by)
	})
}

// get reads an object.
func (s *Store) get(ctx context.Context, object string) (data []byte, err error) {
	err = s.ask(ctx, func(ctx context.Context) error {
		data, err = s.obs.GetBytes(ctx, object)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("get %s from %s: %w", object, s.Bucket, err)
	}
	return data, nil
}

// put writes an object.
func (s *Store) put(ctx context.Context, object string, data []byte) error {
	err := s.ask(ctx, func(ctx context.Context) error {
		_, err := s.obs.PutBytes(ctx, object, data)
		return err
	})
	if err != nil {
		return fmt.Errorf("put %s in %s: %w", object, s.Bucket, err)
	}
	return nil
}

// names are the numbers of the objects of a kind, newest first.
func (s *Store) names(ctx context.Context, prefix string) ([]uint64, error) {
	if err := s.open(ctx); err != nil {
		return nil, err
	}
	var list []*jetstream.ObjectInfo
	err := s.ask(ctx, func(ctx context.Context) (err error) {
		list, err = s.obs.List(ctx)
		return err
	})
	if err != nil && !errors.Is(err, jetstream.ErrNoObjectsFound) {
		return nil, fmt.Errorf("list object store %s: %w", s.Bucket, err)
	}
	var ns []uint64
	for _, o := range list {
		rest, ok := strings.CutPrefix(o.Name, prefix)
		if n, err := strconv.ParseUint(rest, 10, 64); ok && err == nil {
			ns = append(ns, n)
		}
	}
	slices.SortFunc(ns, func(a, b uint64) int { return cmp.Compare(b, a) })
	return ns, nil
}

func name(prefix string, n uint64) string { return prefix + strconv.FormatUint(n, 10) }

// number is that of the next snapshot.
func (s *Store) number(ctx context.Context) (uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.numbered(ctx)
}

func (s *Store) numbered(ctx context.Context) (uint64, error) {
	if s.next > 0 {
		return s.next, nil
	}
	ns, err := s.names(ctx, prefix)
	if err != nil {
		return 0, err
	}
	s.next = 1
	if len(ns) > 0 {
		s.next = ns[0] + 1
	}
	old, err := s.get(ctx, name(notesPrefix, s.next-1))
	if err != nil && !errors.Is(err, jetstream.ErrObjectNotFound) {
		s.next = 0
		return 0, err
	}
	s.notes = old
	return s.next, nil
}

// Save implements pipeline.Store.
func (s *Store) Save(ctx context.Context, data []byte) error {
	s.mu.Lock()
	err := s.mine(ctx)
	s.mu.Unlock()
	if err != nil {
		return err
	}
	n, err := s.number(ctx)
	if err != nil {
		return err
	}
	if err := s.put(ctx, name(prefix, n), data); err != nil {
		return err
	}
	s.mu.Lock()
	s.next, s.notes = n+1, nil
	s.mu.Unlock()
	return s.prune(ctx)
}

// prune removes old snapshots, and notes that none of those kept needs: what was
// noted while a snapshot was stored is among those of the one before.
func (s *Store) prune(ctx context.Context) error {
	ns, err := s.names(ctx, prefix)
	if err != nil {
		return err
	}
	keep := cmp.Or(s.Keep, 3)
	if len(ns) <= keep {
		return nil
	}
	notes, err := s.names(ctx, notesPrefix)
	if err != nil {
		return err
	}
	for _, n := range notes {
		if n < ns[keep] {
			err = errors.Join(err, s.remove(ctx, name(notesPrefix, n)))
		}
	}
	for _, n := range ns[keep:] {
		err = errors.Join(err, s.remove(ctx, name(prefix, n)))
	}
	return err
}

func (s *Store) remove(ctx context.Context, object string) error {
	err := s.ask(ctx, func(ctx context.Context) error { return s.obs.Delete(ctx, object) })
	if err != nil && !errors.Is(err, jetstream.ErrObjectNotFound) {
		return fmt.Errorf("delete %s from %s: %w", object, s.Bucket, err)
	}
	return nil
}

// Note implements pipeline.Store. The notes that follow one snapshot are one
// object, put anew for each: they are few and small.
func (s *Store) Note(ctx context.Context, data []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.mine(ctx); err != nil {
		return err
	}
	n, err := s.numbered(ctx)
	if err != nil {
		return err
	}
	all := append(s.notes[:len(s.notes):len(s.notes)], pipeline.FrameNote(data)...)
	if err := s.put(ctx, name(notesPrefix, n-1), all); err != nil {
		return err
	}
	s.notes = all
	return nil
}

// Load implements pipeline.Store. It takes the bucket: who loads a state goes on
// from it.
func (s *Store) Load(ctx context.Context, try func(string, []byte, [][]byte) error) error {
	s.mu.Lock()
	err := s.mine(ctx)
	s.mu.Unlock()
	if err != nil {
		return err
	}
	ns, err := s.names(ctx, prefix)
	if err != nil {
		return err
	}
	if len(ns) == 0 {
		notes, err := s.notesSince(ctx, 0)
		if err != nil || len(notes) == 0 {
			return cmp.Or(err, error(pipeline.ErrNoSnapshot))
		}
		return try("", nil, notes)
	}
	var errs []error
	for _, n := range ns {
		where := s.Bucket + "/" + name(prefix, n)
		data, err := s.get(ctx, name(prefix, n))
		var notes [][]byte
		if err == nil {
			notes, err = s.notesSince(ctx, n-1)
		}
		if err == nil {
			err = try(where, data, notes)
		}
		if err == nil {
			return nil
		}
		errs = append(errs, fmt.Errorf("%s: %w", where, err))
	}
	return errors.Join(errs...)
}

func (s *Store) notesSince(ctx context.Context, n uint64) (notes [][]byte, err error) {
	ns, err := s.names(ctx, notesPrefix)
	if err != nil {
		return nil, err
	}
	for _, k := range slices.Backward(ns) {
		if k < n {
			continue
		}
		text, err := s.get(ctx, name(notesPrefix, k))
		if err != nil {
			return nil, err
		}
		notes = append(notes, pipeline.UnframeNotes(text)...)
	}
	return notes, nil
}
