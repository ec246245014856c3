package decode

import (
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
const textFields uint64 = 1<<fMessage | 1<<fError | 1<<fStack | 1<<fService | 1<<fPod | 1<<fContainer | 1<<fInstance | 1<<fHost | 1<<fEnv |

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
		return m.usableTime(v)
	case fLevel:
		return m.usableLevel(v, t.rank)
	case fMessage:
		return v.kind == kString && v.s != "" || v.kind < kString && t.rank.row() <= 3 || v.kind == kArray && byteList(v.s)
	case fError:
		return v.kind == kString && v.s != "" || v.kind == kArray && strings.Contains(v.s, `"exc_value"`)
	case fSeconds, fNanos, fSeverity, fStatus, fNATSSeq, fNATSDeliveries, fNATSCID, fNATSErrCode:
		return m.usableInt(t.field, v)
	case fAnyRoute:
		return v.kind == kString && strings.HasPrefix(v.s, "/")
	case fRequestLine:
		return v.kind == kString && httpVerb(v.s[:wordLen(v.s)])
	case fAnyMethod:
		return v.kind == kString && (httpVerb(v.s) || fullMethod(v.s))
	case fAnyPath:
		return v.kind == kString && (strings.HasPrefix(v.s, "/") || strings.HasPrefix(v.s, "http"))
	case fAnyStatus:
		n, isInt := integer(v.s)
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
	case fTrace, fRequest, fInstance, fSpan:
		return v.s != "" && (v.kind == kString || v.kind == kNumber)
	}
	return v.kind == kString && v.s != ""
}

func unicodeless(s string) bool {
	_, ok := grpcCode(s)
	return ok
}

func (m *mapper) usableTime(v val) bool {
	m.timeKey = true
	var ok bool
	var st stamp
	switch v.kind {
	case kString:
		st, ok = m.zones.parse(v.text(&m.arena))
	case kNumber:
		st.ns, ok = epoch(v.s)
	case kObject:
		st.ns, ok = timePair(v.s)
	}
	if ok {
		m.time = st
	}
	return ok
}

// timePair reads {"epochSecond":…,"nanoOfSecond":…} and {"seconds":…,"nanos":…}.
func timePair(s string) (int64, bool) {
	o, _ := tree(s, nil).(map[string]any)
	sec, ok := o["epochSecond"].(int)
	nano, _ := o["nanoOfSecond"].(int)
	if !ok {
		sec, ok = o["seconds"].(int)
		nano, _ = o["nanos"].(int)
	}
	return int64(sec)*second + int64(nano), ok && sec < 1e10 && sec > -1e10
}

func (m *mapper) usableLevel(v val, r rank) bool {
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
	if !ok {
		return false
	}
	scale := scaleTens
	if r.row() == levelnoRank {
		scale = scalePython
	}
	sev, ok := levelNumber(n, scale)
	if ok {
		m.sev = sev
	}
	return ok
}

// levelnoRank is the row of Python's number, whose scale is its own.
var levelnoRank = func() int {
	for _, row := range keyTable {
		if row.field != fLevel {
			continue
		}
		for i, k := range strings.Fields(row.keys) {
			if k == "levelno" {
				return i + 1
			}
		}
	}
	return 0
}()

func (m *mapper) usableInt(f field, v val) bool {
	n, ok := integer(v.s)
	switch f {
	case fStatus:
		return ok && n >= 0 && n <= 999
	case fSeverity:
		return ok && n >= 1 && n <= 24
	case fNATSErrCode:
		return ok && n >= 10000 && n <= 10999
	}
	return ok
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
