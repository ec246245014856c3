// Package event holds the one normalised record everything in corral works on.
//
// A decoder fills an Event, the rule engine reads it. The names of its fields
// are the names the rule language knows (docs/rules.md). The package imports
// nothing of ours.
package event

import (
	"cmp"
	"strconv"
	"strings"
	"time"

	"github.com/cespare/xxhash/v2"
)

// Event is one normalised log line, NATS advisory or server event.
//
// Absent text is "", absent numbers are 0. Strings may be views on the buffer
// the record was decoded from: an Event handed to a callback is valid until the
// callback returns; Clone makes one that lasts. An Event is not safe for
// concurrent use while its attributes are still undecoded (see Attrs).
type Event struct {
	Time        int64       // event time, nanoseconds since 1970-01-01T00:00:00Z
	Observed    int64       // when we received it, same unit
	TimeQuality TimeQuality // how good Time is

	Kind    string // "log", "nats" or "incident"
	Type    string // of a NATS event: "max_deliver", "client_disconnect", …
	Subject string // NATS subject it came on, "" from files

	Service, Instance, Host, Env, Logger string

	Level          string // trace debug info warn error fatal, or ""
	SeverityNumber int    // OpenTelemetry's 1–24, 0 unknown

	Message, Error             string
	TraceID, SpanID, RequestID string

	HTTP HTTP
	RPC  RPC
	NATS NATS

	// Incident is set for kind "incident" only: the transition that rules with
	// `from: incidents` read.
	Incident *Incident

	// Hop is set on what rules with `from: hops` read: this event and the one before
	// it in its trace.
	Hop *Hop

	Format string // how the record was decoded: "json", "logfmt", "nats-server", …
	ID     string // an identity the sender gave (an advisory's id), else ""
	Raw    string // the record as received, without its envelope: evidence
	Pos    Pos

	attrs Attributes
	slots []Value
}

// HTTP is a REST call as seen by either end.
type HTTP struct {
	Method, Route, Path string
	Status              int
	DurationMS          float64 // milliseconds
	Client              string  // address of the caller
}

// RPC is a gRPC call as seen by either end.
type RPC struct {
	System, Service, Method string
	Code                    string  // canonical status name, "DEADLINE_EXCEEDED"
	DurationMS              float64 // milliseconds
}

// NATS holds the facts of advisories, server events, nats-server's own log
// lines and client errors in service logs.
type NATS struct {
	Account, Server, Cluster, Stream, Consumer, Subject string
	Seq, Deliveries                                     int
	Reason                                              string
	CID                                                 int
	Client, User, Host                                  string
	ErrCode                                             int
	Leader                                              string
}

// Incident is what a rule over incidents sees of another rule's transition.
type Incident struct {
	ID, Rule, State, Severity, Cause string
	Key, Labels                      map[string]string
	Title                            string
	Rev, Count                       int
	Recurrence                       int   // nth episode of its fingerprint in 30 d
	StartedAt, OpenedAt              int64 // nanoseconds since the epoch
}

// Hop is two neighbouring events of one trace as rules with `from: hops` read
// them: what lay between, and what was learned of such steps before. A statement
// is a service and its logger.
type Hop struct {
	Side string // "to": told of the service that went on, "from": of the one before
	Peer string // the service at the other end, "" if there is only one
	Step string // "service/logger > service/logger"

	FromService, FromLogger string // the event before
	GapMS                   float64

	Seen         int     // gaps remembered of this very step, up to 200
	P50MS, P90MS float64 // … what half of them, and usually nine of ten, stay below

	Known int     // steps remembered out of the statement before, up to 500
	Share float64 // … part of them that is usually this one
	// … and what followed most often, with its part.
	UsualService, UsualLogger string
	UsualShare                float64
}

// TimeQuality says where an event's time comes from, best first.
type TimeQuality uint8

const (
	TimeExact    TimeQuality = iota // date, time and zone were in the record
	TimeNoZone                      // zone assumed
	TimeNoYear                      // year (and zone) assumed
	TimeNoDate                      // date taken from the envelope or arrival
	TimeEnvelope                    // the shipper's or container runtime's clock
	TimeObserved                    // none usable in the record: arrival
)

var timeQualityNames = [...]string{"exact", "no_zone", "no_year", "no_date", "envelope", "observed"}

func (q TimeQuality) String() string { return timeQualityNames[q] }

// Pos is where in its source a record stood. Events of equal time are ordered
// by it, so it must not depend on how fast sources were read.
type Pos struct {
	Partition uint32 // source partition: a file, a stream, a subscription
	Seq       uint64 // JetStream stream sequence, line number, row number
	Sub       uint32 // position inside a message that held several events
}

// Compare orders events by (time, partition, sequence, sub).
func Compare(a, b *Event) int {
	if c := cmp.Compare(a.Time, b.Time); c != 0 {
		return c
	}
	return a.Pos.Compare(b.Pos)
}

// Compare orders positions.
func (p Pos) Compare(q Pos) int {
	if c := cmp.Compare(p.Partition, q.Partition); c != 0 {
		return c
	}
	if c := cmp.Compare(p.Seq, q.Seq); c != 0 {
		return c
	}
	return cmp.Compare(p.Sub, q.Sub)
}

// When returns Time as a UTC time.Time.
func (e *Event) When() time.Time { return time.Unix(0, e.Time).UTC() }

// EventID names the event by its content, so that it is the same in a stream,
// a file and a table: the sender's own id where there is one, else the 64-bit
// xxHash of time and record in hex.
func (e *Event) EventID() string {
	if e.ID != "" {
		return e.ID
	}
	var d xxhash.Digest
	d.Reset()
	var b [8]byte
	for i := range b {
		b[i] = byte(e.Time >> (8 * i))
	}
	_, _ = d.Write(b[:])
	_, _ = d.WriteString(e.Raw)
	s := strconv.FormatUint(d.Sum64(), 16)
	return "0000000000000000"[len(s):] + s
}

// Reset makes the event ready for the next record, keeping its slot storage.
func (e *Event) Reset() {
	slots := e.slots[:0]
	*e = Event{slots: slots}
}

// Clone returns a copy that does not refer to the record's buffer. Undecoded
// attributes stay undecoded.
func (e *Event) Clone() *Event {
	c := *e
	var n int
	c.eachString(func(s *string) { n += len(*s) })
	var b strings.Builder
	b.Grow(n)
	c.eachString(func(s *string) { b.WriteString(*s) })
	buf := b.String()
	c.eachString(func(s *string) {
		k := len(*s)
		*s, buf = buf[:k], buf[k:]
	})
	if e.Incident == nil {
		c.slots = make([]Value, len(e.slots))
		for i, v := range e.slots {
			c.slots[i] = v.clone()
		}
	}
	c.attrs = e.attrs.clone(e.Raw, c.Raw)
	return &c
}

// eachString visits every text field that may be a view on a buffer. Kind,
// Type, Level, RPC.Code and Format are of closed sets and held as constants.
func (e *Event) eachString(f func(*string)) {
	for _, s := range [...]*string{
		&e.Type, &e.Subject, &e.Service, &e.Instance, &e.Host, &e.Env, &e.Logger,
		&e.Message, &e.Error, &e.TraceID, &e.SpanID, &e.RequestID,
		&e.HTTP.Method, &e.HTTP.Route, &e.HTTP.Path, &e.HTTP.Client,
		&e.RPC.System, &e.RPC.Service, &e.RPC.Method, &e.RPC.Code,
		&e.NATS.Account, &e.NATS.Server, &e.NATS.Cluster, &e.NATS.Stream, &e.NATS.Consumer,
		&e.NATS.Subject, &e.NATS.Reason, &e.NATS.Client, &e.NATS.User, &e.NATS.Host, &e.NATS.Leader,
		&e.ID, &e.Raw,
	} {
		f(s)
	}
}
