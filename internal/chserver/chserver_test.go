package chserver_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"

	"corral/internal/chserver"
	"corral/internal/chserver/chtest"
)

func open(t *testing.T, o clickhouse.Options) clickhouse.Conn {
	t.Helper()
	c, err := clickhouse.Open(&o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func address(s *chserver.Server, p clickhouse.Protocol) []string {
	if p == clickhouse.HTTP {
		return []string{s.HTTPAddr()}
	}
	return []string{s.NativeAddr()}
}

var protocols = []clickhouse.Protocol{clickhouse.Native, clickhouse.HTTP}

func TestKillAndRestart(t *testing.T) {
	s := chtest.Start(t, chserver.Options{Users: []chserver.User{{Name: "admin", Password: "a<b&c"}}})
	for i, p := range protocols {
		o := clickhouse.Options{Addr: address(s, p), Protocol: p, Auth: clickhouse.Auth{Username: "admin", Password: "a<b&c"}}
		c := open(t, o)
		chtest.Exec(t, c, "CREATE TABLE IF NOT EXISTS t (n UInt64) ENGINE = MergeTree ORDER BY n",
			"INSERT INTO t SELECT number FROM numbers(1000)")
		s.Kill()
		if ended, _ := s.Ended(); !ended {
			t.Fatal("killed, and not ended")
		}
		if _, err := s.Again(t.Context()); err != nil {
			t.Fatal(err)
		}
		_ = c.Close()
		c = open(t, o)
		if got, want := chtest.One[uint64](t, c, "SELECT count() FROM t"), uint64(1000*(i+1)); got != want {
			t.Errorf("%s: %d rows after the restart, want %d", p, got, want)
		}
		_ = c.Close()
	}
	if err := s.Stop(); err != nil {
		t.Error(err)
	}
}

func TestPause(t *testing.T) {
	s := chtest.Start(t, chserver.Options{})
	if err := s.Pause(); err != nil {
		t.Fatal(err)
	}
	c := open(t, clickhouse.Options{Addr: address(s, clickhouse.Native), DialTimeout: 100 * time.Millisecond})
	if err := c.Ping(t.Context()); err == nil { // the handshake minds DialTimeout, and no context
		t.Error("a paused server answered")
	}
	if err := s.Resume(); err != nil {
		t.Fatal(err)
	}
	if err := c.Ping(t.Context()); err != nil {
		t.Error("after Resume:", err)
	}
}

// TestTLSAndUsers: TLS ports, users with passwords and grants, two servers in
// one Distributed table, and a client that goes away in the middle.
func TestTLSAndUsers(t *testing.T) {
	cert, key := chtest.Certificate(t)
	pem, err := os.ReadFile(cert)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	users := []chserver.User{{Name: "admin", Password: "pw1"}, {Name: "ro", Password: "pw2", Grants: []string{"GRANT SELECT ON *.*"}}}
	first := chtest.Start(t, chserver.Options{Users: users, TLSCert: cert, TLSKey: key})
	replica := fmt.Sprintf("<shard><replica><host>127.0.0.1</host><port>%d</port><user>admin</user><password>pw1</password></replica></shard>", first.TCPPort)
	second := chtest.Start(t, chserver.Options{
		Users: users, TLSCert: cert, TLSKey: key,
		Config: "<remote_servers><two>" + replica + "<shard><replica><host>localhost</host><port>1</port></replica></shard></two><one>" + replica + "</one></remote_servers>",
	})
	dial := func(s *chserver.Server, p clickhouse.Protocol, user, password string) clickhouse.Conn {
		addr := s.TLSAddr()
		if p == clickhouse.HTTP {
			addr = s.HTTPSAddr()
		}
		return open(t, clickhouse.Options{
			Addr: []string{addr}, Protocol: p, Auth: clickhouse.Auth{Username: user, Password: password},
			TLS: &tls.Config{RootCAs: pool, ServerName: "localhost", MinVersion: tls.VersionTLS12},
		})
	}
	for _, p := range protocols {
		if err := dial(first, p, "admin", "pw1").Ping(t.Context()); err != nil {
			t.Fatal(err)
		}
		for user, password := range map[string]string{"admin": "wrong", "nobody": ""} {
			if err := dial(first, p, user, password).Ping(t.Context()); err == nil {
				t.Errorf("%s: %s came in", p, user)
			}
		}
		if err := dial(first, p, "ro", "pw2").Exec(t.Context(), "CREATE TABLE x (n UInt8) ENGINE = Memory"); err == nil {
			t.Errorf("%s: ro may create tables", p)
		}
	}
	chtest.Exec(t, dial(first, clickhouse.Native, "admin", "pw1"), "CREATE TABLE l (n UInt64) ENGINE = MergeTree ORDER BY n")
	c := dial(second, clickhouse.Native, "admin", "pw1")
	chtest.Exec(t, c, "CREATE TABLE d (n UInt64) ENGINE = Distributed(one, default, l, n)",
		"INSERT INTO d SETTINGS distributed_foreground_insert = 1 SELECT number FROM numbers(1000)")
	if n := chtest.One[uint64](t, c, "SELECT count() FROM d"); n != 1000 {
		t.Errorf("%d rows in the other server, want 1000", n)
	}
	cut, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if err := c.Exec(cut, "SELECT sleepEachRow(0.1) FROM numbers(20) SETTINGS max_block_size = 1"); err == nil {
		t.Error("a query outlived its context")
	}
	if err := c.Ping(t.Context()); err != nil {
		t.Error("after a cancelled query:", err)
	}
	if ended, err := second.Ended(); ended {
		t.Error("the server ended: ", err)
	}
}

// TestChildOfAnother: the variable that makes a process a server works only for
// the process that was started for it.
func TestChildOfAnother(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for value, want := range map[string]string{
		`{"Parent":1,"Lib":"/nonexistent/evil.so"}`: "did not start this one",
		`yes`: "invalid character",
		fmt.Sprintf(`{"Parent":%d,"Lib":"/nonexistent/evil.so"}`, os.Getpid()): "evil.so",
	} {
		cmd := exec.Command(self, "-test.run=^$")
		cmd.Env = append(os.Environ(), "CORRAL_CLICKHOUSE_CHILD="+value)
		out, err := cmd.CombinedOutput()
		if err == nil || !strings.Contains(string(out), want) {
			t.Errorf("%s: %v, said %q, want %q", value, err, out, want)
		}
	}
}

func TestNoLibrary(t *testing.T) {
	t.Chdir(t.TempDir())
	t.Setenv("CHDB_LIB", "")
	if p, err := chserver.FindLibrary(); err == nil && !strings.Contains(p, "node_modules") {
		t.Errorf("found %q from an empty directory", p)
	}
	t.Setenv("CHDB_LIB", "/nonexistent/libchdb.so")
	if _, err := chserver.Start(t.Context(), chserver.Options{Dir: t.TempDir()}); err == nil {
		t.Error("started without a library")
	}
}
