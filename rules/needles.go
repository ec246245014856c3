package rules

import "strings"

// needles finds which of many texts a text contains. A few are looked for one by
// one; more by one pass of an automaton (Aho-Corasick as a table over classes of
// bytes), whose time does not depend on their number. Most texts hold none, which a
// look at a few pairs of their bytes mostly tells: see first.
type needles struct {
	texts []string // each once, none empty

	class   [256]uint16 // of each byte; 0: in no needle
	classes int
	next    []int32 // state*classes + class → state
	ends    []int32 // by state: first of its entries in found, -1
	found   []needleEnd

	window int                // shortest needle; below minWindow there is no skip
	skip   []uint8            // by pair: how far the window may move when it ends with it
	begins [pairs / 64]uint64 // by pair, a bit: whether a needle begins with it
}

// Pairs of bytes are told apart by ten bits.
const pairs = 1 << 10

func pair(a, b byte) uint { return (uint(a)<<5 ^ uint(b)) % pairs }

const (
	minWindow = 4
	maxWindow = 255
)

// needleEnd is a needle that ends in a state, and the next one that does.
type needleEnd struct{ needle, more int32 }

const fewNeedles = 8

// prepare must be called once all texts are in.
func (n *needles) prepare() {
	if len(n.texts) > 1 {
		n.pairUp()
	}
	if len(n.texts) > fewNeedles {
		n.build()
	}
}

// find appends the needles in s to out; one that comes often more than once.
func (n *needles) find(s string, out []int32) []int32 {
	at := n.first(s)
	if at < 0 {
		return out
	}
	s = s[at:]
	if n.next == nil {
		for i, t := range n.texts {
			if strings.Contains(s, t) {
				out = append(out, int32(i))
			}
		}
		return out
	}
	state := int32(0)
	for i := 0; i < len(s); i++ {
		state = n.next[int(state)*n.classes+int(n.class[s[i]])]
		for e := n.ends[state]; e >= 0; e = n.found[e].more {
			out = append(out, n.found[e].needle)
		}
	}
	return out
}

// pairUp makes the tables of first.
func (n *needles) pairUp() {
	n.window = maxWindow
	for _, t := range n.texts {
		n.window = min(n.window, len(t))
	}
	if n.window < minWindow {
		return
	}
	n.skip = make([]uint8, pairs)
	for i := range n.skip {
		n.skip[i] = uint8(n.window - 1)
	}
	for _, t := range n.texts {
		p := pair(t[0], t[1])
		n.begins[p/64] |= 1 << (p % 64)
		for i := 1; i < n.window; i++ {
			p := pair(t[i-1], t[i])
			n.skip[p] = min(n.skip[p], uint8(n.window-1-i))
		}
	}
}

// first returns a place in s before which no needle begins, -1 if s holds none. A
// window as long as the shortest needle moves over s by as much as the pair it ends
// with allows in every needle (after Wu and Manber).
func (n *needles) first(s string) int {
	if n.skip == nil {
		return 0
	}
	for i := n.window - 1; i < len(s); {
		d := n.skip[pair(s[i-1], s[i])]
		if d > 0 {
			i += int(d)
			continue
		}
		at := i - n.window + 1
		if p := pair(s[at], s[at+1]); n.begins[p/64]&(1<<(p%64)) != 0 {
			return at
		}
		i++
	}
	return -1
}

// build makes the automaton: a trie, completed breadth first with the transitions
// of each state's longest proper suffix.
func (n *needles) build() {
	n.classify()
	n.addState()
	for i, t := range n.texts {
		n.insert(t, int32(i))
	}
	n.complete()
}

// classify gives each byte that occurs in a needle a class of its own.
func (n *needles) classify() {
	n.classes = 1
	for _, t := range n.texts {
		for i := 0; i < len(t); i++ {
			if n.class[t[i]] == 0 {
				n.class[t[i]] = uint16(n.classes)
				n.classes++
			}
		}
	}
}

func (n *needles) addState() int32 {
	for range n.classes {
		n.next = append(n.next, -1)
	}
	n.ends = append(n.ends, -1)
	return int32(len(n.ends) - 1)
}

func (n *needles) insert(text string, needle int32) {
	state := int32(0)
	for i := 0; i < len(text); i++ {
		at := int(state)*n.classes + int(n.class[text[i]])
		if n.next[at] < 0 {
			s := n.addState()
			n.next[at] = s
		}
		state = n.next[at]
	}
	n.found = append(n.found, needleEnd{needle, -1})
	n.ends[state] = int32(len(n.found) - 1)
}

func (n *needles) complete() {
	suffix := make([]int32, len(n.ends))
	var queue []int32
	for c := range n.classes {
		if s := n.next[c]; s > 0 {
			queue = append(queue, s)
		} else {
			n.next[c] = 0
		}
	}
	for len(queue) > 0 {
		state := queue[0]
		queue = queue[1:]
		n.inherit(state, suffix[state])
		for c := range n.classes {
			at := int(state)*n.classes + c
			via := n.next[int(suffix[state])*n.classes+c]
			if s := n.next[at]; s >= 0 {
				suffix[s] = via
				queue = append(queue, s)
			} else {
				n.next[at] = via
			}
		}
	}
}

// inherit makes the needles that end in a state's suffix end in the state too: the
// suffix's list goes on behind the one needle of its own the state may have.
func (n *needles) inherit(state, suffix int32) {
	if own := n.ends[state]; own >= 0 {
		n.found[own].more = n.ends[suffix]
		return
	}
	n.ends[state] = n.ends[suffix]
}
