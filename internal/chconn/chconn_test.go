package chconn_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"

	"corral/internal/chconn"
)

func TestParse(t *testing.T) {
	t.Setenv("CLICKHOUSE_USER", "from-env")
	t.Setenv("CLICKHOUSE_PASSWORD", "pw-env")
	file := filepath.Join(t.TempDir(), "pw")
	if err := os.WriteFile(file, []byte("pw-file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		dsn, addr, user, password, database string
		proto                               clickhouse.Protocol
		tls                                 bool
	}{
		{"clickhouse://u:p%40x@h:9001/d", "h:9001", "u", "p@x", "d", clickhouse.Native, false},
		{"h", "h:9000", "from-env", "pw-env", "default", clickhouse.Native, false},
		{"clickhouse://h1,h2:9001/d?secure=true", "h1:9440 h2:9001", "from-env", "pw-env", "d", clickhouse.Native, true},
		{"http://u@h/d", "h:8123", "u", "pw-env", "d", clickhouse.HTTP, false},
		{"https://u:p@h/d", "h:8443", "u", "p", "d", clickhouse.HTTP, true},
		{"clickhouse://[::1]/d?password_file=" + file, "[::1]:9000", "from-env", "pw-file", "d", clickhouse.Native, false},
	} {
		o, err := chconn.Parse(c.dsn)
		if err != nil {
			t.Errorf("%s: %v", c.dsn, err)
			continue
		}
		if got := strings.Join(o.Addr, " "); got != c.addr || o.Auth.Username != c.user || o.Auth.Password != c.password ||
			o.Auth.Database != c.database || o.Protocol != c.proto || (o.TLS != nil) != c.tls {
			t.Errorf("%s: got %s %+v %v tls %v", c.dsn, got, o.Auth, o.Protocol, o.TLS != nil)
		}
		if o.DialTimeout != 5*time.Second || len(o.Settings) != 0 {
			t.Errorf("%s: timeout %v, settings %v", c.dsn, o.DialTimeout, o.Settings)
		}
	}
}

// TestParseErrors: every mistake is told, and none with the password.
func TestParseErrors(t *testing.T) {
	notPEM := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(notPEM, []byte("no"), 0o600); err != nil {
		t.Fatal(err)
	}
	for dsn, want := range map[string]string{
		"clickhouse://u:s3cret@h:port/d":                              "ClickHouse DSN: ",
		"clickhouse://u:s3cret/x@h:9000/d":                            "ClickHouse DSN: ",
		"clickhouse://u:s3cret@":                                      "ClickHouse DSN: ",
		"postgres://u:s3cret@h/d":                                     `unknown scheme "postgres"`,
		"clickhouse://h/d?password=s3cret%zz":                         "URL-encode",
		"clickhouse://u:s3cret@h/d?dial_timeout=soon":                 "dial timeout",
		"clickhouse://u:s3cret@h/d?password_file=/nonexistent/pw":     "read password",
		"clickhouse://u:s3cret@h/d?ca=/nonexistent/ca.pem":            "read ca",
		"clickhouse://u:s3cret@h/d?ca=" + notPEM:                      "no certificate in",
		"clickhouse://u:s3cret@h/d?cert=/nonexistent/crt.pem&key=/no": "client certificate",
	} {
		_, err := chconn.Parse(dsn)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", dsn, err, want)
		}
		if err != nil && strings.Contains(err.Error(), "s3cret") {
			t.Errorf("the password is in %q", err)
		}
	}
}

func TestQuote(t *testing.T) {
	if got := chconn.Quote("a`b\\"); got != "`a\\`b\\\\`" {
		t.Error(got)
	}
	if got := chconn.Text(`it's \`); got != `'it\'s \\'` {
		t.Error(got)
	}
}
