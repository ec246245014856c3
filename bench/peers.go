package main

import (
	"fmt"
	"hash/fnv"
	"slices"

	"cel.dev/cel-go/cel"
	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/vm"

	"corral/event"
	"corral/rules"
)

// fields is the map that the peers are given for one event. It is made before the
// clock runs: they do the rules' work only.
func fields(ev *event.Event) map[string]any {
	user, _ := ev.Attr("user").(string)
	return map[string]any{
		"service": ev.Service, "level": ev.Level, "message": ev.Message,
		"http_path": ev.HTTP.Path, "http_status": ev.HTTP.Status, "http_duration_ms": ev.HTTP.DurationMS, "attrs_user": user,
	}
}

// peers measures engines that try rules one by one, and holds corral's answers
// against theirs.
func (r *result) peers(make func(int) []rule, data []byte) ([][]string, error) {
	const sample = 2048
	set, err := compile(ruleFile(make(1000), 12))
	if err != nil {
		return nil, err
	}
	events := decoded(data, set.AttrPaths)[:sample]
	maps := []map[string]any{}
	for _, ev := range events {
		maps = append(maps, fields(ev))
	}
	var rows [][]string
	for _, n := range []int{10, 100, 1000} {
		rs := make(n)
		loop, err := exprLoop(rs, maps)
		if err != nil {
			return nil, err
		}
		cels, err := celLoop(rs, maps)
		if err != nil {
			return nil, err
		}
		want, err := ourAnswers(rs, events)
		if err != nil {
			return nil, err
		}
		for _, p := range []peer{loop, cels} {
			if got := p.answers(sample); got != want {
				r.wrong("%s and corral disagree about which of %d rules meet which event", p.name, n)
			}
		}
		share := min(sample, 200_000/n)
		fs := rounds(3, loop.contender(share), cels.contender(share))
		for i, p := range []peer{loop, cels} {
			rows = append(rows, []string{fmt.Sprintf("%s, %d rules", p.name, n), nanos(fs[i]), "", rate(1e9 / fs[i].Median), "", ""})
		}
	}
	return rows, nil
}

// peer tries rule by rule.
type peer struct {
	name  string
	rules int
	holds func(rule, event int) bool
}

func (p peer) contender(events int) contender {
	return contender{p.name, func() int {
		hits := 0
		for e := range events {
			for r := range p.rules {
				if p.holds(r, e) {
					hits++
				}
			}
		}
		return events
	}}
}

// answers is a hash of which rules meet which of the events.
func (p peer) answers(events int) uint64 {
	h := fnv.New64a()
	for e := range events {
		for r := range p.rules {
			if p.holds(r, e) {
				fmt.Fprintf(h, "%d:%d ", e, r)
			}
		}
	}
	return h.Sum64()
}

func ourAnswers(rs []rule, events []*event.Event) (uint64, error) {
	set, err := compile(ruleFile(rs, 12))
	if err != nil {
		return 0, err
	}
	m := set.Matcher()
	h := fnv.New64a()
	var ms []rules.Match
	for e, ev := range events {
		own := *ev
		own.SetSlots(nil) // the slots of other rules
		ms = m.Match(&own, ms[:0])
		var met []int
		for i := range ms {
			if ms[i].Selected {
				met = append(met, ms[i].Rule.Index)
			}
		}
		slices.Sort(met)
		for _, r := range met {
			fmt.Fprintf(h, "%d:%d ", e, r)
		}
	}
	return h.Sum64(), nil
}

// exprLoop runs expr's programs in its quickest form: a typed map, one VM.
func exprLoop(rs []rule, maps []map[string]any) (peer, error) {
	var programs []*vm.Program
	for _, r := range rs {
		p, err := expr.Compile(r.text(flat), expr.Env(maps[0]), expr.AsBool())
		if err != nil {
			return peer{}, err
		}
		programs = append(programs, p)
	}
	var machine vm.VM
	return peer{"expr VM, rule by rule", len(rs), func(r, e int) bool {
		out, err := machine.Run(programs[r], maps[e])
		if err != nil {
			panic(err)
		}
		return out.(bool)
	}}, nil
}

// celLoop is the same with CEL.
func celLoop(rs []rule, maps []map[string]any) (peer, error) {
	env, err := cel.NewEnv(cel.Variable("service", cel.StringType), cel.Variable("level", cel.StringType), cel.Variable("message", cel.StringType),
		cel.Variable("http_path", cel.StringType), cel.Variable("http_status", cel.IntType), cel.Variable("http_duration_ms", cel.DoubleType), cel.Variable("attrs_user", cel.StringType))
	if err != nil {
		return peer{}, err
	}
	var programs []cel.Program
	for _, r := range rs {
		ast, issues := env.Compile(r.text(cels))
		if issues.Err() != nil {
			return peer{}, issues.Err()
		}
		p, err := env.Program(ast, cel.EvalOptions(cel.OptOptimize))
		if err != nil {
			return peer{}, err
		}
		programs = append(programs, p)
	}
	return peer{"cel-go, rule by rule", len(rs), func(r, e int) bool {
		out, _, err := programs[r].Eval(maps[e])
		if err != nil {
			panic(err)
		}
		return out.Value().(bool)
	}}, nil
}
