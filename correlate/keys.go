package correlate

import (
	"bytes"
	"slices"

	"github.com/cespare/xxhash/v2"
)

// keys is the directory of a rule's group keys: numbers for texts. It holds no
// pointers per key. A number is free for another key once its own is removed.
//
// Layout: table is an open-addressing index into entries (number+1, 0 empty),
// at most three quarters full; the text of all keys stands in one buffer.
type keys struct {
	table   []uint32
	entries []keyEntry
	unused  uint32 // head of the list of free entries, linked by off; number+1
	n       int
	text    []byte
	waste   int // bytes of text that belong to no key
}

// keyEntry is the part of a key's state that every kind has.
type keyEntry struct {
	hash    uint64
	off     uint32 // into text
	len     uint32 // of the text; gone: free
	touched uint64 // order of its latest event among all of the rule
	timer   int64  // instant of its entry in the timer queue that counts, or never
	episode uint32 // index+1 into the rule's episodes, 0: none
	ranked  bool   // the number has an entry in the queue of the stalest
}

const gone = ^uint32(0)

// hashKey is what rules.Match.Hash is of a key.
func hashKey(key string) uint64 { return xxhash.Sum64String(key) }

func (k *keys) bytesOf(i uint32) []byte {
	e := &k.entries[i]
	return k.text[e.off : e.off+e.len]
}

// name is the text of key i.
func (k *keys) name(i uint32) string { return string(k.bytesOf(i)) }

// find looks a key up.
func (k *keys) find(key string, hash uint64) (uint32, bool) {
	if len(k.table) == 0 {
		return 0, false
	}
	mask := uint64(len(k.table) - 1)
	for at := hash & mask; ; at = (at + 1) & mask {
		i := k.table[at]
		if i == 0 {
			return 0, false
		}
		e := &k.entries[i-1]
		if e.hash == hash && string(k.text[e.off:e.off+e.len]) == key {
			return i - 1, true
		}
	}
}

// add enters a key that is not there.
func (k *keys) add(key string, hash uint64) uint32 {
	if 4*(k.n+1) > 3*len(k.table) {
		k.grow()
	}
	var i uint32
	if k.unused != 0 {
		i = k.unused - 1
		k.unused = k.entries[i].off
	} else {
		i = uint32(len(k.entries))
		k.entries = append(room(k.entries), keyEntry{})
	}
	ranked := k.entries[i].ranked
	k.entries[i] = keyEntry{hash: hash, off: uint32(len(k.text)), len: uint32(len(key)), timer: never, ranked: ranked}
	if len(k.text)+len(key) > cap(k.text) {
		k.text = append(make([]byte, 0, len(k.text)+len(k.text)/8+max(len(key), 64)), k.text...)
	}
	k.text = append(k.text, key...)
	k.place(i)
	k.n++
	return i
}

// room makes room for one more at the end of a long slice, an eighth more than
// there is: keys are meant to take little memory.
func room[T any](s []T) []T {
	if n := len(s); n == cap(s) && n > 1<<12 {
		return append(make([]T, 0, n+n/8), s...)
	}
	return s
}

func (k *keys) place(i uint32) {
	mask := uint64(len(k.table) - 1)
	at := k.entries[i].hash & mask
	for k.table[at] != 0 {
		at = (at + 1) & mask
	}
	k.table[at] = i + 1
}

func (k *keys) grow() {
	k.table = make([]uint32, max(8, 2*len(k.table)))
	for i := range k.entries {
		if k.entries[i].len != gone {
			k.place(uint32(i))
		}
	}
}

// remove frees key i and its number.
func (k *keys) remove(i uint32) {
	e := &k.entries[i]
	mask := uint64(len(k.table) - 1)
	at := e.hash & mask
	for k.table[at] != i+1 {
		at = (at + 1) & mask
	}
	k.unlink(at, mask)
	k.waste += int(e.len)
	*e = keyEntry{off: k.unused, len: gone, timer: never, ranked: e.ranked}
	k.unused = i + 1
	k.n--
	if k.n == 0 {
		k.text, k.waste = k.text[:0], 0
	}
	if k.waste > 64<<10 && 2*k.waste > len(k.text) {
		k.compact()
	}
}

// unlink empties the place at, moving back what probed over it.
func (k *keys) unlink(at, mask uint64) {
	for next := (at + 1) & mask; k.table[next] != 0; next = (next + 1) & mask {
		home := k.entries[k.table[next]-1].hash & mask
		if (next-home)&mask >= (next-at)&mask {
			k.table[at] = k.table[next]
			at = next
		}
	}
	k.table[at] = 0
}

func (k *keys) compact() {
	text := make([]byte, 0, len(k.text)-k.waste)
	for i := range k.entries {
		e := &k.entries[i]
		if e.len == gone {
			continue
		}
		off := uint32(len(text))
		text = append(text, k.text[e.off:e.off+e.len]...)
		e.off = off
	}
	k.text, k.waste = text, 0
}

// live lists the numbers of all keys.
func (k *keys) live() []uint32 {
	is := make([]uint32, 0, k.n)
	for i := range k.entries {
		if k.entries[i].len != gone {
			is = append(is, uint32(i))
		}
	}
	return is
}

// sorted lists the numbers of all keys by their texts.
func (k *keys) sorted() []uint32 {
	is := k.live()
	k.sort(is)
	return is
}

// sort puts numbers in the order of their keys' texts.
func (k *keys) sort(is []uint32) {
	slices.SortFunc(is, func(a, b uint32) int {
		return bytes.Compare(k.bytesOf(a), k.bytesOf(b))
	})
}

// size is what the keys there are take.
func (k *keys) size() int {
	return 4*len(k.table) + 40*k.n + len(k.text) - k.waste
}
