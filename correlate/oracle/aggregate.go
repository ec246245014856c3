package oracle

import (
	"math"
	"reflect"
	"slices"
	"time"

	"corral/event"
	"corral/rules"
)

// number is a value as a number.
func number(v event.Value) (float64, bool) {
	switch v.Kind {
	case event.Int:
		return float64(v.Int), true
	case event.Float:
		return v.Float, true
	}
	return 0, false
}

// same reports whether two values are equal: numbers by what they count.
func same(a, b event.Value) bool {
	x, ok := number(a)
	y, ok2 := number(b)
	if ok && ok2 {
		return x == y
	}
	return a.Kind == b.Kind && a.Int == b.Int && a.Str == b.Str && reflect.DeepEqual(a.Any, b.Any)
}

// arguments are the values of an aggregate's argument that are there.
func arguments(a rules.Agg, content []*entry) []event.Value {
	if a.Arg < 0 {
		return nil
	}
	values := mapped(content, func(e *entry) event.Value { return e.m.Args[a.Arg] })
	return filter(values, func(v event.Value) bool { return v.Kind != event.Nil })
}

func numbers(values []event.Value) []float64 {
	var out []float64
	for _, v := range values {
		if x, ok := number(v); ok {
			out = append(out, x)
		}
	}
	return out
}

func float(x float64) event.Value { return event.Value{Kind: event.Float, Float: x} }
func count(n int) event.Value     { return event.Value{Kind: event.Int, Int: int64(n)} }

// aggregate computes a over the events of one window; seconds is its length, for rates.
func aggregate(a rules.Agg, content []*entry, seconds float64) event.Value {
	if a.Part >= 0 {
		content = filter(content, func(e *entry) bool { return e.fits(a.Part) })
	}
	values := arguments(a, content)
	xs := numbers(values)
	switch a.Fn {
	case rules.Count:
		return count(len(content))
	case rules.Rate:
		if seconds == 0 {
			return event.Value{} // over no time
		}
		return float(float64(len(content)) / seconds)
	case rules.Distinct:
		return count(len(distinct(values)))
	case rules.First:
		if len(values) > 0 {
			return values[0]
		}
		return event.Value{}
	case rules.Last:
		if len(values) > 0 {
			return values[len(values)-1]
		}
		return event.Value{}
	case rules.Sum:
		return float(sum(xs))
	}
	if len(xs) == 0 {
		return event.Value{}
	}
	switch a.Fn {
	case rules.Avg:
		return float(mean(xs))
	case rules.Min:
		return float(slices.Min(xs))
	case rules.Max:
		return float(slices.Max(xs))
	case rules.Stddev:
		return float(stddev(xs))
	case rules.Quantile:
		return float(quantile(a.Q, xs))
	}
	panic("aggregate unknown to the oracle: " + a.Text)
}

func distinct(values []event.Value) []event.Value {
	var out []event.Value
	for _, v := range values {
		if !slices.ContainsFunc(out, func(o event.Value) bool { return same(o, v) }) {
			out = append(out, v)
		}
	}
	return out
}

func sum(xs []float64) float64 {
	var s float64
	for _, x := range xs {
		s += x
	}
	return s
}

func mean(xs []float64) float64 { return sum(xs) / float64(len(xs)) }

func stddev(xs []float64) float64 {
	m := mean(xs)
	var s float64
	for _, x := range xs {
		s += (x - m) * (x - m)
	}
	return math.Sqrt(s / float64(len(xs)))
}

// quantile interpolates linearly on n−1.
func quantile(q float64, xs []float64) float64 {
	xs = slices.Sorted(slices.Values(xs))
	at := q * float64(len(xs)-1)
	low := int(at)
	if low == len(xs)-1 {
		return xs[low]
	}
	return xs[low] + (at-float64(low))*(xs[low+1]-xs[low])
}

// span is the time from first to last.
func span(content []*entry) time.Duration {
	return time.Duration(content[len(content)-1].time() - content[0].time())
}
