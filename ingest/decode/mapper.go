package decode

import (
	"slices"
	"strings"
)

// mapper gathers the values a record has for the named fields and fills an event
// with the best of them.
type mapper struct {
	tab   *table
	zones zones
	arena arena

	have  uint64 // fields that have a usable value
	taken uint64 // fields whose value went into the event
	kept  uint64 // fields whose value stays an attribute even so
	rank  [nFields]rank
	vals  [nFields]val
	unit  [nFields]unit
	from  [nFields]string // key
	time  stamp
	sev   severity

	targets map[string]target // of keys of formats other than JSON

	timeKey bool  // a time was given, usable or not
	offs    int32 // values numbered so far, in formats without offsets
}

// nextOff numbers values that are not told apart by where they stand.
func (m *mapper) nextOff() int32 {
	m.offs++
	return m.offs
}

func (m *mapper) reset() {
	m.have, m.taken, m.timeKey, m.offs = 0, 0, false, 0
}

func (m *mapper) has(f field) bool { return m.have&(1<<f) != 0 }

// put offers a value. Of several keys of a field the best ranked counts, of equal
// keys the last.
func (m *mapper) put(t *target, v val) {
	bit := uint64(1) << t.field
	if m.have&bit != 0 && m.rank[t.field] < t.rank {
		return
	}
	if textFields&bit != 0 {
		if v.kind == kString && v.s != "" {
			m.have |= bit
			m.rank[t.field], m.vals[t.field], m.from[t.field] = t.rank, v, t.key
			m.keep(bit, t.keep)
			return
		}
		if first, ok := firstOfList(v); ok && v.s != "" {
			m.have |= bit
			m.rank[t.field], m.vals[t.field], m.from[t.field] = t.rank, first, t.key
			m.keep(bit, true)
			return
		}
	}
	if !m.usable(t, v) {
		if m.have&bit != 0 && m.rank[t.field] == t.rank {
			m.have &^= bit
		}
		return
	}
	m.have |= bit
	m.rank[t.field], m.vals[t.field], m.unit[t.field], m.from[t.field] = t.rank, v, t.unit, t.key
	m.keep(bit, t.keep)
}

// firstOfList returns the first text of a list of texts: journald and others write a
// field that was given several times so.
func firstOfList(v val) (val, bool) {
	if v.kind != kArray {
		return v, false
	}
	i := skipSpace(bytesOf(v.s), 1)
	if v.s[i] != '"' {
		return v, false
	}
	end, _ := endString(bytesOf(v.s), i+1)
	if end <= i+1 {
		return v, false
	}
	return val{s: v.s[i+1 : end], off: v.off, kind: kString, esc: true}, true
}

// keep notes whether a field's value is to stay an attribute.
func (m *mapper) keep(bit uint64, keep bool) {
	m.kept &^= bit
	if keep {
		m.kept |= bit
	}
}

// usedUp reports whether a field's value went into the event and is no attribute
// any more.
func (m *mapper) usedUp(f field) bool { return (m.taken&^m.kept)&(1<<f) != 0 }

// textFields take any text that is not empty as it is.
const textFields uint64 = 1<<fMessage | 1<<fError | 1<<fStack | 1<<fService | 1<<fPod | 1<<fContainer | 1<<fUnit | 1<<fInstance | 1<<fHost | 1<<fEnv |

	1<<fLogger | 1<<fName | 1<<fTrace | 1<<fSpan | 1<<fTraceparent | 1<<fRequest | 1<<fMethod | 1<<fRoute | 1<<fPath | 1<<fClient |
	1<<fRPCSystem | 1<<fRPCService | 1<<fRPCMethod | 1<<fAnySubject | 1<<fAnyStream | 1<<fAnyConsumer

// putPath offers the value of a key of a format other than JSON.
func (m *mapper) putPath(path string, v val) {
	if t := m.target(path); t.field != noField {
		m.put(&t, v)
	}
}

// maxTargets bounds the keys whose targets are remembered.
const maxTargets = 4096

// target looks a key up, once.
func (m *mapper) target(path string) target {
	if t, ok := m.targets[path]; ok {
		return t
	}
	if m.targets == nil || len(m.targets) >= maxTargets {
		m.targets = map[string]target{}
	}
	t := m.tab.lookup(path)
	t.rank = t.rank.at(path, 0)
	t.key = strings.Clone(path)
	m.targets[t.key] = t
	return t
}

// usable reports whether v can fill the field, and remembers what it was
// converted to where that is dear.
func (m *mapper) usable(t *target, v val) bool {
	if v.kind == kNull {
		return false
	}
	switch t.field {
	case fTime:
		return m.usableTime(v, t.key)
	case fLevel:
		return m.usableLevel(v, t)
	case fMessage:
		return v.kind == kString && v.s != "" || v.kind < kString && t.rank.row() <= lastMessageRow || v.kind == kArray && byteList(v.s)
	case fError:
		return v.kind == kString && v.s != "" || v.kind == kArray && strings.Contains(v.s, `"exc_value"`)
	case fSeconds, fNanos, fSeverity, fStatus, fNATSSeq, fNATSDeliveries, fNATSCID, fNATSErrCode:
		return m.usableInt(t.field, v)
	case fAnyRoute:
		return v.kind == kString && strings.HasPrefix(v.s, "/")
	case fRequestLine:
		_, ok := httpVerb(v.s[:wordLen(v.s)])
		return v.kind == kString && ok
	case fAnyMethod:
		_, ok := httpVerb(v.s)
		return v.kind == kString && (ok || fullMethod(v.s))
	case fAnyPath:
		return v.kind == kString && (strings.HasPrefix(v.s, "/") || strings.HasPrefix(v.s, "http"))
	case fAnyStatus:
		n, isInt := statusNumber(v.s)
		return isInt && n >= 100 && n <= 599 || v.kind == kString && unicodeless(v.s)
	case fAnyCode:
		return v.kind == kString && unicodeless(v.s)
	case fRPCCode:
		_, ok := grpcCode(v.s)
		return ok
	case fDuration, fAnyDuration, fRPCDuration:
		if v.kind == kNumber {
			return true
		}
		_, ok := millis(v, t.unit, unitMS)
		return ok
	case fTrace, fSpan:
		return v.kind == kString && v.s != "" || v.kind == kNumber && len(v.s) >= 8
	case fRequest, fInstance:
		return v.s != "" && (v.kind == kString || v.kind == kNumber)
	}
	return v.kind == kString && v.s != ""
}

func unicodeless(s string) bool {
	_, ok := grpcCode(s)
	return ok
}

// usableTime takes a time. Under a key of one letter other things stand as well: a
// number there is none unless it can be one.
func (m *mapper) usableTime(v val, key string) bool {
	if len(key) == 1 && v.kind == kNumber {
		if ns, ok := epoch(v.s); !ok || ns < earliest || ns > latest {
			return false
		}
	}
	m.timeKey = true
	var ok bool
	var st stamp
	switch v.kind {
	case kString:
		st, ok = m.zones.parse(v.text(&m.arena))
	case kNumber:
		st.ns, ok = epoch(v.s)
	case kObject:
		st, ok = m.zones.timeObject(v.s)
	}
	if ok {
		m.time = st
	}
	return ok
}

// timeObject reads {"epochSecond":…,"nanoOfSecond":…}, {"seconds":…,"nanos":…} and
// MongoDB's {"$date":…}.
func (z *zones) timeObject(s string) (stamp, bool) {
	o, _ := tree(s, nil).(map[string]any)
	switch date := o["$date"].(type) {
	case string:
		return z.parse(date)
	case int:
		return stamp{ns: int64(date) * (second / 1e3)}, date < 1e14 && date > 0
	}
	sec, ok := o["epochSecond"].(int)
	nano, _ := o["nanoOfSecond"].(int)
	if !ok {
		sec, ok = o["seconds"].(int)
		nano, _ = o["nanos"].(int)
	}
	return stamp{ns: int64(sec)*second + int64(nano)}, ok && sec < 1e10 && sec > -1e10
}

func (m *mapper) usableLevel(v val, t *target) bool {
	switch v.kind {
	case kString:
		if sev, ok := levelWord(v.text(&m.arena)); ok {
			m.sev = sev
			return true
		}
	case kNumber:
	default:
		return false
	}
	n, ok := integer(v.s)
	if !ok || len(t.key) == 1 {
		return false
	}
	sev, ok := levelNumber(n, levelScales[t.rank.row()])
	if ok {
		m.sev = sev
	}
	return ok
}

// lastMessageRow is the last key of a message under which numbers and truth values
// are messages as well.
var lastMessageRow = func() int {
	for _, row := range keyTable {
		if row.field == fMessage {
			return slices.Index(strings.Fields(row.keys), "msg") + 1
		}
	}
	return 0
}()

// levelScales are the scales of the keys, by their place in the row, whose numbers
// mean one thing only.
var levelScales = func() map[int]levelScale {
	scales := map[int]levelScale{}
	for _, row := range keyTable {
		if row.field != fLevel {
			continue
		}
		for i, k := range strings.Fields(row.keys) {
			switch strings.TrimPrefix(k, "~") {
			case "levelno", "levelnumber":
				scales[i+1] = scalePython
			case "priority", "syslog.severity.code", "severity":
				scales[i+1] = scaleSyslog
			}
		}
	}
	return scales
}()

func (m *mapper) usableInt(f field, v val) bool {
	n, ok := integer(v.s)
	switch f {
	case fStatus:
		n, ok = statusNumber(v.s)
		return ok && n >= 0 && n <= 999
	case fSeverity:
		return ok && n >= 1 && n <= 24
	case fNATSErrCode:
		return ok && n >= 10000 && n <= 10999
	}
	return ok
}

// statusNumber reads a status, perhaps with its words: "503 Service Unavailable".
func statusNumber(s string) (int64, bool) {
	if len(s) > 4 && s[3] == ' ' {
		s = s[:3]
	}
	return integer(s)
}

// text returns the text of a field's value and counts it as taken.
func (m *mapper) text(f field) string {
	m.taken |= 1 << f
	return m.vals[f].text(&m.arena)
}

func (m *mapper) int(f field) int {
	m.taken |= 1 << f
	n, _ := integer(m.vals[f].s)
	return int(n)
}
