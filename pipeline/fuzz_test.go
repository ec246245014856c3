package pipeline

import (
	"encoding/binary"
	"encoding/json"
	"hash/crc32"
	"log/slog"
	"testing"
	"time"

	"corral/correlate"
	"corral/ingest"
	"corral/ingest/decode"
)

// seal makes a snapshot of any header and engine state whose checksum fits.
func seal(head, engine []byte) []byte {
	b := []byte(snapshotMagic)
	b = binary.LittleEndian.AppendUint32(b, snapshotVersion)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(head)))
	b = append(append(b, head...), engine...)
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

// FuzzSnapshot restores snapshots whose checksum fits and whose content somebody
// else made: they are refused, or a worker goes on from them.
func FuzzSnapshot(f *testing.F) {
	set := parseRules(f, shopRules)
	sess := NewSession(set, time.Second, correlate.Options{}, decode.Options{})
	for i, l := range shop()[:20] {
		sess.Feed(ingest.Record{Data: []byte(l), Seq: uint64(i + 1)}, 0)
	}
	whole, err := sess.core.snapshot(header{Gen: 3, Own: []*correlate.Transition{{IncidentID: "a", Rev: 1, Fingerprint: "f", State: "open"}}})
	if err != nil {
		f.Fatal(err)
	}
	n := binary.LittleEndian.Uint32(whole[len(snapshotMagic)+4:])
	body := whole[len(snapshotMagic)+8 : len(whole)-4]
	f.Add(body[:n], body[n:], []byte(`[{"partition":"session","ticks":[{"seq":20,"at":1772366400000000000}]}]`))
	f.Add([]byte(`{"own":[null],"outbox":[null]}`), body[n:], []byte(`[{"ticks":null}]`))
	f.Fuzz(func(t *testing.T, head, engine, note []byte) {
		s := &Stream{
			Rules: set, Sources: []ingest.Source{&script{}}, Counters: new(Counters), Now: time.Now, Log: slog.New(slog.DiscardHandler), Lateness: time.Second,
		}
		got, err := s.rebuild(seal(head, engine), UnframeNotes(FrameNote(note)), correlate.Options{})
		if err != nil {
			return
		}
		s.eng = got.eng
		s.core = newCore(got.eng, []ingest.Partition{{Name: "session", Replay: true}}, s.Lateness, s.Counters)
		s.core.emit = s.emit
		s.core.resume(got.Parts)
		s.own = got.Own
		for _, tr := range got.Outbox {
			s.emit(tr)
		}
		s.announce(nil)
		s.Positions()
		b := ingest.Batch{Records: []ingest.Record{{Seq: 1}, {Seq: 20}, {Seq: 21}}}
		if _, err := replayed(b, got.ticks["session"], func(ingest.Batch, int64) error { return nil }); err != nil {
			t.Error(err)
		}
		if _, err := s.core.snapshot(header{Gen: got.Gen, Own: s.own}); err != nil {
			t.Error("a restored state cannot be stored:", err)
		}
	})
}

// FuzzNotes reads files of notes that a crash, or somebody, has spoiled.
func FuzzNotes(f *testing.F) {
	note, err := json.Marshal([]note{{Partition: "stream:LOGS", Ticks: []tick{{Seq: 1, At: 5}, {Seq: 2, At: 7}}}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(append(FrameNote(note), FrameNote([]byte("null"))...))
	f.Add(FrameNote(note)[:20])
	f.Fuzz(func(t *testing.T, text []byte) {
		notes := UnframeNotes(text)
		var again []byte
		for _, n := range notes {
			again = append(again, FrameNote(n)...)
		}
		if len(UnframeNotes(again)) != len(notes) {
			t.Error("what was read as notes is not when it is written again")
		}
		_, _ = recall(nil, notes) // refused or not
	})
}
