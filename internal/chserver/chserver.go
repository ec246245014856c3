// Package chserver runs a real ClickHouse server as a child process, without
// cgo, without docker and without an installed server.
//
// The engine is libchdb.so from the npm package @chdb/lib-linux-x64-gnu. The
// child is this program itself, started again with an environment variable set:
// Child sees it, loads the library with purego and never returns. A program that
// wants to call Start calls Child first thing in main; test binaries need not.
// Only one ClickHouse can live in a process and it cannot be restarted inside
// one, so a child process is needed anyway; it also makes kill -9 tests possible.
//
// What this build of ClickHouse lacks against the real server: listeners other
// than TCP and HTTP (TLS is done here), asynchronous inserts (accepted, and done
// synchronously), replication, Keeper and ON CLUSTER, CREATE USER (users come
// from Options), and sending background Distributed inserts by itself.
package chserver

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
)

// ErrNoLibrary is returned by Start and FindLibrary where there is no
// libchdb.so. Tests skip on it.
var ErrNoLibrary = errors.New("libchdb.so not found: run `make clickhouse`, or set CHDB_LIB")

// User is a user of the server. Grants are GRANT statements without the name,
// such as "GRANT SELECT, INSERT ON *.*"; none means everything.
type User struct {
	Name, Password string
	Grants         []string
}

// Options says how to start a server. Only Dir is needed.
type Options struct {
	Dir string // data directory, kept between starts
	Lib string // libchdb.so; found by FindLibrary if empty

	// Users there are besides "default". That one always is there, and without a
	// password unless it is named here with one: the child itself needs it.
	Users  []User
	Config string // further XML put inside <clickhouse>, such as <remote_servers>

	TCPPort  int // native protocol; 0 chooses a free one
	HTTPPort int // 0 chooses a free one

	// PEM files. If set there are TLS ports too, chosen like the others.
	TLSCert, TLSKey    string
	TLSPort, HTTPSPort int

	Log io.Writer // what the child prints; nil: nowhere. The server's own log is in Dir.
}

const library = "libchdb.so"

// FindLibrary looks for libchdb.so in $CHDB_LIB, and in node_modules of the
// working directory, of the program's directory and of all above them.
func FindLibrary() (string, error) {
	if p := os.Getenv("CHDB_LIB"); p != "" {
		_, err := os.Stat(p)
		return p, err
	}
	if runtime.GOOS != "linux" || runtime.GOARCH != "amd64" {
		return "", ErrNoLibrary
	}
	for _, here := range []func() (string, error){os.Getwd, executableDir} {
		dir, err := here()
		if err != nil {
			continue
		}
		if p, ok := libraryAbove(dir); ok {
			return p, nil
		}
	}
	return "", ErrNoLibrary
}

func executableDir() (string, error) {
	p, err := os.Executable()
	return filepath.Dir(p), err
}

func libraryAbove(dir string) (string, bool) {
	for {
		p := filepath.Join(dir, "node_modules", "@chdb", "lib-linux-x64-gnu", library)
		if _, err := os.Stat(p); err == nil {
			return p, true
		}
		up := filepath.Dir(dir)
		if up == dir {
			return "", false
		}
		dir = up
	}
}
