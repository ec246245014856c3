package rules

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"corral/event"
)

// plainMatch is Match without index, memo or plans: every rule's expressions,
// evaluated in the VM one after the other. It is what the index is held against.
type plainMatch struct {
	set           *Set
	errors, noKey []uint64
}

func newPlain(s *Set) *plainMatch {
	return &plainMatch{s, make([]uint64, len(s.Rules)), make([]uint64, len(s.Rules))}
}

func vmTruth(x *Expr, env *Env) tri {
	if x == nil {
		return tTrue
	}
	v, err := x.runVM(env)
	if err != nil {
		panic(err)
	}
	return truth(v)
}

func (p *plainMatch) match(ev *event.Event) []Match {
	var out []Match
	env := &Env{Event: ev}
	for _, r := range p.set.Rules {
		if r.FromIncidents == (ev.Kind == incidentKind) && r.FromHops == (ev.Hop != nil) {
			out = append(out, p.rule(r, env)...)
		}
	}
	return out
}

func (p *plainMatch) rule(r *Rule, env *Env) []Match {
	sel, parts, always := vmTruth(r.match, env), uint64(0), uint64(0)
	some, stepped := tFalse, false
	for i, part := range r.Parts {
		t := vmTruth(part.Expr, env)
		switch {
		case r.isAlways(i):
			if t == tTrue {
				always |= 1 << i
			}
		case r.isStep(i):
			stepped, some = true, or(some, t)
			if t == tTrue {
				parts |= 1 << i
			}
		case t == tTrue:
			parts |= 1 << i
		}
	}
	chosen := sel
	if stepped {
		chosen = and(sel, some)
	}
	if chosen == tUnknown {
		p.errors[r.Index]++
	}
	if chosen != tTrue {
		parts = 0
	}
	m := Match{Rule: r, Selected: chosen == tTrue, Parts: parts | always}
	m.Resolve = r.ResolveWhen != nil && vmTruth(r.ResolveWhen, env) == tTrue
	concerned := m.Selected || m.Resolve || always != 0
	strict := r.Sequence != nil && r.Sequence.Contiguity == Strict
	if !concerned && !(strict && sel == tTrue) {
		return nil
	}
	if m.Selected {
		for _, a := range r.Args {
			v, _ := a.runVM(env)
			m.Args = append(m.Args, v)
		}
	}
	var key []string
	for _, g := range r.groupBy {
		v, _ := g.all.runVM(env)
		text, ok := keyText(v)
		if !ok {
			if concerned {
				p.noKey[r.Index]++
			}
			return nil
		}
		key = append(key, text)
	}
	m.Key = EncodeKey(key)
	return []Match{m}
}

// show writes matches so that they can be compared.
func show(ms []Match) string {
	var b strings.Builder
	for _, m := range ms {
		fmt.Fprintf(&b, "%s selected=%v resolve=%v parts=%b key=%q", m.Rule.ID, m.Selected, m.Resolve, m.Parts, DecodeKey(m.Key))
		for _, a := range m.Args {
			fmt.Fprintf(&b, " %#v", a.Box())
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// yamlQuote writes an expression as a YAML scalar.
func yamlQuote(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

// manyRules writes rules of every kind over the expressions.
func manyRules(r *rand.Rand, n int, boolean []string) string {
	pick := func() string {
		x := boolean[r.IntN(len(boolean))]
		for r.IntN(2) == 0 {
			op := []string{" && ", " || ", " && not "}[r.IntN(3)]
			x = "(" + x + ")" + op + "(" + boolean[r.IntN(len(boolean))] + ")"
		}
		return yamlQuote(x)
	}
	var b strings.Builder
	b.WriteString("version: 1\nlists: {users: [a, b, 3, 2.5, true], nets: [10.0.0.0/8]}\nrules:\n")
	for i := range n {
		fmt.Fprintf(&b, "  - id: r%d\n", i)
		if i%7 != 0 {
			fmt.Fprintf(&b, "    group_by: [%s]\n", []string{"service", "attrs.user", "http.status, attrs.amount", "attrs.tree"}[r.IntN(4)])
		}
		if r.IntN(4) == 0 {
			fmt.Fprintf(&b, "    resolve: {when: %s}\n", pick())
		}
		switch i % 6 {
		case 0:
			fmt.Fprintf(&b, "    match: %s\n    event: {}\n", pick())
		case 1:
			fmt.Fprintf(&b, "    match: %s\n    threshold: {window: 5m, condition: %s}\n", pick(), yamlQuote("count("+strings.Trim(pick(), "'")+") > 3 && sum(attrs.amount) > 1"))
		case 2:
			fmt.Fprintf(&b, "    match: %s\n    threshold: {window: {start: %s, end: %s, max: 5m}, condition: count() > 2}\n", pick(), pick(), pick())
		case 3:
			fmt.Fprintf(&b, "    match: %s\n    change: {of: attrs.name}\n", pick())
		case 4:
			fmt.Fprintf(&b, "    temporal: {window: 5m, events: {one: %s, two: %s}}\n", pick(), pick())
		case 5:
			fmt.Fprintf(&b, "    match: %s\n    sequence: {within: 5m, until: %s, contiguity: %s, steps: [{name: one, match: %s}, {name: two, match: %s}]}\n",
				pick(), pick(), []string{"relaxed", "strict"}[r.IntN(2)], pick(), pick())
		}
	}
	return b.String()
}

func mustParse(t testing.TB, text string) *Set {
	t.Helper()
	set, diags := Parse([]File{{"rules.yaml", []byte(text)}})
	if set == nil {
		var b strings.Builder
		_ = FormatText(&b, diags, TextStyle{})
		t.Fatalf("%s\n%s", b.String(), text)
	}
	return set
}

// listFunction are functions of expr whose names are aggregates inside a condition.
var listFunction = regexp.MustCompile(`\b(sum|count|first|last|min|max)\(`)

// booleanTraps are the trap expressions that are conditions anywhere.
func booleanTraps(t testing.TB) []string {
	var out []string
	for _, text := range trapExpressions {
		x := compileTest(t, text, testScope(), wantAny)
		if isBool(x.typ) && !listFunction.MatchString(text) {
			out = append(out, text)
		}
	}
	return out
}

// selective are conditions as rules mostly have them: they exercise the index.
var selective = []string{
	`service == "pay"`, `service == "checkout"`, `service in ["pay", "Pay"]`, `level == "error"`, `message contains "timeout"`,
	`message contains "ok"`, `message contains "time"`, `message startsWith "timed"`, `message endsWith "err"`, `message contains "out in"`,
	`message contains "e"`, `message contains "ou"`, `message contains "out"`, `message contains "pay"`, `message contains "d o"`,
	`message matches "time(out|d) "`, `message matches "(?i)TIME"`, `http.status >= 500`, `http.status < 300`, `500 <= http.status`,
	`http.status == 503`, `http.duration_ms > 30`, `http.duration_ms <= 3`, `attrs.amount > 5`, `attrs.amount == 5`, `attrs.amount == 2.5`,
	`attrs.name == "err"`, `attrs.name contains "r"`, `has(attrs.user)`, `has(service)`, `service != ""`, `attrs.user == ""`,
	`attrs.user != nil`, `http.status != 0`, `attrs.user in lists.users`, `http.status in 500..599`, `attrs.amount in 2..3`, `kind == "nats"`,
	`attrs.count <= 3`, `attrs.x == 0 && attrs.x == 1`, `"err" == attrs.name`, `attrs.x == 0`, `0 == http.status`, `attrs.flag == true`,
}

func TestIndexAgreesWithPlainMatching(t *testing.T) {
	for seed := range uint64(8) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 7))
			pool := selective
			if seed%2 == 1 {
				pool = slices.Concat(selective, booleanTraps(t))
			}
			compareMatching(t, mustParse(t, manyRules(r, 60, pool)), r, 150)
		})
	}
}

func compareMatching(t *testing.T, set *Set, r *rand.Rand, events int) {
	t.Helper()
	plain, m := newPlain(set), set.Matcher()
	matched := 0
	var out []Match
	for range events {
		ev := anyEvent(r)
		if r.IntN(4) == 0 {
			ev.Kind = incidentKind
		}
		want := plain.match(ev)
		out = m.Match(ev, out[:0])
		if got := show(out); got != show(want) {
			t.Fatalf("event %+v\nattrs %v\n got\n%s want\n%s", ev, ev.Attrs(), got, show(want))
		}
		matched += len(want)
	}
	if !reflect.DeepEqual(m.Errors, plain.errors) || !reflect.DeepEqual(m.NoKey, plain.noKey) {
		t.Errorf("errors %v\nwant   %v\nno key %v\nwant   %v", m.Errors, plain.errors, m.NoKey, plain.noKey)
	}
	if matched < events {
		t.Errorf("only %d matches: the test says little", matched)
	}
}
