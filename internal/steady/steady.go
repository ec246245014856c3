// Package steady makes tests that draw random cases draw the same ones in every
// run, so that a run which fails fails for everybody. Long runs that look for
// what nobody has seen yet ask for others: with -rapid.seed, or by setting
// CORRAL_RANDOM to anything.
package steady

import (
	"flag"
	"os"
	"strconv"
	"testing"
)

// Random reports whether new cases were asked for.
func Random() bool { return os.Getenv("CORRAL_RANDOM") != "" }

// Main runs the tests of a package with rapid's seed fixed. It leaves no files of
// failed cases behind: a case that found something becomes a test.
func Main(m *testing.M) {
	flag.Parse()
	set("rapid.nofailfile", "true")
	if !Random() && !given("rapid.seed") {
		set("rapid.seed", "1")
	}
	os.Exit(m.Run())
}

// Round makes the n-th of several checks of one test draw other cases than those
// before it.
func Round(n int) {
	seed, err := strconv.ParseUint(flag.Lookup("rapid.seed").Value.String(), 10, 64)
	if err != nil {
		panic(err)
	}
	if n > 0 && seed > 0 {
		set("rapid.seed", strconv.FormatUint(seed+1_000_003, 10))
	}
}

func given(name string) (is bool) {
	flag.Visit(func(f *flag.Flag) { is = is || f.Name == name })
	return is
}

func set(name, value string) {
	if err := flag.Set(name, value); err != nil {
		panic(err)
	}
}
