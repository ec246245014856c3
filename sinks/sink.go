// Package sinks delivers transitions of incidents. The clients of servers are in
// the packages below it; here are files, the terminal, retry and dead letters.
package sinks

import (
	"context"
	"errors"

	"corral/correlate"
)

// Sink takes transitions in order. A sink must be idempotent by
// (incident_id, rev): after an unknown outcome the same transitions come again.
type Sink interface {
	// Write returns nil when the transitions are safe with the receiver. An error
	// may be temporary (try again) or Permanent.
	Write(ctx context.Context, ts []*correlate.Transition) error
	// Close flushes and releases; it may be called twice.
	Close() error
}

// Permanent marks an error that no retry can mend.
func Permanent(err error) error { return permanent{err} }

// IsPermanent reports whether err, or one it wraps, is Permanent.
func IsPermanent(err error) bool {
	var p permanent
	return errors.As(err, &p)
}

type permanent struct{ error }

func (p permanent) Unwrap() error { return p.error }

// DeadLetter is a record that could not be used, with the reason.
type DeadLetter struct {
	Reason   string `json:"reason"` // undecodable, late, oversize, rejected
	Error    string `json:"error,omitempty"`
	Source   string `json:"source"`  // partition name
	Subject  string `json:"subject"` // NATS subject; with data it makes this a captured message, which decode opens
	Seq      uint64 `json:"seq"`
	Sub      uint32 `json:"sub,omitempty"`
	Time     string `json:"time,omitempty"`     // event time, RFC 3339
	Observed string `json:"received,omitempty"` // RFC 3339
	Data     string `json:"data,omitempty"`     // the record, if valid UTF-8
	Base64   []byte `json:"data_base64,omitempty"`
}
