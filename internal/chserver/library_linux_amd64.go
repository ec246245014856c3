package chserver

import (
	"errors"
	"fmt"
	"os/signal"
	"runtime"
	"syscall"
	"unsafe"

	"github.com/ebitengine/purego"
)

// run serves until hold's pipe ends.
func (c child) run() error {
	runtime.LockOSThread()
	lib, err := purego.Dlopen(c.Lib, purego.RTLD_NOW|purego.RTLD_GLOBAL)
	if err != nil {
		return err
	}
	var (
		setSignals  func(int32)
		cmdline     func(argc int32, argv unsafe.Pointer) uintptr
		resultError func(uintptr) string
	)
	purego.RegisterLibFunc(&setSignals, lib, "chdb_set_signal_handlers_enabled")
	purego.RegisterLibFunc(&cmdline, lib, "chdb_query_cmdline")
	purego.RegisterLibFunc(&resultError, lib, "chdb_result_error")

	setSignals(0)                  // leave signals to the Go runtime;
	signal.Ignore(syscall.SIGPIPE) // and none comes of writing to a closed connection

	wait, err := hold()
	if err != nil {
		return err
	}
	// The last statement reads the pipe, so it ends exactly when the pipe does;
	// then ClickHouse shuts down in good order.
	query := fmt.Sprintf("SYSTEM START LISTEN TCP; SYSTEM START LISTEN HTTP; "+
		"SELECT count() FROM file('/dev/fd/%d', 'LineAsString')", wait.Fd())
	argv, unpin := cStrings(append(append([]string{"clickhouse"}, c.Args...), "--query="+query))
	defer unpin()
	res := cmdline(int32(len(argv)-1), unsafe.Pointer(&argv[0]))
	runtime.KeepAlive(wait)
	if msg := resultError(res); msg != "" {
		return errors.New(msg)
	}
	return nil
}

// cStrings returns a NULL-terminated argv that stays where it is until unpin.
func cStrings(args []string) (argv []*byte, unpin func()) {
	pin := new(runtime.Pinner)
	argv = make([]*byte, len(args)+1)
	for i, a := range args {
		argv[i] = unsafe.SliceData(append([]byte(a), 0))
		pin.Pin(argv[i])
	}
	pin.Pin(&argv[0])
	return argv, pin.Unpin
}
