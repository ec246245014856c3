package oracle_test

import (
	"flag"
	"os"
	"testing"
)

// TestMain keeps rapid from leaving files of failed cases behind: a case that
// found something becomes a test.
func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("rapid.nofailfile", "true"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}
