// Package objstore keeps a worker's snapshots in a JetStream object store, so
// that another machine can go on where this one stopped.
package objstore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

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

	obs  jetstream.ObjectStore
	next uint64
}

const prefix = "snapshot-"

func (s *Store) open(ctx context.Context) error {
	if s.obs != nil {
		return nil
	}
	obs, err := s.JS.ObjectStore(ctx, s.Bucket)
	if errors.Is(err, jetstream.ErrBucketNotFound) {
		obs, err = s.JS.CreateObjectStore(ctx, jetstream.ObjectStoreConfig{
			Bucket: s.Bucket, Description: "corral: state of a worker", Replicas: max(s.Replicas, 1),
		})
	}
	if err != nil {
		return fmt.Errorf("open object store %s: %w", s.Bucket, err)
	}
	s.obs = obs
	return nil
}

// names are the numbers of the snapshots, newest first.
func (s *Store) names(ctx context.Context) ([]uint64, error) {
	if err := s.open(ctx); err != nil {
		return nil, err
	}
	list, err := s.obs.List(ctx)
	if err != nil && !errors.Is(err, jetstream.ErrNoObjectsFound) {
		return nil, fmt.Errorf("list object store %s: %w", s.Bucket, err)
	}
	var ns []uint64
	for _, o := range list {
		if n, err := strconv.ParseUint(strings.TrimPrefix(o.Name, prefix), 10, 64); err == nil {
			ns = append(ns, n)
		}
	}
	slices.SortFunc(ns, func(a, b uint64) int { return cmp.Compare(b, a) })
	return ns, nil
}

func name(n uint64) string { return prefix + strconv.FormatUint(n, 10) }

// Save implements pipeline.Store.
func (s *Store) Save(ctx context.Context, data []byte) error {
	ns, err := s.names(ctx)
	if err != nil {
		return err
	}
	if s.next == 0 {
		s.next = 1
		if len(ns) > 0 {
			s.next = ns[0] + 1
		}
	}
	if _, err := s.obs.PutBytes(ctx, name(s.next), data); err != nil {
		return fmt.Errorf("put %s in %s: %w", name(s.next), s.Bucket, err)
	}
	s.next++
	for _, n := range ns[min(cmp.Or(s.Keep, 3)-1, len(ns)):] {
		if err := s.obs.Delete(ctx, name(n)); err != nil {
			return fmt.Errorf("delete %s from %s: %w", name(n), s.Bucket, err)
		}
	}
	return nil
}

// Load implements pipeline.Store.
func (s *Store) Load(ctx context.Context, try func(string, []byte) error) error {
	ns, err := s.names(ctx)
	if err != nil {
		return err
	}
	var errs []error
	for _, n := range ns {
		where := s.Bucket + "/" + name(n)
		data, err := s.obs.GetBytes(ctx, name(n))
		if err == nil {
			err = try(where, data)
		}
		if err == nil {
			return nil
		}
		errs = append(errs, fmt.Errorf("%s: %w", where, err))
	}
	if len(errs) > 0 {
		return errors.Join(errs...)
	}
	return pipeline.ErrNoSnapshot
}
