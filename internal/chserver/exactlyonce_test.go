package chserver_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"

	"corral/internal/chserver"
	"corral/internal/chserver/chtest"
)

const rowsPerBatch = 50

// TestExactlyOnce: batches frozen with a write_id and sent until a known outcome
// are each there once, through server kills, cut connections and lost answers.
// After a failed send the writer looks whether its rows are there; the key of
// the ReplacingMergeTree takes care of what slips through.
//
// Retrying with the same insert_deduplication_token instead loses about one
// batch in 35 kills: a MergeTree writes its deduplication log before the part.
func TestExactlyOnce(t *testing.T) {
	for _, p := range protocols {
		t.Run(p.String(), func(t *testing.T) { exactlyOnce(t, p) })
	}
}

func exactlyOnce(t *testing.T, p clickhouse.Protocol) {
	s := chtest.Start(t, chserver.Options{})
	chtest.Exec(t, chtest.Conn(t, s, "default"),
		"CREATE TABLE s (id UInt64, write_id UInt64, INDEX ix write_id TYPE minmax GRANULARITY 1) ENGINE = ReplacingMergeTree ORDER BY id")
	px, err := chserver.NewProxy(address(s, p)[0])
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = px.Close() }()
	w := writer{Conn: open(t, clickhouse.Options{
		Addr: []string{px.Addr()}, Protocol: p, DialTimeout: 2 * time.Second, ReadTimeout: 5 * time.Second,
	})}
	ctx, stop := context.WithTimeout(t.Context(), 15*time.Second)
	defer stop()
	var writers sync.WaitGroup
	for k := range uint64(3) {
		writers.Go(func() { w.writeUntil(ctx, k<<40) })
	}
	kills := 0
	for ; ctx.Err() == nil && (kills < 2 || w.found.Load() == 0); kills++ {
		if err := harm(ctx, s, px); err != nil {
			t.Fatal(err)
		}
	}
	stop()
	writers.Wait()
	c := chtest.Conn(t, s, "default")
	rows, once := chtest.One[uint64](t, c, "SELECT count() FROM s"), chtest.One[uint64](t, c, "SELECT count() FROM s FINAL")
	t.Logf("kills %d, acked %d, failed sends %d, of these done all the same %d, rows without FINAL %d",
		kills, w.acked.Load(), w.failed.Load(), w.found.Load(), rows)
	if once != w.acked.Load() || w.failed.Load() == 0 || w.found.Load() == 0 {
		t.Errorf("acked %d, FINAL %d, failed sends %d, found %d", w.acked.Load(), once, w.failed.Load(), w.found.Load())
	}
}

// harm swallows the answer to an insert, cuts connections and kills the server.
func harm(ctx context.Context, s *chserver.Server, px *chserver.Proxy) error {
	before := px.Swallowed.Load()
	px.MinRequest.Store(500) // rows
	px.Swallow.Store(true)
	for px.Swallowed.Load() == before && ctx.Err() == nil {
		<-time.After(time.Millisecond)
	}
	px.Swallow.Store(false)
	<-time.After(50 * time.Millisecond)
	px.Cut.Store(true)
	<-time.After(50 * time.Millisecond)
	px.Cut.Store(false)
	<-time.After(50 * time.Millisecond)
	s.Kill()
	_, err := s.Again(context.WithoutCancel(ctx))
	return err
}

type writer struct {
	clickhouse.Conn
	acked, failed, found atomic.Uint64
}

// writeUntil writes batches whose ids begin at first until ctx is done, and
// finishes the one it has begun.
func (w *writer) writeUntil(ctx context.Context, first uint64) {
	for k := uint64(0); ctx.Err() == nil; k++ {
		id, row := first|k, first|k*rowsPerBatch
		for w.send(id, row) != nil {
			w.failed.Add(1)
			if w.there(id) == rowsPerBatch {
				w.found.Add(1)
				break
			}
		}
		w.acked.Add(rowsPerBatch)
	}
}

func (w *writer) send(writeID, first uint64) error {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	// Both must be said: from 26.2 on, the defaults are 1 and 'enable', and
	// insert_deduplicate = 0 no longer has an effect.
	ctx = clickhouse.Context(ctx, clickhouse.WithSettings(clickhouse.Settings{"async_insert": 0, "deduplicate_insert": "disable"}))
	b, err := w.PrepareBatch(ctx, "INSERT INTO s (id, write_id)")
	if err != nil {
		return err
	}
	defer func() { _ = b.Close() }()
	for i := range uint64(rowsPerBatch) {
		if err := b.Append(first+i, writeID); err != nil {
			return err
		}
	}
	return b.Send()
}

func (w *writer) there(writeID uint64) (n uint64) {
	for {
		ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
		err := w.QueryRow(ctx, fmt.Sprintf("SELECT count() FROM s WHERE write_id = %d", writeID)).Scan(&n)
		cancel()
		if err == nil {
			return n
		}
		<-time.After(20 * time.Millisecond)
	}
}
