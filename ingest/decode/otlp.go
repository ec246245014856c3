package decode

import (
	"encoding/hex"
	"fmt"
	"strings"
	"unicode/utf8"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"

	"corral/event"
)

// protobuf reports whether a message is an OTLP export of logs in protobuf: its
// sender says so, or it begins with a first field of the right shape and is no
// text.
func (d *Decoder) protobuf(data []byte) bool {
	if d.only == fmtOTLP {
		return true
	}
	if h := d.rec.Headers; h != nil {
		switch contentType(h) {
		case "application/x-protobuf", "application/protobuf":
			return true
		case "application/json", "application/cloudevents+json", "text/plain":
			return false
		}
	}
	// 0x0a is also a newline: text begins with what is left after it.
	return len(data) > 2 && data[0] == 0x0a && data[1] != '\n' && strings.IndexByte(view(data[:min(len(data), 64)]), 0x0a) >= 0 && protoLength(data)
}

func contentType(h map[string][]string) string {
	t, _, _ := strings.Cut(header(h, "Content-Type"), ";")
	return strings.ToLower(strings.TrimSpace(t))
}

// protoLength checks that the first field's length leads to the end of the data
// or to another field of the same number.
func protoLength(data []byte) bool {
	n, shift, i := 0, 0, 1
	for ; i < len(data) && i < 6; i++ {
		n |= int(data[i]&0x7f) << shift
		shift += 7
		if data[i] < 0x80 {
			end := i + 1 + n
			return n > 0 && (end == len(data) || end < len(data) && data[end] == 0x0a && (i > 1 || n > 1))
		}
	}
	return false
}

// otlpProto decodes an OTLP export of logs.
func (d *Decoder) otlpProto(data []byte, env *envelope) {
	var u plog.ProtoUnmarshaler
	logs, err := u.UnmarshalLogs(data)
	if err != nil {
		if d.rec.Headers == nil && d.only != fmtOTLP {
			d.messageLines(data, env) // it only looked like protobuf
			return
		}
		d.kill("undecodable", fmt.Sprintf("otlp: %v", err), data)
		return
	}
	d.otlp(logs, fmtOTLP, env)
}

// otlpJSON decodes OTLP's JSON. Package plog's reader takes any other JSON for an
// empty export, so the caller has made sure that it is one.
func (d *Decoder) otlpJSON(s string, env *envelope) bool {
	var u plog.JSONUnmarshaler
	logs, err := u.UnmarshalLogs(appendValid(nil, s))
	if err != nil {
		d.kill("undecodable", fmt.Sprintf("otlp json: %v", err), bytesOf(s))
		return true
	}
	d.otlp(logs, fmtOTLPJSON, env)
	return true
}

func (d *Decoder) otlp(logs plog.Logs, f format, env *envelope) {
	for _, rl := range logs.ResourceLogs().All() {
		resource := rl.Resource().Attributes()
		for _, sl := range rl.ScopeLogs().All() {
			for _, lr := range sl.LogRecords().All() {
				d.otlpRecord(lr, sl.Scope(), resource, f, env)
			}
		}
	}
}

// otlpRecord decodes one log record. Its attributes are offered to the named
// fields before those of its scope and resource.
func (d *Decoder) otlpRecord(lr plog.LogRecord, scope pcommon.InstrumentationScope, resource pcommon.Map, f format, env *envelope) {
	if d.otlpLine(lr, resource, env) {
		return
	}
	ev := d.start()
	attrs := map[string]any{}
	body := lr.Body()
	switch body.Type() {
	case pcommon.ValueTypeMap:
		d.otlpMap(body.Map(), attrs)
	case pcommon.ValueTypeStr:
		ev.Message = valid(body.Str())
	case pcommon.ValueTypeEmpty:
	default:
		ev.Message = body.AsString()
	}
	d.otlpMap(lr.Attributes(), attrs)
	d.otlpMap(resource, attrs)
	message := ev.Message
	d.m.fill(ev)
	ev.Message = firstText(message, firstText(ev.Message, lr.EventName()))
	d.dropTaken(attrs)
	d.otlpOwn(ev, lr, scope)
	in := *env
	in.eager = attrs
	if t := int64(lr.ObservedTimestamp()); in.time == 0 && t > 0 {
		in.time = t
	}
	d.finish(ev.Message, f, &in)
}

// otlpLine decodes a record whose body is a line that a collector read and did not
// parse: it has no severity, and the line is of a format that says more than text.
// What the record says besides is what an envelope does.
func (d *Decoder) otlpLine(lr plog.LogRecord, resource pcommon.Map, env *envelope) bool {
	if lr.Body().Type() != pcommon.ValueTypeStr || lr.SeverityNumber() != 0 || lr.SeverityText() != "" || env.depth >= maxEnvelopes {
		return false
	}
	line := strings.TrimRight(lr.Body().Str(), "\r\n")
	if !isObject(line) && recognise(line) == fmtText {
		return false
	}
	ev := d.start()
	in := *env
	in.depth++
	in.attrs = map[string]any{}
	d.otlpMap(lr.Attributes(), in.attrs)
	d.otlpMap(resource, in.attrs)
	clear(d.sources)
	d.m.fill(ev)
	d.otlpOwn(ev, lr, pcommon.NewInstrumentationScope())
	in.take(ev)
	if t := int64(lr.ObservedTimestamp()); in.time == 0 && t > 0 {
		in.time = t
	}
	d.inner(line, &in)
	return true
}

// otlpOwn fills what log records have fields for.
func (d *Decoder) otlpOwn(ev *event.Event, lr plog.LogRecord, scope pcommon.InstrumentationScope) {
	if t := int64(lr.Timestamp()); t > 0 {
		ev.Time, ev.TimeQuality = t, event.TimeExact
	}
	if sev, ok := severityNumber(int(lr.SeverityNumber())); ok {
		d.setLevel(sev)
	} else if sev, ok := levelWord(lr.SeverityText()); ok {
		d.setLevel(sev)
	}
	if id := lr.TraceID(); !id.IsEmpty() {
		ev.TraceID = hex.EncodeToString(id[:])
	}
	if id := lr.SpanID(); !id.IsEmpty() {
		ev.SpanID = hex.EncodeToString(id[:])
	}
	ev.Logger = firstText(ev.Logger, scope.Name())
}

// otlpMap offers attributes and keeps them; the first of equal names counts.
func (d *Decoder) otlpMap(m pcommon.Map, attrs map[string]any) {
	for k, v := range m.All() {
		if _, ok := attrs[k]; ok || len(attrs) >= maxAttrs {
			continue
		}
		raw := plain(v.AsRaw())
		attrs[k] = raw
		d.otlpPut(k, raw)
	}
}

// otlpPut offers a value and, if it is a map, what is in it.
func (d *Decoder) otlpPut(path string, raw any) {
	if o, ok := raw.(map[string]any); ok {
		for _, k := range sortedKeys(o) {
			d.otlpPut(path+"."+k, o[k])
		}
		return
	}
	if t := d.m.target(path); t.field != noField {
		v := treeVal(raw, d.m.nextOff())
		d.m.put(&t, v)
		if d.m.has(t.field) && d.m.vals[t.field].off == v.off {
			d.from(t.field, path)
		}
	}
}

// from remembers which key a field came from.
func (d *Decoder) from(f field, path string) {
	if d.sources == nil {
		d.sources = map[field]string{}
	}
	d.sources[f] = path
}

// dropTaken removes the attributes that went into named fields.
func (d *Decoder) dropTaken(attrs map[string]any) {
	for f, path := range d.sources {
		if d.m.usedUp(f) {
			delete(attrs, path)
		}
	}
	clear(d.sources)
}

// plain gives a value the types attributes have.
func plain(v any) any {
	switch v := v.(type) {
	case int64:
		return int(v)
	case string: // protobuf's need not be UTF-8
		return valid(v)
	case []byte:
		return hex.EncodeToString(v)
	case []any:
		for i := range v {
			v[i] = plain(v[i])
		}
		return v
	case map[string]any:
		for k := range v {
			v[k] = plain(v[k])
		}
		return v
	}
	return v
}

// valid returns s with U+FFFD for what is not UTF-8.
func valid(s string) string {
	if utf8.ValidString(s) {
		return s
	}
	return string(appendValid(nil, s))
}
