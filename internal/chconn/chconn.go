// Package chconn makes ClickHouse connections of a DSN, for the sink and for
// the source alike.
package chconn

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
)

// Parse reads a DSN: clickhouse://user:password@host:9000,host2/database?param=value
// for the native protocol, http:// and https:// for HTTP. Without a port it is
// the protocol's usual one. Parameters, besides those of clickhouse-go:
//
//	secure=true          TLS for the native protocol (https has it anyway)
//	ca, cert, key        PEM files: the authority to trust, a client certificate
//	tls_server_name      the name the server's certificate must have
//	password_file        a file that holds the password
//
// Anything else is a setting of the server. User and password that are not in
// the DSN come from CLICKHOUSE_USER and CLICKHOUSE_PASSWORD. An error never
// holds the password.
func Parse(dsn string) (*clickhouse.Options, error) {
	if !strings.Contains(dsn, "://") {
		dsn = "clickhouse://" + dsn
	}
	dsn, own, err := takeOwn(dsn)
	if err != nil {
		return nil, err
	}
	o, err := clickhouse.ParseDSN(dsn)
	if err != nil {
		return nil, fmt.Errorf("ClickHouse DSN: %w", err)
	}
	if err := knownScheme(dsn); err != nil {
		return nil, err
	}
	if err := own.apply(o); err != nil {
		return nil, fmt.Errorf("ClickHouse DSN: %w", err)
	}
	withDefaults(o)
	return o, nil
}

func knownScheme(dsn string) error {
	scheme, _, _ := strings.Cut(dsn, "://")
	switch scheme {
	case "clickhouse", "tcp", "http", "https":
		return nil
	}
	return fmt.Errorf("ClickHouse DSN: unknown scheme %q: clickhouse, http or https", scheme)
}

// own are the parameters that clickhouse-go does not know: they would go to the
// server as settings.
type own struct{ ca, cert, key, passwordFile string }

// takeOwn cuts them off, and says secure=true for https.
func takeOwn(dsn string) (string, own, error) {
	base, raw, _ := strings.Cut(dsn, "?")
	q, err := url.ParseQuery(raw)
	if err != nil { // its text would show a part of the query: perhaps a password
		return "", own{}, errors.New("ClickHouse DSN: the part behind ? is not a query: URL-encode its values")
	}
	o := own{q.Get("ca"), q.Get("cert"), q.Get("key"), q.Get("password_file")}
	for _, name := range []string{"ca", "cert", "key", "password_file"} {
		q.Del(name)
	}
	if strings.HasPrefix(base, "https://") || (o.ca+o.cert != "" && !q.Has("secure")) {
		q.Set("secure", "true")
	}
	if len(q) == 0 {
		return base, o, nil
	}
	return base + "?" + q.Encode(), o, nil
}

func (p own) apply(o *clickhouse.Options) error {
	if p.passwordFile != "" {
		b, err := os.ReadFile(p.passwordFile)
		if err != nil {
			return fmt.Errorf("read password: %w", err)
		}
		o.Auth.Password = strings.TrimRight(string(b), "\r\n")
	}
	if o.TLS == nil {
		return nil
	}
	o.TLS.MinVersion = tls.VersionTLS12
	if p.ca != "" {
		pem, err := os.ReadFile(p.ca)
		if err != nil {
			return fmt.Errorf("read ca: %w", err)
		}
		o.TLS.RootCAs = x509.NewCertPool()
		if !o.TLS.RootCAs.AppendCertsFromPEM(pem) {
			return fmt.Errorf("read ca: no certificate in %s", p.ca)
		}
	}
	if p.cert != "" {
		pair, err := tls.LoadX509KeyPair(p.cert, p.key)
		if err != nil {
			return fmt.Errorf("read client certificate: %w", err)
		}
		o.TLS.Certificates = []tls.Certificate{pair}
	}
	return nil
}

func withDefaults(o *clickhouse.Options) {
	if o.Auth.Username == "" {
		o.Auth.Username = os.Getenv("CLICKHOUSE_USER")
	}
	if o.Auth.Password == "" {
		o.Auth.Password = os.Getenv("CLICKHOUSE_PASSWORD")
	}
	if o.Auth.Database == "" {
		o.Auth.Database = "default"
	}
	for i, addr := range o.Addr {
		if _, _, err := net.SplitHostPort(addr); err != nil {
			o.Addr[i] = net.JoinHostPort(strings.Trim(addr, "[]"), usualPort(o))
		}
	}
	if o.DialTimeout == 0 {
		o.DialTimeout = 5 * time.Second // also how long to wait for a place in the pool
	}
	if o.ConnMaxLifetime == 0 {
		o.ConnMaxLifetime = 10 * time.Minute // find new replicas after a rolling restart
	}
	if len(o.Addr) > 1 && o.ConnOpenStrategy == clickhouse.ConnOpenInOrder {
		o.ConnOpenStrategy = clickhouse.ConnOpenRoundRobin
	}
	if o.Compression == nil {
		o.Compression = &clickhouse.Compression{Method: clickhouse.CompressionLZ4}
	}
	o.ClientInfo.Products = append(o.ClientInfo.Products, struct{ Name, Version string }{"corral", "1"})
}

func usualPort(o *clickhouse.Options) string {
	switch {
	case o.Protocol == clickhouse.HTTP && o.TLS != nil:
		return "8443"
	case o.Protocol == clickhouse.HTTP:
		return "8123"
	case o.TLS != nil:
		return "9440"
	}
	return "9000"
}

// Code returns the code of the server's exception in err, or 0 when err is
// none: then the outcome is unknown.
func Code(err error) int32 {
	if e, ok := errors.AsType[*clickhouse.Exception](err); ok {
		return e.Code
	}
	return 0
}

// Quote quotes an identifier.
func Quote(name string) string {
	return "`" + strings.NewReplacer(`\`, `\\`, "`", "\\`").Replace(name) + "`"
}

// Text quotes a string literal.
func Text(s string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(s) + "'"
}
