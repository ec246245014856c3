package health

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"corral/internal/natstest"
)

// serve starts the server and returns its address.
func serve(t *testing.T, s *Server) string {
	t.Helper()
	s.Addr = "127.0.0.1:0"
	l, err := s.Listen()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return l.Addr().String()
}

func ask(t *testing.T, c *http.Client, method, url, auth string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if auth != "" {
		req.Header.Set("Authorization", auth)
	}
	resp, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

func TestEndpoints(t *testing.T) {
	reg := prometheus.NewRegistry()
	c := prometheus.NewCounter(prometheus.CounterOpts{Name: "things_total"})
	reg.MustRegister(c)
	c.Add(3)
	notReady := errors.New("NATS: RECONNECTING")
	bad := errors.New("rules.yaml:8:5: unknown key")
	s := &Server{
		Registry: reg, Token: "t0ken",
		Ready:  func() error { return notReady },
		Reload: func(context.Context) (any, error) { return map[string]int{"generation": 2}, bad },
	}
	base := "http://" + serve(t, s)
	const auth = "Bearer t0ken"
	for _, tt := range []struct {
		method, path, auth string
		code               int
		says               string
	}{
		{"GET", "/healthz", "", 200, "ok"},
		{"GET", "/readyz", "", 401, "bearer token"},
		{"GET", "/readyz", "Bearer wrong", 401, ""},
		{"GET", "/readyz", "Bearer ", 401, ""},
		{"GET", "/readyz", auth, 503, "RECONNECTING"},
		{"GET", "/metrics", "", 401, ""},
		{"GET", "/metrics", auth, 200, "things_total 3"},
		{"POST", "/-/reload", "", 401, ""},
		{"GET", "/-/reload", auth, 405, ""},
		{"POST", "/-/reload", auth, 422, `unknown key`},
		{"POST", "/-/reload", auth, 422, `"generation":2`},
		{"GET", "/", "", 401, ""},
		{"GET", "/", auth, 200, "/readyz"},
		{"GET", "/none", auth, 404, ""},
	} {
		if code, body := ask(t, http.DefaultClient, tt.method, base+tt.path, tt.auth); code != tt.code || !strings.Contains(body, tt.says) {
			t.Errorf("%s %s with %q: %d %s, want %d %s", tt.method, tt.path, tt.auth, code, body, tt.code, tt.says)
		}
	}
}

// report is what people can read, and programs.
type report struct {
	Text string `json:"text"`
}

func (r report) WriteText(w io.Writer) error {
	_, err := io.WriteString(w, r.Text+"\n")
	return err
}

// TestReloadSaysWhatItDid: as text, and as JSON to who asks for that.
func TestReloadSaysWhatItDid(t *testing.T) {
	base := "http://" + serve(t, &Server{Reload: func(context.Context) (any, error) { return report{"generation 1 → 2"}, nil }})
	for accept, want := range map[string]string{
		"":                 "generation 1 → 2\n",
		"*/*":              "generation 1 → 2\n",
		"application/json": `{"report":{"text":"generation 1 → 2"}}` + "\n",
	} {
		req, err := http.NewRequestWithContext(t.Context(), "POST", base+"/-/reload", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Accept", accept)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || resp.StatusCode != 200 || string(body) != want {
			t.Errorf("Accept %q: %d %q %v, want %q", accept, resp.StatusCode, body, err, want)
		}
	}
}

func TestWithoutTokenAndParts(t *testing.T) {
	base := "http://" + serve(t, &Server{})
	for path, want := range map[string]int{"/healthz": 200, "/readyz": 200, "/metrics": 404, "/-/reload": 404} {
		if code, _ := ask(t, http.DefaultClient, "GET", base+path, ""); code != want {
			t.Errorf("%s: %d, want %d", path, code, want)
		}
	}
}

func TestTLS(t *testing.T) {
	certs := natstest.NewCerts(t)
	pair, err := tls.LoadX509KeyPair(certs.Cert, certs.Key)
	if err != nil {
		t.Fatal(err)
	}
	addr := serve(t, &Server{TLS: &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}})
	ca, err := os.ReadFile(certs.CA)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}}}
	if code, _ := ask(t, client, "GET", "https://"+addr+"/healthz", ""); code != 200 {
		t.Errorf("over TLS: %d", code)
	}
	if code, _ := ask(t, http.DefaultClient, "GET", "http://"+addr+"/healthz", ""); code != 400 {
		t.Errorf("without TLS: %d", code)
	}
	client.CloseIdleConnections()
}

// TestAddressInUse is an error at the start, not later.
func TestAddressInUse(t *testing.T) {
	addr := serve(t, &Server{})
	if _, err := (&Server{Addr: addr}).Listen(); err == nil || !strings.Contains(err.Error(), addr) {
		t.Errorf("a second server on %s: %v", addr, err)
	}
}
