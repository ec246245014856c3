// Package ingest brings records in: from files here, from JetStream, core NATS
// and ClickHouse in the packages below it. Turning records into events is
// package decode's.
package ingest

import (
	"context"
)

// Record is what one read gave: a NATS message, or a run of whole lines of a
// file. Package decode finds the events in it.
type Record struct {
	Data     []byte              // not changed by anyone after it was handed over
	Subject  string              // NATS subject, "" from files
	Input    string              // path of the file as it was named, name of the stream; "": neither
	Headers  map[string][]string // NATS headers, nil from files
	Observed int64               // arrival, nanoseconds since the epoch; files: 0
	Seq      uint64              // stream sequence, or number of the first line (1…)
	Lines    bool                // Data is a piece of a line-based file
	Account  string              // NATS account it was published in, which advisories of JetStream do not say; "": not known

	// Reference is the instant that dates without a year are reckoned from where
	// Observed is 0, mostly the file's modification time. 0: none.
	Reference int64
	Header    []byte // first line of that file, if it names columns and Data is a later piece
}

// Batch is a run of records of one partition in source order.
type Batch struct {
	Partition int // index of the source's partition, see Source
	Records   []Record
	// Pending is what the source still holds beyond this batch, 0 when the reader
	// is caught up: only then may the wall clock move the watermark. -1: unknown.
	Pending int64
	// At is an instant, nanoseconds since the epoch, at which that was so: what comes
	// after the batch came to the source later, however long the batch was on its
	// way. 0: when it is handed over.
	At int64
	// Done is called once, when everything in the batch has taken effect and is
	// safe: sinks accepted and snapshot stored. nil: nothing to acknowledge.
	Done func() error
	// Origin tells apart what bears the same name: the instant at which a stream was
	// made, for one made again counts its records anew. "": not known.
	Origin string
	// End: the partition is at its end (a file, a bounded replay); no batch of it
	// follows.
	End bool
	// Mark is where the batch ends in a file; zero of other sources, whose records
	// are found again by their Seq.
	Mark Mark
}

// Mark is a place between two lines of a file.
type Mark struct {
	Offset int64  `json:"offset"` // bytes of text before it, after decompression
	Line   uint64 `json:"line"`   // lines before it
}

// Position is how far a partition was read.
type Position struct {
	Seq    uint64 // of the last record
	Origin string // see Batch
}

// Partition is a part of a source that is ordered in itself.
type Partition struct {
	Name   string // "stream:LOGS", "file:/var/log/app.log", "subject:$SYS.>"
	Replay bool   // what was not acknowledged comes again (files, JetStream)
}

// Source delivers batches of its partitions.
type Source interface {
	// Partitions are known before Run, in an order that does not change.
	Partitions() []Partition
	// Run hands batches to out, from one goroutine at a time, until ctx is done
	// (then its error is context.Cause) or every partition has ended (nil). It
	// blocks in out: that is the back-pressure.
	Run(ctx context.Context, out func(Batch) error) error
}

// Puller is a source whose partitions are read when asked for, so that a reader
// can merge many of them in event time with bounded memory, always asking for
// the one that is furthest behind.
//
// One partition is asked by one goroutine at a time; different ones may be asked
// at once. An error other than io.EOF ends the partition: what was read of it
// came before.
type Puller interface {
	Partitions() []Partition
	// Head returns the beginning of a partition, as Next will return it first or
	// shorter, and moves nothing. io.EOF: the partition is empty.
	Head(ctx context.Context, partition int) (Batch, error)
	// Next returns the next batch. The last one has End set, perhaps without
	// records; after it comes io.EOF.
	Next(ctx context.Context, partition int) (Batch, error)
}
