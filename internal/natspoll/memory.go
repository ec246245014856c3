package natspoll

import "time"

// memory is what one poll knows of the one before: as much as there are consumers
// and servers.
type memory struct {
	positions positions
	slow      map[string]int64     // slow consumers a server had counted
	told      map[string]time.Time // when the last connection told of was closed, by the server's clock
	deaf      bool                 // nobody answered
	servers   map[string]*absentee // by name: a server that is started anew has another id
}

// absentee is a server that has answered, when it did, and the polls it has not
// answered since.
type absentee struct {
	identity
	seen  time.Time
	polls int
}

const (
	missedPolls = 2 // of a server that is missing: one answer may be late
	remembered  = 24 * time.Hour
)

// missing are the servers that have not answered for so long, two polls at least,
// while others do. It is told of them at each poll, until they are back or a day is
// over.
func (m *memory) missing(answered []identity, now time.Time, after time.Duration) []sample {
	if len(answered) == 0 {
		return nil
	}
	for _, a := range m.servers {
		a.polls++
	}
	for _, id := range answered {
		m.servers[id.Name] = &absentee{identity: id, seen: now}
	}
	var samples []sample
	for name, a := range m.servers {
		switch silent := now.Sub(a.seen); {
		case silent > remembered:
			delete(m.servers, name)
		case silent >= after && a.polls >= missedPolls:
			x := a.sample("poll_missing")
			x["polls"] = a.polls
			samples = append(samples, x)
		}
	}
	return samples
}

// assetKey names a consumer.
type assetKey struct{ account, stream, consumer string }

// position is how far a consumer had come.
type position struct {
	delivered, floor sequence
	first            uint64 // of the stream
}

type positions map[assetKey]position

func newPositions() positions { return positions{} }

func newMemory() memory {
	return memory{positions: newPositions(), slow: map[string]int64{}, told: map[string]time.Time{}, servers: map[string]*absentee{}}
}

// slower reports whether a server has cut off readers since it was asked last. At
// the first time what it did before is history.
func (m *memory) slower(id identity, count int64) bool {
	was, known := m.slow[id.ID]
	m.slow[id.ID] = count
	if !known {
		m.told[id.ID] = id.Time
	}
	return known && count > was
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
