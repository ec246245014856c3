package correlate

import (
	"math"

	"github.com/cespare/xxhash/v2"

	"corral/event"
	"corral/rules"
)

// distinct counts different values: how often each is in the pane, by a 64-bit
// hash, in an open-addressing table without pointers.
type distinct struct {
	fixed  bool
	n      int // different values
	hashes []uint64
	counts []uint32 // 0: free
	in     fifo[numbered[uint64]]
}

// hashValue is the same for equal values: an integer and a float that count the
// same are equal.
func hashValue(v event.Value) uint64 {
	if v.Kind == event.Float && v.Float == math.Trunc(v.Float) && math.Abs(v.Float) < 1<<62 {
		v = event.Value{Kind: event.Int, Int: int64(v.Float)}
	}
	switch v.Kind {
	case event.String:
		return xxhash.Sum64String(v.Str)
	case event.Int:
		return scramble(uint64(v.Int) ^ 0x9e3779b97f4a7c15)
	}
	return xxhash.Sum64(event.AppendValue([]byte{0}, v))
}

// scramble spreads the bits of x over all (the finaliser of splitmix64).
func scramble(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

func (s *distinct) add(seq uint64, v event.Value) {
	if v.Kind == event.Nil {
		return
	}
	h := hashValue(v)
	s.enter(h)
	if !s.fixed {
		s.in.push(numbered[uint64]{seq, h})
	}
}

func (s *distinct) enter(h uint64) {
	if 4*(s.n+1) > 3*len(s.hashes) {
		s.grow()
	}
	i := s.find(h)
	if s.counts[i] == 0 {
		s.hashes[i] = h
		s.n++
	}
	if s.counts[i] < math.MaxUint32 {
		s.counts[i]++
	}
}

// find is the place of h, or the free one where it would go.
func (s *distinct) find(h uint64) int {
	mask := len(s.hashes) - 1
	i := int(h) & mask
	for s.counts[i] != 0 && s.hashes[i] != h {
		i = (i + 1) & mask
	}
	return i
}

func (s *distinct) grow() {
	hashes, counts := s.hashes, s.counts
	size := max(4, 2*len(hashes))
	s.hashes, s.counts = make([]uint64, size), make([]uint32, size)
	for i, c := range counts {
		if c != 0 {
			j := s.find(hashes[i])
			s.hashes[j], s.counts[j] = hashes[i], c
		}
	}
}

func (s *distinct) drop(seq uint64) {
	if s.in.n == 0 || s.in.front().seq != seq {
		return
	}
	i := s.find(s.in.pop().v)
	s.counts[i]--
	if s.counts[i] == 0 {
		s.n--
		s.unlink(i)
	}
	if s.n == 0 && len(s.hashes) > 64 {
		s.hashes, s.counts = nil, nil
	}
}

// unlink frees place i, moving back what probed over it.
func (s *distinct) unlink(i int) {
	mask := len(s.hashes) - 1
	for j := (i + 1) & mask; s.counts[j] != 0; j = (j + 1) & mask {
		home := int(s.hashes[j]) & mask
		if (j-home)&mask >= (j-i)&mask {
			s.hashes[i], s.counts[i] = s.hashes[j], s.counts[j]
			s.counts[j] = 0
			i = j
		}
	}
}

func (s *distinct) value(*rules.Agg) event.Value { return intValue(s.n) }
func (s *distinct) clear()                       { *s = distinct{fixed: s.fixed} }

func (s *distinct) encode(e *encoder) {
	if !s.fixed {
		encodeFifo(e, &s.in, func(v numbered[uint64]) {
			e.uint(v.seq)
			e.uint(v.v)
		})
		return
	}
	e.len(s.n)
	for i, c := range s.counts {
		if c != 0 {
			e.uint(s.hashes[i])
		}
	}
}

func (s *distinct) decode(d *decoder) {
	for range d.len() {
		if s.fixed {
			s.enter(d.uint())
			continue
		}
		v := numbered[uint64]{d.uint(), d.uint()}
		s.enter(v.v)
		s.in.push(v)
	}
}
