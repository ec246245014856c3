package objstore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"
)

// Rules keeps the last good content of rule files beside the snapshots, so that
// another machine that starts with a broken file runs what ran before. It takes
// no part in whose the bucket is.
type Rules struct {
	JS       jetstream.JetStream
	Bucket   string
	Replicas int
}

// rulesObject holds one JSON object: names of files and their content.
const rulesObject = "rules"

// Read returns the content by file name, nil if nothing was kept yet.
func (r *Rules) Read(ctx context.Context) (map[string][]byte, error) {
	s := Store{JS: r.JS, Bucket: r.Bucket, Replicas: r.Replicas}
	if err := s.open(ctx); err != nil {
		return nil, err
	}
	data, err := s.get(ctx, rulesObject)
	if errors.Is(err, jetstream.ErrObjectNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var files map[string][]byte
	if err := json.Unmarshal(data, &files); err != nil {
		return nil, fmt.Errorf("last good rules in %s: %w", r.Bucket, err)
	}
	return files, nil
}

// Write replaces what is kept.
func (r *Rules) Write(ctx context.Context, files map[string][]byte) error {
	data, err := json.Marshal(files)
	if err != nil {
		return err
	}
	s := Store{JS: r.JS, Bucket: r.Bucket, Replicas: r.Replicas}
	if err := s.open(ctx); err != nil {
		return err
	}
	return s.put(ctx, rulesObject, data)
}
