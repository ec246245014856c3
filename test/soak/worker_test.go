package soak

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"sync"
	"syscall"
	"time"
)

// worker is `corral run` under a supervisor that starts it again whenever it
// ends, as a service manager does.
type worker struct {
	path string
	args []string
	log  string // file that every life appends to

	mu       sync.Mutex
	cmd      *exec.Cmd // nil: between two lives
	stopping bool
	signaled bool // this life is to end by us
	lives    int
	gaveUp   []string // why lives ended that nobody ended
	last     error    // how the last life ended
	ended    chan struct{}
}

func (w *worker) start() {
	w.stopping = false // nobody else is there
	w.ended = make(chan struct{})
	go w.supervise()
}

// supervise runs life after life.
func (w *worker) supervise() {
	defer close(w.ended)
	for {
		cmd, out, err := w.live()
		if err != nil {
			w.over(err)
			return
		}
		err = cmd.Wait()
		_ = out.Close()
		if w.over(err) {
			return
		}
	}
}

var errStopped = errors.New("stopped between two lives")

// live begins a life.
func (w *worker) live() (*exec.Cmd, io.Closer, error) {
	out, err := os.OpenFile(w.log, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, nil, err
	}
	cmd := exec.Command(w.path, w.args...)
	cmd.Stdout, cmd.Stderr = out, out
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.stopping {
		return nil, nil, errors.Join(errStopped, out.Close())
	}
	w.lives++
	fmt.Fprintf(out, "--- life %d, %s\n", w.lives, time.Now().UTC().Format(time.RFC3339Nano))
	if err := cmd.Start(); err != nil {
		return nil, nil, errors.Join(err, out.Close())
	}
	w.cmd, w.signaled = cmd, false
	return cmd, out, nil
}

// over notes how a life ended, and whether it was the last.
func (w *worker) over(err error) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cmd, w.last = nil, err
	if !w.signaled {
		w.gaveUp = append(w.gaveUp, fmt.Sprintf("life %d: %s", w.lives, w.lastWords()))
	}
	return w.stopping
}

// lastWords is the end of the log.
func (w *worker) lastWords() string {
	log, err := os.ReadFile(w.log)
	if err != nil {
		return err.Error()
	}
	lines := bytes.Split(bytes.TrimSpace(log), []byte("\n"))
	return string(lines[len(lines)-1])
}

// signal reaches the worker if it lives.
func (w *worker) signal(sig syscall.Signal) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.cmd == nil {
		return false
	}
	if sig == syscall.SIGKILL || sig == syscall.SIGTERM {
		w.signaled = true
	}
	return w.cmd.Process.Signal(sig) == nil
}

// reload tells the worker to read its rules, once it can be told: before it
// listens for the signal, that would end it.
func (w *worker) reload() bool {
	w.mu.Lock()
	up := w.cmd != nil && w.up()
	w.mu.Unlock()
	return up && w.signal(syscall.SIGHUP)
}

// ran reports whether any life said that it runs.
func (w *worker) ran() bool {
	log, err := os.ReadFile(w.log)
	return err == nil && bytes.Contains(log, []byte("msg=running"))
}

// up reports whether this life says that it runs.
func (w *worker) up() bool {
	log, err := os.ReadFile(w.log)
	if err != nil {
		return false
	}
	i := bytes.LastIndex(log, []byte("--- life "))
	return i >= 0 && bytes.Contains(log[i:], []byte("msg=running"))
}

// stop ends the worker as a deployment does and says how it ended.
func (w *worker) stop(ctx context.Context) error {
	w.mu.Lock()
	w.stopping = true
	w.mu.Unlock()
	w.signal(syscall.SIGTERM)
	select {
	case <-w.ended:
		return w.last
	case <-ctx.Done():
		w.kill()
		return fmt.Errorf("worker does not end: %w", context.Cause(ctx))
	}
}

// kill ends it for good, whatever it is doing.
func (w *worker) kill() {
	w.mu.Lock()
	w.stopping = true
	w.mu.Unlock()
	w.signal(syscall.SIGKILL)
	<-w.ended
}

var listening = regexp.MustCompile(`msg=listening address=(\S+)`)

// metrics asks the worker that runs now.
func (w *worker) metrics(ctx context.Context) ([]byte, error) {
	log, err := os.ReadFile(w.log)
	if err != nil {
		return nil, err
	}
	all := listening.FindAllSubmatch(log, -1)
	if len(all) == 0 {
		return nil, errors.New("it does not say where it listens")
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("http://%s/metrics", all[len(all)-1][1]), nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	return io.ReadAll(resp.Body)
}

// crashed is what a log says of a life that ended by a fault of the program.
func (w *worker) crashed() []byte {
	log, err := os.ReadFile(w.log)
	if err != nil {
		return nil
	}
	for _, sign := range []string{"panic:", "fatal error:", "DATA RACE"} {
		if i := bytes.Index(log, []byte(sign)); i >= 0 {
			return log[i:min(len(log), i+4000)]
		}
	}
	return nil
}
