// Command corral correlates service logs and NATS advisories into incidents.
package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"sync"
	"syscall"

	"corral/internal/chserver"
	"corral/rules"
)

// Exit codes, the same for every command.
const (
	exitOK       = 0
	exitFindings = 1   // a test failed, a budget broken, a diff over its limit, parity lost
	exitRules    = 2   // rules invalid
	exitUsage    = 3   // flags, arguments, configuration
	exitInfra    = 4   // NATS, ClickHouse, files that cannot be read
	exitSignal   = 130 // interrupted
)

func main() {
	chserver.Child() // the demo's ClickHouse is this program, started again
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	os.Exit(run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// env is where a command reads and writes: results on out, talk on err.
type env struct {
	in       io.Reader
	out, err io.Writer
}

// command is a verb of the command line. run returns nil or an error that says
// its exit code (exit), 3 if it does not.
type command struct {
	help string
	run  func(ctx context.Context, args []string, e env) error
}

// commands is the map of verbs; order is for the help.
func commands() (map[string]command, []string) {
	m := map[string]command{
		"run":        {"streaming worker: NATS subjects and streams in, incidents out", cmdRun},
		"batch":      {"reprocess history: files, streams, tables", cmdBatch},
		"verify":     {"run live's range again and compare the incidents", cmdVerify},
		"diff":       {"two rule sets over the same history: incidents gone, new, changed", cmdDiff},
		"check":      {"parse, type-check and lint rules", cmdCheck},
		"test":       {"run the unit tests of rules", cmdTest},
		"parse":      {"show how lines are decoded", cmdParse},
		"schema":     {"print the JSON Schema of rule files", cmdSchema},
		"explain":    {"why a rule fired or did not; what an error code means", cmdExplain},
		"incidents":  {"list incidents, or the timeline of one", cmdIncidents},
		"migrate":    {"create and update the tables in ClickHouse", cmdMigrate},
		"packs":      {"list the rules that come with corral, or print one to change it", cmdPacks},
		"nats-setup": {"print the account and users with which corral sees all of NATS", cmdNATSSetup},
		"demo":       {"three real services with faults, and the incidents", cmdDemo},
		"version":    {"which corral this is", cmdVersion},
	}
	order := []string{"run", "batch", "verify", "diff", "check", "test", "explain", "parse", "incidents", "migrate", "schema", "packs", "nats-setup", "demo", "version"}
	return m, order
}

func run(ctx context.Context, args []string, in io.Reader, out, errw io.Writer) int {
	cmds, order := commands()
	o := &output{w: out}
	e := env{in: in, out: o, err: errw}
	if len(args) == 0 {
		usage(errw, cmds, order)
		return exitUsage
	}
	name, rest := args[0], args[1:]
	switch name {
	case "--version":
		name = "version"
	case "help", "-h", "--help":
		if len(rest) == 0 {
			usage(o, cmds, order)
			return report(ctx, errw, "help", o.failure(nil))
		}
		name, rest = rest[0], []string{"--help"}
	}
	c, ok := cmds[name]
	if !ok {
		fmt.Fprintf(errw, "corral: unknown command %q%s; corral --help lists them\n", name, didYouMean(name, order))
		return exitUsage
	}
	return report(ctx, errw, name, o.failure(c.run(ctx, rest, e)))
}

func usage(w io.Writer, cmds map[string]command, order []string) {
	fmt.Fprint(w, "corral joins service logs and NATS advisories into incidents.\n\nUsage: corral COMMAND [flags]\n\n")
	for _, name := range order {
		fmt.Fprintf(w, "  %-10s %s\n", name, cmds[name].help)
	}
	fmt.Fprint(w, `
corral COMMAND --help shows the flags of a command, and an example.
Exit codes: 0 ok, 1 findings, 2 rules invalid, 3 usage, 4 NATS, ClickHouse or files, 130 interrupted.
`)
}

// didYouMean is what somebody who typed name may have meant.
func didYouMean(name string, known []string) string {
	if best := rules.Nearest(name, known); best != "" {
		return fmt.Sprintf(", did you mean %q?", best)
	}
	return ""
}

// output is standard output, and remembers what could not be written: a command
// whose results are lost has not done its work.
type output struct {
	w   io.Writer
	mu  sync.Mutex
	err error // the first
}

func (o *output) Write(p []byte) (int, error) {
	n, err := o.w.Write(p)
	if err != nil {
		o.mu.Lock()
		o.err = cmp.Or(o.err, err)
		o.mu.Unlock()
	}
	return n, err
}

// failure is err, or that something could not be written.
func (o *output) failure(err error) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.err == nil {
		return err
	}
	return infra(fmt.Errorf("write results: %w", o.err))
}

// fileOf is the file behind a writer, if there is one: a terminal, perhaps.
func fileOf(w io.Writer) (*os.File, bool) {
	if o, ok := w.(*output); ok {
		w = o.w
	}
	f, ok := w.(*os.File)
	return f, ok
}

// exit is an error with the code the process ends with. Its text is printed,
// unless it is empty: then the command has said all there is to say.
type exit struct {
	code int
	err  error
}

func (e exit) Error() string {
	if e.err == nil {
		return ""
	}
	return e.err.Error()
}

func (e exit) Unwrap() error { return e.err }

func usageError(format string, args ...any) error {
	return exit{exitUsage, fmt.Errorf(format, args...)}
}

func infra(err error) error { return exit{exitInfra, err} }

// report says what went wrong, and returns the exit code. A worker that is
// interrupted stops in good order: of it the code says whether that went well.
func report(ctx context.Context, errw io.Writer, name string, err error) int {
	if err == nil {
		return exitOK
	}
	code := exitUsage
	if e, ok := errors.AsType[exit](err); ok {
		code = e.code
	}
	if ctx.Err() != nil && name != "run" {
		code = exitSignal
	}
	switch text := strings.TrimSpace(err.Error()); {
	case code == exitSignal && errors.Is(err, context.Cause(ctx)):
		fmt.Fprintf(errw, "corral %s: interrupted\n", name)
	case text != "":
		fmt.Fprintf(errw, "corral %s: %s\n", name, text)
	}
	return code
}

func cmdVersion(_ context.Context, args []string, e env) error {
	fs := newFlags("version", "", `Says which corral this is: its version, the commit it was built from, and Go's version.

  corral version`)
	if done, err := parse(fs, args, e); done {
		return err
	}
	if err := noArgs(fs); err != nil {
		return err
	}
	fmt.Fprintln(e.out, version())
	return nil
}

// version is what the toolchain wrote into the binary.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "corral, built without module information"
	}
	set := map[string]string{}
	for _, s := range info.Settings {
		set[s.Key] = s.Value
	}
	text := "corral " + cmp.Or(info.Main.Version, "(devel)")
	if rev := set["vcs.revision"]; rev != "" {
		text += " " + rev[:min(len(rev), 12)]
	}
	if set["vcs.modified"] == "true" {
		text += " (changed)"
	}
	return text + " " + info.GoVersion
}
