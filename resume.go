package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"corral/ingest"
	corralch "corral/ingest/clickhouse"
	corraljs "corral/ingest/jetstream"
	"corral/pipeline"
	"corral/rules"
)

// interruption is the file of --resume: where a run was interrupted, and what it
// was, so that no other goes on with it.
type interruption struct {
	Version    int                      `json:"version"`
	What       map[string]string        `json:"what"` // hashes of all that decides the result
	Run        string                   `json:"run_id"`
	Range      pipeline.Range           `json:"range"`
	Streams    map[string]corraljs.Span `json:"streams,omitempty"`
	Table      *tablePlace              `json:"table,omitempty"`
	Files      map[string]fileState     `json:"files,omitempty"`
	Checkpoint []byte                   `json:"checkpoint"`

	checkpoint *pipeline.Checkpoint
}

type tablePlace struct {
	Position corralch.Position `json:"position"`
	Last     int64             `json:"last"`
}

// fileState tells whether a file is the one it was.
type fileState struct {
	Size    int64 `json:"size"`
	Changed int64 `json:"changed"`
}

const interruptionVersion = 1

// resumed reads the file of --resume; nil if there is none: the run is a new one.
func (b *batchRun) resumed(set *rules.Set, files []string) (*interruption, error) {
	if b.resume == "" {
		return nil, nil
	}
	if slices.Contains(files, ingest.Stdin) {
		return nil, usageError("%w", errNoFile)
	}
	data, err := os.ReadFile(b.resume)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, infra(fmt.Errorf("--resume: %w", err))
	}
	x := &interruption{}
	if err := json.Unmarshal(data, x); err != nil {
		return nil, infra(fmt.Errorf("--resume %s is damaged: %w", b.resume, err))
	}
	if x.Version != interruptionVersion {
		return nil, usageError("--resume %s is of version %d, this corral reads %d", b.resume, x.Version, interruptionVersion)
	}
	if other := differing(x.What, b.what(set, files)); len(other) > 0 {
		return nil, usageError("--resume %s is of a run with other %s; remove it to begin anew", b.resume, strings.Join(other, ", "))
	}
	if x.checkpoint, err = pipeline.ReadCheckpoint(x.Checkpoint); err != nil {
		return nil, infra(fmt.Errorf("--resume %s: %w", b.resume, err))
	}
	return x, nil
}

func differing(a, b map[string]string) (names []string) {
	for _, k := range slices.Sorted(maps.Keys(b)) {
		if a[k] != b[k] {
			names = append(names, k)
		}
	}
	return names
}

// what names all that decides the result of the run.
func (b *batchRun) what(set *rules.Set, files []string) map[string]string {
	var versions []string
	for _, r := range set.Rules {
		versions = append(versions, r.ID, r.LogicHash, r.TextHash)
	}
	m := map[string]any{
		"rules":  versions,
		"range":  []string{b.from, b.to, b.tz, b.lateness.String()},
		"inputs": []any{files, b.streams, b.filter, b.fromSeq, b.toSeq, b.table, b.columns, b.where},
		"format": b.decode.fields, "--into": b.into,
	}
	m["format"] = fmt.Sprintf("%+v", b.decode)
	out := map[string]string{}
	for k, v := range m {
		data, err := json.Marshal(v)
		if err != nil {
			panic(err) // plain data
		}
		sum := sha256.Sum256(data)
		out[k] = hex.EncodeToString(sum[:8])
	}
	return out
}

// interrupted keeps where the run was, if that was asked for, and says how to go on.
func (b *batchRun) interrupted(run *pipeline.Batch, src *source, set *rules.Set, rng pipeline.Range, runID string, files []string) error {
	n := run.Lanes[0].Counters.Events.Load()
	if b.resume == "" {
		return exit{exitSignal, fmt.Errorf("interrupted after %d events", n)}
	}
	x := interruption{Version: interruptionVersion, What: b.what(set, files), Run: runID, Range: rng}
	var err error
	if x.Checkpoint, err = run.Checkpoint(); err == nil {
		x.place(src, run)
		err = x.save(b.resume)
	}
	if err != nil {
		return infra(fmt.Errorf("interrupted after %d events, and could not keep where: %w", n, err))
	}
	return exit{exitSignal, fmt.Errorf("interrupted after %d events; the same command goes on there (--resume %s)", n, b.resume)}
}

// place notes where the source is to be opened again.
func (x *interruption) place(src *source, run *pipeline.Batch) {
	places := run.Places()
	switch {
	case src.replay != nil:
		x.Streams = map[string]corraljs.Span{}
		for i, p := range src.Partitions() {
			x.Streams[strings.TrimPrefix(p.Name, "stream:")] = corraljs.Span{After: places[i].Seq, Until: src.replay.End(i)}
		}
	case src.table != nil:
		x.Table = &tablePlace{src.table.Position(), src.table.Last()}
	case src.files != nil:
		x.Files = map[string]fileState{}
		for _, p := range src.Partitions() {
			if info, err := os.Stat(filePath(p)); err == nil {
				x.Files[p.Name] = fileState{info.Size(), info.ModTime().UnixNano()}
			}
		}
	}
}

func filePath(p ingest.Partition) string { return strings.TrimPrefix(p.Name, "file:") }

func (x *interruption) save(path string) error {
	data, err := json.Marshal(x)
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name())
	}
	return err
}

// skipFiles lets files begin where they had been read to. They must be as they
// were.
func (x *interruption) skipFiles(src *ingest.Files) error {
	if x == nil {
		return nil
	}
	parts := src.Partitions()
	if len(parts) != len(x.checkpoint.Parts) {
		return usageError("--resume: there were %d files, now there are %d; remove the resume file to begin anew", len(x.checkpoint.Parts), len(parts))
	}
	for i, p := range parts {
		info, err := os.Stat(filePath(p))
		if err != nil {
			return infra(err)
		}
		if was := x.Files[p.Name]; was != (fileState{info.Size(), info.ModTime().UnixNano()}) {
			return usageError("--resume: %s has changed since; remove the resume file to begin anew", filePath(p))
		}
		src.Skip(i, x.checkpoint.Parts[i].Mark)
	}
	return nil
}

// finished removes the file of a run that came to its end.
func (b *batchRun) finished() error {
	if b.resume == "" {
		return nil
	}
	if err := os.Remove(b.resume); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return infra(err)
	}
	return nil
}
