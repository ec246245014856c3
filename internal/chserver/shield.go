package chserver

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
)

// A shield is a port of the child process that passes connections on to a port
// of ClickHouse. It is needed because this build of ClickHouse lacks the error
// handler that the real server has for exceptions that end a native connection:
// here they end the process. So a shield
//   - always ends connections to ClickHouse in good order, never with a reset,
//     which clients send whenever they close a connection with an unread answer
//     (a cancelled context is enough);
//   - tries the user, password and database of a native hello over HTTP first,
//     where a failure is harmless, and gives the client ClickHouse's answer. While
//     it cannot, which is a moment at the start, nobody gets through.
//
// It also gives TLS, for which this build has no port.
type shield struct {
	Listen, To string
	HTTP       string // for the native protocol: ClickHouse's HTTP port
	Cert, Key  string // files; TLS if set
}

func (o *Options) shields(tcp, http string) []shield {
	s := []shield{{Listen: at(o.TCPPort), To: tcp, HTTP: http}, {Listen: at(o.HTTPPort), To: http}}
	if o.TLSCert == "" {
		return s
	}
	return append(s,
		shield{Listen: at(o.TLSPort), To: tcp, HTTP: http, Cert: o.TLSCert, Key: o.TLSKey},
		shield{Listen: at(o.HTTPSPort), To: http, Cert: o.TLSCert, Key: o.TLSKey})
}

func (s shield) serve() error {
	l, err := net.Listen("tcp", s.Listen)
	if err != nil {
		return err
	}
	if s.Cert != "" {
		c, err := tls.LoadX509KeyPair(s.Cert, s.Key)
		if err != nil {
			return err
		}
		l = tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{c}, MinVersion: tls.VersionTLS12})
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go s.pass(c)
		}
	}()
	return nil
}

func (s shield) pass(client net.Conn) {
	defer func() { _ = client.Close() }()
	from, ok := s.admit(client)
	if !ok {
		return
	}
	c, err := net.Dial("tcp", s.To)
	if err != nil {
		return
	}
	server := c.(*net.TCPConn)
	defer func() { _ = server.Close() }()
	up := make(chan struct{})
	go func() {
		defer close(up)
		_, _ = io.Copy(server, from)
		_ = server.CloseWrite() // never a reset
	}()
	if _, err := io.Copy(client, server); err != nil {
		_, _ = io.Copy(io.Discard, server) // the client has gone: read the rest
	}
	_ = client.Close()
	<-up
}

// admit returns what the client says, from its first byte. If ClickHouse would
// refuse the client, it is told so, and admit returns false; false, too, while
// ClickHouse cannot be asked.
func (s shield) admit(client net.Conn) (io.Reader, bool) {
	if s.HTTP == "" {
		return client, true
	}
	var said bytes.Buffer
	in := bufio.NewReader(client)
	h, err := readHello(io.TeeReader(exactly{in}, &said))
	if err != nil {
		return nil, false
	}
	answer, err := s.refused(h)
	if err != nil || answer != nil {
		_, _ = client.Write(answer)
		return nil, false
	}
	return io.MultiReader(&said, in), true
}

// oneShot leaves no idle connections behind: ClickHouse's shutdown waits 5 s
// for those.
var oneShot = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}

type hello struct{ database, user, password string }

// exactly fills what it is given, so that a TeeReader takes the hello and no more.
type exactly struct{ r *bufio.Reader }

func (e exactly) Read(p []byte) (int, error) { return io.ReadFull(e.r, p) }

func readHello(r io.Reader) (h hello, err error) {
	num := func() uint64 {
		var n uint64
		for shift := 0; err == nil && shift < 64; shift += 7 {
			var b [1]byte
			if _, err = r.Read(b[:]); err != nil {
				break
			}
			n |= uint64(b[0]&0x7f) << shift
			if b[0] < 0x80 {
				break
			}
		}
		return n
	}
	str := func() string {
		n := num()
		if err == nil && n > 1<<16 {
			err = errors.New("not a hello")
		}
		if err != nil {
			return ""
		}
		b := make([]byte, n)
		_, err = r.Read(b)
		return string(b)
	}
	if num() != 0 {
		return h, errors.New("not a hello")
	}
	_, _, _, _ = str(), num(), num(), num() // client name and versions
	h.database, h.user, h.password = str(), str(), str()
	return h, err
}

// refused returns the native exception packet for a hello that ClickHouse would
// refuse, nil for one that it takes, or an error if it does not say.
func (s shield) refused(h hello) ([]byte, error) {
	req, err := http.NewRequest(http.MethodGet, "http://"+s.HTTP+"/?query=SELECT+1", nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("X-ClickHouse-User", h.user)
	req.Header.Set("X-ClickHouse-Key", h.password)
	if h.database != "" {
		req.Header.Set("X-ClickHouse-Database", h.database)
	}
	resp, err := oneShot.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode == http.StatusOK {
		return nil, err
	}
	code, _ := strconv.Atoi(resp.Header.Get("X-ClickHouse-Exception-Code"))
	return exception(code, strings.TrimSpace(string(answer))), nil
}

// exception encodes the native protocol's packet.
func exception(code int, message string) []byte {
	p := []byte{2}
	p = binary.LittleEndian.AppendUint32(p, uint32(code))
	message = strings.TrimPrefix(message, fmt.Sprintf("Code: %d. ", code))
	for _, s := range []string{"DB::Exception", message, ""} { // name, message, stack trace
		p = binary.AppendUvarint(p, uint64(len(s)))
		p = append(p, s...)
	}
	return append(p, 0) // nothing nested
}
