package pipeline

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"corral/correlate"
	"corral/sinks"
)

// saver makes safe what took effect: a snapshot, then acknowledgements. The loop
// only freezes the state; encoding and storing it go on beside, for the stream need
// not wait for a disk. A store that fails for a while is tried again; meanwhile nothing is
// acknowledged, and in the end the server sends nothing more.
type saver struct {
	store Store
	log   *slog.Logger

	unsafe int            // records applied since the last snapshot was begun
	acks   []func() error // of those records
	dirty  bool           // something was delivered since
	late   bool           // the interval is over
	busy   bool           // a snapshot is being stored
	taken  error          // the state is another worker's
	done   chan saved
	failed int // times in a row
	retry  time.Time
	stats  saveStats
}

// saved is the outcome of storing a snapshot, with what it was to make safe.
type saved struct {
	err    error
	acks   []func() error
	unsafe int
	took   time.Duration
}

// wants reports whether a snapshot is due: the interval is over and there is
// something new, or there is much.
func (v *saver) wants(size int) bool {
	if v.store == nil || v.busy || time.Now().Before(v.retry) {
		return false
	}
	return v.unsafe >= size || v.late && (v.unsafe > 0 || len(v.acks) > 0 || v.dirty)
}

// finish takes the outcome: acknowledge, or keep all for the next snapshot.
func (v *saver) finish(r saved) {
	v.busy = false
	v.stats.stored(r)
	if errors.Is(r.err, ErrTaken) {
		v.taken = r.err
	}
	if r.err != nil {
		v.acks = append(r.acks, v.acks...)
		v.unsafe += r.unsafe
		v.dirty, v.late = true, true
		v.retry = time.Now().Add(min(30*time.Second, time.Second<<min(v.failed, 5)))
		v.failed++
		v.log.Error("snapshot not stored, nothing is acknowledged until one is", "error", r.err)
		return
	}
	v.failed = 0
	v.acknowledge(r.acks)
}

func (v *saver) acknowledge(acks []func() error) {
	for _, ack := range acks {
		if err := ack(); err != nil {
			// What is not acknowledged comes again and is dropped by its sequence.
			v.log.Warn("acknowledge", "error", err)
		}
	}
}

// take hands over what the snapshot that is begun now will make safe.
func (v *saver) take() saved {
	r := saved{acks: v.acks, unsafe: v.unsafe}
	v.acks, v.unsafe, v.dirty, v.late = nil, 0, false, false
	return r
}

// begin freezes the state and has it encoded and stored beside; without a store
// everything is as safe as it gets.
func (s *Stream) begin(ctx context.Context, outbox []*correlate.Transition) error {
	v := &s.safe
	if v.store == nil {
		v.acknowledge(v.take().acks)
		return nil
	}
	started := time.Now()
	encode, err := s.core.freeze(header{Gen: s.gen.Load(), Outbox: outbox, Own: s.own})
	if err != nil {
		return err
	}
	s.core.noted()
	r := v.take()
	v.busy = true
	v.stats.paused(time.Since(started))
	go func() {
		begin := time.Now()
		var data []byte
		if data, r.err = encode(int(v.stats.bytes.Load())); r.err == nil {
			v.stats.bytes.Store(uint64(len(data)))
			r.err = v.store.Save(ctx, data)
		}
		r.took = time.Since(begin)
		v.done <- r
	}()
	return nil
}

// saveNow stores a snapshot and waits for it; it tries until ctx is done.
func (s *Stream) saveNow(ctx context.Context, outbox []*correlate.Transition) error {
	v := &s.safe
	for try := 0; ; try++ {
		if v.busy {
			v.finish(<-v.done)
		}
		if err := s.begin(ctx, outbox); err != nil {
			return err
		}
		r := <-v.done
		v.finish(r)
		if r.err == nil {
			return nil
		}
		if v.taken != nil {
			return fmt.Errorf("store snapshot: %w", v.taken)
		}
		if err := (sinks.Backoff{}).Wait(ctx, try); err != nil {
			return fmt.Errorf("store snapshot: %w (last: %w)", err, r.err)
		}
	}
}

// settle makes safe all that took effect, and waits for it.
func (s *Stream) settle(ctx context.Context) error {
	v := &s.safe
	if v.busy {
		v.finish(<-v.done)
	}
	if v.store == nil {
		return s.begin(ctx, nil)
	}
	if v.unsafe == 0 && len(v.acks) == 0 && !v.dirty {
		return nil
	}
	return s.saveNow(ctx, nil)
}

// saveStats count snapshots; they may be read at any time.
type saveStats struct {
	stores, failures, bytes  atomic.Uint64
	pause, longest, lastTook atomic.Int64
	lastStored               atomic.Int64
}

func (s *saveStats) paused(pause time.Duration) {
	s.pause.Store(int64(pause))
	s.longest.Store(max(s.longest.Load(), int64(pause)))
}

func (s *saveStats) stored(r saved) {
	if r.err != nil {
		s.failures.Add(1)
		return
	}
	s.stores.Add(1)
	s.lastTook.Store(int64(r.took))
	s.lastStored.Store(time.Now().UnixNano())
}

// SnapshotStats tell about the snapshots of a Stream.
type SnapshotStats struct {
	Stored, Failed uint64
	Bytes          uint64        // of the last
	Pause, Longest time.Duration // for which the stream stood still, last and longest
	Took           time.Duration // that the last took to be stored, beside the stream
	At             time.Time     // when the last was stored, zero: none yet
}

// Snapshots may be called at any time, by anyone.
func (s *Stream) Snapshots() SnapshotStats {
	st := &s.safe.stats
	out := SnapshotStats{
		Stored: st.stores.Load(), Failed: st.failures.Load(), Bytes: st.bytes.Load(),
		Pause: time.Duration(st.pause.Load()), Longest: time.Duration(st.longest.Load()), Took: time.Duration(st.lastTook.Load()),
	}
	if ns := st.lastStored.Load(); ns > 0 {
		out.At = time.Unix(0, ns)
	}
	return out
}
