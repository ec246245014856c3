package correlate

// sameWithin is how long an event's own id is remembered, in event time.
const sameWithin = int64(10 * 60 * 1e9)

// dedup tells events that come twice by the id their sender gave them: NATS
// advisories that reach us on two subjects or through two accounts.
type dedup struct {
	seen  map[string]int64 // id → time of the event that counted
	order []idAt           // oldest first
}

type idAt struct {
	id string
	at int64
}

// again reports whether an event with this id has counted not long before t. If
// not, this one counts. Calls are in event order.
func (d *dedup) again(id string, t int64) bool {
	if id == "" {
		return false
	}
	d.expire(t)
	if _, ok := d.seen[id]; ok {
		return true
	}
	if d.seen == nil {
		d.seen = make(map[string]int64)
	}
	d.seen[id] = t
	d.order = append(d.order, idAt{id, t})
	return false
}

func (d *dedup) expire(t int64) {
	n := 0
	for n < len(d.order) && t-d.order[n].at > sameWithin {
		delete(d.seen, d.order[n].id)
		n++
	}
	d.order = d.order[n:]
}
