package clickhouse

import (
	"context"
	"errors"
	"slices"
	"strings"

	"corral/internal/chconn"
)

// A class says what to do about an error. Before anything is sent again, the
// sink looks whether the rows are there, whatever the class.
type class int

const (
	retry   class = iota // it will pass: try for ever
	smaller              // with fewer rows it may pass
	hold                 // someone has to act (schema, rights): try seldom, tell, never drop
	poison               // a row is to blame, or all are
)

const (
	codeUnknownDatabase   = 81
	codeNoAccess          = 497
	codeMemoryLimit       = 241
	codeTooManyParts      = 252 // too many partitions too
	tooManyPartitionsText = "Too many partitions"
)

var (
	// TIMEOUT_EXCEEDED, NO_FREE_CONNECTION, QUERY_WITH_SAME_ID, QUOTA_EXCEEDED, SOCKET_TIMEOUT, NETWORK_ERROR, TABLE_IS_READ_ONLY, …
	retryCodes = []int32{
		3, 159, 160, 173, 201, 202, 203, 209, 210, 216, 236, 242, 243, 252, 265, 279, 285, 286, 289, 319, 394,
		425, 439, 473, 735, 745, 749, 999, 1000, 1001, 1002,
	}
	// CANNOT_PARSE_…, TYPE_MISMATCH, CANNOT_CONVERT_TYPE, VALUE_IS_OUT_OF_RANGE…, INCORRECT_DATA, UNKNOWN_ELEMENT_OF_ENUM, …
	poisonCodes = []int32{6, 20, 27, 33, 53, 70, 72, 117, 130, 131, 469, 691}
)

// classify: what is no exception of the server (a lost connection, a timeout) is
// an unknown outcome and passes. Exceptions that are not known are held: the
// rows wait until someone has looked.
func classify(err error) class {
	code := chconn.Code(err)
	switch {
	case errors.Is(err, errAppend):
		return poison
	case errors.Is(err, errSchema):
		return hold
	case code == 0:
		return retry
	case code == codeMemoryLimit, code == codeTooManyParts && strings.Contains(err.Error(), tooManyPartitionsText):
		return smaller
	case slices.Contains(retryCodes, code):
		return retry
	case slices.Contains(poisonCodes, code):
		return poison
	}
	return hold
}

// errAppend: the driver cannot put a row into its columns. One such row spoils
// the batch on the client's side already.
var errAppend = errors.New("row does not fit its columns")

// ended reports whether err only says that ctx is done.
func ended(ctx context.Context, err error) bool { return err != nil && ctx.Err() != nil }
