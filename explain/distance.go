package explain

import (
	"fmt"
	"math"

	"corral/event"
	"corral/rules"
)

// A condition that does not hold is the farther away the more of its operands are
// false, and the more they miss.
const (
	missing = 10.0 // a comparison that met nothing to compare
	flat    = 2.0  // a condition that is no comparison of numbers
)

// distance is 0 for a condition that holds.
func distance(n *rules.Node) float64 {
	if n.Outcome == rules.True {
		return 0
	}
	kids := operands(n)
	switch n.Op {
	case "&&":
		sum := 0.0
		for _, k := range kids {
			sum += distance(k)
		}
		return sum
	case "||":
		least := math.Inf(1)
		for _, k := range kids {
			least = min(least, distance(k))
		}
		return least
	}
	l, okL := n.Left.Number()
	r, okR := n.Right.Number()
	switch {
	case n.Cmp == "" && n.Outcome == rules.False:
		return flat
	case !okL || !okR:
		return missing
	}
	return 1 + math.Abs(l-r)/max(1, math.Abs(r))
}

// changes names the smallest change of a condition's numbers by which it would have
// held; nothing if numbers alone do not do it.
func changes(n *rules.Node) []string {
	text, ok := change(n)
	if !ok || text == "" {
		return nil
	}
	return []string{text}
}

func change(n *rules.Node) (text string, ok bool) {
	if n.Outcome == rules.True {
		return "", true
	}
	switch n.Op {
	case "&&":
		for _, k := range operands(n) {
			one, ok := change(k)
			if !ok {
				return "", false
			}
			if text != "" && one != "" {
				text += " && "
			}
			text += one
		}
		return text, true
	case "||":
		least := math.Inf(1)
		for _, k := range operands(n) {
			if one, can := change(k); can && distance(k) < least {
				text, ok, least = one, true, distance(k)
			}
		}
		return text, ok
	}
	return limit(n)
}

// limit is a comparison with a limit that its left side reaches.
func limit(n *rules.Node) (string, bool) {
	have, okL := n.Left.Number()
	_, okR := n.Right.Number()
	if !n.Const || !okL || !okR || n.Cmp == "==" {
		return "", false
	}
	whole := n.Left.Kind == event.Int
	if have <= 0 && (n.Cmp == ">" || n.Cmp == ">=") {
		return "", false // it would always hold
	}
	switch {
	case n.Cmp == ">" && whole:
		return fmt.Sprintf("%s > %d", n.LeftText, n.Left.Int-1), true
	case n.Cmp == "<" && whole:
		return fmt.Sprintf("%s < %d", n.LeftText, n.Left.Int+1), true
	case n.Cmp == ">":
		return fmt.Sprintf("%s > less than %.4g", n.LeftText, have), true
	case n.Cmp == "<":
		return fmt.Sprintf("%s < more than %.4g", n.LeftText, have), true
	case n.Cmp == ">=":
		return fmt.Sprintf("%s >= %s", n.LeftText, rounded(have, math.Floor)), true
	}
	return fmt.Sprintf("%s <= %s", n.LeftText, rounded(have, math.Ceil)), true
}

// rounded is a number of four digits, on the safe side.
func rounded(x float64, to func(float64) float64) string {
	if x == math.Trunc(x) {
		return fmt.Sprintf("%.0f", x)
	}
	scale := math.Pow(10, 3-math.Floor(math.Log10(math.Abs(x))))
	return fmt.Sprintf("%g", to(x*scale)/scale)
}
