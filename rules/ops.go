package rules

import (
	"encoding/json"
	"math"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
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

func intValue(i int) event.Value     { return event.Value{Kind: event.Int, Int: int64(i)} }
func numValue(f float64) event.Value { return event.Value{Kind: event.Float, Float: f} }
func strValue(s string) event.Value  { return event.Value{Kind: event.String, Str: s} }

// number is v as a float64; false if it is none or not a number in the IEEE sense.
func number(v event.Value) (float64, bool) {
	switch v.Kind {
	case event.Int:
		return float64(v.Int), true
	case event.Float:
		return v.Float, !math.IsNaN(v.Float)
	}
	return 0, false
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
	x, ok := number(a)
	if !ok {
		return 0, false
	}
	y, ok := number(b)
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

// constSet is a list of constants on the right of `in`.
type constSet struct {
	values []any
	texts  map[string]struct{}
	ints   map[int64]struct{}
	rest   []event.Value // floats, bools
}

func newConstSet(values []any) *constSet {
	s := &constSet{values: values, texts: map[string]struct{}{}, ints: map[int64]struct{}{}}
	for _, x := range values {
		switch v := event.Of(x); v.Kind {
		case event.String:
			s.texts[v.Str] = struct{}{}
		case event.Int:
			s.ints[v.Int] = struct{}{}
		default:
			s.rest = append(s.rest, v)
		}
	}
	return s
}

func (s *constSet) has(v event.Value) tri {
	switch v.Kind {
	case event.Nil:
		return tUnknown
	case event.String:
		_, ok := s.texts[v.Str]
		return triOf(ok)
	case event.Int:
		if _, ok := s.ints[v.Int]; ok {
			return tTrue
		}
	case event.Float:
		if i := int64(v.Float); float64(i) == v.Float {
			if _, ok := s.ints[i]; ok {
				return tTrue
			}
		}
	}
	for _, x := range s.rest {
		if equal(x, v) {
			return tTrue
		}
	}
	return tFalse
}

// within is `a in b` for a b that is no constant.
func within(a, b event.Value) tri {
	if a.Kind == event.Nil || b.Kind != event.Tree {
		return tUnknown
	}
	switch list := b.Any.(type) {
	case []any:
		for _, x := range list {
			if equal(a, event.Of(x)) {
				return tTrue
			}
		}
		return tFalse
	case map[string]any:
		if a.Kind != event.String {
			return tUnknown
		}
		_, ok := list[a.Str]
		return triOf(ok)
	case map[string]string:
		if a.Kind != event.String {
			return tUnknown
		}
		_, ok := list[a.Str]
		return triOf(ok)
	}
	return withinReflect(a, b.Any)
}

// withinReflect serves the typed slices that expr's own functions return.
func withinReflect(a event.Value, list any) (t tri) {
	defer func() {
		if recover() != nil { // the VM's primitives report a wrong type by panic only
			t = tUnknown
		}
	}()
	return triOf(runtime.In(a.Box(), list))
}

// arith applies + - * / % ** to numbers, texts, times and durations. Nil if it
// cannot.
func arith(op string, a, b event.Value) event.Value {
	if a.Kind == event.Int && b.Kind == event.Int {
		return arithInts(op, a.Int, b.Int)
	}
	if a.Kind == event.String && b.Kind == event.String && op == "+" {
		return strValue(a.Str + b.Str)
	}
	if a.Kind == event.Tree || b.Kind == event.Tree {
		return arithTimes(op, a, b)
	}
	x, ok := number(a)
	if !ok {
		return event.Value{}
	}
	y, ok := number(b)
	if !ok {
		return event.Value{}
	}
	return arithFloats(op, x, y)
}

func arithInts(op string, a, b int64) event.Value {
	switch op {
	case "+":
		return event.Value{Kind: event.Int, Int: a + b}
	case "-":
		return event.Value{Kind: event.Int, Int: a - b}
	case "*":
		return event.Value{Kind: event.Int, Int: a * b}
	case "%":
		if b == 0 {
			return event.Value{}
		}
		return event.Value{Kind: event.Int, Int: a % b}
	}
	return arithFloats(op, float64(a), float64(b))
}

func arithFloats(op string, a, b float64) event.Value {
	var f float64
	switch op {
	case "+":
		f = a + b
	case "-":
		f = a - b
	case "*":
		f = a * b
	case "/":
		f = a / b
	case "**", "^":
		f = math.Pow(a, b)
	default: // % is for integers
		return event.Value{}
	}
	if math.IsNaN(f) { // 0/0: a ratio of nothing
		return event.Value{}
	}
	return numValue(f)
}

func arithTimes(op string, a, b event.Value) (v event.Value) {
	defer func() {
		if recover() != nil { // runtime's operators report a wrong type by panic only
			v = event.Value{}
		}
	}()
	switch op {
	case "+":
		return event.Of(runtime.Add(a.Box(), b.Box()))
	case "-":
		return event.Of(runtime.Subtract(a.Box(), b.Box()))
	case "*":
		return event.Of(runtime.Multiply(a.Box(), b.Box()))
	}
	return event.Value{}
}

func negate(v event.Value) event.Value {
	switch v.Kind {
	case event.Int:
		return event.Value{Kind: event.Int, Int: -v.Int}
	case event.Float:
		return numValue(-v.Float)
	case event.Tree:
		if d, ok := v.Any.(time.Duration); ok {
			return event.Of(-d)
		}
	}
	return event.Value{}
}

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

// prefixes are the networks of a cidr call.
type prefixes []netip.Prefix

func parsePrefix(s string) (netip.Prefix, error) {
	if !strings.Contains(s, "/") {
		a, err := netip.ParseAddr(s)
		if err != nil {
			return netip.Prefix{}, err
		}
		return a.Prefix(a.BitLen())
	}
	p, err := netip.ParsePrefix(s)
	return p.Masked(), err
}

// has says whether the address, with or without a port, is in one of the networks.
func (p prefixes) has(v event.Value) tri {
	if v.Kind != event.String {
		return tUnknown
	}
	a, ok := parseAddr(v.Str)
	if !ok {
		return tUnknown
	}
	for _, n := range p {
		if n.Contains(a) {
			return tTrue
		}
	}
	return tFalse
}

func parseAddr(s string) (netip.Addr, bool) {
	if a, err := netip.ParseAddr(s); err == nil {
		return a.Unmap().WithZone(""), true
	}
	if p, err := netip.ParseAddrPort(s); err == nil {
		return p.Addr().Unmap().WithZone(""), true
	}
	return netip.Addr{}, false
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
	if a := math.Abs(f); a != 0 && (a < 1e-6 || a >= 1e21) {
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
