package correlate

// ring is a queue of instants in a block of a ringSlab. The zero ring is empty.
type ring struct {
	block uint32
	head  uint32
	n     uint32
	class uint8 // of the block plus one: room for 1<<(class-1); 0 none
	hold  bool  // for its owner
}

// ringSlab holds the blocks of many rings, by size, so that a million of them
// are a few objects without pointers.
type ringSlab struct {
	classes [32]ringClass
	live    int // words in use
}

// ringClass has blocks of one size, in chunks of at least one. The first chunk
// grows to its size: there may be thousands of rules with few keys each.
type ringClass struct {
	chunks [][]int64
	used   uint32
	free   []uint32
}

// A chunk of small blocks has 1<<chunkBits words; larger blocks are their own.
const chunkBits = 12

// firstChunk is how many words the first chunk has at least.
const firstChunk = 8

// inChunk is the binary logarithm of the number of blocks in a chunk.
func inChunk(class uint8) uint8 { return chunkBits - min(class, chunkBits) }

func (s *ringSlab) words(r ring) []int64 {
	class := r.class - 1
	bits := inChunk(class)
	off := (r.block & (1<<bits - 1)) << class
	return s.classes[class].chunks[r.block>>bits][off : off+1<<class]
}

// get is the i-th oldest instant.
func (s *ringSlab) get(r ring, i int) int64 {
	w := s.words(r)
	return w[(int(r.head)+i)&(len(w)-1)]
}

// shift removes the oldest.
func (s *ringSlab) shift(r *ring) {
	r.head = (r.head + 1) & (1<<(r.class-1) - 1)
	r.n--
}

// push adds the newest, in a block of twice the size when it is full.
func (s *ringSlab) push(r *ring, t int64) {
	if r.class == 0 || r.n == 1<<(r.class-1) {
		s.grow(r)
	}
	w := s.words(*r)
	w[(r.head+r.n)&uint32(len(w)-1)] = t
	r.n++
}

func (s *ringSlab) grow(r *ring) {
	bigger := ring{class: r.class + 1, n: r.n, hold: r.hold}
	bigger.block = s.alloc(bigger.class - 1)
	if r.class > 0 {
		from, to := s.words(*r), s.words(bigger)
		k := copy(to, from[r.head:])
		copy(to[k:], from[:r.head])
		s.release(r.class-1, r.block)
	}
	*r = bigger
}

func (s *ringSlab) alloc(class uint8) uint32 {
	c := &s.classes[class]
	s.live += 1 << class
	if n := len(c.free); n > 0 {
		b := c.free[n-1]
		c.free = c.free[:n-1]
		return b
	}
	if c.used == c.room(class) {
		c.extend(class)
	}
	c.used++
	return c.used - 1
}

// room is for how many blocks there are chunks.
func (c *ringClass) room(class uint8) uint32 {
	if len(c.chunks) == 1 {
		return uint32(len(c.chunks[0])) >> class
	}
	return uint32(len(c.chunks)) << inChunk(class)
}

// extend adds a chunk, or doubles the first one until it is a whole one.
func (c *ringClass) extend(class uint8) {
	whole := 1 << (inChunk(class) + class)
	switch {
	case len(c.chunks) == 0:
		c.chunks = [][]int64{make([]int64, max(firstChunk, 1<<class))}
	case len(c.chunks[0]) < whole:
		bigger := make([]int64, 2*len(c.chunks[0]))
		copy(bigger, c.chunks[0])
		c.chunks[0] = bigger
	default:
		c.chunks = append(c.chunks, make([]int64, whole))
	}
}

// release gives a block back.
func (s *ringSlab) release(class uint8, block uint32) {
	c := &s.classes[class]
	c.free = append(c.free, block)
	s.live -= 1 << class
}

// free empties a ring.
func (s *ringSlab) free(r *ring) {
	if r.class > 0 {
		s.release(r.class-1, r.block)
	}
	*r = ring{}
}

// size is what the blocks in use take.
func (s *ringSlab) size() int { return 8 * s.live }
