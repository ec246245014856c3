package rules

import (
	"cmp"
	"math"
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/expr-lang/expr/ast"

	"corral/event"
)

// A witness of a condition is a set of probes into the index such that, if none of
// them hits, the condition is false: not true and not unknown either. It may hit
// where the condition is false; a witness that misses where it is not would lose
// incidents, so whatever is not understood here has no witness, and its rule is
// looked at on every event.

type probeKind uint8

const (
	probeText    probeKind = iota // field == text
	probeNumber                   // field == number
	probeNeedle                   // field contains text
	probeAtLeast                  // field >= number
	probeAtMost                   // field <= number
	probeThere                    // field is not nil, "" or 0
	probeOddText                  // an attribute that is no text: comparing it as one is unknown
	probeOddNum                   // the same for numbers
	probeAbsent                   // an attribute that is nil
)

type probe struct {
	kind probeKind
	id   *ident
	text string
	num  float64
}

// witness is the probes with a guess of the share of events they hit.
type witness struct {
	probes []probe
	share  float64
	ok     bool
}

var noWitness = witness{share: 1}

// better says whether w should be preferred to v.
func (w witness) better(v witness) bool {
	if w.ok != v.ok {
		return w.ok
	}
	return w.share < v.share
}

// search says that it takes a search in a text to look at the condition.
func (w witness) search() bool {
	return w.ok && slices.ContainsFunc(w.probes, func(p probe) bool { return p.kind == probeNeedle })
}

// either is the witness of an alternative.
func either(ws ...witness) witness {
	all := witness{ok: true}
	for _, w := range ws {
		if !w.ok {
			return noWitness
		}
		all.probes = append(all.probes, w.probes...)
		all.share += w.share
	}
	all.share = min(all.share, 1)
	return all
}

// witness finds the best witness of a condition.
func (t *atomTable) witness(c cond) witness {
	if c == noCond {
		return noWitness
	}
	n := t.nodes[c]
	switch n.op {
	case opConst:
		if n.konst == tFalse {
			return witness{ok: true}
		}
	case opAtom:
		return atomWitness(t.atoms[n.atom])
	case opAnd:
		best := noWitness
		for _, k := range n.kids {
			if w := t.witness(k); w.better(best) {
				best = w
			}
		}
		return best
	case opOr:
		ws := make([]witness, len(n.kids))
		for i, k := range n.kids {
			ws[i] = t.witness(k)
		}
		return either(ws...)
	}
	return noWitness
}

// shares guess how often an equality with a field holds, where a field has few
// values or very many.
var shares = map[string]float64{
	"kind": 0.5, "env": 0.5, "level": 0.2, "http.method": 0.3, "severity_number": 0.2, "incident.state": 0.5, "incident.severity": 0.3,
	"nats.account": 0.3, "nats.cluster": 0.3, "rpc.system": 0.5, "type": 0.05, "http.status": 0.05, "rpc.code": 0.05,
	"message": 0.001, "http.path": 0.005, "trace_id": 0.0001, "span_id": 0.0001, "request_id": 0.0001,
}

func equalShare(id *ident) float64 {
	if s, ok := shares[id.name]; ok {
		return s
	}
	return 0.02
}

func atomWitness(a atom) witness {
	switch n := a.node.(type) {
	case *ast.BinaryNode:
		return operatorWitness(n.Operator, n.Left, n.Right, a.names)
	case *ast.CallNode:
		name, args := callOf(n)
		switch {
		case name == "in":
			return setWitness(args[0], args[1].(*ast.ConstantNode).Value, a.names)
		case name == "re":
			return patternWitness(args[0], args[1].(*ast.ConstantNode).Value.(*regexp.Regexp), a.names)
		case len(args) == 2:
			return operatorWitness(name, args[0], args[1], a.names)
		}
	}
	return noWitness
}

// indexed is the field or attribute a node reads, nil for anything else.
func indexed(n ast.Node, names map[string]*ident) *ident {
	id, ok := n.(*ast.IdentifierNode)
	if !ok || names[id.Value] == nil {
		return nil
	}
	i := names[id.Value]
	switch {
	case i.path != "" && i.slot >= 0:
		return i
	case i.field != nil && (i.field.text != nil || i.field.int != nil || i.field.float != nil):
		return i
	}
	return nil
}

var mirrored = map[string]string{"<": ">", "<=": ">=", ">": "<", ">=": "<="}

func operatorWitness(op string, left, right ast.Node, names map[string]*ident) witness {
	id, other := indexed(left, names), right
	if _, isConst := constValue(left); isConst {
		if op != "==" && op != "!=" && mirrored[op] == "" {
			return noWitness
		}
		id, other = indexed(right, names), left
		if mirrored[op] != "" {
			op = mirrored[op]
		}
	}
	if id == nil {
		return noWitness
	}
	if _, isNil := other.(*ast.NilNode); isNil && op == "!=" {
		return thereWitness(id)
	}
	v, isConst := constValue(other)
	if !isConst {
		return noWitness
	}
	switch op {
	case "==":
		return equalWitness(id, v)
	case "!=":
		if isZero(event.Of(v)) && v != nil && id.field != nil {
			return thereWitness(id)
		}
	case "<", "<=", ">", ">=":
		return orderWitness(op, id, v)
	case "contains", "startsWith", "endsWith":
		return needleWitness(id, v)
	}
	return noWitness
}

func equalWitness(id *ident, v any) witness {
	w := witness{share: equalShare(id), ok: true}
	switch x := event.Of(v); x.Kind {
	case event.String:
		w.probes = []probe{{kind: probeText, id: id, text: x.Str}}
		if x.Str == "" {
			w.share = 0.7
		}
	case event.Int, event.Float:
		f, ok := x.Number()
		if !ok {
			return noWitness
		}
		w.probes = []probe{{kind: probeNumber, id: id, num: f}}
		if f == 0 {
			w.share = 0.7
		}
	default:
		return noWitness
	}
	return w
}

func thereWitness(id *ident) witness {
	share := 0.6
	if id.field == nil {
		share = 0.3
	}
	return witness{probes: []probe{{kind: probeThere, id: id}}, share: share, ok: true}
}

// odd adds the probe for values on which a comparison is unknown.
func (w witness) odd(id *ident, kind probeKind) witness {
	if id.field != nil && id.field.float == nil {
		return w
	}
	w.probes = append(w.probes, probe{kind: kind, id: id})
	if id.field == nil {
		w.share += 0.4 // most events have no such attribute
	}
	return w
}

const limitShare = 0.21 // after an equality that is no better

func orderWitness(op string, id *ident, v any) witness {
	f, ok := event.Of(v).Number()
	if !ok || id.field != nil && id.field.text != nil {
		return noWitness
	}
	kind := probeAtLeast
	if op[0] == '<' {
		kind = probeAtMost
	}
	return witness{probes: []probe{{kind: kind, id: id, num: f}}, share: limitShare, ok: true}.odd(id, probeOddNum)
}

func needleWitness(id *ident, v any) witness {
	s, ok := v.(string)
	if !ok || s == "" || id.field != nil && id.field.text == nil {
		return noWitness
	}
	return witness{probes: []probe{{kind: probeNeedle, id: id, text: s}}, share: needleShare(s), ok: true}.odd(id, probeOddText)
}

// needleShare guesses by length. A search costs more than a look-up, so it comes
// after any equality that tells events apart at all.
func needleShare(s string) float64 { return 0.25 + 0.3/math.Pow(2, float64(len(s))) }

func setWitness(n ast.Node, v any, names map[string]*ident) witness {
	id := indexed(n, names)
	if id == nil {
		return noWitness
	}
	if r, ok := v.(constRange); ok {
		w := witness{probes: []probe{{kind: probeAtLeast, id: id, num: float64(r.From)}}, share: limitShare, ok: true}
		return w.odd(id, probeAbsent)
	}
	set, ok := v.(*constSet)
	if !ok {
		return noWitness
	}
	ws := make([]witness, 0, len(set.values)+1)
	for _, x := range set.values {
		ws = append(ws, equalWitness(id, x))
	}
	w := either(ws...)
	if !w.ok || id.field != nil {
		return w
	}
	return w.odd(id, probeAbsent)
}

// patternWitness takes the longest text every match of the pattern must hold.
func patternWitness(n ast.Node, re *regexp.Regexp, names map[string]*ident) witness {
	id := indexed(n, names)
	if id == nil {
		return noWitness
	}
	texts := requiredTexts(re)
	if len(texts) == 0 || len(texts[0]) < 3 {
		return noWitness
	}
	return needleWitness(id, texts[0])
}

// requiredTexts are texts that every match of a pattern contains, those that are
// certain; the longest first.
func requiredTexts(re *regexp.Regexp) []string {
	parsed, err := syntax.Parse(re.String(), syntax.Perl)
	if err != nil {
		return nil
	}
	texts := appendRequired(nil, parsed.Simplify())
	slices.SortFunc(texts, func(a, b string) int { return cmp.Or(len(b)-len(a), strings.Compare(a, b)) })
	return slices.Compact(texts)
}

func appendRequired(out []string, re *syntax.Regexp) []string {
	switch re.Op {
	case syntax.OpLiteral:
		// A byte that is no UTF-8 reads as U+FFFD to a pattern.
		if re.Flags&syntax.FoldCase == 0 && !slices.Contains(re.Rune, utf8.RuneError) {
			return append(out, string(re.Rune))
		}
	case syntax.OpCapture, syntax.OpPlus:
		return appendRequired(out, re.Sub[0])
	case syntax.OpRepeat:
		if re.Min > 0 {
			return appendRequired(out, re.Sub[0])
		}
	case syntax.OpConcat:
		for _, sub := range re.Sub {
			out = appendRequired(out, sub)
		}
	}
	return out
}
