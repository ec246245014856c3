package decode

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
)

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// treeVal is the inverse of tree for one value.
func treeVal(v any, off int32) val {
	out := val{off: off}
	switch v := v.(type) {
	case nil:
		return out
	case string:
		out.s, out.kind = v, kString
		return out
	case bool:
		out.s, out.kind = "false", kFalse
		if v {
			out.s, out.kind = "true", kTrue
		}
		return out
	case int, int64, float64:
		out.kind = kNumber
	case []any:
		out.kind = kArray
	default:
		out.kind = kObject
	}
	b, err := json.Marshal(v)
	if err != nil {
		return val{off: off}
	}
	out.s = string(b)
	return out
}

// goLayout turns a strftime layout into Go's; a layout without % is one of Go's.
func goLayout(s string) string {
	if !strings.Contains(s, "%") {
		return s
	}
	r := strings.NewReplacer(
		"%Y", "2006", "%y", "06", "%m", "01", "%d", "02", "%e", "_2", "%b", "Jan", "%B", "January", "%H", "15", "%I", "03", "%M", "04",
		"%S", "05", "%L", "000", "%f", "000000", "%N", "000000000", "%p", "PM", "%z", "-0700", "%:z", "-07:00", "%Z", "MST",
		"%T", "15:04:05", "%F", "2006-01-02", "%D", "01/02/06", "%a", "Mon", "%A", "Monday", "%j", "002", "%%", "%",
	)
	return r.Replace(s)
}
