package demo

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

// newLogger returns a logger whose records go to logs.<service>, one JSON object
// a message.
func newLogger(nc *nats.Conn, service string) *slog.Logger {
	w := subjectWriter{nc: nc, subject: "logs." + service}
	return slog.New(slog.NewJSONHandler(w, nil)).With(
		"service.name", service, "deployment.environment.name", "demo")
}

// subjectWriter publishes what one Write holds as one message: slog's handlers
// write a whole record at a time.
type subjectWriter struct {
	nc      *nats.Conn
	subject string
}

func (w subjectWriter) Write(record []byte) (int, error) {
	if err := w.nc.Publish(w.subject, bytes.TrimSuffix(record, []byte("\n"))); err != nil {
		return 0, fmt.Errorf("publish log record: %w", err)
	}
	return len(record), nil
}

// serverLog is the nats-server's logger. It keeps the server's own line format
// and hands the lines to a goroutine: the server logs while it holds locks that
// publishing would need.
type serverLog struct {
	lines chan string

	mu      sync.Mutex
	stopped bool
	done    sync.WaitGroup
}

func newServerLog() *serverLog { return &serverLog{lines: make(chan string, 4096)} }

// publishTo sends every line, those of the start included, to logs.nats-server,
// and closes the connection after the last one.
func (l *serverLog) publishTo(nc *nats.Conn) {
	l.done.Go(func() {
		defer nc.Close()
		for line := range l.lines {
			// What the server says while it shuts down has no reader.
			_ = nc.Publish("logs.nats-server", []byte(line))
		}
	})
}

func (l *serverLog) stop() {
	l.mu.Lock()
	if !l.stopped {
		l.stopped = true
		close(l.lines)
	}
	l.mu.Unlock()
	l.done.Wait()
}

func (l *serverLog) line(level, format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.stopped {
		return
	}
	stamp := time.Now().UTC().Format("2006/01/02 15:04:05.000000")
	line := fmt.Sprintf("[%d] %s [%s] %s", os.Getpid(), stamp, level, fmt.Sprintf(format, args...))
	select {
	case l.lines <- line:
	default: // a server must not wait for its log
	}
}

func (l *serverLog) Noticef(format string, v ...any) { l.line("INF", format, v...) }
func (l *serverLog) Warnf(format string, v ...any)   { l.line("WRN", format, v...) }
func (l *serverLog) Errorf(format string, v ...any)  { l.line("ERR", format, v...) }
func (l *serverLog) Fatalf(format string, v ...any)  { l.line("FTL", format, v...) }
func (l *serverLog) Debugf(format string, v ...any)  { l.line("DBG", format, v...) }
func (l *serverLog) Tracef(format string, v ...any)  { l.line("TRC", format, v...) }
