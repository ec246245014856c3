package correlate

import (
	"io"

	"corral/event"
	"corral/rules"
)

// Options of an Engine.
type Options struct {
	Shards int // state is split by key hash into so many parts; 0: 1. Changes no result
}

// Engine correlates matched events into incidents. Push what a Matcher found,
// in any order not older than the watermark, and Advance the watermark: what
// lies before it is put in order and takes effect. Not safe for concurrent use.
type Engine struct{}

// New returns an engine without state.
func New(set *rules.Set, o Options) *Engine { panic("stub") }

// Seen tells the engine that there was an event at t, matched or not: the first
// one (by event time) arms what is expected.
func (e *Engine) Seen(t int64) { panic("stub") }

// Push adds an event (a clone; the engine keeps it) and the rules it met. It
// takes effect when the watermark passes its time. Duplicates by event id are
// for the caller to drop. An event before the watermark is refused: false.
func (e *Engine) Push(ev *event.Event, ms []rules.Match) bool { panic("stub") }

// Advance says that no event before watermark (nanoseconds since the epoch) will
// come. Every event and timer before it takes effect, in order; transitions are
// emitted in the order of Compare.
func (e *Engine) Advance(watermark int64, emit func(*Transition)) { panic("stub") }

// Finish ends a bounded input: events and timers up to and at end take effect.
// What is still open stays open; OpenIncidents lists it.
func (e *Engine) Finish(end int64, emit func(*Transition)) { panic("stub") }

// Watermark returns the last one.
func (e *Engine) Watermark() int64 { panic("stub") }

// Snapshot writes the whole state: versioned, checksummed, with the rules'
// hashes. Restore reads it for any number of shards; rules whose SelectHash
// changed start empty.
func (e *Engine) Snapshot(w io.Writer) error { panic("stub") }

// Restore returns an engine that goes on where the snapshot was taken. The error
// says what was wrong: version, checksum, truncation.
func Restore(set *rules.Set, o Options, r io.Reader) (*Engine, error) { panic("stub") }

// Reload replaces the rules at the watermark and says what became of each.
func (e *Engine) Reload(set *rules.Set, emit func(*Transition)) Reloaded { panic("stub") }

// Reloaded is the report of a Reload.
type Reloaded struct {
	Gen                                                    uint64
	Unchanged, Text, Logic, Reset, Added, Removed, Renamed []string
	Stay, Resolved                                         map[string]int // open incidents by rule id
}
