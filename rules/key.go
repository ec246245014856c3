package rules

import "encoding/binary"

// EncodeKey makes one string of group key values, length-prefixed, and DecodeKey
// the values of it again. No values make the empty string.
func EncodeKey(values []string) string {
	if len(values) == 0 {
		return ""
	}
	n := 0
	for _, v := range values {
		n += len(v) + 2
	}
	b := make([]byte, 0, n)
	for _, v := range values {
		b = appendKey(b, v)
	}
	return string(b)
}

func appendKey(b []byte, v string) []byte {
	b = binary.AppendUvarint(b, uint64(len(v)))
	return append(b, v...)
}

// DecodeKey is EncodeKey's inverse. The values are views on key; what is not a
// key yields the values before the damage.
func DecodeKey(key string) []string {
	var values []string
	for key != "" {
		n, w := uvarint(key)
		if w <= 0 || uint64(len(key)-w) < n {
			return values
		}
		values = append(values, key[w:w+int(n)])
		key = key[w+int(n):]
	}
	return values
}

func uvarint(s string) (uint64, int) {
	var x uint64
	for i := 0; i < len(s) && i < binary.MaxVarintLen64; i++ {
		x |= uint64(s[i]&0x7f) << (7 * i)
		if s[i] < 0x80 {
			return x, i + 1
		}
	}
	return 0, 0
}
