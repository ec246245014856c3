package main

import (
	"os"
	"runtime/debug"
)

// gcPercent is Go's GOGC where the environment does not say another. What is
// alive is little beside what passes through, so the collector may come seldom.
const gcPercent = 400

// gcSlack is what a worker needs beside the state of its rules: batches, buffers
// of connections, the decoders.
const gcSlack = 1 << 30

// tuneGC trades memory for time as long as there is little state. memory is what
// the state may take (--memory); from half as much again on, the collector comes
// as often as it must to stay there. GOGC and GOMEMLIMIT in the environment win.
func tuneGC(memory byteSize) {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	if os.Getenv("GOMEMLIMIT") == "" && memory > 0 {
		debug.SetMemoryLimit(int64(memory) + int64(memory)/2 + gcSlack)
	}
}
