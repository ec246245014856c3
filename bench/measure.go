package main

import (
	"bytes"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// figure is a measurement made several times.
type figure struct {
	Median, Min, Max float64
	runs             []float64 // in the order they were made
}

func figureOf(xs []float64) figure {
	sorted := slices.Sorted(slices.Values(xs))
	return figure{sorted[len(xs)/2], sorted[0], sorted[len(xs)-1], xs}
}

// cpu is the processor time used so far: on a machine that is shared it says more
// than the clock.
func cpu() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// cpuOf is the processor time another process has used; 0 where the system does not
// tell as Linux does.
func cpuOf(pid int) time.Duration {
	const tick = 10 * time.Millisecond // USER_HZ is 100 everywhere
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	_, rest, _ := bytes.Cut(stat, []byte(") ")) // the name before may hold spaces
	fields := strings.Fields(string(rest))
	if len(fields) < 13 {
		return 0
	}
	user, _ := strconv.Atoi(fields[11])
	system, _ := strconv.Atoi(fields[12])
	return time.Duration(user+system) * tick
}

// contender is one of several things measured against each other.
type contender struct {
	name string
	run  func() (events int) // does a share of work, about 20 ms and more
}

// rounds runs the contenders in turns, so that what else the machine does meets all
// of them, and returns the processor nanoseconds per event of each.
func rounds(n int, cs ...contender) []figure {
	took := make([][]float64, len(cs))
	for _, c := range cs {
		c.run() // to warm up
	}
	for range n {
		for i, c := range cs {
			runtime.GC() // what the one before left is not this one's
			begin := cpu()
			events := c.run()
			took[i] = append(took[i], float64(cpu()-begin)/float64(events))
		}
	}
	out := make([]figure, len(cs))
	for i := range took {
		out[i] = figureOf(took[i])
	}
	return out
}

// mallocs is how many objects f allocates.
func mallocs(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.Mallocs - before.Mallocs
}

// liveHeap is what the heap holds after a collection.
func liveHeap() int64 {
	runtime.GC()
	runtime.GC()
	var ms runtime.MemStats
	runtime.ReadMemStats(&ms)
	return int64(ms.HeapAlloc)
}

// How figures are written.

func spread(f figure, unit string, digits int) string {
	return fmt.Sprintf("%.*f%s (%.*f–%.*f)", digits, f.Median, unit, digits, f.Min, digits, f.Max)
}

func nanos(f figure) string { return spread(f, " ns", 0) }

// rate writes events per second.
func rate(perSecond float64) string {
	switch {
	case perSecond >= 1e6:
		return fmt.Sprintf("%.2f M/s", perSecond/1e6)
	case perSecond >= 1e4:
		return fmt.Sprintf("%.0f k/s", perSecond/1e3)
	}
	return fmt.Sprintf("%.0f /s", perSecond)
}

func rates(f figure) string {
	return fmt.Sprintf("%s (%s–%s)", rate(f.Median), strings.TrimSuffix(rate(f.Min), "/s"), strings.TrimSuffix(rate(f.Max), "/s"))
}

// ratioOf is the ratio of two things that were measured in turns: the median of the
// ratios turn by turn, for what else the machine does meets both of a turn.
func ratioOf(a, b figure) float64 {
	if len(a.runs) != len(b.runs) {
		return a.Median / b.Median
	}
	ratios := make([]float64, len(a.runs))
	for i := range a.runs {
		ratios[i] = a.runs[i] / b.runs[i]
	}
	return figureOf(ratios).Median
}

func times(x float64) string {
	if x >= 100 {
		return fmt.Sprintf("%.0f ×", x)
	}
	return fmt.Sprintf("%.2f ×", x)
}
