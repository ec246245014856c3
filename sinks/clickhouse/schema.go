package clickhouse

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/database"

	"corral/internal/chconn"
)

//go:embed migrations/*.sql
var migrations embed.FS

// A table is what rows of one kind are inserted into.
type table struct {
	name    string
	columns []string
}

var (
	evidenceTable    = newTable[eventRow]("incident_evidence")
	transitionsTable = newTable[record]("incident_transitions")
	incidentsTable   = newTable[record]("incidents")
	tables           = []*table{evidenceTable, transitionsTable, incidentsTable}
)

func newTable[Row any](name string) *table {
	t := &table{name: name}
	for _, f := range reflect.VisibleFields(reflect.TypeFor[Row]()) {
		t.columns = append(t.columns, f.Tag.Get("ch"))
	}
	return t
}

func (t *table) quoted() string {
	q := make([]string, len(t.columns))
	for i, c := range t.columns {
		q[i] = chconn.Quote(c)
	}
	return strings.Join(q, ", ")
}

// schema says where the tables are and how they are made.
type schema struct {
	database string
	cluster  string // "": one server
	ttl      time.Duration
}

func (s schema) table(name string) string { return chconn.Quote(s.database) + "." + name }

// statements returns those of one migration. {name} are its placeholders.
func (s schema) statements(file string) ([]string, error) {
	b, err := migrations.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, q := range strings.Split(s.fill(string(b)), ";\n") {
		if q = withoutComments(q); q != "" {
			out = append(out, q)
		}
	}
	return out, nil
}

func withoutComments(q string) string {
	var lines []string
	for line := range strings.Lines(q) {
		if !strings.HasPrefix(line, "--") {
			lines = append(lines, line)
		}
	}
	return strings.TrimSpace(strings.Join(lines, ""))
}

func (s schema) fill(text string) string {
	local, onCluster, replacing := "", "", "ReplacingMergeTree("
	if s.cluster != "" {
		local, onCluster = "_local", " ON CLUSTER "+chconn.Text(s.cluster)
		replacing = "ReplicatedReplacingMergeTree('/clickhouse/tables/{uuid}/{shard}', '{replica}', "
	} else {
		text = withoutClusterParts(text)
	}
	return strings.NewReplacer(
		"{db}", chconn.Quote(s.database), "{db_text}", chconn.Text(s.database), "{cluster}", chconn.Text(s.cluster),
		"{local}", local, "{on_cluster}", onCluster, "{replacing(}", replacing,
		"{ttl}", fmt.Sprint(int64(s.ttl/time.Second)),
	).Replace(text)
}

// withoutClusterParts leaves out what stands between "-- cluster:" and "-- end".
func withoutClusterParts(text string) string {
	var b strings.Builder
	for rest := text; ; {
		before, after, found := strings.Cut(rest, "-- cluster:\n")
		b.WriteString(before)
		if !found {
			return b.String()
		}
		_, rest, _ = strings.Cut(after, "-- end\n")
	}
}

func (s schema) createDatabase() string {
	q := "CREATE DATABASE IF NOT EXISTS " + chconn.Quote(s.database)
	if s.cluster != "" {
		q += " ON CLUSTER " + chconn.Text(s.cluster)
	}
	return q
}

func migrationFiles() ([]string, error) { return fs.Glob(migrations, "migrations/*.sql") }

// print writes all statements, for those who run them themselves.
func (s schema) print(w io.Writer) error {
	files, err := migrationFiles()
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintf(w, "%s;\n", s.createDatabase()); err != nil {
		return err
	}
	for _, file := range files {
		qs, err := s.statements(file)
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintf(w, "\n-- %s\n%s;\n", path.Base(file), strings.Join(qs, ";\n\n")); err != nil {
			return err
		}
	}
	return nil
}

// migrate brings the database up to date. All statements are idempotent, so it
// does no harm when several processes do so at once.
func (s schema) migrate(ctx context.Context, o *clickhouse.Options) error {
	if err := s.ensureDatabase(ctx, o); err != nil {
		return err
	}
	db := clickhouse.OpenDB(o)
	defer func() { _ = db.Close() }()
	if s.cluster != "" {
		return s.runAll(ctx, db)
	}
	if err := s.upToDate(ctx, db); err == nil {
		return nil // and no right to create tables was needed
	}
	if err := s.goose(ctx, db); err != nil {
		return err
	}
	if s.upToDate(ctx, db) == nil {
		return nil
	}
	return s.runAll(ctx, db) // someone dropped a table, and left goose's
}

const versionTable = "corral_migrations"

// upToDate returns nil when every migration was run and the tables are there.
func (s schema) upToDate(ctx context.Context, db *sql.DB) error {
	files, err := migrationFiles()
	if err != nil {
		return err
	}
	last, err := goose.NumericComponent(files[len(files)-1])
	if err != nil {
		return err
	}
	var version int64
	if err := db.QueryRowContext(ctx, "SELECT max(version_id) FROM "+s.table(versionTable)).Scan(&version); err != nil {
		return err
	}
	var n int
	for _, t := range tables {
		row := db.QueryRowContext(ctx, "SELECT count() FROM system.tables WHERE database = ? AND name = ?", s.database, t.name)
		var has int
		if err := row.Scan(&has); err != nil {
			return err
		}
		n += has
	}
	if version < last || n < len(tables) {
		return errSchema
	}
	return nil
}

// ensureDatabase creates the database when the server says there is none: the
// right to create one is needed only then.
func (s schema) ensureDatabase(ctx context.Context, o *clickhouse.Options) error {
	there, err := clickhouse.Open(o)
	if err != nil {
		return err
	}
	defer func() { _ = there.Close() }()
	if err := there.Exec(ctx, "SELECT 1"); chconn.Code(err) != codeUnknownDatabase {
		return err
	}
	elsewhere := *o
	elsewhere.Auth.Database = "default"
	c, err := clickhouse.Open(&elsewhere)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	return c.Exec(ctx, s.createDatabase())
}

// runAll runs every statement every time: goose's table of versions is on one
// server only.
func (s schema) runAll(ctx context.Context, db *sql.DB) error {
	files, err := migrationFiles()
	if err != nil {
		return err
	}
	for _, file := range files {
		if err := s.run(ctx, db, file); err != nil {
			return err
		}
	}
	return nil
}

func (s schema) run(ctx context.Context, db *sql.DB, file string) error {
	qs, err := s.statements(file)
	if err != nil {
		return err
	}
	for _, q := range qs {
		if _, err := db.ExecContext(ctx, q); err != nil {
			return fmt.Errorf("%s: %s …: %w", path.Base(file), q[:min(len(q), 80)], err)
		}
	}
	return nil
}

// goose runs what its table of versions does not have yet. That table is made
// here, because goose hides why it cannot make it.
func (s schema) goose(ctx context.Context, db *sql.DB) error {
	store, err := database.NewStore(goose.DialectClickHouse, versionTable)
	if err != nil {
		return err
	}
	if err := store.CreateVersionTable(ctx, db); err != nil {
		return err
	}
	files, err := migrationFiles()
	if err != nil {
		return err
	}
	steps := make([]*goose.Migration, len(files))
	for i, file := range files {
		version, err := goose.NumericComponent(file)
		if err != nil {
			return err
		}
		steps[i] = goose.NewGoMigration(version, &goose.GoFunc{
			RunDB: func(ctx context.Context, db *sql.DB) error { return s.run(ctx, db, file) },
		}, nil)
	}
	p, err := goose.NewProvider(goose.DialectClickHouse, db, nil, goose.WithGoMigrations(steps...),
		goose.WithDisableGlobalRegistry(true), goose.WithTableName(versionTable))
	if err != nil {
		return err
	}
	_, err = p.Up(ctx)
	return err
}

// errSchema: the tables are not as the sink needs them. Someone has to act.
var errSchema = errors.New("schema does not fit")

// columnTypes are those of the columns that are inserted into.
type columnTypes map[*table][]clickhouse.ColumnNameAndType

// columnTypes asks for the types. An error names what is missing.
func (s schema) columnTypes(ctx context.Context, c clickhouse.Conn) (columnTypes, error) {
	out := columnTypes{}
	var missing []string
	for _, t := range tables {
		have, err := s.describe(ctx, c, t.name)
		if err != nil {
			return nil, err
		}
		if len(have) == 0 {
			return nil, fmt.Errorf("%w: no table %s in database %s (corral migrate makes it)", errSchema, t.name, s.database)
		}
		for _, name := range t.columns {
			if have[name] == "" {
				missing = append(missing, t.name+"."+name)
			}
			out[t] = append(out[t], clickhouse.ColumnNameAndType{Name: name, Type: have[name]})
		}
	}
	if missing != nil {
		slices.Sort(missing)
		return nil, fmt.Errorf("%w: no column %s in database %s (corral migrate adds them)", errSchema, strings.Join(missing, ", "), s.database)
	}
	return out, nil
}

// describe returns the types of a table's columns, none if there is no table.
func (s schema) describe(ctx context.Context, c clickhouse.Conn, table string) (map[string]string, error) {
	rows, err := c.Query(ctx, "SELECT name, type FROM system.columns WHERE database = ? AND table = ?", s.database, table)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	out := map[string]string{}
	for rows.Next() {
		var name, typ string
		if err := rows.Scan(&name, &typ); err != nil {
			return nil, err
		}
		out[name] = typ
	}
	return out, rows.Err()
}

// knownSettings returns those of names that the server has: an unknown one
// fails the query on any server.
func knownSettings(ctx context.Context, c clickhouse.Conn, names ...string) ([]string, error) {
	rows, err := c.Query(ctx, "SELECT name FROM system.settings WHERE has(?, name)", names)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	var out []string
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return nil, err
		}
		out = append(out, name)
	}
	return out, rows.Err()
}
