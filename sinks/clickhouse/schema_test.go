package clickhouse

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"corral/internal/chserver"
	"corral/internal/chserver/chtest"
	"corral/internal/testlog"
	"corral/sinks/sinktest"
)

// TestColumns: the rows have the columns of the tables, all but the one the
// server fills in, with the types of docs/incidents.md.
func TestColumns(t *testing.T) {
	server := chtest.Shared(t)
	db := chtest.Name()
	if err := Migrate(t.Context(), Options{DSN: chtest.DSN(server, db)}, nil); err != nil {
		t.Fatal(err)
	}
	c := chtest.Conn(t, server, db)
	for _, table := range tables {
		have := chtest.One[[]string](t, c, "SELECT groupArray(name) FROM (SELECT name FROM system.columns WHERE database = ? AND table = ? ORDER BY position)", db, table.name)
		if want := append(table.columns, "written_at"); strings.Join(have, " ") != strings.Join(want, " ") {
			t.Errorf("%s has\n%v, rows have\n%v", table.name, have, want)
		}
	}
	for column, want := range map[string]string{
		"incident_id": "String", "rev": "UInt32", "fingerprint": "FixedString(32)", "severity": "Enum8('info' = 1, 'warning' = 2, 'error' = 3, 'critical' = 4)",
		"opened_at": "DateTime64(9, 'UTC')", "resolved_at": "Nullable(DateTime64(9, 'UTC'))", "key": "Map(LowCardinality(String), String)", "run_id": "UUID",
		"steps": "Array(Tuple(name String, at DateTime64(9, 'UTC'), event_id String))",
	} {
		if got := chtest.One[string](t, c, "SELECT type FROM system.columns WHERE database = ? AND table = 'incidents' AND name = ?", db, column); got != want {
			t.Errorf("%s is %s, want %s", column, got, want)
		}
	}
	for _, view := range []string{"incidents_now", "incident_history", "incident_events"} {
		if n := chtest.One[uint64](t, c, "SELECT count() FROM "+view); n != 0 {
			t.Errorf("%s has %d rows", view, n)
		}
	}
}

// TestMigrateAtOnce: several processes may start at once on an empty server, and
// a dropped table comes back.
func TestMigrateAtOnce(t *testing.T) {
	server := chtest.Shared(t)
	db := chtest.Name()
	for name, dsn := range map[string]string{"native": chtest.DSN(server, db), "http": "http://" + server.HTTPAddr() + "/" + db} {
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() {
				if err := Migrate(t.Context(), Options{DSN: dsn}, nil); err != nil {
					t.Errorf("%s: %v", name, err)
				}
			})
		}
		wg.Wait()
	}
	c := chtest.Conn(t, server, db)
	chtest.Exec(t, c, "DROP TABLE incident_evidence")
	if err := Migrate(t.Context(), Options{DSN: chtest.DSN(server, db)}, nil); err != nil {
		t.Fatal(err)
	}
	if n := chtest.One[uint64](t, c, "SELECT count() FROM incident_events"); n != 0 {
		t.Errorf("%d rows in a new table", n)
	}
}

// TestDryRun: the statements that are printed make a database that passes the
// check.
func TestDryRun(t *testing.T) {
	var out bytes.Buffer
	db := chtest.Name()
	if err := Migrate(t.Context(), Options{DSN: "clickhouse://u:s3cret@nowhere.invalid/" + db}, &out); err != nil {
		t.Fatal(err)
	}
	if strings.ContainsAny(withoutTypes(out.String()), "{}") || strings.Contains(out.String(), "s3cret") || strings.Contains(out.String(), "_local") {
		t.Errorf("printed:\n%s", out.String())
	}
	server := chtest.Shared(t)
	c := chtest.Conn(t, server, "default")
	for q := range strings.SplitSeq(out.String(), ";\n") {
		if q = withoutComments(q); q != "" {
			chtest.Exec(t, c, q)
		}
	}
	s := open(t, Options{DSN: chtest.DSN(server, db), Schema: SchemaCheck})
	if err := s.Write(t.Context(), sinktest.Transitions(3)); err != nil {
		t.Error(err)
	}
}

func withoutTypes(s string) string { return strings.ReplaceAll(s, "{uuid}", "") }

// TestClusterSQL: the statements for a cluster can only be parsed here.
func TestClusterSQL(t *testing.T) {
	c := chtest.Conn(t, chtest.Shared(t), "default")
	s := schema{database: "a`b", cluster: "it's", ttl: time.Hour}
	qs, err := s.statements("migrations/0001_incidents.sql")
	if err != nil {
		t.Fatal(err)
	}
	all := s.createDatabase()
	for _, q := range append(qs, s.createDatabase()) {
		parsed := chtest.One[string](t, c, "SELECT formatQuerySingleLine(?)", q)
		if !strings.Contains(parsed, `ON CLUSTER 'it\'s'`) && !strings.Contains(parsed, "ON CLUSTER `it's`") {
			t.Errorf("not on the cluster: %s", parsed)
		}
		all += "\n" + parsed
	}
	for want, n := range map[string]int{
		"ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/{uuid}/{shard}', '{replica}', written_at)": 1,
		"ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/{uuid}/{shard}', '{replica}', rev)":        2,
		"ENGINE = Distributed(": 3, "cityHash64(run_id, incident_id)": 3, "CREATE VIEW IF NOT EXISTS": 3,
		"TTL toDateTime(written_at) + toIntervalSecond(3600)": 3,
	} {
		if got := strings.Count(all, want); got != n {
			t.Errorf("%d of %q, want %d, in\n%s", got, want, n, all)
		}
	}
}

func TestSchemaCheck(t *testing.T) {
	server := chtest.Shared(t)
	db := chtest.Database(t, server)
	dsn := chtest.DSN(server, db)
	s := open(t, Options{DSN: dsn, Schema: SchemaCheck, HoldInterval: 50 * time.Millisecond})
	until(t, "the missing table is told", func() bool {
		err := s.Ready()
		return err != nil && strings.Contains(err.Error(), "no table incident_evidence in database "+db)
	})
	if err := Migrate(t.Context(), Options{DSN: dsn}, nil); err != nil {
		t.Fatal(err)
	}
	until(t, "the sink is ready", func() bool { return s.Ready() == nil })

	chtest.Exec(t, chtest.Conn(t, server, db), "ALTER TABLE incidents DROP COLUMN vars, DROP COLUMN owner")
	s = open(t, Options{DSN: dsn, Schema: SchemaCheck, HoldInterval: 50 * time.Millisecond})
	until(t, "the missing columns are told", func() bool {
		err := s.Ready()
		return err != nil && strings.Contains(err.Error(), "no column incidents.owner, incidents.vars in")
	})
}

func TestOptions(t *testing.T) {
	if _, err := Open(Options{DSN: "clickhouse://h/d", Schema: "maybe"}); err == nil || !strings.Contains(err.Error(), `schema "maybe"`) {
		t.Error(err)
	}
	if _, err := Open(Options{DSN: "gopher://h/d"}); err == nil {
		t.Error("opened a gopher")
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(Options{DSN: "clickhouse://h/d", Spool: file}); err == nil {
		t.Error("opened a spool in a file")
	}
}

// TestUsers: TLS on both protocols, a user who may only insert and look, one who
// may not even that, and a password that is in no error and no log.
func TestUsers(t *testing.T) {
	cert, key := chtest.Certificate(t)
	server := chtest.Start(t, chserver.Options{
		TLSCert: cert, TLSKey: key,
		Users: []chserver.User{
			{Name: "admin", Password: "s3cret+1"},
			{Name: "writer", Password: "s3cret+2", Grants: []string{"GRANT SELECT, INSERT ON d.*"}},
			{Name: "blind", Password: "s3cret+3", Grants: []string{"GRANT INSERT ON d.*"}},
			{Name: "none", Password: "s3cret+4", Grants: []string{"GRANT SELECT ON system.one"}},
		},
	})
	base := map[string]string{"native": "clickhouse://%s:%s@" + server.TLSAddr(), "http": "https://%s:%s@" + server.HTTPSAddr()}
	for name, base := range base {
		t.Run(name, func(t *testing.T) {
			dsn := func(user, password string) string {
				return fmt.Sprintf(base, user, password) + "/d?tls_server_name=localhost&ca=" + cert
			}
			ts := sinktest.Transitions(6)
			for user, password := range map[string]string{"admin": "s3cret%2B1", "writer": "s3cret%2B2", "blind": "s3cret%2B3"} {
				if user != "admin" {
					if err := Migrate(t.Context(), Options{DSN: dsn("admin", "s3cret%2B1")}, nil); err != nil {
						t.Fatal(err)
					}
				}
				s := open(t, Options{DSN: dsn(user, password)})
				if err := s.Write(t.Context(), ts); err != nil {
					t.Errorf("%s: %v", user, err)
				}
			}
			if diff := sinktest.Diff(ts, all(t, reader(t, dsn("admin", "s3cret%2B1")))); diff != "" {
				t.Error(diff)
			}
			for user, password := range map[string]string{"none": "s3cret%2B4", "admin": "s3cret-wrong"} {
				var log testlog.Buffer
				s := open(t, Options{DSN: dsn(user, password), HoldInterval: 20 * time.Millisecond, RetryInterval: 20 * time.Millisecond, Logger: log.Logger()})
				until(t, "an error is told", func() bool { return s.Stats().LastError != "" && log.String() != "" })
				said := log.String() + s.Stats().LastError + fmt.Sprint(s.Ready())
				if strings.Contains(said, "s3cret") {
					t.Errorf("the password of %s is in %s", user, said)
				}
			}
		})
	}
}

// TestSettings: what an insert says depends on what the server knows.
func TestSettings(t *testing.T) {
	server := chtest.Shared(t)
	s := open(t, Options{DSN: chtest.DSN(server, chtest.Name())})
	r, err := s.client.prepare(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if r.settings["async_insert"] != 0 || r.settings["deduplicate_insert"] != "disable" || r.settings["distributed_foreground_insert"] != nil {
		t.Errorf("settings %v", r.settings)
	}
	known, err := knownSettings(t.Context(), s.client.conn, "async_insert", "never_heard_of")
	if err != nil || len(known) != 1 || known[0] != "async_insert" {
		t.Errorf("known %v, %v", known, err)
	}
}

func TestMigrateUnreachable(t *testing.T) {
	err := Migrate(t.Context(), Options{DSN: "clickhouse://127.0.0.1:1/d"}, nil)
	if err == nil || errors.Is(err, errSchema) {
		t.Errorf("got %v, want that it cannot be reached", err)
	}
}
