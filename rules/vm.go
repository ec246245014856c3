package rules

import (
	"errors"
	"fmt"
	"sync"

	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/checker"
	"github.com/expr-lang/expr/compiler"
	"github.com/expr-lang/expr/conf"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/parser"
	"github.com/expr-lang/expr/vm"

	"corral/event"
)

// Limits of one evaluation in the VM.
const (
	memoryBudget = 100_000 // values made
	maxTurns     = 100_000 // turns of all loops together
	maxList      = 10_000  // members of a list a function takes
	maxText      = 1 << 20 // bytes of a text a function makes
)

const budgetName = "§budget"

// budget counts the turns of loops in one evaluation.
type budget struct{ turns int }

var errTurns = errors.New("loops go on for too long")

func (b *budget) turn() error {
	if b.turns--; b.turns < 0 {
		return errTurns
	}
	return nil
}

// program is a lowered expression compiled for expr's VM, with the names it reads.
type program struct {
	code   *vm.Program
	idents []*ident
}

// machine is what an evaluation needs; machines are pooled.
type machine struct {
	vm     vm.VM
	env    map[string]any
	budget budget
}

var machines = sync.Pool{New: func() any {
	m := &machine{env: map[string]any{}}
	m.vm.MemoryBudget = memoryBudget
	m.env[budgetName] = &m.budget
	return m
}}

// run evaluates; nil if it fails.
func (p *program) run(env *Env) event.Value {
	m := machines.Get().(*machine)
	defer machines.Put(m)
	for _, id := range p.idents {
		m.env[id.name] = id.get(env).Box()
	}
	m.budget.turns = maxTurns
	v, err := m.vm.Run(p.code, m.env)
	for _, id := range p.idents {
		m.env[id.name] = nil // do not hold the event
	}
	if err != nil {
		return event.Value{}
	}
	return fromVM(v)
}

// fromVM gives the VM's results the forms the primitives know.
func fromVM(v any) event.Value {
	if list, ok := anyList(v); ok {
		return event.Value{Kind: event.Tree, Any: list}
	}
	return event.Of(v)
}

// compileVM compiles a lowered tree.
func compileVM(root ast.Node, idents map[string]*ident) (*program, error) {
	config := vmConfig(idents)
	tree := &parser.Tree{Node: root, Source: file.NewSource("")}
	if _, err := checker.Check(tree, config); err != nil {
		return nil, fmt.Errorf("check lowered expression: %w", err)
	}
	code, err := compiler.Compile(tree, config)
	if err != nil {
		return nil, fmt.Errorf("compile expression: %w", err)
	}
	p := &program{code: code}
	seen := map[string]bool{}
	anyNode(root, func(n ast.Node) bool {
		if id, ok := n.(*ast.IdentifierNode); ok && idents[id.Value] != nil && !seen[id.Value] {
			seen[id.Value] = true
			p.idents = append(p.idents, idents[id.Value])
		}
		return false
	})
	return p, nil
}

func vmConfig(idents map[string]*ident) *conf.Config {
	c := exprConfig(vmFunctions)
	c.Env = vmEnv(idents)
	return c
}
