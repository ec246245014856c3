package clickhouse

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"corral/internal/chconn"
)

// Schema modes: what is done about the tables before the first insert.
const (
	SchemaAuto  = "auto"  // create the database and the tables, and migrate them
	SchemaCheck = "check" // only look whether every column is there
	SchemaOff   = "off"   // nothing
)

// client is a connection that has been made ready for inserts.
type client struct {
	schema
	mode    string
	options *clickhouse.Options
	conn    clickhouse.Conn
	timeout time.Duration // of one insert

	one   chan struct{} // held while preparing, and to touch ready
	ready *ready
}

// ready is what has to be known before an insert.
type ready struct {
	settings clickhouse.Settings
	types    columnTypes
}

// prepare brings the schema up to date and asks what the server knows, once.
func (c *client) prepare(ctx context.Context) (*ready, error) {
	select {
	case c.one <- struct{}{}:
		defer func() { <-c.one }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	if c.ready != nil {
		return c.ready, nil
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	types, err := c.ensureSchema(ctx)
	if err != nil {
		return nil, err
	}
	settings, err := c.insertSettings(ctx)
	if err != nil {
		return nil, fmt.Errorf("ask for settings: %w", err)
	}
	c.ready = &ready{settings, types}
	return c.ready, nil
}

// ensureSchema does what the mode says, and returns the types of the columns.
func (c *client) ensureSchema(ctx context.Context) (columnTypes, error) {
	var denied error
	if c.mode == SchemaAuto {
		err := c.migrate(ctx, c.options)
		if err != nil && chconn.Code(err) != codeNoAccess {
			return nil, fmt.Errorf("migrate: %w", err)
		}
		denied = err
	}
	types, err := c.columnTypes(ctx, c.conn)
	switch {
	case err == nil || c.mode == SchemaOff:
		return types, nil
	case denied != nil:
		return nil, fmt.Errorf("migrate: %w", denied) // no right to, and it would be needed
	}
	return nil, fmt.Errorf("check schema: %w", err)
}

// forget makes the next insert prepare again: the server is not as it was.
func (c *client) forget() {
	c.one <- struct{}{}
	c.ready = nil
	<-c.one
}

// insertSettings are said with every insert. From 26.2 on the defaults are
// async_insert=1 and deduplicate_insert=enable, and insert_deduplicate=0 has no
// effect; before, deduplicate_insert is not known.
func (c *client) insertSettings(ctx context.Context) (clickhouse.Settings, error) {
	want := []struct {
		name  string
		value any
		on    bool
	}{
		{"async_insert", 0, true},
		{"deduplicate_insert", "disable", true},
		{"insert_deduplicate", 0, true},
		{"distributed_foreground_insert", 1, c.cluster != ""},
		{"insert_distributed_sync", 1, c.cluster != ""}, // its older name
	}
	names := make([]string, len(want))
	for i, w := range want {
		names[i] = w.name
	}
	known, err := knownSettings(ctx, c.conn, names...)
	if err != nil {
		return nil, err
	}
	s := clickhouse.Settings{}
	for _, w := range want {
		if _, has := s["distributed_foreground_insert"]; has && w.name == "insert_distributed_sync" {
			continue
		}
		if w.on && slices.Contains(known, w.name) {
			s[w.name] = w.value
		}
	}
	return s, nil
}

// insert sends a batch. sent: its outcome is unknown if there is an error.
func (c *client) insert(ctx context.Context, r *ready, b *batch) (sent bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	b.attempt++
	options := []clickhouse.QueryOption{
		clickhouse.WithSettings(r.settings),
		clickhouse.WithQueryID(fmt.Sprintf("corral-%x-%d", b.id, b.attempt)),
	}
	if types := r.types[b.table]; types != nil && c.options.Protocol == clickhouse.HTTP {
		options = append(options, clickhouse.WithColumnNamesAndTypes(types)) // or the driver asks each time
	}
	w, err := c.conn.PrepareBatch(clickhouse.Context(ctx, options...), "INSERT INTO "+c.table(b.table.name)+" ("+b.table.quoted()+")")
	if err != nil {
		return false, err
	}
	defer func() { _ = w.Close() }()
	if err := fill(w, b); err != nil {
		return false, err
	}
	return true, w.Send()
}

func fill(w driver.Batch, b *batch) error {
	for _, row := range b.rows {
		if err := w.AppendStruct(row.values.withID(b.id)); err != nil {
			return fmt.Errorf("%w: %w", errAppend, err)
		}
	}
	return nil
}

// sample returns a row that the table has, the youngest.
func (c *client) sample(ctx context.Context, t *table) (*batch, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	q := c.conn.QueryRow(ctx, "SELECT "+t.quoted()+" FROM "+c.table(t.name)+" ORDER BY written_at DESC LIMIT 1")
	if t == evidenceTable {
		var e eventRow
		err := q.ScanStruct(&e)
		return &batch{month: month(e.OpenedAt), rows: []row{{values: &e}}}, err
	}
	var r record
	err := q.ScanStruct(&r)
	return &batch{month: month(r.OpenedAt), rows: []row{{values: &r}}}, err
}

// count says how many rows of a batch are there.
func (c *client) count(ctx context.Context, b *batch) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	var n uint64
	err := c.conn.QueryRow(ctx, "SELECT count() FROM "+c.table(b.table.name)+" WHERE write_id = ? AND toYYYYMM(opened_at) = ?", b.id, b.month).Scan(&n)
	return int(n), err
}
