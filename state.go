package main

import (
	"fmt"
	"os"
	"strings"

	js "github.com/nats-io/nats.go/jetstream"

	"corral/internal/dirlock"
	"corral/pipeline"
	"corral/pipeline/objstore"
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
