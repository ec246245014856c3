package pipeline

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"corral/correlate"
)

// Store keeps snapshots. Save returns when the snapshot would survive a crash.
// Load gives the newest first; an unusable one is followed by the one before.
type Store interface {
	Save(ctx context.Context, data []byte) error
	Load(ctx context.Context, try func(name string, data []byte) error) error
}

// ErrNoSnapshot: the store is empty.
var ErrNoSnapshot = errors.New("no snapshot")

const (
	snapshotMagic   = "CORRALST"
	snapshotVersion = 1
)

// A snapshot is: magic, version u32, length u32 and JSON of header, the engine's
// own snapshot, CRC-32C u32 over all before it. Little endian.
type header struct {
	Parts []partState `json:"partitions"`
	Gen   uint64      `json:"rules_generation"`
}

type partState struct {
	Name  string `json:"name"`
	Clock int64  `json:"clock"`
	Tick  int64  `json:"tick"`
	Seq   uint64 `json:"seq"`
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// snapshot encodes the whole state of the core.
func (k *core) snapshot(gen uint64) ([]byte, error) {
	h := header{Gen: gen}
	for i := range k.parts {
		p := &k.parts[i]
		h.Parts = append(h.Parts, partState{Name: p.name, Clock: p.clock, Tick: p.tick, Seq: p.seq})
	}
	head, err := json.Marshal(h)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	b.WriteString(snapshotMagic)
	word := func(v uint32) { b.Write(binary.LittleEndian.AppendUint32(nil, v)) }
	word(snapshotVersion)
	word(uint32(len(head)))
	b.Write(head)
	if err := k.eng.Snapshot(&b); err != nil {
		return nil, fmt.Errorf("snapshot engine: %w", err)
	}
	word(crc32.Checksum(b.Bytes(), castagnoli))
	return b.Bytes(), nil
}

// open checks a snapshot and splits it.
func open(data []byte) (h header, engine io.Reader, err error) {
	const fixed = len(snapshotMagic) + 8
	if len(data) < fixed+4 || string(data[:len(snapshotMagic)]) != snapshotMagic {
		return h, nil, errors.New("not a corral snapshot")
	}
	body, sum := data[:len(data)-4], binary.LittleEndian.Uint32(data[len(data)-4:])
	if crc32.Checksum(body, castagnoli) != sum {
		return h, nil, errors.New("checksum does not fit: truncated or damaged")
	}
	if v := binary.LittleEndian.Uint32(body[len(snapshotMagic):]); v != snapshotVersion {
		return h, nil, fmt.Errorf("snapshot version %d, this corral reads %d", v, snapshotVersion)
	}
	n := binary.LittleEndian.Uint32(body[len(snapshotMagic)+4:])
	if uint64(n) > uint64(len(body)-fixed) {
		return h, nil, errors.New("header longer than the snapshot")
	}
	if err := json.Unmarshal(body[fixed:fixed+int(n)], &h); err != nil {
		return h, nil, fmt.Errorf("header: %w", err)
	}
	return h, bytes.NewReader(body[fixed+int(n):]), nil
}

func (s *Stream) saveSnapshot(ctx context.Context) error {
	data, err := s.core.snapshot(s.gen.Load())
	if err != nil {
		return err
	}
	if err := s.Store.Save(ctx, data); err != nil {
		return fmt.Errorf("store snapshot: %w", err)
	}
	return nil
}

// restore returns the engine of the newest usable snapshot, or a new one.
func (s *Stream) restore(ctx context.Context) (*correlate.Engine, []partState, error) {
	opt := correlate.Options{Shards: s.Shards}
	if s.Store == nil {
		return correlate.New(s.Rules, opt), nil, nil
	}
	var eng *correlate.Engine
	var h header
	err := s.Store.Load(ctx, func(name string, data []byte) error {
		got, r, err := open(data)
		if err == nil {
			eng, err = correlate.Restore(s.Rules, opt, r)
		}
		if err != nil {
			s.Log.Error("snapshot refused, trying the one before", "snapshot", name, "error", err)
			return err
		}
		h = got
		s.Log.Info("restored", "snapshot", name, "bytes", len(data))
		return nil
	})
	if errors.Is(err, ErrNoSnapshot) {
		return correlate.New(s.Rules, opt), nil, nil
	}
	if err != nil {
		return nil, nil, fmt.Errorf("restore state: %w", err)
	}
	return eng, h.Parts, nil
}

// resume gives partitions their clocks back, by name.
func (k *core) resume(saved []partState) {
	for _, st := range saved {
		for i := range k.parts {
			if p := &k.parts[i]; p.name == st.Name {
				p.clock, p.tick, p.seq = st.Clock, st.Tick, st.Seq
			}
		}
	}
}

// Positions are the last sequence applied of each partition, by its name: where
// the sources go on after Init.
func (s *Stream) Positions() map[string]uint64 {
	m := map[string]uint64{}
	for i := range s.core.parts {
		if p := &s.core.parts[i]; p.seq > 0 {
			m[p.name] = p.seq
		}
	}
	return m
}
