// Package chtest gives tests a real ClickHouse server. Without the library the
// tests that ask for one are skipped.
package chtest

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"

	"corral/internal/chserver"
)

// Start starts a server that is killed at the end of the test, in a directory
// of its own unless o names one.
func Start(t testing.TB, o chserver.Options) *chserver.Server {
	t.Helper()
	need(t)
	if o.Dir == "" {
		o.Dir = t.TempDir()
	}
	s, err := startWithin(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Kill) // of a test's own server nothing is needed any more
	return s
}

// need skips the test where there is no library.
func need(t testing.TB) {
	t.Helper()
	if _, err := chserver.FindLibrary(); errors.Is(err, chserver.ErrNoLibrary) {
		t.Skip(err)
	}
}

func startWithin(o chserver.Options) (*chserver.Server, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	return chserver.Start(ctx, o)
}

var shared struct {
	sync.Mutex
	server *chserver.Server
	dir    string
}

// Shared returns the one server of this test binary, starting it at the first
// call. A test must neither stop nor kill it, and works in a Database of its
// own. The package needs Main as its TestMain.
func Shared(t testing.TB) *chserver.Server {
	t.Helper()
	need(t)
	shared.Lock()
	defer shared.Unlock()
	if shared.server != nil {
		return shared.server
	}
	dir, err := os.MkdirTemp("", "corral-clickhouse-")
	if err != nil {
		t.Fatal(err)
	}
	shared.dir = dir
	if shared.server, err = startWithin(chserver.Options{Dir: dir}); err != nil {
		t.Fatal(err)
	}
	return shared.server
}

// Main runs the tests and ends the shared server: func TestMain(m) { chtest.Main(m) }.
func Main(m *testing.M) {
	code := m.Run()
	if shared.server != nil {
		shared.server.Kill()
	}
	if shared.dir != "" {
		_ = os.RemoveAll(shared.dir)
	}
	os.Exit(code)
}

var databases atomic.Int64

// Name returns a new name for a database.
func Name() string { return fmt.Sprintf("test_%d", databases.Add(1)) }

// Database creates a database of a new name, and returns the name.
func Database(t testing.TB, s *chserver.Server) string {
	t.Helper()
	name := Name()
	Exec(t, Conn(t, s, "default"), "CREATE DATABASE "+name)
	return name
}

// Conn connects to a database over the native protocol until the test ends.
func Conn(t testing.TB, s *chserver.Server, database string) clickhouse.Conn {
	t.Helper()
	c, err := clickhouse.Open(&clickhouse.Options{
		Addr: []string{s.NativeAddr()},
		Auth: clickhouse.Auth{Database: database, Username: "default"},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// Exec runs statements.
func Exec(t testing.TB, c clickhouse.Conn, statements ...string) {
	t.Helper()
	for _, q := range statements {
		if err := c.Exec(context.Background(), q); err != nil {
			t.Fatalf("%s: %v", q, err)
		}
	}
}

// One returns the only value of the only row of a query.
func One[T any](t testing.TB, c clickhouse.Conn, query string, args ...any) T {
	t.Helper()
	var v T
	if err := c.QueryRow(context.Background(), query, args...).Scan(&v); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return v
}

// DSN is the native address of a database for user default.
func DSN(s *chserver.Server, database string) string {
	return "clickhouse://" + s.NativeAddr() + "/" + database
}

// Certificate writes a certificate for localhost that signs itself, and its key.
func Certificate(t testing.TB) (cert, key string) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "localhost"}, DNSNames: []string{"localhost"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &k.PublicKey, k)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write := func(name, kind string, b []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: b}), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	return write("crt.pem", "CERTIFICATE", der), write("key.pem", "PRIVATE KEY", private)
}
