package decode

import (
	"encoding/binary"
	"strconv"
	"strings"

	"corral/event"
)

const zeros = "00000000000000000000000000000000"

// traceID normalises a trace id to 32 lower-case hex digits: shorter ones are
// padded, a UUID's dashes and a resource path before it go, a decimal number is
// Datadog's. What is none of these stays as it is.
func (m *mapper) traceID(s string) string {
	if len(s) == 32 && lowerHex(s) && s != zeros {
		return s
	}
	if i := strings.LastIndexByte(s, '/'); i >= 0 {
		s = s[i+1:]
	}
	s = strings.TrimPrefix(xrayID(s), "0x")
	if len(s) == 36 && strings.Count(s, "-") == 4 {
		s = strings.ReplaceAll(s, "-", "")
	}
	return m.hexID(decimalID(s), 32)
}

// xrayID takes the trace out of AWS X-Ray's header and joins the two parts of its ids:
// "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1".
func xrayID(s string) string {
	root, ok := strings.CutPrefix(s, "Root=")
	root = upTo(root, ";")
	if len(root) != 35 || root[1] != '-' || root[10] != '-' || root[0]-'0' > 9 {
		if ok {
			return root
		}
		return s
	}
	return root[2:10] + root[11:]
}

// decimalID turns the decimal ids of Datadog, 64 bits of 17 digits or more, into
// hex.
func decimalID(s string) string {
	if len(s) < 17 || len(s) > 20 || !allDigits(s) {
		return s
	}
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		return s
	}
	return strconv.FormatUint(n, 16)
}

// hexID pads hex digits to n and makes them lower case; other text, and an id of
// zeros only (OpenTelemetry's "none"), are handled as text and as absent.
func (m *mapper) hexID(s string, n int) string {
	if len(s) == n && lowerHex(s) && s[0] != '0' {
		return s
	}
	if len(s) > 16 && len(s) < 21 && n == 16 {
		s = strings.TrimPrefix(decimalID(s), "0x")
	}
	if !isHex(s) || len(s) > n || len(s) < 8 {
		return s
	}
	if strings.Trim(s, "0") == "" {
		return ""
	}
	if len(s) == n && !hasUpper(s) {
		return s
	}
	return m.arena.join(zeros[:n-len(s)], strings.ToLower(s))
}

// lowerHex reports whether all of s, whose length is a multiple of eight, are hex
// digits without capitals. In each lane of eight, adding 0x80-low sets the high
// bit of what is at least low, adding 0x7f-high that of what is above high.
func lowerHex(s string) bool {
	b := bytesOf(s)
	ok := uint64(highs)
	for ; len(b) >= 8; b = b[8:] {
		v := binary.LittleEndian.Uint64(b)
		digit := (v + (0x80-'0')*ones) &^ (v + (0x7f-'9')*ones)
		letter := (v + (0x80-'a')*ones) &^ (v + (0x7f-'f')*ones)
		ok &= (digit | letter) &^ v
	}
	return ok&highs == highs
}

func isHex(s string) bool {
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c-'0' > 9 && (c|0x20)-'a' > 5 {
			return false
		}
	}
	return s != ""
}

func hasUpper(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i]-'A' <= 'Z'-'A' {
			return true
		}
	}
	return false
}

func allDigits(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i]-'0' > 9 {
			return false
		}
	}
	return s != ""
}

// fillTraceparent takes trace and span from a W3C traceparent, Zipkin's b3 or
// Jaeger's uber-trace-id, where the record has none of their own.
func (m *mapper) fillTraceparent(ev *event.Event) {
	trace, span := splitTraceparent(m.text(fTraceparent))
	if !m.has(fTrace) && trace != "" {
		ev.TraceID = m.traceID(trace)
	}
	if !m.has(fSpan) && span != "" {
		ev.SpanID = m.hexID(span, 16)
	}
}

func splitTraceparent(s string) (trace, span string) {
	if len(s) >= 55 && s[2] == '-' && s[35] == '-' && s[52] == '-' {
		return s[3:35], s[36:52]
	}
	for _, sep := range []string{"-", ":"} {
		if parts := strings.Split(s, sep); len(parts) >= 2 && isHex(parts[0]) && len(parts[0]) >= 16 && isHex(parts[1]) {
			return parts[0], parts[1]
		}
	}
	return "", ""
}

// textIDs finds ids a service wrote into its message: "TraceID: <32 hex> SpanID:
// <16 hex>", trace_id=…, in any spelling of the words.
func textIDs(s string) (trace, span string) {
	return labelledHex(s, "race", 32), labelledHex(s, "pan", 16)
}

// labelledHex finds n hex digits after a label that begins with any letter, goes
// on with stem and ends in "id" and a separator.
func labelledHex(s, stem string, n int) string {
	for {
		i := strings.Index(s, stem)
		if i < 0 {
			return ""
		}
		s = s[i+len(stem):]
		rest := strings.TrimLeft(s, "_-. ")
		if len(rest) < 3 || rest[0]|0x20 != 'i' || rest[1]|0x20 != 'd' {
			continue
		}
		rest = strings.TrimLeft(rest[2:], `"':= `)
		if len(rest) >= n && isHex(rest[:n]) && (len(rest) == n || !isWord(rest[n])) {
			return rest[:n]
		}
	}
}
