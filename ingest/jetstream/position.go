package jetstream

import "strings"

// position is what the reply subject of a delivered message says:
//
//	$JS.ACK.<stream>.<consumer>.<deliveries>.<sseq>.<dseq>.<time>.<pending>
//	$JS.ACK.<domain>.<account>.<stream>.<consumer>.<deliveries>.<sseq>.<dseq>.<time>.<pending>[.<token>]
type position struct {
	deliveries uint64
	stream     uint64 // sequence in the stream
	delivery   uint64 // sequence of the delivery, gapless for one consumer
	time       int64  // when the stream stored the message, nanoseconds since the epoch
	pending    uint64 // messages that the consumer had still to deliver after this one
}

// parseReply reads a reply subject without allocating.
func parseReply(reply string) (p position, ok bool) {
	rest, ok := strings.CutPrefix(reply, "$JS.ACK.")
	if !ok {
		return p, false
	}
	switch dots := strings.Count(rest, "."); {
	case dots == 6:
		rest = skipTokens(rest, 2)
	case dots >= 8:
		rest = skipTokens(rest, 4)
	default:
		return p, false
	}
	for _, field := range [...]*uint64{&p.deliveries, &p.stream, &p.delivery, (*uint64)(nil), &p.pending} {
		var n uint64
		n, rest, ok = number(rest)
		if !ok {
			return p, false
		}
		if field == nil {
			p.time = int64(n)
		} else {
			*field = n
		}
	}
	return p, p.stream > 0
}

// skipTokens drops n tokens of s, which has more.
func skipTokens(s string, n int) string {
	for range n {
		s = s[strings.IndexByte(s, '.')+1:]
	}
	return s
}

// number reads the first token of s.
func number(s string) (n uint64, rest string, ok bool) {
	i := 0
	for ; i < len(s) && s[i] != '.'; i++ {
		if s[i] < '0' || s[i] > '9' {
			return 0, "", false
		}
		n = n*10 + uint64(s[i]-'0')
	}
	if i == 0 || i > 19 {
		return 0, "", false
	}
	return n, strings.TrimPrefix(s[i:], "."), true
}
