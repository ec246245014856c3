package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"corral/correlate"
)

// Corral is the pipeline the demo shows at work: it reads what ConnInfo names,
// with the rules at rulesPath, and hands on every transition, from any goroutine,
// from the stream's first record on. Stop is called once, after a successful Start.
type Corral interface {
	Start(ctx context.Context, c ConnInfo, rulesPath string, onTransition func(*correlate.Transition)) error
	Stop()
}

// RunOptions of Run.
type RunOptions struct {
	Corral Corral
	Rules  string   // path of the rules; made for those of rules.example.yaml
	Faults []string // names; Once: only these, otherwise injected at the start
	Once   bool     // every fault in turn, checked; no commands are read
	In     io.Reader
	Out    io.Writer
	System Options
}

// ErrUnexpected is what Run wraps when, with Once, an incident was missing or was
// not expected: the demonstration ran, and failed.
var ErrUnexpected = errors.New("the demo did not go as expected")

// Run starts a System, lets corral watch it and injects faults: with Once all of
// them in turn, otherwise as commands say, until "quit" or the end of ctx.
func Run(ctx context.Context, o RunOptions) error {
	sys, err := Start(ctx, o.System)
	if err != nil {
		return err
	}
	t := &tour{sys: sys, rec: newRecorder(), out: &story{w: o.Out}, pace: steady}
	err = t.run(ctx, o)
	return errors.Join(err, sys.Close())
}

// tour is one run of the demo.
type tour struct {
	sys  *System
	rec  *recorder
	out  *story
	pace pace
}

func (t *tour) run(ctx context.Context, o RunOptions) error {
	faults, err := t.faults(o)
	if err != nil {
		return err
	}
	t.out.introduce(t.sys)
	// The story runs over transitions in the order they come; the checks read the
	// same ones from the recorder.
	err = o.Corral.Start(ctx, t.sys.Conn(), o.Rules, func(tr *correlate.Transition) {
		t.rec.add(tr)
		t.out.transition(tr)
	})
	if err != nil {
		return fmt.Errorf("start corral: %w", err)
	}
	defer o.Corral.Stop()
	if o.Once {
		return t.once(ctx, faults)
	}
	return t.interact(ctx, faults, o.In)
}

// faults are those asked for; with Once and no name all of them.
func (t *tour) faults(o RunOptions) ([]*Fault, error) {
	if len(o.Faults) == 0 && o.Once {
		return t.sys.Faults(), nil
	}
	var faults []*Fault
	for _, name := range o.Faults {
		f := t.sys.Fault(name)
		if f == nil {
			return nil, fmt.Errorf("there is no fault %q; there are %s", name, strings.Join(FaultNames(), ", "))
		}
		faults = append(faults, f)
	}
	return faults, nil
}

// FaultNames lists the faults of every System, in the order of a tour.
func FaultNames() []string {
	var names []string
	for _, f := range new(System).allFaults() {
		names = append(names, f.Name)
	}
	return names
}

// opened are the incidents that opened among ts.
func opened(ts []*correlate.Transition) []*correlate.Transition {
	return slices.DeleteFunc(slices.Clone(ts), func(tr *correlate.Transition) bool { return tr.Rev != 1 })
}
