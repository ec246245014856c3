package rules

import (
	"math"
	"time"

	"github.com/expr-lang/expr/vm/runtime"

	"corral/event"
)

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
	x, ok := a.Number()
	if !ok {
		return event.Value{}
	}
	y, ok := b.Number()
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
