package correlate

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
)

// Fingerprint names the series of incidents of a rule and key, for ever: hex of
// the first 16 bytes of SHA-256 over rule id, key names and values in order,
// each with its length as 8 bytes, big endian, in front.
func Fingerprint(rule string, names, values []string) string {
	h := sha256.New()
	var length [8]byte
	write := func(s string) {
		binary.BigEndian.PutUint64(length[:], uint64(len(s)))
		h.Write(length[:])
		h.Write([]byte(s))
	}
	write(rule)
	for i, v := range values {
		write(names[i])
		write(v)
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// crockford are the digits of base32 that people cannot confuse.
const crockford = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

// IncidentID names one episode: fingerprint and the event time it began, so the
// same events give the same id anywhere. Ids of one fingerprint sort by time.
func IncidentID(fingerprint string, anchor int64) string {
	var digits [13]byte
	v := uint64(anchor)
	for i := len(digits) - 1; i >= 0; i-- {
		digits[i] = crockford[v&31]
		v >>= 5
	}
	return fingerprint[:12] + "-" + string(digits[:])
}
