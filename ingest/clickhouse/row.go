package clickhouse

import (
	"bytes"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"corral/event"
	"corral/ingest"
	"corral/ingest/decode"
)

// row is a row as it was read. Flat and named values are JSON.
type row struct {
	time                              int64
	body, level, service, trace, span string
	number                            int32
	json                              []string // of the layout's flat, then named columns
}

func (r *row) targets() []any {
	out := []any{&r.time, &r.body, &r.level, &r.number, &r.service, &r.trace, &r.span}
	for i := range r.json {
		out = append(out, &r.json[i])
	}
	return out
}

func (r *row) size() int {
	n := 200 + len(r.body) + len(r.service)
	for _, s := range r.json {
		n += len(s)
	}
	return n
}

// encoder makes lines of rows.
type encoder struct {
	layout *layout
	dec    *decode.Decoder
	at     []byte // scratch
}

func newEncoder(l *layout) *encoder { return &encoder{layout: l, dec: decode.New(decode.Options{})} }

// appendLine appends the row as one line. A body that is a whole log record, and
// says all that the other columns say, is the line: then the event is the one
// that the file of these lines gives. Else the line is a JSON record in whose
// "formattedMessage" is the body; around it are the columns, as a shipper has
// its own fields around the line it read.
func (e *encoder) appendLine(b []byte, r *row) []byte {
	if e.isRecord(r) {
		return append(append(b, r.body...), '\n')
	}
	b = append(b, `{"source_type":"clickhouse"`...)
	for i, s := range r.json {
		if i < len(e.layout.flat) {
			b = appendMembers(b, s)
		} else {
			b = appendMember(b, e.layout.named[i-len(e.layout.flat)].field, s)
		}
	}
	if !r.namesService() {
		b = appendText(b, "service.name", r.service)
	}
	b = appendText(b, "trace_id", r.trace)
	b = appendText(b, "span_id", r.span)
	b = appendText(b, "level", r.level)
	if r.number > 0 {
		b = append(b, `,"severity_number":`...)
		b = strconv.AppendInt(b, int64(r.number), 10)
	}
	b = append(b, `,"@timestamp":"`...)
	b = time.Unix(0, r.time).UTC().AppendFormat(b, time.RFC3339Nano)
	b = append(b, '"')
	b = appendText(b, "formattedMessage", r.body)
	return append(b, '}', '\n')
}

// namesService reports whether the service is among the attributes, as that of a
// resource is: a key that comes twice takes longer to read.
func (r *row) namesService() bool {
	return slices.ContainsFunc(r.json, func(s string) bool { return strings.Contains(s, `"service.name":`) })
}

// isRecord reports whether the body alone gives an event with its own time,
// service and trace, and nothing is lost without the other columns.
func (e *encoder) isRecord(r *row) bool {
	if len(r.body) < 2 || strings.ContainsAny(r.body, "\n\r") {
		return false
	}
	e.at = append(appendQuoted(append(e.at[:0], `{"service.name":`...), r.service), '}')
	for _, s := range r.json {
		if !emptyJSON(s) && s != string(e.at) {
			return false
		}
	}
	e.at = append(e.at[:0], r.body...)
	events, whole := 0, true
	e.dec.Decode(ingest.Record{Data: e.at, Seq: 1, Lines: true}, func(ev *event.Event) {
		events++
		whole = whole && ev.Format != "text" && ev.TimeQuality == event.TimeExact && ev.Raw == r.body &&
			(r.service == "" || ev.Service == r.service) && (r.trace == "" || ev.TraceID == r.trace)
	}, func(decode.DeadRecord) { whole = false })
	return events == 1 && whole
}

// emptyJSON reports whether a value says nothing.
func emptyJSON(s string) bool { return s == "{}" || s == `""` || s == "null" || s == "" }

// appendMembers appends the members of a JSON object.
func appendMembers(b []byte, object string) []byte {
	if len(object) <= 2 || object[0] != '{' {
		return b
	}
	b = append(b, ',')
	return appendJSON(b, object[1:len(object)-1])
}

func appendMember(b []byte, field, json string) []byte {
	if emptyJSON(json) {
		return b
	}
	b = appendQuoted(append(b, ','), field)
	return appendJSON(append(b, ':'), json)
}

// appendJSON appends what the server wrote as JSON. It escapes slashes by
// default, which nobody wants to read.
func appendJSON(b []byte, json string) []byte {
	for {
		i := strings.IndexByte(json, '\\')
		if i < 0 || i+1 == len(json) {
			return append(b, json...)
		}
		b = append(b, json[:i]...)
		if json[i+1] != '/' {
			b = append(b, '\\')
		}
		b = append(b, json[i+1])
		json = json[i+2:]
	}
}

func appendText(b []byte, field, text string) []byte {
	if text == "" {
		return b
	}
	b = appendQuoted(append(b, ','), field)
	return appendQuoted(append(b, ':'), text)
}

// appendQuoted appends s as a JSON string, bytes that are no UTF-8 as U+FFFD.
func appendQuoted(b []byte, s string) []byte {
	b = append(b, '"')
	for s != "" {
		i := strings.IndexFunc(s, special)
		if i < 0 {
			b = append(b, s...)
			break
		}
		b = append(b, s[:i]...)
		r, n := utf8.DecodeRuneInString(s[i:])
		b = appendSpecial(b, r)
		s = s[i+n:]
	}
	return append(b, '"')
}

func special(r rune) bool { return r < 0x20 || r == '"' || r == '\\' || r == utf8.RuneError }

func appendSpecial(b []byte, r rune) []byte {
	const hex = "0123456789abcdef"
	switch r {
	case '"', '\\':
		return append(b, '\\', byte(r))
	case '\n':
		return append(b, `\n`...)
	case '\r':
		return append(b, `\r`...)
	case '\t':
		return append(b, `\t`...)
	case utf8.RuneError:
		return utf8.AppendRune(b, r)
	}
	return append(b, '\\', 'u', '0', '0', hex[r>>4], hex[r&15])
}

// pieces cuts the lines of rows into records of whole lines, numbered from 1.
func (e *encoder) pieces(rows []row) []ingest.Record {
	var out []ingest.Record
	var b []byte
	begin := 0
	for i := range rows {
		b = e.appendLine(b, &rows[i])
		if len(b) >= pieceSize || i == len(rows)-1 {
			out = append(out, ingest.Record{Data: bytes.Clone(b), Seq: uint64(begin) + 1, Lines: true})
			b, begin = b[:0], i+1
		}
	}
	return out
}

const pieceSize = 256 << 10
