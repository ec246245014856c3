package correlate_test

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"io"
	"math"
	"strings"
	"testing"
	"time"

	"corral/correlate"
)

// everything has a rule of every kind and state of every sort in the snapshot.
const everything = burst + single + `
  - id: beat
    match: message == "beat"
    group_by: [service]
    absence: {every: 20s}
  - id: many
    match: message != ""
    group_by: [message]
    limits: {open: 1}
    event: {}
  - id: values
    match: true
    group_by: [service]
    severity: [{when: count() >= 5, is: critical}, {is: info}]
    title: "{{ previous(count()) }} {{ baseline(count(), 1m, 2) }} {{ sum(severity_number) }} {{ max(severity_number) }} {{ last(message) }}"
    threshold:
      window: 30s
      condition: distinct(message) >= 2 && quantile(0.5, severity_number) >= 0 && count(message == 'bad') > 0
  - id: tumble
    match: true
    threshold: {window: {tumbling: 30s}, condition: count() < 3}
  - id: session
    match: true
    group_by: [service]
    threshold: {window: {session: 3s, max: 1m}, condition: "last(message) == 'bad'"}
  - id: deploys
    match: true
    change: {of: message, detect: changed}
  - id: both
    group_by: [service]
    temporal:
      window: 10s
      events: {bad: message == "bad", gone: message == "gone"}
  - id: steps
    group_by: [service]
    sequence:
      within: 1m
      steps:
        - {name: bad, match: message == "bad", times: 2}
        - {name: gone, match: message == "gone"}
  - id: above
    from: incidents
    match: incident.state == "open"
    event: {}
`

func lively(t *testing.T) *world {
	w := newWorld(t, rulesFile(everything))
	for i, m := range strings.Fields("bad bad beat bad gone bad bad gone beat bad bad bad gone") {
		w.log(time.Duration(i)*700*time.Millisecond, []string{"a", "b", "c"}[i%3], m)
	}
	w.e.Advance(at(8*time.Second), w.emit)
	return w
}

func snapshot(t testing.TB, e *correlate.Engine) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := e.Snapshot(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestSnapshotRestoresEverything(t *testing.T) {
	a, b := lively(t), lively(t)
	data := snapshot(t, b.e)
	e, err := correlate.Restore(b.set, correlate.Options{Shards: 3}, bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	b.e = e
	if again := snapshot(t, e); !bytes.Equal(again, data) {
		t.Errorf("the snapshot of what was restored differs: %d and %d bytes", len(again), len(data))
	}
	if a.e.Stats().Buffered == 0 {
		t.Fatal("nothing is in the reorder buffer: the test proves less than it should")
	}
	for _, w := range []*world{a, b} {
		w.log(20*time.Second, "a", "bad")
		w.advance(48 * time.Hour)
	}
	if len(a.out) < 30 {
		t.Errorf("only %d transitions: the test proves little", len(a.out))
	}
	b.expect("restored", b.told(), a.told()...)
}

func TestRestoreRefusesDamage(t *testing.T) {
	w := lively(t)
	data := snapshot(t, w.e)
	restore := func(b []byte) error {
		_, err := correlate.Restore(w.set, correlate.Options{}, bytes.NewReader(b))
		return err
	}
	for n := 0; n < len(data); n += 1 + n/64 {
		if restore(data[:n]) == nil {
			t.Fatalf("%d of %d bytes were accepted", n, len(data))
		}
	}
	for i := 0; i < len(data); i += 1 + i/64 {
		damaged := bytes.Clone(data)
		damaged[i] ^= 0x10
		if restore(damaged) == nil {
			t.Fatalf("a flipped bit in byte %d was accepted", i)
		}
	}
}

func TestRestoreSaysWhatIsWrong(t *testing.T) {
	w := lively(t)
	data := snapshot(t, w.e)
	newer := bytes.Clone(data)
	binary.LittleEndian.PutUint32(newer[8:], 99)
	for name, c := range map[string]struct {
		data []byte
		want string
	}{
		"empty":     {nil, "restore snapshot: this is not a snapshot of the engine"},
		"foreign":   {[]byte(`{"version": 1, "state": {}}`), "restore snapshot: this is not a snapshot of the engine"},
		"version":   {newer, "restore snapshot: version 99, this corral reads version 5"},
		"truncated": {data[:len(data)-100], "truncated"},
		"damaged":   {append(bytes.Clone(data[:len(data)-1]), data[len(data)-1]^1), "it is damaged"},
	} {
		_, err := correlate.Restore(w.set, correlate.Options{}, bytes.NewReader(c.data))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got error %v, want %q", name, err, c.want)
		}
	}
}

// FuzzRestore gives Restore bodies with a checksum that fits: it must refuse or
// restore, and what it restores must work.
func FuzzRestore(f *testing.F) {
	set := parse(f, rulesFile(everything))
	w := lively(&testing.T{})
	whole := snapshot(f, w.e)
	f.Add(whole[20 : len(whole)-4])
	f.Fuzz(func(t *testing.T, body []byte) {
		data := bytes.Clone(whole[:12]) // magic and version
		data = binary.LittleEndian.AppendUint64(data, uint64(len(body)))
		data = append(data, body...)
		data = binary.LittleEndian.AppendUint32(data, crc32.Checksum(data, crc32.MakeTable(crc32.Castagnoli)))
		e, err := correlate.Restore(set, correlate.Options{}, bytes.NewReader(data))
		if err != nil {
			return
		}
		_ = e.Stats()
		e.Advance(min(e.Watermark(), math.MaxInt64-int64(time.Hour))+int64(time.Hour), func(*correlate.Transition) {})
		if err := e.Snapshot(io.Discard); err != nil {
			t.Error(err)
		}
	})
}
