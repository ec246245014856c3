package decode

import (
	"strings"

	"corral/event"
)

// grpcCodes are the canonical names of gRPC's status codes by number.
var grpcCodes = [...]string{
	"OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED",
	"RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED",
}

// grpcByLetters finds a code by its letters, lower case and without separators.
var grpcByLetters = func() map[string]string {
	m := map[string]string{"canceled": "CANCELLED"}
	for _, c := range grpcCodes {
		m[strings.ToLower(strings.ReplaceAll(c, "_", ""))] = c
	}
	return m
}()

// grpcCode returns the canonical name of a status in any spelling: number,
// DeadlineExceeded, DEADLINE_EXCEEDED, deadline-exceeded, "Code(4)".
func grpcCode(s string) (string, bool) {
	s = strings.TrimSuffix(strings.TrimPrefix(s, "Code("), ")")
	if n, ok := integer(s); ok {
		if n >= 0 && int(n) < len(grpcCodes) {
			return grpcCodes[n], true
		}
		return "", false
	}
	if len(s) > 32 {
		return "", false
	}
	var buf [32]byte
	b := buf[:0]
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case 'A' <= c && c <= 'Z':
			b = append(b, c|0x20)
		case 'a' <= c && c <= 'z':
			b = append(b, c)
		case c != '_' && c != '-' && c != ' ':
			return "", false
		}
	}
	code, ok := grpcByLetters[string(b)]
	return code, ok
}

// unmistakable reports whether a status text can only be a gRPC code: names of
// one common word ("Unknown", "Internal") are not.
func unmistakable(s string) bool {
	code, ok := grpcCode(s)
	if !ok || s == "" || s[0]-'0' <= 9 {
		return false
	}
	return strings.Contains(code, "_") || code == "UNAUTHENTICATED" || code == "UNIMPLEMENTED"
}

// rpcError finds gRPC's own error text and returns its canonical code.
func rpcError(s string) (string, bool) {
	const mark = "rpc error: code = "
	if strings.IndexByte(s, '=') < 0 {
		return "", false // most texts have none, and one byte is found faster
	}
	i := strings.Index(s, mark)
	if i < 0 {
		return "", false
	}
	s = s[i+len(mark):]
	return grpcCode(s[:wordLen(s)])
}

// natsErrCode finds the err_code of a JetStream API error in a client's text:
// "nats: API error: code=503 err_code=10077 …", or Java's "… [10071]".
func natsErrCode(s string) int {
	under := strings.IndexByte(s, '_')
	if under < 0 && strings.IndexByte(s, '[') < 0 {
		return 0
	}
	if i := strings.Index(s, "err_code"); under >= 0 && i >= 0 {
		s = strings.TrimLeft(s[i+len("err_code"):], `"\:= `)
		return errCodeAt(s)
	}
	if i := strings.Index(s, "JetStreamApiException"); i >= 0 {
		if j := strings.IndexByte(s[i:], '['); j >= 0 {
			return errCodeAt(s[i+j+1:])
		}
	}
	return 0
}

// natsClientFacts takes what the service logged beside a NATS client's error.
func (m *mapper) natsClientFacts(ev *event.Event) {
	n := &ev.NATS
	if n.ErrCode == 0 && !strings.Contains(ev.Error, "nats: ") && !strings.Contains(ev.Message, "nats: ") {
		return
	}
	for _, x := range []struct {
		field field
		to    *string
	}{{fAnySubject, &n.Subject}, {fAnyStream, &n.Stream}, {fAnyConsumer, &n.Consumer}} {
		if s := m.vals[x.field]; *x.to == "" && m.has(x.field) && s.s != "stdout" && s.s != "stderr" {
			*x.to = s.text(&m.arena)
		}
	}
}

// errCodeAt reads the five digits of a JetStream error code.
func errCodeAt(s string) int {
	if len(s) < 5 || len(s) > 5 && s[5]-'0' <= 9 {
		return 0
	}
	n, ok := integer(s[:5])
	if !ok || n < 10000 || n > 10999 {
		return 0
	}
	return int(n)
}

func wordLen(s string) int {
	for i := 0; i < len(s); i++ {
		if !isWord(s[i]) {
			return i
		}
	}
	return len(s)
}

func isWord(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '_'
}
