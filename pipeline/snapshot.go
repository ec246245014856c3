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
	"slices"

	"corral/correlate"
	"corral/ingest"
)

// Store keeps snapshots, and notes made between them. Save and Note return when
// what they were given would survive a crash; one goroutine may call Save while
// another calls Note.
//
// Load gives the newest snapshot first; one that try refuses is followed by the
// one before. notes are all that were made since the one before that snapshot at
// least, oldest first. Notes made before there was any snapshot come with nil.
type Store interface {
	Save(ctx context.Context, data []byte) error
	Note(ctx context.Context, data []byte) error
	Load(ctx context.Context, try func(name string, data []byte, notes [][]byte) error) error
}

// ErrNoSnapshot says that a Store is empty.
var ErrNoSnapshot = errors.New("no snapshot")

// ErrTaken says that another worker has the Store now. A worker to whom Save or
// Note says so ends: what it knows is not the state any more.
var ErrTaken = errors.New("another worker has taken the state over")

const (
	snapshotMagic   = "CORRALST"
	snapshotVersion = 1
)

// A snapshot is: magic, version u32, length u32 and JSON of header, the engine's
// own snapshot, CRC-32C u32 over all before it. Little endian.
type header struct {
	Parts []partState `json:"partitions"`
	Gen   uint64      `json:"rules_generation"`
	// Outbox was not delivered yet when the snapshot was taken.
	Outbox []*correlate.Transition `json:"outbox,omitempty"`
	Own    []*correlate.Transition `json:"own,omitempty"` // see announce
}

type partState struct {
	Name   string `json:"name"`
	Origin string `json:"origin,omitempty"`
	Clock  int64  `json:"clock"`
	Tick   int64  `json:"tick"`
	Seq    uint64 `json:"seq"`
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// snapshot encodes the whole state of the core. The parts of h are filled in.
func (k *core) snapshot(h header) ([]byte, error) {
	encode, err := k.freeze(h)
	if err != nil {
		return nil, err
	}
	return encode(0)
}

// freeze takes the state as it is. What it returns encodes it, beside the loop if
// need be; size is about how much that will be.
func (k *core) freeze(h header) (encode func(size int) ([]byte, error), err error) {
	for i := range k.parts {
		p := &k.parts[i]
		h.Parts = append(h.Parts, partState{Name: p.name, Origin: p.origin, Clock: p.clock, Tick: p.tick, Seq: p.seq})
	}
	head, err := json.Marshal(h)
	if err != nil {
		return nil, err
	}
	write := k.eng.Freeze()
	return func(size int) ([]byte, error) {
		b := bytes.NewBuffer(make([]byte, 0, size+size/8))
		b.WriteString(snapshotMagic)
		word := func(v uint32) { b.Write(binary.LittleEndian.AppendUint32(nil, v)) }
		word(snapshotVersion)
		word(uint32(len(head)))
		b.Write(head)
		if err := write(b); err != nil {
			return nil, fmt.Errorf("snapshot engine: %w", err)
		}
		word(crc32.Checksum(b.Bytes(), castagnoli))
		return b.Bytes(), nil
	}, nil
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
	if slices.Contains(h.Outbox, nil) || slices.Contains(h.Own, nil) {
		return h, nil, errors.New("header: a transition is missing")
	}
	return h, bytes.NewReader(body[fixed+int(n):]), nil
}

// restored is what a store had.
type restored struct {
	header
	eng   *correlate.Engine
	ticks map[string][]tick // what was noted after the snapshot, by partition
}

// restore returns the engine of the newest usable snapshot, or a new one.
func (s *Stream) restore(ctx context.Context) (*restored, error) {
	opt := correlate.Options{Shards: s.Shards, MaxBytes: s.MaxBytes}
	var got *restored
	fresh := func(notes [][]byte) (err error) {
		got = &restored{eng: correlate.New(s.Rules, opt)}
		got.ticks, err = recall(nil, notes)
		return err
	}
	if s.Store == nil {
		return got, fresh(nil)
	}
	err := s.Store.Load(ctx, func(name string, data []byte, notes [][]byte) error {
		if data == nil {
			return fresh(notes)
		}
		r, err := s.rebuild(data, notes, opt)
		if err != nil {
			s.Log.Error("snapshot refused, trying the one before", "snapshot", name, "error", err)
			return err
		}
		got = r
		s.Log.Info("restored", "snapshot", name, "bytes", len(data))
		return nil
	})
	switch {
	case errors.Is(err, ErrNoSnapshot):
		return got, fresh(nil)
	case err != nil:
		return nil, fmt.Errorf("restore state: %w", err)
	}
	return got, nil
}

func (s *Stream) rebuild(data []byte, notes [][]byte, opt correlate.Options) (*restored, error) {
	h, state, err := open(data)
	if err != nil {
		return nil, err
	}
	r := &restored{header: h}
	if r.eng, err = correlate.Restore(s.Rules, opt, state); err != nil {
		return nil, err
	}
	r.ticks, err = recall(h.Parts, notes)
	return r, err
}

// resume gives partitions their clocks back, by name.
func (k *core) resume(saved []partState) {
	for _, st := range saved {
		for i := range k.parts {
			if p := &k.parts[i]; p.name == st.Name {
				p.clock, p.tick, p.seq, p.origin = st.Clock, st.Tick, st.Seq, st.Origin
			}
		}
	}
}

// Positions are the last record applied of each partition, by its name: where the
// sources go on after Init.
func (s *Stream) Positions() map[string]ingest.Position {
	m := map[string]ingest.Position{}
	for i := range s.core.parts {
		if p := &s.core.parts[i]; p.seq > 0 {
			m[p.name] = ingest.Position{Seq: p.seq, Origin: p.origin}
		}
	}
	return m
}
