package event

import (
	"encoding/binary"
	"errors"
	"maps"
	"math"
	"slices"
)

// errCodec is what decoding reports for bytes that no encoder wrote.
var errCodec = errors.New("event: malformed encoding")

// maxDepth bounds the nesting a decoded tree may have.
const maxDepth = 200

// codecVersion is the first byte of an encoded event.
const codecVersion = 1

// AppendBinary appends the event in a compact form for snapshots. Slots are not
// part of it: their numbers belong to a rule set, and the attributes hold the
// same values.
func (e *Event) AppendBinary(b []byte) []byte {
	b = append(b, codecVersion, byte(e.TimeQuality))
	for _, v := range e.ints() {
		b = binary.AppendVarint(b, *v)
	}
	for _, n := range [...]int{
		e.SeverityNumber, e.HTTP.Status, e.NATS.Seq, e.NATS.Deliveries, e.NATS.CID, e.NATS.ErrCode,
	} {
		b = binary.AppendVarint(b, int64(n))
	}
	b = binary.AppendUvarint(b, uint64(e.Pos.Partition))
	b = binary.AppendUvarint(b, e.Pos.Seq)
	b = binary.AppendUvarint(b, uint64(e.Pos.Sub))
	b = appendFloat(b, e.HTTP.DurationMS)
	b = appendFloat(b, e.RPC.DurationMS)
	e.eachText(func(s *string) { b = appendText(b, *s) })
	b = appendAny(b, e.derivedTree())
	return appendAny(b, anyTree(e.Attrs()))
}

// DecodeBinary makes the event the one AppendBinary wrote. It does not keep b.
func (e *Event) DecodeBinary(b []byte) error {
	*e = Event{}
	r := reader{b: b}
	if r.byte() != codecVersion {
		return errCodec
	}
	e.TimeQuality = TimeQuality(r.byte())
	if int(e.TimeQuality) >= len(timeQualityNames) {
		return errCodec
	}
	for _, v := range e.ints() {
		*v = r.varint()
	}
	for _, n := range [...]*int{
		&e.SeverityNumber, &e.HTTP.Status, &e.NATS.Seq, &e.NATS.Deliveries, &e.NATS.CID, &e.NATS.ErrCode,
	} {
		*n = int(r.varint())
	}
	e.Pos = Pos{Partition: uint32(r.uvarint()), Seq: r.uvarint(), Sub: uint32(r.uvarint())}
	e.HTTP.DurationMS = r.float()
	e.RPC.DurationMS = r.float()
	e.eachText(func(s *string) { *s = r.text() })
	e.setDerived(r.any(0))
	if tree, ok := r.any(0).(map[string]any); ok {
		e.SetAttrs(tree)
	}
	if r.bad || len(r.b) > 0 {
		return errCodec
	}
	return nil
}

func (e *Event) ints() [2]*int64 { return [2]*int64{&e.Time, &e.Observed} }

// eachText visits every text field, those held as constants included.
func (e *Event) eachText(f func(*string)) {
	for _, s := range [...]*string{&e.Kind, &e.Level, &e.Format} {
		f(s)
	}
	e.eachString(f)
}

// derivedTree is what an event has that came from no record, nil for most.
func (e *Event) derivedTree() any {
	if e.Hop != nil {
		return map[string]any{"hop": e.Hop.tree()}
	}
	return e.incidentTree()
}

func (e *Event) setDerived(v any) {
	if m, ok := v.(map[string]any); ok {
		if tree, ok := m["hop"].(map[string]any); ok {
			e.Hop = new(Hop)
			e.Hop.set(tree)
			return
		}
	}
	e.setIncident(v)
}

func (h *Hop) texts() map[string]*string {
	return map[string]*string{
		"side": &h.Side, "peer": &h.Peer, "step": &h.Step, "from_service": &h.FromService, "from_logger": &h.FromLogger,
		"usual_service": &h.UsualService, "usual_logger": &h.UsualLogger,
	}
}

func (h *Hop) numbers() map[string]*float64 {
	return map[string]*float64{
		"gap_ms": &h.GapMS, "p50_ms": &h.P50MS, "p90_ms": &h.P90MS, "share": &h.Share, "usual_share": &h.UsualShare,
	}
}

func (h *Hop) tree() map[string]any {
	t := map[string]any{"seen": h.Seen, "known": h.Known}
	for name, p := range h.texts() {
		t[name] = *p
	}
	for name, p := range h.numbers() {
		t[name] = *p
	}
	return t
}

func (h *Hop) set(t map[string]any) {
	h.Seen, _ = t["seen"].(int)
	h.Known, _ = t["known"].(int)
	for name, p := range h.texts() {
		*p, _ = t[name].(string)
	}
	for name, p := range h.numbers() {
		*p, _ = t[name].(float64)
	}
}

// incidentTree is the incident as a tree, nil if there is none.
func (e *Event) incidentTree() any {
	i := e.Incident
	if i == nil {
		return nil
	}
	return map[string]any{
		"id": i.ID, "rule": i.Rule, "state": i.State, "severity": i.Severity, "cause": i.Cause,
		"title": i.Title, "rev": i.Rev, "count": i.Count, "recurrence": i.Recurrence,
		"started_at": int(i.StartedAt), "opened_at": int(i.OpenedAt),
		"key": textTree(i.Key), "labels": textTree(i.Labels),
	}
}

func (e *Event) setIncident(v any) {
	m, ok := v.(map[string]any)
	if !ok {
		return
	}
	i := &Incident{Key: treeText(m["key"]), Labels: treeText(m["labels"])}
	for name, p := range map[string]*string{
		"id": &i.ID, "rule": &i.Rule, "state": &i.State, "severity": &i.Severity,
		"cause": &i.Cause, "title": &i.Title,
	} {
		*p, _ = m[name].(string)
	}
	for name, p := range map[string]*int{"rev": &i.Rev, "count": &i.Count, "recurrence": &i.Recurrence} {
		*p, _ = m[name].(int)
	}
	for name, p := range map[string]*int64{"started_at": &i.StartedAt, "opened_at": &i.OpenedAt} {
		n, _ := m[name].(int)
		*p = int64(n)
	}
	e.Incident = i
}

func textTree(m map[string]string) any {
	if m == nil {
		return nil
	}
	t := make(map[string]any, len(m))
	for k, v := range m {
		t[k] = v
	}
	return t
}

func treeText(v any) map[string]string {
	t, ok := v.(map[string]any)
	if !ok {
		return nil
	}
	m := make(map[string]string, len(t))
	for k, v := range t {
		m[k], _ = v.(string)
	}
	return m
}

// AppendValue appends v in the form DecodeValue reads.
func AppendValue(b []byte, v Value) []byte { return appendAny(b, v.Box()) }

// DecodeValue reads what AppendValue wrote and returns the bytes after it.
func DecodeValue(b []byte) (Value, []byte, error) {
	r := reader{b: b}
	v := Of(r.any(0))
	if r.bad {
		return Value{}, nil, errCodec
	}
	return v, r.b, nil
}

// Tags of an encoded tree.
const (
	tagNil = iota
	tagFalse
	tagTrue
	tagInt
	tagFloat
	tagString
	tagList
	tagMap
)

// anyTree keeps a nil map a nil.
func anyTree(m map[string]any) any {
	if m == nil {
		return nil
	}
	return m
}

// appendAny appends a tree of the types Lazy lists; anything else is nil.
func appendAny(b []byte, v any) []byte {
	switch v := v.(type) {
	case bool:
		if v {
			return append(b, tagTrue)
		}
		return append(b, tagFalse)
	case int:
		return binary.AppendVarint(append(b, tagInt), int64(v))
	case int64:
		return binary.AppendVarint(append(b, tagInt), v)
	case float64:
		return appendFloat(append(b, tagFloat), v)
	case string:
		return appendText(append(b, tagString), v)
	case []any:
		b = binary.AppendUvarint(append(b, tagList), uint64(len(v)))
		for _, x := range v {
			b = appendAny(b, x)
		}
		return b
	case map[string]any:
		b = binary.AppendUvarint(append(b, tagMap), uint64(len(v)))
		for _, k := range slices.Sorted(maps.Keys(v)) {
			b = appendAny(appendText(b, k), v[k])
		}
		return b
	}
	return append(b, tagNil)
}

func appendFloat(b []byte, f float64) []byte {
	return binary.LittleEndian.AppendUint64(b, math.Float64bits(f))
}

func appendText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// reader reads an encoding; after the first mistake it gives zeros.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) fail() { r.bad, r.b = true, nil }

func (r *reader) byte() byte {
	if len(r.b) == 0 {
		r.fail()
		return 0
	}
	c := r.b[0]
	r.b = r.b[1:]
	return c
}

func (r *reader) varint() int64 {
	v, n := binary.Varint(r.b)
	if n <= 0 {
		r.fail()
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.fail()
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) float() float64 {
	if len(r.b) < 8 {
		r.fail()
		return 0
	}
	v := math.Float64frombits(binary.LittleEndian.Uint64(r.b))
	r.b = r.b[8:]
	return v
}

// count reads the length of something whose elements take a byte or more.
func (r *reader) count() int {
	n := r.uvarint()
	if n > uint64(len(r.b)) {
		r.fail()
		return 0
	}
	return int(n)
}

func (r *reader) text() string {
	n := r.count()
	s := string(r.b[:n])
	r.b = r.b[n:]
	return s
}

func (r *reader) any(depth int) any {
	if depth > maxDepth {
		r.fail()
		return nil
	}
	switch r.byte() {
	case tagNil:
		return nil
	case tagFalse:
		return false
	case tagTrue:
		return true
	case tagInt:
		return int(r.varint())
	case tagFloat:
		return r.float()
	case tagString:
		return r.text()
	case tagList:
		return r.list(depth)
	case tagMap:
		return r.tree(depth)
	}
	r.fail()
	return nil
}

func (r *reader) list(depth int) any {
	l := make([]any, 0, r.count())
	for range cap(l) {
		l = append(l, r.any(depth+1))
	}
	return l
}

func (r *reader) tree(depth int) any {
	n := r.count()
	m := make(map[string]any, n)
	for range n {
		k := r.text()
		m[k] = r.any(depth + 1)
	}
	return m
}
