package event

import (
	"math"
	"strings"
)

// ValueKind is the type of a Value.
type ValueKind uint8

const (
	Nil    ValueKind = iota // absent or null
	Bool                    // Int is 0 or 1
	Int                     // Int
	Float                   // Float
	String                  // Str
	Tree                    // Any: []any or map[string]any
)

// Value is one attribute without the allocation that boxing it would cost.
type Value struct {
	Kind  ValueKind
	Int   int64
	Float float64
	Str   string
	Any   any
}

// Of returns v as a Value; v is of the types Lazy lists.
func Of(v any) Value {
	switch v := v.(type) {
	case nil:
		return Value{}
	case bool:
		if v {
			return Value{Kind: Bool, Int: 1}
		}
		return Value{Kind: Bool}
	case int:
		return Value{Kind: Int, Int: int64(v)}
	case int64:
		return Value{Kind: Int, Int: v}
	case float64:
		return Value{Kind: Float, Float: v}
	case string:
		return Value{Kind: String, Str: v}
	}
	return Value{Kind: Tree, Any: v}
}

// Box returns the value as the rule language sees it.
func (v Value) Box() any {
	switch v.Kind {
	case Bool:
		return v.Int != 0
	case Int:
		return int(v.Int)
	case Float:
		return v.Float
	case String:
		return v.Str
	case Tree:
		return v.Any
	}
	return nil
}

// Number returns an integer or a float as a float64; false for all else, NaN too.
func (v Value) Number() (float64, bool) {
	switch v.Kind {
	case Int:
		return float64(v.Int), true
	case Float:
		return v.Float, !math.IsNaN(v.Float)
	}
	return 0, false
}

func (v Value) clone() Value {
	v.Str = strings.Clone(v.Str)
	v.Any = cloneAny(v.Any)
	return v
}

// Slots: the attribute paths that loaded rules read have numbers, and a decoder
// may fill those numbers directly. Slot i is the i-th path of the list the
// decoder was made with (rules.Set.AttrPaths).

// SetSlots replaces the slots; the event keeps the slice until Reset.
func (e *Event) SetSlots(v []Value) { e.slots = v }

// Slots returns the slots, for a decoder to fill: len is n, all Nil.
func (e *Event) Slots(n int) []Value {
	if cap(e.slots) < n {
		e.slots = make([]Value, n)
	}
	e.slots = e.slots[:n]
	clear(e.slots)
	return e.slots
}

// Slot returns slot i, or the attribute at path where no decoder filled slots.
func (e *Event) Slot(i int, path string) Value {
	if i < len(e.slots) {
		return e.slots[i]
	}
	return Of(e.Attr(path))
}
