package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	js "github.com/nats-io/nats.go/jetstream"

	"corral/internal/dirlock"
	"corral/pipeline"
	"corral/pipeline/objstore"
	"corral/reload"
)

// kvPrefix begins a --state that names a bucket and not a directory.
const kvPrefix = "kv:"

// stateDir is the directory of --state, "" if it is none.
func (r *runFlags) stateDir() string {
	if strings.HasPrefix(r.state, kvPrefix) {
		return ""
	}
	return r.state
}

// claimState keeps other workers out of the directory of the state until release:
// two would overwrite each other's snapshots, and neither could go on from them.
func (r *runFlags) claimState() (release func(), err error) {
	dir := r.stateDir()
	if dir == "" {
		return func() {}, nil
	}
	unlock := func() error { return nil }
	if err = os.MkdirAll(dir, 0o700); err == nil {
		unlock, err = dirlock.Lock(dir, "worker.lock")
	}
	if err != nil {
		return nil, infra(fmt.Errorf("--state: %w", err))
	}
	return func() { _ = unlock() }, nil // the end of the process does it too
}

// lastGood keeps the last good content of rule files where the state is; nil if
// that is nowhere.
func (r *runFlags) lastGood(ctx context.Context, connected func() (*nats.Conn, error)) reload.Keeper {
	bucket, ok := strings.CutPrefix(r.state, kvPrefix)
	switch {
	case r.state == "" || ok && bucket == "":
		return nil
	case !ok:
		return reload.Dir(filepath.Join(r.state, "rules"))
	}
	return keeper{
		read: func() (map[string][]byte, error) {
			kept, err := r.bucketRules(bucket, connected)
			if err != nil {
				return nil, err
			}
			return kept.Read(ctx)
		},
		write: func(files map[string][]byte) error {
			kept, err := r.bucketRules(bucket, connected)
			if err != nil {
				return err
			}
			// A reload does not wait for long: it takes effect all the same.
			short, cancel := context.WithTimeout(context.WithoutCancel(ctx), keepPatience)
			defer cancel()
			return kept.Write(short, files)
		},
	}
}

// keepPatience is how long keeping the rules in a bucket may take.
const keepPatience = 10 * time.Second

func (r *runFlags) bucketRules(bucket string, connected func() (*nats.Conn, error)) (*objstore.Rules, error) {
	nc, err := connected()
	if err != nil {
		return nil, err
	}
	api, err := r.conn.JetStream(nc)
	if err != nil {
		return nil, err
	}
	return &objstore.Rules{JS: api, Bucket: bucket, Replicas: r.remote.replicas}, nil
}

// keeper is a reload.Keeper made of two functions.
type keeper struct {
	read  func() (map[string][]byte, error)
	write func(map[string][]byte) error
}

func (k keeper) Read() (map[string][]byte, error)    { return k.read() }
func (k keeper) Write(files map[string][]byte) error { return k.write(files) }

// store is where snapshots go, nil if nowhere.
func (r *runFlags) store(api js.JetStream) (pipeline.Store, error) {
	bucket, ok := strings.CutPrefix(r.state, kvPrefix)
	switch {
	case r.state == "":
		return nil, nil
	case !ok:
		return &pipeline.DirStore{Dir: r.state}, nil
	case bucket == "":
		return nil, usageError("--state %s: name a bucket, kv:BUCKET", r.state)
	}
	return &objstore.Store{JS: api, Bucket: bucket, Replicas: r.remote.replicas}, nil
}
