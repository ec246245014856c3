package rules

import (
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/expr-lang/expr/builtin"
	"github.com/expr-lang/expr/conf"
	"github.com/expr-lang/expr/vm/runtime"

	"corral/event"
)

// primitive is a function of lowered trees.
type primitive func(args ...any) (any, error)

var vmFunctions = makeVMFunctions()

func makeVMFunctions() conf.FunctionsTable {
	t := conf.FunctionsTable{}
	anyFn := reflect.TypeFor[func(...any) any]()
	boolFn := reflect.TypeFor[func(...any) bool]()
	add := func(name string, typ reflect.Type, f primitive) {
		t["§"+name] = &builtin.Function{Name: "§" + name, Func: f, Types: []reflect.Type{typ}}
	}
	for _, b := range builtin.Builtins {
		if !b.Predicate && forbidden[b.Name] == "" {
			add(b.Name, anyFn, guarded(b))
		}
	}
	for _, op := range []string{"<", "<=", ">", ">="} {
		add(op, anyFn, triFunc(func(a []event.Value) tri { return compare(op, a[0], a[1]) }))
	}
	for _, op := range []string{"contains", "startsWith", "endsWith"} {
		add(op, anyFn, triFunc(func(a []event.Value) tri { return textOp(op, a[0], a[1]) }))
	}
	for _, op := range []string{"+", "-", "*", "/", "%", "**", "^"} {
		add(op, anyFn, valueFunc(func(a []event.Value) event.Value { return arith(op, a[0], a[1]) }))
	}
	add("&&", anyFn, triFunc(func(a []event.Value) tri { return and(truth(a[0]), truth(a[1])) }))
	add("||", anyFn, triFunc(func(a []event.Value) tri { return or(truth(a[0]), truth(a[1])) }))
	add("not", anyFn, triFunc(func(a []event.Value) tri { return truth(a[0]).not() }))
	add("bool", anyFn, triFunc(func(a []event.Value) tri { return truth(a[0]) }))
	add("is", boolFn, valueFunc(func(a []event.Value) event.Value { return triOf(truth(a[0]) == tTrue).value() }))
	add("within", anyFn, triFunc(func(a []event.Value) tri { return within(a[0], a[1]) }))
	add("get", anyFn, valueFunc(func(a []event.Value) event.Value { return member(a[0], a[1]) }))
	add("neg", anyFn, valueFunc(func(a []event.Value) event.Value { return negate(a[0]) }))
	add("plus", anyFn, valueFunc(func(a []event.Value) event.Value { return negate(negate(a[0])) }))
	add("len", anyFn, valueFunc(func(a []event.Value) event.Value { return length(a[0]) }))
	add("slice", anyFn, func(a ...any) (any, error) {
		if a[1] == nil {
			a[1] = 0
		}
		return sliceOf(a[0], a[1], a[2]), nil
	})
	add("range", anyFn, makeRange)
	add("list", anyFn, func(a ...any) (any, error) { return listOf(a[0]), nil })
	add("text", anyFn, func(a ...any) (any, error) { s, _ := keyText(event.Of(a[0])); return s, nil })
	add("turn", anyFn, func(a ...any) (any, error) { return a[1], a[0].(*budget).turn() })
	add("turnIs", boolFn, func(a ...any) (any, error) { return a[1], a[0].(*budget).turn() })
	add("in", anyFn, func(a ...any) (any, error) { return a[1].(membership).has(event.Of(a[0])).value().Box(), nil })
	add("re", anyFn, func(a ...any) (any, error) {
		return matchRE(event.Of(a[0]), a[1].(*regexp.Regexp)).value().Box(), nil
	})
	add("cidr", anyFn, func(a ...any) (any, error) { return a[1].(membership).has(event.Of(a[0])).value().Box(), nil })
	add("hour", anyFn, func(a ...any) (any, error) { return hourOf(event.Of(a[0]), a[1].(*time.Location)).Box(), nil })
	add("weekday", anyFn, func(a ...any) (any, error) {
		return weekdayOf(event.Of(a[0]), a[1].(*time.Location)).Box(), nil
	})
	add("method", anyFn, timeMethod)
	add("sum", anyFn, func(a ...any) (any, error) { return sumOf(a[0]).Box(), nil })
	add("sortBy", anyFn, sortBy)
	return t
}

// membership is a constant that values are in or not.
type membership interface{ has(event.Value) tri }

func triFunc(f func([]event.Value) tri) primitive {
	return func(args ...any) (any, error) { return f(valuesOf(args)).value().Box(), nil }
}

func valueFunc(f func([]event.Value) event.Value) primitive {
	return func(args ...any) (any, error) { return f(valuesOf(args)).Box(), nil }
}

func valuesOf(args []any) []event.Value {
	v := make([]event.Value, len(args))
	for i, a := range args {
		v[i] = event.Of(a)
	}
	return v
}

// guarded is a function of expr that yields nil where expr's own fails, refuses
// work out of proportion, and gives the same result every time.
func guarded(b *builtin.Function) primitive {
	if f, ok := steady[b.Name]; ok {
		return f
	}
	return func(args ...any) (v any, err error) {
		defer func() {
			if recover() != nil { // expr's functions report wrong types by panic
				v, err = nil, nil
			}
		}()
		if tooMuch(b.Name, args) {
			return nil, nil
		}
		switch {
		case b.Fast != nil:
			return b.Fast(args[0]), nil
		case b.Safe != nil:
			v, _, err = b.Safe(args...)
		default:
			v, err = b.Func(args...)
		}
		if err != nil {
			return nil, nil
		}
		return v, nil
	}
}

// steady replaces functions of expr whose result has the random order of a map,
// and that of durations, which knows no days.
var steady = map[string]primitive{
	"duration": spanOf,
	"keys": func(args ...any) (any, error) {
		if m, ok := args[0].(map[string]any); ok {
			return sortedKeys(m), nil
		}
		return nil, nil
	},
	"values": func(args ...any) (any, error) {
		m, ok := args[0].(map[string]any)
		if !ok {
			return nil, nil
		}
		list := sortedKeys(m)
		for i, k := range list {
			list[i] = m[k.(string)]
		}
		return list, nil
	},
	"toPairs": func(args ...any) (any, error) {
		m, ok := args[0].(map[string]any)
		if !ok {
			return nil, nil
		}
		list := sortedKeys(m)
		for i, k := range list {
			list[i] = []any{k, m[k.(string)]}
		}
		return list, nil
	},
}

// tooMuch says whether a call would take or make more than an evaluation may.
func tooMuch(name string, args []any) bool {
	for _, a := range args {
		if list, ok := a.([]any); ok && len(list) > maxList {
			return true
		}
	}
	switch name {
	case "repeat":
		s, _ := args[0].(string)
		n, ok := args[1].(int)
		return !ok || n < 0 || n > maxText || n*len(s) > maxText
	case "replace":
		s, _ := args[0].(string)
		old, _ := args[1].(string)
		with, _ := args[2].(string)
		return len(s)+(strings.Count(s, old)+1)*len(with) > maxText
	case "uniq":
		list, _ := args[0].([]any)
		return len(list) > 1000 // compares all with all
	}
	return false
}

func makeRange(args ...any) (any, error) {
	from, ok1 := args[0].(int)
	to, ok2 := args[1].(int)
	if !ok1 || !ok2 || to-from >= maxList || to < from && from-to < 0 {
		return nil, nil
	}
	return boxed(runtime.MakeRange(from, to)), nil
}

// listOf is what a loop may go over; nil for anything else.
func listOf(v any) any {
	list, ok := anyList(v)
	if !ok || len(list) > maxList {
		return nil
	}
	return list
}

// timeMethod calls a method of a time or a duration: time.Format("15:04").
func timeMethod(args ...any) (v any, err error) {
	defer func() {
		if recover() != nil {
			v, err = nil, nil
		}
	}()
	switch args[0].(type) {
	case time.Time, time.Duration:
	default:
		return nil, nil
	}
	in := make([]reflect.Value, len(args)-2)
	for i, a := range args[2:] {
		in[i] = reflect.ValueOf(a)
	}
	out := reflect.ValueOf(args[0]).MethodByName(args[1].(string)).Call(in)
	return plain(out[0]), nil
}

// plain turns named numbers and texts (time.Weekday) into the basic kinds.
func plain(v reflect.Value) any {
	switch x := v.Interface().(type) {
	case time.Time, time.Duration:
		return x
	}
	switch v.Kind() {
	case reflect.Int, reflect.Int64, reflect.Int32:
		return int(v.Int())
	case reflect.String:
		return v.String()
	}
	return v.Interface()
}

// sumOf adds up a list; nil if a member cannot be added.
func sumOf(v any) event.Value {
	list, ok := anyList(listOf(v))
	if !ok {
		return event.Value{}
	}
	total := intValue(0)
	for i, x := range list {
		if i == 0 {
			total = event.Of(x)
			continue
		}
		total = arith("+", total, event.Of(x))
	}
	if total.Kind == event.Bool || total.Kind == event.String {
		return event.Value{}
	}
	return total
}

// sortBy orders a list by the values of another; nil if two cannot be compared.
func sortBy(args ...any) (any, error) {
	list, ok1 := anyList(listOf(args[0]))
	keys, ok2 := anyList(listOf(args[1]))
	if !ok1 || !ok2 || len(list) != len(keys) {
		return nil, nil
	}
	sign := 1
	if len(args) > 2 && args[2] == "desc" {
		sign = -1
	}
	at := make([]int, len(list))
	for i := range at {
		at[i] = i
	}
	comparable := true
	slices.SortStableFunc(at, func(i, j int) int {
		c, ok := order(event.Of(keys[i]), event.Of(keys[j]))
		comparable = comparable && ok
		return sign * c
	})
	if !comparable {
		return nil, nil
	}
	out := make([]any, len(list))
	for i, j := range at {
		out[i] = list[j]
	}
	return out, nil
}
