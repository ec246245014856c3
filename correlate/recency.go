package correlate

// recency is a set of hashes in the order they were last touched. Each operation
// is O(1). The zero recency is empty.
type recency struct {
	place map[uint64]int32 // of a hash in cells
	cells []cell           // cells[0] closes the ring: next is the oldest, prev the newest
	spare int32            // first of the free cells, linked by next; 0 none
}

type cell struct {
	hash       uint64
	at         int64
	prev, next int32
}

func (r *recency) len() int { return len(r.place) }

// oldest is when the hash that was not touched for longest was. There must be one.
func (r *recency) oldest() int64 { return r.cells[r.cells[0].next].at }

// touch makes a hash the newest, as of an instant not before any other, and
// reports whether it was there.
func (r *recency) touch(hash uint64, at int64) (known bool) {
	i, known := r.place[hash]
	if known {
		r.unlink(i)
	} else {
		i = r.take()
		r.place[hash] = i
	}
	last := r.cells[0].prev
	r.cells[i] = cell{hash: hash, at: at, prev: last}
	r.cells[last].next = i
	r.cells[0].prev = i
	return known
}

// drop removes the oldest.
func (r *recency) drop() {
	i := r.cells[0].next
	delete(r.place, r.cells[i].hash)
	if len(r.place) == 0 {
		*r = recency{}
		return
	}
	r.unlink(i)
	r.cells[i] = cell{next: r.spare}
	r.spare = i
}

func (r *recency) unlink(i int32) {
	c := r.cells[i]
	r.cells[c.prev].next = c.next
	r.cells[c.next].prev = c.prev
}

// take finds a free cell.
func (r *recency) take() int32 {
	if r.place == nil {
		r.place = make(map[uint64]int32)
		r.cells = make([]cell, 1, 4)
	}
	if i := r.spare; i != 0 {
		r.spare = r.cells[i].next
		return i
	}
	r.cells = append(r.cells, cell{})
	return int32(len(r.cells) - 1)
}

func (r *recency) size() int { return 24*cap(r.cells) + 20*len(r.place) }

func (r *recency) encode(e *encoder) {
	e.len(r.len())
	if r.len() == 0 {
		return
	}
	for i := r.cells[0].next; i != 0; i = r.cells[i].next {
		e.uint(r.cells[i].hash)
		e.int(r.cells[i].at)
	}
}

func (r *recency) decode(d *decoder) {
	for range d.len() {
		hash, at := d.uint(), d.int()
		if d.err != nil || r.len() > 0 && at < r.cells[r.cells[0].prev].at || r.touch(hash, at) {
			d.fail()
			return
		}
	}
}
