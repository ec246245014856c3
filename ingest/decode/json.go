package decode

// key is a name met in JSON objects at one place of the tree, with what it is
// good for. Keys are looked up once and then recognised by comparing bytes: the
// one that came next last time is tried first.
type key struct {
	quoted string // `"name":` as written
	path   string // dotted path
	target target
	slot   int16  // attribute slot, -1 none
	mark   mark   // known name at the top of an envelope
	depth  int    // 1 at the top
	open   bool   // objects under it hold something wanted
	wanted bool   // its value is, or that it is there again: target, slot, mark or open
	record uint32 // the record it was last met in, if open or wanted
	noted  bool   // it has a slot or a mark
	kids   keyMap // under it, if open
	first  *key   // the key its last object began with
	next   *key   // the key that followed it last
}

type keyMap map[string]*key

// mark numbers names that tell kinds of records apart, at the top of a record.
type mark uint8

const (
	noMark mark = iota
	markLog
	markStream
	markTime
	markResourceLogs
	markSpecVersion
	markData
	markSubject
	markType
	markServer
	markStatsz
	markPID
	markHostname
	markSource
	markKubernetes
	markShipper
	markReceived
	markHeader
	markAccount
	markName
	markID
	markTemplate
	markContentType
	markBase64
	markAttrs
	nMarks
)

var marks = map[string]mark{
	"log": markLog, "stream": markStream, "time": markTime, "resourceLogs": markResourceLogs, "resource_logs": markResourceLogs,
	"specversion": markSpecVersion, "data": markData, "subject": markSubject, "type": markType, "server": markServer, "statsz": markStatsz,
	"pid": markPID, "hostname": markHostname, "source": markSource, "kubernetes": markKubernetes, "source_type": markShipper, "tag": markShipper, "agent": markShipper,
	"container_id": markShipper, "container_name": markShipper, "received": markReceived, "header": markHeader, "headers": markHeader,
	"account": markAccount, "name": markName, "id": markID, "@mt": markTemplate, "datacontenttype": markContentType,
	"data_base64": markBase64, "attrs": markAttrs, "__REALTIME_TIMESTAMP": markShipper, "textPayload": markShipper,
}

// maxKeys bounds the keys a decoder remembers; records with ever new keys make it
// start over.
const maxKeys = 8192

// jscan reads JSON objects: it checks that they are what encoding/json accepts
// and hands the values that are wanted to its mapper. It allocates only for keys
// it meets for the first time.
type jscan struct {
	b      []byte
	tab    *table
	m      *mapper
	root   *key
	nKeys  int
	record uint32 // number of this record
	marked uint32 // marks met in this record
	marks  [nMarks]val
	slots  []val    // by slot, where slotKey says so
	slotBy []*key   // the key that filled the slot in this record
	slotRc []uint32 // and the record
	repeat bool     // a key came twice: only the last counts, which the slow path knows
	deep   bool     // a slot holds a tree, or was met flat and nested: use the attributes
}

func newJSCAN(tab *table, m *mapper) jscan {
	return jscan{
		tab: tab, m: m, root: &key{slot: -1, open: true, kids: keyMap{}},
		slots: make([]val, tab.nSlots), slotBy: make([]*key, tab.nSlots), slotRc: make([]uint32, tab.nSlots),
	}
}

// scan reads the object that b starts with, spaces aside, and returns where it
// ends, -1 if it is not valid.
func (j *jscan) scan(b []byte) int {
	if j.nKeys > maxKeys {
		j.root, j.nKeys = &key{slot: -1, open: true, kids: keyMap{}}, 0
	}
	j.b, j.marked, j.repeat, j.deep = b, 0, false, false
	j.record++
	i := skipSpace(b, 0)
	if i >= len(b) || b[i] != '{' {
		return -1
	}
	return j.object(i+1, j.root, 1)
}

// whole reports whether b is one JSON object and nothing else.
func (j *jscan) whole(b []byte) bool {
	end := j.scan(b)
	return end >= 0 && skipSpace(b, end) == len(b)
}

// object reads the object whose first byte after the brace is b[i].
func (j *jscan) object(i int, parent *key, depth int) int {
	b := j.b
	i = skipSpace(b, i)
	if i < len(b) && b[i] == '}' {
		return i + 1
	}
	guess := &parent.first
	for {
		k := *guess
		if k != nil && len(b)-i > len(k.quoted) && string(b[i:i+len(k.quoted)]) == k.quoted {
			i += len(k.quoted)
		} else {
			if k, i = j.key(i, parent); i < 0 {
				return -1
			}
			*guess = k
		}
		guess = &k.next
		if i < len(b) && b[i] <= ' ' {
			i = skipSpace(b, i)
		}
		if i < len(b) && b[i] == '"' {
			end, esc := endString(b, i+1)
			if end < 0 {
				return -1
			}
			if k.wanted {
				j.take(k, val{s: view(b[i+1 : end]), off: int32(i), kind: kString, esc: esc})
			}
			i = end + 1
		} else if i = j.member(i, k, depth); i < 0 {
			return -1
		}
		if i < len(b) && b[i] <= ' ' {
			i = skipSpace(b, i)
		}
		if i >= len(b) {
			return -1
		}
		if b[i] != ',' {
			break
		}
		i++
		if i < len(b) && b[i] <= ' ' {
			i = skipSpace(b, i)
		}
	}
	if b[i] != '}' {
		return -1
	}
	return i + 1
}

// member reads the value of key k at b[i], which is no string.
func (j *jscan) member(i int, k *key, depth int) int {
	b := j.b
	if i < len(b) && b[i] == '{' && k.open && depth < maxDepth {
		return j.nested(i, k, depth)
	}
	end, kd := endValue(b, i, depth)
	if end >= 0 && k.wanted {
		j.take(k, val{s: view(b[i:end]), off: int32(i), kind: kd})
	}
	return end
}

// nested reads an object that may hold something wanted.
func (j *jscan) nested(i int, k *key, depth int) int {
	end := j.object(i+1, k, depth+1)
	if end >= 0 {
		j.take(k, val{s: view(j.b[i:end]), off: int32(i), kind: kObject})
	}
	return end
}

// take hands a value to whoever wants it.
func (j *jscan) take(k *key, v val) {
	if k.record == j.record {
		j.repeat = true
	}
	k.record = j.record
	if k.target.field != noField {
		j.m.put(&k.target, v)
	}
	if k.noted {
		j.note(k, v)
	}
}

// note keeps a value that is a slot's or tells what the record is.
func (j *jscan) note(k *key, v val) {
	if k.slot >= 0 {
		j.fill(k, v)
	}
	if k.mark != noMark {
		j.marks[k.mark] = v
		j.marked |= 1 << k.mark
	}
}

func (j *jscan) fill(k *key, v val) {
	i := k.slot
	if j.slotRc[i] == j.record && j.slotBy[i] != k || v.kind >= kObject {
		j.deep = true
	}
	j.slots[i], j.slotBy[i], j.slotRc[i] = v, k, j.record
}

func (j *jscan) has(m mark) bool { return j.marked&(1<<m) != 0 }

// key reads the name at b[i] and the colon after it.
func (j *jscan) key(i int, parent *key) (*key, int) {
	b := j.b
	if i >= len(b) || b[i] != '"' {
		return nil, -1
	}
	end, esc := endString(b, i+1)
	if end < 0 {
		return nil, -1
	}
	colon := skipSpace(b, end+1)
	if colon >= len(b) || b[colon] != ':' {
		return nil, -1
	}
	raw := b[i+1 : end]
	if k := parent.kids[string(raw)]; k != nil {
		return k, colon + 1
	}
	return j.learn(parent, string(raw), esc), colon + 1
}

// learn makes a key of a name met for the first time. Spellings of one name are
// one key.
func (j *jscan) learn(parent *key, raw string, esc bool) *key {
	name := raw
	if esc {
		name = string(appendUnescaped(nil, raw))
		if k := parent.kids[name]; k != nil {
			parent.kids[raw] = k
			return k
		}
	}
	k := &key{quoted: `"` + raw + `":`, path: name, slot: -1}
	if parent.path != "" {
		k.path = parent.path + "." + name
	} else {
		k.mark = marks[name]
	}
	k.slot = int16(j.tab.slot(k.path))
	k.target = j.tab.lookup(k.path)
	k.target.key = k.path
	k.depth = parent.depth + 1
	k.target.rank = k.target.rank.at(k.path, k.depth)
	k.open = j.tab.holds(k.path)
	k.noted = k.slot >= 0 || k.mark != noMark
	k.wanted = k.noted || k.target.field != noField || k.open
	if k.open {
		k.kids = keyMap{}
	}
	parent.kids[raw], parent.kids[name] = k, k
	j.nKeys++
	return k
}
