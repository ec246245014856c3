package decode

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"

	"corral/event"
)

// object decodes s if it is one JSON object.
func (d *Decoder) object(s string, env *envelope) bool {
	d.start()
	switch end := d.js.scan(bytesOf(s)); {
	case end >= 0 && skipSpace(bytesOf(s), end) == len(s):
		d.scanned(s, s, env)
		return true
	case end >= 0: // there is more behind it, as in a message of many lines
		return false
	}
	mended, ok := mend(s)
	d.start()
	if !ok || !d.js.whole(bytesOf(mended)) {
		return false
	}
	d.scanned(s, mended, env)
	return true
}

// mend makes JSON of an object that only nearly is: Python writes NaN and Infinity,
// nginx escapes bytes as \x22, and some writers leave control characters in texts as
// they are. ok is false if nothing of that is in it.
func mend(s string) (mended string, ok bool) {
	if len(s) < 2 || s[0] != '{' || s[len(s)-1] != '}' {
		return s, false
	}
	b := make([]byte, 0, len(s)+16)
	text := false // inside a string
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case text && c == '\\' && i+1 < len(s):
			if s[i+1] == 'x' && i+3 < len(s) && isHex(s[i+2:i+4]) {
				b = append(append(b, `\u00`...), s[i+2:i+4]...)
				i, ok = i+3, true
				continue
			}
			b = append(b, c)
			i++
			c = s[i]
		case text && c < ' ':
			b = fmt.Appendf(b, `\u%04x`, c)
			ok = true
			continue
		case c == '"':
			text = !text
		case !text && (c == 'N' || c == 'I' || c == '-'):
			if n := noNumber(s[i:]); n > 0 {
				b = append(b, "null"...)
				i, ok = i+n-1, true
				continue
			}
		}
		b = append(b, c)
	}
	return view(b), ok
}

// noNumber returns the length of what Python and JavaScript write for a number that
// is none, 0 if s does not start with it.
func noNumber(s string) int {
	for _, w := range [...]string{"NaN", "Infinity", "-Infinity"} {
		if strings.HasPrefix(s, w) {
			return len(w)
		}
	}
	return 0
}

// scanned goes on with an object that js has read. raw is the object as it came;
// s may be another spelling of it.
func (d *Decoder) scanned(raw, s string, env *envelope) {
	if d.js.repeat {
		s = lastWins(s)
		d.start()
		d.js.whole(bytesOf(s))
	}
	if d.wrapped(raw, s, env) {
		return
	}
	if parsers[d.only] != nil || d.only == fmtText {
		d.textEvent(raw, env)
		return
	}
	d.m.fill(&d.ev)
	if d.collect != nil {
		d.collect.object(s, d.takenOffsets(), env)
	}
	if l := natsHead(d.ev.Message); l.level != "" || d.ev.Service == natsService && d.ev.Message != "" { // of journald and other relays
		d.natsRelayed(l)
		d.collectPairs()
		d.js.deep = true // there are attributes that stand nowhere in the object
	}
	if d.ev.Level == "" || d.ev.Error == "" {
		d.fromWords(d.ev.Message)
	}
	if template := d.m.from[fMessage]; d.m.has(fMessage) && (template == "@mt" || template == "MessageTemplate") {
		d.ev.Message = render(d.ev.Message, s)
	}
	d.finish(raw, fmtJSON, env)
}

// fromWords looks into the message for what no key says.
func (d *Decoder) fromWords(message string) {
	if d.ev.Level == "" && message != "" {
		d.guessLevel(message)
	}
	if d.ev.Error == "" && strings.IndexByte(message, '\n') >= 0 {
		d.ev.Error = traceError(message)
	}
}

// lastWins rewrites an object in which a key comes twice as encoding/json reads
// it.
func lastWins(s string) string {
	var v any
	dec := json.NewDecoder(strings.NewReader(s))
	dec.UseNumber()
	if err := dec.Decode(&v); err != nil {
		return s
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return s
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// wrapped handles objects that are not a log record themselves: NATS events and
// envelopes.
func (d *Decoder) wrapped(raw, s string, env *envelope) bool {
	if d.natsEvent(raw, s, env) {
		return true
	}
	if env.depth >= maxEnvelopes || d.js.marked == 0 {
		return false
	}
	switch {
	case d.js.has(markResourceLogs) && d.js.marks[markResourceLogs].kind == kArray:
		return d.otlpJSON(s, env)
	case d.js.has(markSubject) && (d.js.has(markData) || d.js.has(markBase64)) && !d.m.has(fLevel) && !d.m.has(fMessage):
		return d.captured(raw, env)
	case d.js.has(markSpecVersion) && d.js.has(markType) && d.js.has(markID):
		return d.cloudEvent(raw, s, env)
	case d.js.has(markLog) && d.js.has(markStream) && d.js.has(markTime) && !d.js.has(markKubernetes):
		return d.docker(env)
	case d.js.has(markLog) && d.js.marks[markLog].kind == kString || d.js.has(markKubernetes) || d.js.has(markShipper):
		return d.shipped(raw, s, env)
	}
	return false
}

// value returns a marked value; one that is not there stands nowhere.
func (j *jscan) value(m mark) val {
	if !j.has(m) {
		return val{off: -1}
	}
	return j.marks[m]
}

// text returns the text of a marked value, "" if it is not a string.
func (j *jscan) text(m mark, a *arena) string {
	if !j.has(m) || j.marks[m].kind != kString {
		return ""
	}
	return j.marks[m].text(a)
}

// docker opens a line of Docker's json-file driver.
func (d *Decoder) docker(env *envelope) bool {
	if d.js.marks[markLog].kind != kString {
		return false
	}
	in := *env
	in.depth++
	in.stream = d.js.text(markStream, &d.m.arena)
	in.time = d.instant(d.js.text(markTime, &d.m.arena), env.time)
	d.dockerAttrs(&in)
	log := strings.TrimRight(d.js.text(markLog, &d.m.arena), "\r\n")
	d.inner(log, &in)
	return true
}

// dockerAttrs takes the labels and variables that the json-file driver was told to
// keep; some of them name the service.
func (d *Decoder) dockerAttrs(in *envelope) {
	if !d.js.has(markAttrs) {
		return
	}
	o, _ := tree(d.js.marks[markAttrs].s, nil).(map[string]any)
	if len(o) == 0 {
		return
	}
	in.attrs = map[string]any{"attrs": o}
	for _, label := range [...]string{"com.docker.compose.service", "com.docker.swarm.service.name", "io.kubernetes.container.name", "service", "app"} {
		if name, ok := o[label].(string); ok && in.service == "" {
			in.service = name
		}
	}
}

// instant reads an envelope's time.
func (d *Decoder) instant(s string, otherwise int64) int64 {
	if st, ok := d.m.zones.parse(s); ok && st.quality == event.TimeExact {
		return st.ns
	}
	return otherwise
}

// inner decodes a text that came in an envelope.
func (d *Decoder) inner(s string, env *envelope) {
	if t := strings.TrimLeft(s, " \t\r\n"); strings.HasPrefix(t, "{") && d.object(t, env) {
		return
	}
	d.textEvent(s, env)
}

// captured opens a message that was recorded with its subject:
// {"subject":…,"data":…} and what else the recorder wrote; a dead letter of corral's
// is one. That of a sink holds a revision of an incident, which is no event.
func (d *Decoder) captured(raw string, env *envelope) bool {
	if strings.HasPrefix(d.js.text(markSource, &d.m.arena), "sink:") {
		d.kill("rejected", "a revision of an incident, not an event", []byte(raw))
		return true
	}
	in := *env
	in.depth++
	in.subject = firstText(d.js.text(markSubject, &d.m.arena), env.subject)
	in.account = firstText(d.js.text(markAccount, &d.m.arena), env.account)
	in.time = d.instant(d.js.text(markReceived, &d.m.arena), env.time)
	data := d.js.marks[markData]
	if text := d.js.text(markBase64, &d.m.arena); text != "" {
		record, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			return false
		}
		d.payload(strings.Trim(string(record), "\r\n"), &in)
		return true
	}
	if !d.js.has(markData) || data.kind != kString && data.kind != kObject && data.kind != kArray {
		return false
	}
	d.payload(strings.Trim(data.text(&d.m.arena), "\r\n"), &in)
	return true
}

// payload decodes what a message carried, which may hold several events.
func (d *Decoder) payload(s string, env *envelope) {
	if strings.HasPrefix(s, "[") && d.array(s, env) {
		return
	}
	d.inner(s, env)
}

// cloudEvent opens an event of the CloudEvents JSON format. Its own attributes
// stay attributes beside those of its data.
func (d *Decoder) cloudEvent(raw, s string, env *envelope) bool {
	data := d.js.marks[markData]
	in := *env
	in.depth++
	in.id = firstText(d.js.text(markID, &d.m.arena), env.id)
	in.subject = env.subject
	in.time = d.instant(d.js.text(markTime, &d.m.arena), env.time)
	in.service = firstText(env.service, sourceName(d.js.text(markSource, &d.m.arena)))
	if d.m.has(fTraceparent) && in.trace == "" {
		trace, span := splitTraceparent(d.m.vals[fTraceparent].text(&d.m.arena))
		in.trace, in.span = d.m.traceID(trace), d.m.hexID(span, 16)
	}
	if !d.js.has(markData) || data.kind != kObject && data.kind != kString {
		return false
	}
	if in.outer == "" {
		in.outer = raw
	}
	d.collectOuter(s, data, d.js.value(markID), d.js.value(markTime), d.js.value(markSpecVersion), d.js.value(markContentType))
	d.inner(data.text(&d.m.arena), &in)
	return true
}

// sourceName takes a service's name out of a CloudEvents source, a URI reference.
func sourceName(s string) string {
	s = strings.TrimRight(s, "/")
	return s[strings.LastIndexByte(s, '/')+1:]
}

// shipped opens a shipper's record (Fluent Bit, Vector, Filebeat): the line it
// read is in "log" or "message", around it is what the shipper knows of its
// origin. Without a line that says more than text it is a record like any other.
func (d *Decoder) shipped(raw, s string, env *envelope) bool {
	if !d.m.has(fMessage) || d.m.vals[fMessage].kind != kString {
		return false
	}
	line := d.m.vals[fMessage]
	text := strings.TrimRight(line.text(&d.m.arena), "\r\n")
	if !isObject(text) && recognise(text) == fmtText {
		return false
	}
	in := *env
	in.depth++
	d.outerFields(&in)
	if in.outer == "" {
		in.outer = raw
	}
	d.collectOuter(s, line)
	d.inner(text, &in)
	return true
}

func isObject(s string) bool {
	if !strings.HasPrefix(s, "{") {
		return false
	}
	end, _ := endValue(bytesOf(s), 0, 0)
	return end == len(s)
}

// take fills the envelope with what ev, made of what is around a record, says.
func (in *envelope) take(ev *event.Event) {
	in.service = firstText(in.service, ev.Service)
	in.instance = firstText(in.instance, ev.Instance)
	in.host = firstText(in.host, ev.Host)
	in.env = firstText(in.env, ev.Env)
	in.trace, in.span = firstText(in.trace, ev.TraceID), firstText(in.span, ev.SpanID)
	if in.time == 0 && ev.TimeQuality == event.TimeExact {
		in.time = ev.Time
	}
}

// outerFields takes what the shipper's record says about the origin.
func (d *Decoder) outerFields(in *envelope) {
	var ev event.Event
	have := d.m.have
	d.m.have &^= 1<<fMessage | 1<<fLevel | 1<<fError | 1<<fStack | ambiguous
	d.m.fill(&ev)
	d.m.have = have
	in.take(&ev)
	in.stream = firstText(in.stream, d.js.text(markStream, &d.m.arena))
	if d.m.has(fLevel) {
		in.level = d.m.sev
	}
}

// array decodes a JSON array of events: objects, texts, or Fluent Bit's
// [time, record] pairs.
func (d *Decoder) array(s string, env *envelope) bool {
	b := bytesOf(s)
	end, _ := endValue(b, 0, 0)
	if end < 0 || skipSpace(b, end) != len(b) || !arrayOfEvents(b) {
		return false
	}
	if lonePair(b) {
		d.fluentPair(s, env)
		return true
	}
	i := skipSpace(b, 1)
	for i < len(b) && b[i] != ']' {
		end, k := endValue(b, i, 1)
		d.element(s[i:end], k, env)
		i = skipSpace(b, end)
		if b[i] == ',' {
			i = skipSpace(b, i+1)
		}
	}
	return true
}

// arrayOfEvents reports whether the valid array b begins with something an event
// can be.
func arrayOfEvents(b []byte) bool {
	i := skipSpace(b, 1)
	return lonePair(b) || b[i] == '{' || b[i] == ']' || b[i] == '[' || b[i] == '"'
}

// lonePair reports whether an array is one of Fluent Bit's pairs by itself, as its
// outputs for files and Kafka write them.
func lonePair(b []byte) bool {
	i := skipSpace(b, 1)
	end := endNumber(b, i)
	if end < 0 {
		return false
	}
	if i = skipSpace(b, end); i >= len(b) || b[i] != ',' {
		return false
	}
	i = skipSpace(b, i+1)
	return i < len(b) && b[i] == '{'
}

func (d *Decoder) element(s string, k kind, env *envelope) {
	switch k {
	case kObject:
		d.object(s, env)
	case kArray:
		d.fluentPair(s, env)
	case kString:
		d.textEvent(val{s: s[1 : len(s)-1], kind: kString, esc: true}.text(&d.m.arena), env)
	default:
		d.textEvent(s, env)
	}
}

// fluentPair decodes [time, record], where newer versions write
// [[time, metadata], record].
func (d *Decoder) fluentPair(s string, env *envelope) {
	b := bytesOf(s)
	i := skipSpace(b, 1)
	at, k := endValue(b, i, 2)
	if at < 0 || b[skipSpace(b, at)] != ',' {
		d.textEvent(s, env)
		return
	}
	first := s[i:at]
	i = skipSpace(b, skipSpace(b, at)+1)
	end, kind := endValue(b, i, 2)
	if end < 0 || kind != kObject {
		d.textEvent(s, env)
		return
	}
	if k == kArray {
		first = strings.TrimLeft(first, "[ ")
		first = first[:strings.IndexAny(first+",", ",]")]
	}
	in := *env
	if ns, ok := epoch(strings.TrimSpace(first)); ok {
		in.time = ns
	}
	d.object(s[i:end], &in)
}
