package demo

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// interact injects faults as the lines of in say. At the end of in the demo goes
// on until ctx is done.
func (t *tour) interact(ctx context.Context, faults []*Fault, in io.Reader) error {
	for _, f := range faults {
		if err := t.toggle(ctx, f); err != nil {
			return err
		}
	}
	t.out.menu(t.sys)
	lines := readLines(ctx, in)
	for {
		select {
		case <-ctx.Done():
			return nil // asked to stop, as "quit" does
		case line, ok := <-lines:
			if !ok {
				lines = nil
				continue
			}
			if quit := t.command(ctx, line); quit {
				return nil
			}
		}
	}
}

// readLines hands on the lines of in. Its goroutine may outlive ctx by one read:
// a terminal cannot be interrupted.
func readLines(ctx context.Context, in io.Reader) <-chan string {
	lines := make(chan string)
	if in == nil {
		return nil
	}
	go func() {
		defer close(lines)
		for sc := bufio.NewScanner(in); sc.Scan(); {
			select {
			case lines <- strings.TrimSpace(sc.Text()):
			case <-ctx.Done():
				return
			}
		}
	}()
	return lines
}

// command obeys one line and says if it was the last.
func (t *tour) command(ctx context.Context, line string) (quit bool) {
	switch line {
	case "":
		return false
	case "q", "quit", "exit":
		return true
	case "s", "status":
		t.out.status(t.sys, t.rec.since(0))
		return false
	case "?", "h", "help":
		t.out.menu(t.sys)
		return false
	}
	f := t.choose(line)
	if f == nil {
		t.out.say("there is no fault %q; ? shows what there is", line)
		return false
	}
	if err := t.toggle(ctx, f); err != nil {
		t.out.say("%v", err)
	}
	return false
}

// choose finds a fault by number or by the beginning of its name.
func (t *tour) choose(s string) *Fault {
	faults := t.sys.Faults()
	if n, err := strconv.Atoi(s); err == nil && n >= 1 && n <= len(faults) {
		return faults[n-1]
	}
	var found *Fault
	for _, f := range faults {
		if strings.HasPrefix(f.Name, s) {
			if found != nil {
				return nil // not clear which
			}
			found = f
		}
	}
	return found
}

func (t *tour) toggle(ctx context.Context, f *Fault) error {
	if f.Active() {
		f.Stop()
		t.out.stop(f)
		return nil
	}
	t.out.inject(f)
	if err := f.Start(ctx); err != nil {
		return fmt.Errorf("%s: %w", f.Name, err)
	}
	return nil
}
