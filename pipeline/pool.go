package pipeline

import (
	"sync"
	"sync/atomic"

	"corral/ingest"
	"corral/ingest/decode"
	"corral/rules"
)

// job is a batch on its way through the pool; ready is closed when out is set,
// one for each rule set.
type job struct {
	batch   ingest.Batch
	name    string
	arrived int64
	out     []*prepared
	ready   chan struct{}
}

// pool decodes and matches jobs on several goroutines. Order is kept by whoever
// waits for each job in turn.
type pool struct {
	work chan *job
	sets atomic.Pointer[[]*rules.Set]
	opt  decode.Options
	rng  Range
	wg   sync.WaitGroup
}

func newPool(workers int, sets []*rules.Set, opt decode.Options, rng Range) *pool {
	p := &pool{work: make(chan *job, workers), opt: opt, rng: rng}
	p.sets.Store(&sets)
	for range max(workers, 1) {
		p.wg.Go(p.worker)
	}
	return p
}

func (p *pool) worker() {
	var sets *[]*rules.Set
	var preps []*preparer
	for j := range p.work {
		if now := p.sets.Load(); now != sets {
			sets, preps = now, newPreparers(*now, p.opt, p.rng)
		}
		j.out = prepareAll(preps, j.batch, j.name)
		for _, out := range j.out {
			out.arrived = j.arrived
		}
		close(j.ready)
	}
}

// submit hands a batch to the pool; it blocks while every worker is busy.
func (p *pool) submit(b ingest.Batch, name string, arrived int64) *job {
	j := &job{batch: b, name: name, arrived: arrived, ready: make(chan struct{})}
	p.work <- j
	return j
}

func (j *job) wait() []*prepared {
	<-j.ready
	return j.out
}

// close waits for the workers to finish what was submitted.
func (p *pool) close() {
	close(p.work)
	p.wg.Wait()
}
