package pipeline

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"slices"
	"strings"

	"corral/ingest"
)

// A note is what a replay of the stream could not find out by itself: where the
// wall clock moved the watermark of an idle partition. It is stored before
// anything that may depend on it is delivered, so that a worker that was killed
// decides anew what is late, and what has ended, as it did before.
type note struct {
	Partition string `json:"partition"`
	Origin    string `json:"origin,omitempty"`
	Ticks     []tick `json:"ticks"`
}

// tick: after record Seq, before the next, the watermark was moved to At.
type tick struct {
	Seq uint64 `json:"seq"`
	At  int64  `json:"at"`
}

// noting is what a partition of a live source has beside.
type noting struct {
	origin string
	replay bool   // what was not acknowledged comes again
	ticks  []tick // not noted yet
}

// comesFrom says whose sequences the partition's are.
func (p *partition) comesFrom(origin string) {
	if origin == "" || origin == p.origin {
		return
	}
	if p.origin != "" {
		p.ticks = nil // they name sequences of a stream that is gone
	}
	p.origin = origin
}

// ticked remembers where the clock moved the watermark, if that made a difference.
func (p *partition) ticked(to int64, lateness int64) {
	if to <= p.tick {
		return
	}
	p.tick = to
	if !p.replay || p.watermark(lateness) != to {
		return
	}
	if n := len(p.ticks); n > 0 && p.ticks[n-1].Seq == p.seq {
		p.ticks[n-1].At = to
		return
	}
	p.ticks = append(p.ticks, tick{p.seq, to})
}

// notes are what has to be noted since the last time, nil if nothing.
func (k *core) notes() ([]byte, error) {
	var ns []note
	for i := range k.parts {
		if p := &k.parts[i]; len(p.ticks) > 0 {
			ns = append(ns, note{p.name, p.origin, p.ticks})
		}
	}
	if ns == nil {
		return nil, nil
	}
	return json.Marshal(ns)
}

// noted says that notes are safe, or that a snapshot is with all they say.
func (k *core) noted() {
	for i := range k.parts {
		k.parts[i].ticks = nil
	}
}

// recall returns the ticks that follow what a snapshot knows, by partition name,
// in order.
func recall(parts []partState, noted [][]byte) (map[string][]tick, error) {
	m := map[string][]tick{}
	for _, data := range noted {
		var ns []note
		if err := json.Unmarshal(data, &ns); err != nil {
			return nil, fmt.Errorf("note: %w", err)
		}
		for _, n := range ns {
			i := slices.IndexFunc(parts, func(p partState) bool { return p.Name == n.Partition && p.Origin == n.Origin })
			if i < 0 && len(parts) > 0 {
				continue // of a stream that is not there any more
			}
			for _, t := range n.Ticks {
				if i < 0 || t.Seq >= parts[i].Seq {
					m[n.Partition] = append(m[n.Partition], t)
				}
			}
		}
	}
	for _, ticks := range m {
		slices.SortStableFunc(ticks, func(a, b tick) int {
			if a.Seq != b.Seq {
				return int(min(1, max(-1, int64(a.Seq)-int64(b.Seq))))
			}
			return int(min(1, max(-1, a.At-b.At)))
		})
	}
	return m, nil
}

// replayed hands b to out in parts, and between them the ticks that were noted at
// those places; what is left of the ticks is returned.
func replayed(b ingest.Batch, ticks []tick, out func(b ingest.Batch, at int64) error) ([]tick, error) {
	for len(ticks) > 0 && len(b.Records) > 0 {
		n := slices.IndexFunc(b.Records, func(r ingest.Record) bool { return r.Seq > ticks[0].Seq })
		if n < 0 {
			break // the tick came later
		}
		if n > 0 {
			first := b
			first.Records, first.Done, first.End, first.Pending = b.Records[:n], nil, false, -1
			if err := out(first, 0); err != nil {
				return ticks, err
			}
			b.Records = b.Records[n:]
		}
		if err := out(ingest.Batch{Partition: b.Partition, Origin: b.Origin}, ticks[0].At); err != nil {
			return ticks, err
		}
		ticks = ticks[1:]
	}
	return ticks, out(b, 0)
}

// FrameNote makes a line of a note that can be told from one that a crash tore.
func FrameNote(data []byte) []byte {
	return fmt.Appendf(nil, "%08x %s\n", crc32.Checksum(data, castagnoli), data)
}

// UnframeNotes reads lines of FrameNote; what is torn or damaged is left out:
// nothing that came after it was delivered, or a newer snapshot knows it.
func UnframeNotes(text []byte) (notes [][]byte) {
	for line := range strings.Lines(string(text)) {
		sum, body, ok := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		want := binary.BigEndian.AppendUint32(nil, crc32.Checksum([]byte(body), castagnoli))
		if ok && strings.HasSuffix(line, "\n") && sum == fmt.Sprintf("%x", want) {
			notes = append(notes, []byte(body))
		}
	}
	return notes
}
