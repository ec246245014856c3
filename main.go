// Command corral correlates service logs and NATS advisories into incidents.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"corral/internal/chserver"
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
	}
	order := []string{"run", "batch", "verify", "diff", "check", "test", "explain", "parse", "incidents", "migrate", "schema", "packs", "nats-setup", "demo"}
	return m, order
}

func run(ctx context.Context, args []string, in io.Reader, out, errw io.Writer) int {
	cmds, order := commands()
	if len(args) == 0 || slices.Contains([]string{"help", "-h", "--help"}, args[0]) {
		usage(out, cmds, order)
		if len(args) == 0 {
			return exitUsage
		}
		return exitOK
	}
	c, ok := cmds[args[0]]
	if !ok {
		fmt.Fprintf(errw, "corral: unknown command %q\n", args[0])
		usage(errw, cmds, order)
		return exitUsage
	}
	err := c.run(ctx, args[1:], env{in: in, out: out, err: errw})
	return report(ctx, errw, args[0], err)
}

func usage(w io.Writer, cmds map[string]command, order []string) {
	fmt.Fprint(w, "corral joins service logs and NATS advisories into incidents.\n\nUsage: corral COMMAND [flags]\n\n")
	for _, name := range order {
		fmt.Fprintf(w, "  %-10s %s\n", name, cmds[name].help)
	}
	fmt.Fprint(w, "\ncorral COMMAND --help shows the flags of a command.\n")
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

func report(ctx context.Context, errw io.Writer, name string, err error) int {
	if err == nil {
		return exitOK
	}
	code := exitUsage
	if e, ok := errors.AsType[exit](err); ok {
		code = e.code
	} else if ctx.Err() != nil {
		code = exitSignal
	}
	if text := strings.TrimSpace(err.Error()); text != "" {
		fmt.Fprintf(errw, "corral %s: %s\n", name, text)
	}
	return code
}
