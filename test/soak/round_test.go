package soak

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"corral/sinks/clickhouse"
)

const (
	stream  = "LOGS"
	subject = "logs.soak"
	durable = "soak"
)

// round is one worker on a rig.
type round struct {
	*plan
	rig      *rig
	corral   string
	dir      string
	rules    string // file
	letters  string // file of dead letters
	database string
	tables   []string
	worker   *worker
	tally    tally
	errs     []error

	natsDown, chDown, refusing bool
	publishing                 chan error
}

func newRound(rig *rig, corral, dir string, seed uint64) *round {
	r := &round{
		plan: newPlan(seed), rig: rig, corral: corral, dir: dir, database: fmt.Sprintf("soak_%d", seed),
		rules: filepath.Join(dir, "rules", "rules.yaml"), letters: filepath.Join(dir, "dead.ndjson"),
		tables: []string{"incident_transitions", "incidents"}, publishing: make(chan error, 1),
	}
	r.worker = &worker{path: corral, args: r.args(), log: filepath.Join(dir, "worker.log")}
	r.tally.faults, r.tally.odd = map[string]int{}, r.odd
	return r
}

func (r *round) args() []string {
	state := filepath.Join(r.dir, "state")
	if r.set.bucket {
		state = "kv:SOAK"
	}
	args := []string{
		"run", "--rules", filepath.Dir(r.rules), "--nats", "nats://" + r.rig.toNATS.addr(), "--no-context", "--stream", stream, "--durable", durable,
		"--clickhouse", "clickhouse://" + r.rig.toClickHouse.addr() + "/" + r.database, "--state", state,
		"--snapshot-every", r.set.snapshotEvery.String(), "--lateness", r.set.lateness.String(), "--workers", fmt.Sprint(r.set.workers),
		"--dead-letters", r.letters, "--listen", "127.0.0.1:0", "--reload-every", "50ms",
	}
	if r.set.hasty {
		args = append(args, "--shutdown-timeout", "200ms")
	} else {
		args = append(args, "--shutdown-timeout", patience.String())
	}
	if r.set.spool {
		args = append(args, "--spool", filepath.Join(r.dir, "spool"))
	}
	return args
}

// note remembers what must not go wrong in the round itself.
func (r *round) note(what string, err error) error {
	if err != nil {
		r.errs = append(r.errs, fmt.Errorf("%s: %w", what, err))
	}
	return err
}

// run returns what differs in the end; an error is of the round itself, or says
// that the worker did not come to an end.
func (r *round) run(ctx context.Context) ([]string, error) {
	if err := r.prepare(ctx); err != nil {
		return nil, err
	}
	r.worker.start()
	defer r.worker.kill()
	go func() { r.publishing <- r.publish(ctx) }()
	r.disturb(ctx)
	if err := r.heal(ctx); err != nil {
		return nil, err
	}
	if err := <-r.publishing; err != nil {
		return nil, err
	}
	end, err := r.settle(ctx)
	if err != nil {
		return nil, err
	}
	metrics, err := r.worker.metrics(ctx)
	if err != nil {
		return nil, err
	}
	if err := r.end(ctx); err != nil {
		return nil, fmt.Errorf("the worker's last life: %w", err)
	}
	r.tally.lives, r.tally.gaveUp = r.worker.lives, len(r.worker.gaveUp)
	if log := r.worker.crashed(); log != nil {
		return nil, fmt.Errorf("the worker crashed:\n%s", log)
	}
	if !bytes.Contains(metrics, []byte(`corral_source_missing_total{partition="stream:LOGS"} 0`)) {
		return nil, errors.New("the worker missed messages of the stream, by its own account")
	}
	diffs, err := r.compare(ctx, end)
	return diffs, errors.Join(append(r.errs, err)...)
}

// end stops the worker, which must be content. One in haste may not be: it is told
// to stop until it is.
func (r *round) end(ctx context.Context) error {
	err := r.worker.stop(ctx)
	for r.set.hasty && err != nil && ctx.Err() == nil {
		r.worker.start()
		if err := until(ctx, func(context.Context) error {
			if !r.worker.up() {
				return errors.New("not up")
			}
			return nil
		}); err != nil {
			return err
		}
		err = r.worker.stop(ctx)
	}
	return err
}

func (r *round) prepare(ctx context.Context) error {
	if err := r.rig.clean(ctx, r.database); err != nil {
		return err
	}
	// The server may still be taking away the files of the last round's.
	if err := until(ctx, func(ctx context.Context) error {
		_, err := r.rig.js.CreateStream(ctx, jetstream.StreamConfig{Name: stream, Subjects: []string{subject}})
		return err
	}); err != nil {
		return err
	}
	if err := os.Mkdir(filepath.Dir(r.rules), 0o700); err != nil {
		return err
	}
	return os.WriteFile(r.rules, []byte(rulesText), 0o600)
}

// publish sends the lines, each until the stream has it.
func (r *round) publish(ctx context.Context) error {
	begin := time.Now()
	var text string
	for i, l := range r.lines {
		sleep(ctx, time.Until(begin.Add(l.at)))
		if !l.again {
			text = l.text
			if !l.binary {
				text = fmt.Sprintf(l.text, time.Now().Add(l.shift).UTC().Format(time.RFC3339Nano))
			}
		}
		if err := r.send(ctx, fmt.Sprint(i), text); err != nil {
			return err
		}
	}
	return nil
}

func (r *round) send(ctx context.Context, id, text string) error {
	m := nats.NewMsg(subject)
	m.Header.Set(nats.MsgIdHdr, id) // an unknown outcome is tried again
	m.Data = []byte(text)
	return until(ctx, func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, 500*time.Millisecond)
		defer cancel()
		_, err := r.rig.js.PublishMsg(ctx, m)
		return err
	})
}

func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

// disturb takes the plan's steps.
func (r *round) disturb(ctx context.Context) {
	begin := time.Now()
	for _, s := range r.steps {
		sleep(ctx, time.Until(begin.Add(s.at)))
		if s.undo != nil {
			s.undo(ctx, r)
		} else if s.do(ctx, r) {
			r.tally.faults[s.kind]++
		}
	}
}

// heal ends whatever is still wrong.
func (r *round) heal(ctx context.Context) error {
	r.rig.heal()
	r.worker.signal(syscall.SIGCONT)
	startNATS(ctx, r)
	startClickHouse(ctx, r)
	restoreRules(ctx, r)
	for _, t := range r.tables {
		if !r.refusing {
			break
		}
		if err := until(ctx, func(ctx context.Context) error {
			return r.alter(ctx, t, "RESET SETTING parts_to_throw_insert, parts_to_delay_insert")
		}); err != nil {
			return err
		}
	}
	return errors.Join(r.errs...)
}

// quiet is how long after the last event everything is over: the ledger's session
// and what keeps it firing, and a little.
const quiet = 900 * time.Millisecond

// settle says the last word, when everything but that is over, and waits until
// the worker has told of it. It returns its event time: to that instant the round
// is compared. A last word that came late is said again.
func (r *round) settle(ctx context.Context) (end time.Time, err error) {
	sleep(ctx, quiet)
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	db, err := clickhouse.OpenReader("clickhouse://" + r.rig.ch.NativeAddr() + "/" + r.database)
	if err != nil {
		return end, err
	}
	defer func() { _ = db.Close() }()
	for n := 0; ; n++ {
		text := fmt.Sprintf(`{"time":%q,"level":"debug","msg":"over"}`, time.Now().UTC().Format(time.RFC3339Nano))
		if err := r.send(ctx, fmt.Sprint("over ", n), text); err != nil {
			return end, err
		}
		short, stop := context.WithTimeout(ctx, 4*time.Second)
		err := until(short, func(ctx context.Context) error {
			ts, err := db.Incidents(ctx, clickhouse.Query{Rule: overRule})
			if err != nil {
				return err
			}
			if len(ts) == 0 {
				return errors.New("nothing of the last word")
			}
			end = ts[len(ts)-1].OpenedAt // the first one; they come last first
			return nil
		})
		stop()
		if err == nil {
			return end, until(ctx, r.acknowledged)
		}
		if ctx.Err() != nil {
			return end, err
		}
	}
}

// acknowledged reports whether the stream has nothing for the worker any more.
func (r *round) acknowledged(ctx context.Context) error {
	s, err := r.rig.js.Stream(ctx, stream)
	if err != nil {
		return err
	}
	c, err := s.Consumer(ctx, durable)
	if err != nil {
		return err
	}
	if floor, last := c.CachedInfo().AckFloor.Stream, s.CachedInfo().State.LastSeq; floor < last {
		return fmt.Errorf("acknowledged up to %d of %d", floor, last)
	}
	return nil
}

// batch is what `corral batch` makes of the stream.
func (r *round) batch(ctx context.Context, end time.Time) (string, error) {
	out := filepath.Join(r.dir, "batch.ndjson")
	cmd := exec.CommandContext(ctx, r.corral, "batch", "--rules", filepath.Dir(r.rules), "--nats", r.rig.nats.URL(), "--no-context", "--stream", stream,
		"--to", end.Format(time.RFC3339Nano), "--lateness", r.set.lateness.String(), "--progress", "off", "-o", "ndjson:"+out)
	cmd.Env = append(os.Environ(), "CORRAL_CLICKHOUSE=")
	if said, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("corral batch: %w\n%s", err, strings.TrimSpace(string(said)))
	}
	return out, nil
}
