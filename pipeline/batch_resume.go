package pipeline

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"

	"corral/correlate"
	"corral/ingest"
)

// Checkpoint is how far an interrupted run has come: what it needs to go on as if
// it had not been interrupted.
type Checkpoint struct {
	Parts []PartitionMark
	lanes []laneMark
}

// PartitionMark is how far one partition was applied.
type PartitionMark struct {
	Name  string      `json:"name"`
	Seq   uint64      `json:"seq"`  // of the last record or line applied
	Mark  ingest.Mark `json:"mark"` // of a file
	Clock int64       `json:"clock"`
	Tick  int64       `json:"tick"`
	Ended bool        `json:"ended"`
}

// laneMark is the state of a lane.
type laneMark struct {
	Counts []uint64                `json:"counts"`
	Times  [2]int64                `json:"times"`
	Held   []*correlate.Transition `json:"held"` // not written yet
	Size   int                     `json:"size"` // of the engine's snapshot
	engine []byte
}

// place is where a partition was applied to.
type place struct {
	seq  uint64
	mark ingest.Mark
}

func (p *place) note(b *ingest.Batch) {
	if n := len(b.Records); n > 0 {
		p.seq = lastSeq(&b.Records[n-1])
	}
	if b.Mark != (ingest.Mark{}) {
		p.mark = b.Mark
	}
}

// lastSeq is the number of a record's last line, or its own.
func lastSeq(r *ingest.Record) uint64 {
	if !r.Lines {
		return r.Seq
	}
	n := bytes.Count(r.Data, newline)
	if !bytes.HasSuffix(r.Data, newline) {
		n++
	}
	return r.Seq + uint64(n) - 1
}

var newline = []byte{'\n'}

// after leaves out of a batch what was applied before seq.
func after(b ingest.Batch, seq uint64) ingest.Batch {
	for len(b.Records) > 0 && lastSeq(&b.Records[0]) <= seq {
		b.Records = b.Records[1:]
	}
	if len(b.Records) == 0 || b.Records[0].Seq > seq {
		return b
	}
	b.Records = append([]ingest.Record(nil), b.Records...)
	r := &b.Records[0] // begins before, ends behind
	for ; r.Seq <= seq; r.Seq++ {
		_, r.Data, _ = bytes.Cut(r.Data, newline)
	}
	return b
}

// counts are what a run goes on counting.
func (c *Counters) counts() []interface {
	Load() uint64
	Store(uint64)
} {
	type counter = interface {
		Load() uint64
		Store(uint64)
	}
	return []counter{
		&c.Records, &c.Bytes, &c.Events, &c.Matched, &c.Late, &c.Dead, &c.Skipped,
		&c.Transitions, &c.Opened, &c.Resolved,
	}
}

const checkpointMagic = "CORRALB1"

// checkpointHead is the JSON of a checkpoint; the engines' snapshots follow it.
type checkpointHead struct {
	Parts []PartitionMark `json:"partitions"`
	Lanes []laneMark      `json:"lanes"`
}

// Checkpoint encodes how far the run has come: after Run returned an error of its
// context, that is behind the last batch that took effect.
func (b *Batch) Checkpoint() ([]byte, error) {
	if len(b.Lanes) == 0 || b.Lanes[0].core == nil {
		return nil, errors.New("the run did not begin")
	}
	h := checkpointHead{}
	for i := range b.Lanes[0].core.parts {
		p := &b.Lanes[0].core.parts[i]
		at := b.places[i]
		h.Parts = append(h.Parts, PartitionMark{p.name, at.seq, at.mark, p.clock, p.tick, p.ended})
	}
	var engines bytes.Buffer
	for _, l := range b.Lanes {
		before := engines.Len()
		if err := l.Engine.Snapshot(&engines); err != nil {
			return nil, err
		}
		m := laneMark{Size: engines.Len() - before, Times: [2]int64{l.Counters.MinEventTime.Load(), l.Counters.MaxEventTime.Load()}}
		for _, c := range l.Counters.counts() {
			m.Counts = append(m.Counts, c.Load())
		}
		for _, e := range l.hold.queue {
			m.Held = append(m.Held, e.t)
		}
		h.Lanes = append(h.Lanes, m)
	}
	head, err := json.Marshal(h)
	if err != nil {
		return nil, err
	}
	out := append([]byte(checkpointMagic), binary.LittleEndian.AppendUint64(nil, uint64(len(head)))...)
	out = append(append(out, head...), engines.Bytes()...)
	return binary.LittleEndian.AppendUint32(out, crc32.Checksum(out, castagnoli)), nil
}

// ReadCheckpoint decodes what Batch.Checkpoint encoded.
func ReadCheckpoint(data []byte) (*Checkpoint, error) {
	const fixed = len(checkpointMagic) + 8
	if len(data) < fixed+4 || string(data[:len(checkpointMagic)]) != checkpointMagic {
		return nil, errors.New("not a checkpoint of a batch run")
	}
	body, sum := data[:len(data)-4], binary.LittleEndian.Uint32(data[len(data)-4:])
	if crc32.Checksum(body, castagnoli) != sum {
		return nil, errors.New("checksum does not fit: truncated or damaged")
	}
	n := binary.LittleEndian.Uint64(body[len(checkpointMagic):])
	if n > uint64(len(body)-fixed) {
		return nil, errors.New("header longer than the checkpoint")
	}
	var h checkpointHead
	if err := json.Unmarshal(body[fixed:fixed+int(n)], &h); err != nil {
		return nil, fmt.Errorf("header: %w", err)
	}
	rest := body[fixed+int(n):]
	for i := range h.Lanes {
		l := &h.Lanes[i]
		if l.Size < 0 || l.Size > len(rest) {
			return nil, errors.New("engine state is cut off")
		}
		l.engine, rest = rest[:l.Size], rest[l.Size:]
	}
	return &Checkpoint{h.Parts, h.Lanes}, nil
}

// Events is how many the run had read.
func (c *Checkpoint) Events() uint64 {
	const events = 2 // in counts
	if len(c.lanes) == 0 || len(c.lanes[0].Counts) <= events {
		return 0
	}
	return c.lanes[0].Counts[events]
}

// restore makes the lanes what they were.
func (b *Batch) restore() error {
	parts := b.Source.Partitions()
	if len(b.Resume.lanes) != len(b.Lanes) || len(b.Resume.Parts) != len(parts) {
		return errors.New("resume: the checkpoint is of another run")
	}
	for i, l := range b.Lanes {
		m := &b.Resume.lanes[i]
		eng, err := correlate.Restore(l.Rules, l.options(b), bytes.NewReader(m.engine))
		if err != nil {
			return fmt.Errorf("resume: %w", err)
		}
		l.start(b, eng)
		l.resume(m)
	}
	for i, p := range b.Resume.Parts {
		if p.Name != parts[i].Name {
			return fmt.Errorf("resume: the checkpoint has %s where this run has %s", p.Name, parts[i].Name)
		}
		b.places[i] = place{p.Seq, p.Mark}
		for _, l := range b.Lanes {
			q := &l.core.parts[i]
			q.clock, q.tick, q.seq, q.ended = p.Clock, p.Tick, p.Seq, p.Ended
		}
	}
	b.Source = resumed{b.Source, b.Resume.Parts}
	return nil
}

func (l *Lane) resume(m *laneMark) {
	for i, c := range l.Counters.counts() {
		if i < len(m.Counts) {
			c.Store(m.Counts[i])
		}
	}
	l.Counters.MinEventTime.Store(m.Times[0])
	l.Counters.MaxEventTime.Store(m.Times[1])
	for _, t := range m.Held {
		l.hold.add(t) // finds out anew which has to wait
	}
}

// Places are the number of the last record or line applied of each partition, and
// where that is in a file.
func (b *Batch) Places() []PartitionMark {
	out := make([]PartitionMark, len(b.places))
	for i, p := range b.places {
		out[i] = PartitionMark{Seq: p.seq, Mark: p.mark}
	}
	return out
}
