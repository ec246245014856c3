package rules

import (
	"encoding/json"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/expr-lang/expr/vm/runtime"

	"corral/event"
)

func intValue(i int) event.Value { return event.Value{Kind: event.Int, Int: int64(i)} }

func numValue(f float64) event.Value { return event.Value{Kind: event.Float, Float: f} }

func strValue(s string) event.Value { return event.Value{Kind: event.String, Str: s} }

// member is base[prop]: a key of a map, an index of a list. Nil if there is none.
func member(base, prop event.Value) event.Value {
	if base.Kind != event.Tree {
		return event.Value{}
	}
	switch b := base.Any.(type) {
	case map[string]any:
		if prop.Kind == event.String {
			return event.Of(event.Lookup(b, prop.Str))
		}
	case map[string]string:
		if s, ok := b[prop.Str]; ok && prop.Kind == event.String {
			return strValue(s)
		}
	case []any:
		if i, ok := listIndex(prop, len(b)); ok {
			return event.Of(b[i])
		}
	default:
		return memberReflect(base.Any, prop.Box())
	}
	return event.Value{}
}

// memberReflect serves the typed maps and slices that expr's own functions return.
func memberReflect(base, prop any) (v event.Value) {
	defer func() {
		if recover() != nil {
			v = event.Value{}
		}
	}()
	return event.Of(runtime.Fetch(base, prop))
}

// listIndex resolves a list index; negative ones count from the end.
func listIndex(v event.Value, n int) (int, bool) {
	if v.Kind != event.Int {
		return 0, false
	}
	i := int(v.Int)
	if i < 0 {
		i += n
	}
	return i, i >= 0 && i < n
}

// sliceOf is base[from:to] for text and lists, cut to what is there.
func sliceOf(base, from, to any) (v any) {
	defer func() {
		if recover() != nil {
			v = nil
		}
	}()
	if to == nil {
		to = runtime.Len(base)
	}
	return runtime.Slice(base, from, to)
}

// keyText is v as a group key; false if it is absent.
func keyText(v event.Value) (string, bool) {
	switch v.Kind {
	case event.Nil:
		return "", false
	case event.String:
		return v.Str, v.Str != ""
	case event.Tree:
		return treeText(v.Any), true
	}
	return scalarText(v), true
}

func scalarText(v event.Value) string {
	switch v.Kind {
	case event.Bool:
		return strconv.FormatBool(v.Int != 0)
	case event.Int:
		return strconv.FormatInt(v.Int, 10)
	case event.Float:
		return floatText(v.Float)
	}
	return v.Str
}

// floatText is the shortest form without an exponent where that is readable.
func floatText(f float64) string {
	switch a := math.Abs(f); {
	case a == 0:
		return "0" // -0 is the same number
	case a < 1e-6 || a >= 1e21:
		return strconv.FormatFloat(f, 'g', -1, 64)
	}
	return strconv.FormatFloat(f, 'f', -1, 64)
}

func treeText(v any) string {
	switch x := v.(type) {
	case time.Time:
		return x.UTC().Format(time.RFC3339Nano)
	case time.Duration:
		return FormatDuration(x)
	}
	b, err := json.Marshal(v) // sorts map keys
	if err != nil {
		return "?"
	}
	return string(b)
}

// sortedKeys is keys(m) in an order that does not change from run to run.
func sortedKeys(m map[string]any) []any {
	names := make([]string, 0, len(m))
	for k := range m {
		names = append(names, k)
	}
	slices.Sort(names)
	keys := make([]any, len(names))
	for i, k := range names {
		keys[i] = k
	}
	return keys
}

// significant rounds to n significant digits.
func significant(f float64, n int) float64 {
	r, err := strconv.ParseFloat(strconv.FormatFloat(f, 'g', n, 64), 64)
	if err != nil {
		return f
	}
	return r
}
