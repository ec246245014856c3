package rules

import (
	"regexp"
	"strings"
	"time"

	"github.com/expr-lang/expr/vm/runtime"

	"corral/event"
)

// The primitives of the rule language. The expr VM and the closures of the fast
// path both call these, so that they cannot disagree on what an operator means.
//
// A comparison has three outcomes: a value that is absent or of the wrong type is
// neither greater nor not greater. Unknown is false wherever a decision is due,
// and so is its negation; `unknown && false` is false and `unknown || true` true.

// tri is the outcome of a condition.
type tri uint8

const (
	tFalse tri = iota
	tTrue
	tUnknown
)

func triOf(b bool) tri {
	if b {
		return tTrue
	}
	return tFalse
}

func (t tri) not() tri {
	switch t {
	case tFalse:
		return tTrue
	case tTrue:
		return tFalse
	}
	return tUnknown
}

// value is the outcome as an expression sees it: Unknown is nil.
func (t tri) value() event.Value {
	switch t {
	case tFalse:
		return event.Value{Kind: event.Bool}
	case tTrue:
		return event.Value{Kind: event.Bool, Int: 1}
	}
	return event.Value{}
}

func truth(v event.Value) tri {
	if v.Kind != event.Bool {
		return tUnknown
	}
	return triOf(v.Int != 0)
}

func and(a, b tri) tri {
	switch {
	case a == tFalse || b == tFalse:
		return tFalse
	case a == tTrue && b == tTrue:
		return tTrue
	}
	return tUnknown
}

func or(a, b tri) tri {
	switch {
	case a == tTrue || b == tTrue:
		return tTrue
	case a == tFalse && b == tFalse:
		return tFalse
	}
	return tUnknown
}

func equal(a, b event.Value) bool {
	switch {
	case a.Kind == event.Tree || b.Kind == event.Tree:
		return runtime.Equal(a.Box(), b.Box())
	case a.Kind == b.Kind:
		switch a.Kind {
		case event.String:
			return a.Str == b.Str
		case event.Float:
			return a.Float == b.Float
		}
		return a.Int == b.Int
	case a.Kind == event.Int && b.Kind == event.Float:
		return float64(a.Int) == b.Float
	case a.Kind == event.Float && b.Kind == event.Int:
		return a.Float == float64(b.Int)
	}
	return false
}

// order compares two numbers, texts, times or durations.
func order(a, b event.Value) (int, bool) {
	switch {
	case a.Kind == event.Int && b.Kind == event.Int:
		return cmpOrdered(a.Int, b.Int), true
	case a.Kind == event.String && b.Kind == event.String:
		return strings.Compare(a.Str, b.Str), true
	case a.Kind == event.Tree && b.Kind == event.Tree:
		return orderTimes(a.Any, b.Any)
	}
	x, ok := a.Number()
	if !ok {
		return 0, false
	}
	y, ok := b.Number()
	if !ok {
		return 0, false
	}
	return cmpOrdered(x, y), true
}

func orderTimes(a, b any) (int, bool) {
	switch x := a.(type) {
	case time.Time:
		if y, ok := b.(time.Time); ok {
			return x.Compare(y), true
		}
	case time.Duration:
		if y, ok := b.(time.Duration); ok {
			return cmpOrdered(x, y), true
		}
	}
	return 0, false
}

func cmpOrdered[T int64 | float64 | time.Duration](a, b T) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// compare applies one of < <= > >=.
func compare(op string, a, b event.Value) tri {
	c, ok := order(a, b)
	if !ok {
		return tUnknown
	}
	return triOf(holds(op, c))
}

func holds(op string, c int) bool {
	switch op {
	case "<":
		return c < 0
	case "<=":
		return c <= 0
	case ">":
		return c > 0
	}
	return c >= 0
}

// textOp applies contains, startsWith or endsWith.
func textOp(op string, a, b event.Value) tri {
	if a.Kind != event.String || b.Kind != event.String {
		return tUnknown
	}
	switch op {
	case "contains":
		return triOf(strings.Contains(a.Str, b.Str))
	case "startsWith":
		return triOf(strings.HasPrefix(a.Str, b.Str))
	}
	return triOf(strings.HasSuffix(a.Str, b.Str))
}

func matchRE(v event.Value, re *regexp.Regexp) tri {
	if v.Kind != event.String {
		return tUnknown
	}
	return triOf(re.MatchString(v.Str))
}
