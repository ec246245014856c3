package decode

import (
	"fmt"
	"strings"

	"github.com/cespare/xxhash/v2"
)

// target is what a key fills: a field, and how good a source for it it is.
type target struct {
	field field
	unit  unit
	keep  bool // the key stays an attribute
	rank  rank
	key   string // as the record spells it
}

// rank orders the keys of a field, 0 is best: by the table, what is in wrappers
// last; then flat keys before nested ones; then by a hash of the key as written,
// so that no two spellings are equal and their order in a record does not
// matter.
type rank uint64

const (
	wrapped   = 1 << 14 // rows
	rankRow   = 1 << 40
	rankDepth = 1 << 32
)

// row is the key's place in its row of the table.
func (r rank) row() int { return int(r / rankRow) }

// at makes the rank that of a key at a place of a record.
func (r rank) at(path string, depth int) rank {
	return r + rankDepth*rank(min(depth, 255)) + rank(uint32(xxhash.Sum64String(path)))
}

// table is what a decoder looks keys up in. It is not changed once made and is
// shared by the events whose attributes are not decoded yet.
type table struct {
	targets map[string]target // by canonical path
	parents map[string]bool   // canonical paths of objects that hold targets
	slots   map[string]int    // by path as rules write it
	slotUp  map[string]bool   // paths of objects that hold slots
	nSlots  int
}

func newTable(attrPaths, maps []string) (*table, error) {
	t := &table{
		targets: map[string]target{}, parents: map[string]bool{},
		slots: map[string]int{}, slotUp: map[string]bool{}, nSlots: len(attrPaths),
	}
	for i, p := range attrPaths {
		t.slots[p] = i
		addParents(t.slotUp, p)
	}
	byName := map[string]field{}
	for _, row := range keyTable {
		if row.name != "" {
			byName[row.name] = row.field
		}
		for i, key := range strings.Fields(row.keys) {
			key, keep := strings.CutPrefix(key, "~")
			t.add(key, target{field: row.field, rank: rankRow * rank(i+1), unit: unitOf(key), keep: keep || ambiguous&(1<<row.field) != 0})
		}
	}
	t.addJoined()
	for _, w := range wrappers {
		t.parents[w[:len(w)-1]] = true
	}
	return t, t.override(byName, maps)
}

// override adds what the user said: "service=attrs.app" takes the service from
// the key app, before every other.
func (t *table) override(byName map[string]field, maps []string) error {
	for _, m := range maps {
		name, path, ok := strings.Cut(m, "=")
		path = strings.TrimPrefix(strings.TrimSpace(path), "attrs.")
		f := byName[strings.TrimSpace(name)]
		if !ok || path == "" {
			return fmt.Errorf("map %q: want FIELD=attrs.PATH", m)
		}
		if f == noField {
			return fmt.Errorf("map %q: unknown field %q", m, name)
		}
		key := canonical(path)
		delete(t.targets, key)
		t.add(key, target{field: f, unit: unitOf(key)})
	}
	return nil
}

// addJoined adds the keys that are written in one word too, where that is no key of
// its own.
func (t *table) addJoined() {
	for _, key := range sortedKeys(t.targets) {
		if one := joined(key); one != "" {
			t.add(one, t.targets[key])
		}
	}
}

func (t *table) add(key string, tg target) {
	if _, ok := t.targets[key]; !ok {
		t.targets[key] = tg
	}
	addParents(t.parents, key)
}

func addParents(set map[string]bool, path string) {
	for i, c := range path {
		if c == '.' {
			set[path[:i]] = true
		}
	}
}

// lookup finds what the key at a dotted path fills.
func (t *table) lookup(path string) target {
	c := canonical(path)
	if tg, ok := t.targets[c]; ok {
		return tg
	}
	for _, w := range wrappers {
		if rest, ok := strings.CutPrefix(c, w); ok {
			if tg, ok := t.targets[rest]; ok {
				tg.rank += rankRow * wrapped
				return tg
			}
		}
	}
	return target{}
}

// holds reports whether an object at path may hold something wanted.
func (t *table) holds(path string) bool {
	if t.slotUp[path] {
		return true
	}
	c := canonical(path)
	if t.parents[c] {
		return true
	}
	for _, w := range wrappers {
		if rest, ok := strings.CutPrefix(c, w); ok && t.parents[rest] {
			return true
		}
	}
	return false
}

// slot returns the number of the slot of an attribute path, -1 if no rule reads
// it.
func (t *table) slot(path string) int {
	if i, ok := t.slots[path]; ok {
		return i
	}
	return -1
}

// canonical makes spellings of a key equal: lower case, without _ and -.
func canonical(path string) string {
	plain := true
	for i := 0; i < len(path); i++ {
		if c := path[i]; c == '_' || c == '-' || 'A' <= c && c <= 'Z' {
			plain = false
			break
		}
	}
	if plain {
		return path
	}
	b := make([]byte, 0, len(path))
	for i := 0; i < len(path); i++ {
		switch c := path[i]; {
		case c == '_' || c == '-':
		case 'A' <= c && c <= 'Z':
			b = append(b, c|0x20)
		default:
			b = append(b, c)
		}
	}
	return string(b)
}

// unit says how a number of a duration is meant.
type unit uint8

const (
	unitUnknown unit = iota
	unitMS
	unitSeconds
	unitMicros
	unitNanos
)

// unitOf reads the unit off a canonical key.
func unitOf(key string) unit {
	switch key {
	case "responsetime", "elapsedmilliseconds":
		return unitMS
	case "requesttime", "upstreamresponsetime", "http.server.request.duration", "http.client.request.duration":
		return unitSeconds
	case "event.duration":
		return unitNanos
	case "rpc.server.duration", "rpc.client.duration":
		return unitMS
	}
	for _, u := range []struct {
		suffix string
		unit   unit
	}{
		{"milliseconds", unitMS},
		{"millis", unitMS},
		{"ms", unitMS},
		{"seconds", unitSeconds},
		{"secs", unitSeconds},
		{"micros", unitMicros},
		{"us", unitMicros},
		{"nanos", unitNanos},
		{"ns", unitNanos},
		{"s", unitSeconds},
	} {
		if stem, ok := strings.CutSuffix(key, u.suffix); ok && hasDurationStem(stem) {
			return u.unit
		}
	}
	return unitUnknown
}

func hasDurationStem(stem string) bool {
	for _, s := range []string{"duration", "latency", "elapsed", "took", "time"} {
		if strings.HasSuffix(stem, s) {
			return true
		}
	}
	return false
}
