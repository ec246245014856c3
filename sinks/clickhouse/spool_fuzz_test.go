package clickhouse

import (
	"testing"

	"corral/correlate"
)

// FuzzSpoolFile reads files that are not what the spool wrote: they are refused
// as damaged or give transitions that can be written again.
func FuzzSpoolFile(f *testing.F) {
	s := &spool{}
	if err := s.codecs(); err != nil {
		f.Fatal(err)
	}
	plain, err := encode([]*correlate.Transition{{IncidentID: "a", Rev: 1}, {IncidentID: "a", Rev: 2, Title: "x\x00\xff"}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(s.enc.EncodeAll(plain, nil), plain)
	f.Add(s.enc.EncodeAll([]byte("null\n"), nil), []byte("null"))
	f.Fuzz(func(t *testing.T, file, text []byte) {
		_, _ = s.unpack(file)
		ts, err := s.unpack(s.enc.EncodeAll(text, nil)) // its checksum fits
		if err != nil {
			return
		}
		if _, err := encode(ts); err != nil {
			t.Errorf("read and cannot be written: %v", err)
		}
	})
}
