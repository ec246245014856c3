// Package health serves what an operator asks a worker over HTTP: is it alive,
// is it ready, what has it counted, reload your rules.
package health

import (
	"context"
	"crypto/subtle"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Server answers on one address. The zero value of the optional fields turns
// them off.
type Server struct {
	Addr     string // host:port
	TLS      *tls.Config
	Token    string // if set, everything but /healthz wants `Authorization: Bearer …`
	Registry *prometheus.Registry
	Ready    func() error                       // nil error: ready
	Reload   func(context.Context) (any, error) // POST /-/reload; the report as text if it is a Texter, else or if asked for as JSON
}

// Listen opens the address, so that a port in use is an error at start.
func (s *Server) Listen() (net.Listener, error) {
	l, err := net.Listen("tcp", s.Addr)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", s.Addr, err)
	}
	if s.TLS != nil {
		l = tls.NewListener(l, s.TLS)
	}
	return l, nil
}

// Serve answers until ctx is done.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	srv := &http.Server{
		Handler:           s.handler(),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       30 * time.Second,
		MaxHeaderBytes:    64 << 10,
	}
	stop := context.AfterFunc(ctx, func() {
		short, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = srv.Shutdown(short)
	})
	defer stop()
	if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

func (s *Server) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	guarded := func(pattern string, h http.Handler) { mux.Handle(pattern, s.guard(h)) }
	guarded("GET /readyz", http.HandlerFunc(s.ready))
	if s.Registry != nil {
		guarded("GET /metrics", promhttp.HandlerFor(s.Registry, promhttp.HandlerOpts{}))
	}
	if s.Reload != nil {
		guarded("POST /-/reload", http.HandlerFunc(s.reload))
	}
	guarded("GET /{$}", http.HandlerFunc(index))
	return mux
}

// index is for who opens the address in a browser.
func index(w http.ResponseWriter, _ *http.Request) {
	fmt.Fprint(w, `corral

GET  /healthz   is it alive
GET  /readyz    is it ready, and if not, why not
GET  /metrics   what it has counted, for Prometheus
POST /-/reload  read the rules again, and say what that changes
`)
}

func (s *Server) guard(h http.Handler) http.Handler {
	if s.Token == "" {
		return h
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
		if subtle.ConstantTimeCompare([]byte(got), []byte(s.Token)) != 1 {
			w.Header().Set("WWW-Authenticate", "Bearer")
			http.Error(w, "a bearer token is needed", http.StatusUnauthorized)
			return
		}
		h.ServeHTTP(w, r)
	})
}

func (s *Server) ready(w http.ResponseWriter, _ *http.Request) {
	if s.Ready != nil {
		if err := s.Ready(); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
	}
	fmt.Fprintln(w, "ready")
}

// Texter is a report that people can read, too.
type Texter interface{ WriteText(io.Writer) error }

func (s *Server) reload(w http.ResponseWriter, r *http.Request) {
	report, err := s.Reload(r.Context())
	code := http.StatusOK
	if err != nil {
		code = http.StatusUnprocessableEntity
	}
	if text, ok := report.(Texter); ok && !strings.Contains(r.Header.Get("Accept"), "application/json") {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.WriteHeader(code)
		_ = text.WriteText(w) // the client has gone: nothing to tell it
		return
	}
	body := map[string]any{"report": report}
	if err != nil {
		body["error"] = err.Error()
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(body) // as above
}
