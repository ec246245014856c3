package natspoll

import "time"

// memory is what one poll knows of the one before: as much as there are consumers
// and servers.
type memory struct {
	positions positions
	slow      map[string]int64     // slow consumers a server had counted
	told      map[string]time.Time // when the last connection told of was closed, by the server's clock
	deaf      bool                 // nobody answered
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
	return memory{positions: newPositions(), slow: map[string]int64{}, told: map[string]time.Time{}}
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
